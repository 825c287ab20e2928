"""Who works on batches: a thread of this process, processes of this machine, or the workers of a cluster.

All three are executors of the standard library. A worker is handed the artifact once, as its bytes, and reads it with
the checks of every other reader.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import (
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
)
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from .. import __version__, artifact, extras
from ..array import Array
from ..errors import BackendError, Problem, UsageError, first_line
from .tally import Tally, answers

CONNECT = 10  # seconds that a scheduler may take to answer
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(frozen=True, eq=False)
class Work:
    """What is asked of every batch: the network of a level, on a backend."""

    file: Path
    level: str
    backend: str


class Workers(Protocol):
    """Where batches go: ``slots`` of them are worked on at once; ``lost`` is raised where a worker has gone."""

    @property
    def slots(self) -> int:
        """How many batches are worked on at once."""

    @property
    def lost(self) -> tuple[type[BaseException], ...]:
        """What the future of a batch raises where its worker has gone."""

    def submit(self, x: Array, labels: Array) -> Future[Tally]:
        """One batch."""

    def renew(self) -> None:
        """Replace what a lost worker left unusable, once no batch is on its way."""


@contextmanager
def workers(work: Work, jobs: int = 0, scheduler: str = "") -> Iterator[Workers]:
    """``jobs`` processes, the cluster of a dask.distributed ``scheduler``, or this process where neither is named.

    Raises UsageError ND900 where both are, EnvironmentProblem ND115 without the library of clusters, BackendError ND706
    for a cluster that cannot be used.
    """
    if jobs and scheduler:
        cause = "--jobs are processes of this machine, --scheduler has workers of its own"
        raise UsageError(Problem("ND900", cause, "--jobs", str(jobs), fixes=("leave one of them out",)))
    if scheduler:
        with _cluster(work, scheduler) as found:
            yield found
    else:
        pool = _Pool(lambda: _processes(work, jobs), jobs) if jobs else _Pool(lambda: _thread(work), 1)
        try:
            yield pool
        finally:
            pool.executor.shutdown(wait=False, cancel_futures=True)


@dataclass(eq=False)
class _Pool:
    """An executor of the standard library, made anew where one of its processes is lost."""

    make: Callable[[], Executor]
    slots: int
    executor: Executor = field(init=False)
    lost = (BrokenExecutor, CancelledError)

    def __post_init__(self) -> None:
        self.executor = self.make()

    def submit(self, x: Array, labels: Array) -> Future[Tally]:
        return self.executor.submit(_asked, x, labels)

    def renew(self) -> None:
        self.executor.shutdown(wait=False, cancel_futures=True)
        self.executor = self.make()


# --- this machine ------------------------------------------------------------------------------------------------

_here: Callable[[Array, Array], Tally] | None = None  # of a worker process, or of the thread


def _thread(work: Work) -> Executor:
    """One thread, beside which the next batch is read: backends share out a batch among all cores themselves."""
    return ThreadPoolExecutor(1, "evaluate", _open, (work,))


def _processes(work: Work, jobs: int) -> Executor:
    """Processes that share the cores; they start anew instead of as copies of one that has threads."""
    each = max(1, (os.cpu_count() or 1) // jobs)
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, context, _open, (work, each))


def _open(work: Work, threads: int = 0) -> None:
    global _here  # one for each process: what a pool hands over goes through its initializer alone
    for name in THREADS if threads else ():
        os.environ.setdefault(name, str(threads))
    found = artifact.load(work.file)
    _here = lambda x, labels: answers(found, work.level, work.backend, x, labels)


def _asked(x: Array, labels: Array) -> Tally:
    if _here is None:
        raise RuntimeError("a worker was asked before it had opened the network")
    return _here(x, labels)


# --- a cluster ---------------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Cluster:
    """The workers of a scheduler; whoever joins while it runs is given batches too."""

    client: Any
    work: Work
    lost: tuple[type[BaseException], ...]
    content: Any = None  # the artifact's bytes, on the workers

    def __post_init__(self) -> None:
        self.executor = self.client.get_executor(pure=False)
        self.renew()

    @property
    def slots(self) -> int:
        threads: Mapping[str, int] = self.client.nthreads()
        return max(1, sum(threads.values()))

    def submit(self, x: Array, labels: Array) -> Future[Tally]:
        found: Future[Tally] = self.executor.submit(
            _sent, self.content, self.work.level, self.work.backend, x, labels
        )
        return found

    def renew(self) -> None:
        self.content = self.client.scatter(self.work.file.read_bytes(), broadcast=True, hash=False)


@contextmanager
def _cluster(work: Work, address: str) -> Iterator[_Cluster]:
    extras.require("cluster", "schedulers of a cluster")
    from distributed import Client, KilledWorker
    from distributed.comm import resolve_address

    try:
        resolve_address(address)  # a client that cannot be made leaves threads behind
        client = Client(address, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        raise _unusable(address, first_line(error)) from error
    with client:
        found: Mapping[str, Any] = client.run(_version, on_error="return")
        if not found:
            raise _unusable(address, "it has no workers")
        other = {place: str(said) for place, said in found.items() if said != __version__}
        if other:
            place, said = next(iter(other.items()))
            raise _unusable(address, f"{len(other)} of {len(found)} workers, such as {place}: {said}")
        yield _Cluster(client, work, (CancelledError, KilledWorker))


def _unusable(address: str, found: str) -> BackendError:
    workers = f"start workers where this version is installed: dask worker {address}"
    fixes = ("start a scheduler: dask scheduler", workers)
    cause = "the cluster cannot be used"
    return BackendError(Problem("ND706", cause, address, found, f"neurodeploy {__version__}", fixes))


def _version() -> str:
    return __version__


def _sent(content: bytes, level: str, backend: str, x: Array, labels: Array) -> Tally:
    return answers(_opened(content), level, backend, x, labels)


@cache
def _opened(content: bytes) -> artifact.Artifact:
    """The artifact of these bytes, which a worker reads once."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / artifact.FILE
        file.write_bytes(content)
        return artifact.load(file)
