"""Builds that are killed at any point: ``python -m tests.faults FOLDER RERUNS KILLS PAIRS`` prints a summary as JSON.

A small build replaces an older one in its folder. Before everything that it changes on the disk (each file opened for
writing, half of each write, each flush, rename and removal) and at the end of each stage the whole place is copied:
that is what SIGKILL would have left there. Every copy must then be of one build, the older or the new one, once
somebody has looked into the folder, and a file of the user's must be where it was. The same is done with a build that
stops early, so that files go, and ``PAIRS`` times while another build goes into the same folder; that one stands still
while the place is copied. From ``RERUNS`` of the copies of each the same command is run again, and must give the same
bytes as if nothing had happened. ``KILLS`` builds are killed for real, every other one beside another build. All builds
are copies (forks) of this process, which has built before: that takes a fraction of the time of new processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy import publishing
from neurodeploy.builds import kept, pipeline
from neurodeploy.config import resolve
from neurodeploy.simulate import kernels
from tests.netx_files import dense, weights, write_net

OLD, NEW, OTHER, SHORT = range(4)  # seeds of the builds; the last one stops early
CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "fcntl.flock"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def build(seed: int, meet: Callable[[], None] | None = None) -> None:
    """Build into ``out`` of the working folder; ``meet`` is called at every point."""
    given = {
        "model": "net.net",
        "out": "out",
        "seed": seed,
        "calib": 2,
        "eval": 2,
        "verify": 2,
        "timesteps": 3,
    }
    to = "map" if seed == SHORT else "report"
    if meet is None:
        pipeline.run(resolve(given), to=to)
        return
    with points(meet) as met:
        pipeline.run(resolve(given), lambda event: met() if event.kind == "finish" else None, to=to)


@contextmanager
def points(meet: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Inside, ``meet`` is called before each change of the disk below the working folder, and inside each write.

    Its own changes do not count; nor do they if what is yielded is called instead.
    """
    here, active, fsync, opened = os.getcwd(), [True], os.fsync, Path.open

    def met() -> None:
        before, active[0] = active[0], False
        try:
            meet()
        finally:
            active[0] = before

    def hook(event: str, args: tuple[Any, ...]) -> None:
        changes = event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITING)
        if changes and active[0] and ours(args[0]):
            met()

    def ours(path: object) -> bool:
        text = os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else ""
        return not os.path.isabs(text) or text.startswith(here)

    def flushed(handle: int) -> None:
        met()
        fsync(handle)

    def halved(self: Path, mode: str = "r", *args: Any, **more: Any) -> Any:
        file = opened(self, mode, *args, **more)
        return Halves(file, met) if mode == "wb" else file

    sys.addaudithook(hook)
    os.fsync, Path.open = flushed, halved  # type: ignore[assignment]
    try:
        yield met
    finally:
        active[0] = False  # a hook stays
        os.fsync, Path.open = fsync, opened  # type: ignore[method-assign]


class Halves:
    """A file that is half written for a moment."""

    def __init__(self, file: Any, meet: Callable[[], None]) -> None:
        self.file, self.meet = file, meet

    def __enter__(self) -> Halves:
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def write(self, data: bytes) -> None:
        """Half, a point, the other half."""
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        self.meet()
        self.file.write(data[len(data) // 2 :])

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


# --- what lies there ---------------------------------------------------------------------------------------------


def contents(out: Path) -> dict[str, str]:
    """Digest by name of the files of a build; what a log says of kept stages is left out."""
    found = {}
    for name in publishing.FILES:
        if (out / name).is_file():
            data = (out / name).read_bytes()
            found[name] = hashlib.sha256(data.replace(b", kept", b"")).hexdigest()
    return found


def looked_into(place: Path) -> dict[str, str]:
    """What a reader finds."""
    publishing.settle(place / "out")
    return contents(place / "out")


def wrong(place: Path, wanted: list[dict[str, str]]) -> str:
    """What is wrong with a place where a build was killed; empty where nothing is."""
    found = looked_into(place)
    if found not in wanted:
        return f"mixed: {sorted(found)}"
    if (place / "out/mine/notes.txt").read_text() != "mine":
        return "a file of the user's is gone"
    extra = {p.name for p in (place / "out").iterdir()} - {*publishing.FILES, "mine", publishing.LOCK}
    return f"left in the folder: {extra}" if extra else ""


def left_over(place: Path) -> list[str]:
    """What a whole build must not leave beside its folder, or in it."""
    names = [p.name for p in place.iterdir() if p.name.startswith(".")]
    names += [p.name for p in (place / "out").iterdir() if p.name.startswith(".")]
    return names


def kept_stages(place: Path) -> list[str]:
    """What of builds that were killed is in the cache."""
    return [p.name for p in (place / "cache/neurodeploy/stages").glob("*")]


# --- copies of this process ----------------------------------------------------------------------------------------


def in_copy(place: Path, work: Callable[[], None]) -> int:
    """Start a copy of this process that works in a folder; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    try:
        os.chdir(place)
        os.environ["XDG_CACHE_HOME"] = str(place / "cache")
        work()
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def ended(pid: int) -> int:
    """The exit code of a copy, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killing(at: int) -> Callable[[], None]:
    """Kills this process the ``at``-th time that it is called."""
    seen = [0]

    def meet() -> None:
        seen[0] += 1
        if seen[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return meet


def copying(here: Path, snapshots: Path, other: int = 0) -> Callable[[], None]:
    """Copies the place as it is each time that it is called, while the process ``other`` stands still."""

    def meet() -> None:
        stand_still(other)
        place = snapshots / f"{len(list(snapshots.iterdir())):04}"
        shutil.copytree(here, place, symlinks=True, copy_function=copied_or_linked)
        if other:
            os.kill(other, signal.SIGCONT)

    return meet


def copied_or_linked(source: str, target: str) -> None:
    """A whole file of ours is never written again, only replaced: a link will do."""
    if source.endswith(".tmp"):
        shutil.copy(source, target)
    else:
        os.link(source, target)


def stand_still(pid: int) -> None:
    """Stop a process that is not waited for yet, and wait until it has stopped or ended."""
    if pid:
        os.kill(pid, signal.SIGSTOP)
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "TZ":
            time.sleep(0.0005)


def spread(count: int, total: int) -> list[int]:
    """So many of the numbers 0 .. total - 1, evenly, the last first; more than there are go round again."""
    step = max(total / max(count, 1), 1)
    return [total - 1 - round(i * step) % total for i in range(count)]


class Campaign:
    """What is tried, in folders below ``root``; ``problems`` is what it found."""

    def __init__(self, root: Path) -> None:
        self.root, self.begin, self.place = root, root / "begin", root / "place"
        self.problems: list[str] = []
        self.tries = 0
        self.begin.mkdir(parents=True)
        rng = np.random.default_rng(0)
        write_net(self.begin / "net.net", [dense(weights(rng, 6, 4)), dense(weights(rng, 3, 6))])
        self.wanted = {seed: self._whole(seed) for seed in (OLD, NEW, OTHER, SHORT)}
        assert len({json.dumps(found) for found in self.wanted.values()}) == 4, "the builds do not differ"

    def _whole(self, seed: int) -> dict[str, str]:
        """The files of a build that nothing happened to; of the old one they stay, with a file of the user's."""
        place = self.fresh(self.begin) if seed else self.begin
        for _ in range(
            1 if seed else 2
        ):  # the first fills the cache of source graphs, and says so in its log
            assert ended(in_copy(place, lambda: build(seed))) == 0
        if not seed:
            (place / "out/mine").mkdir()
            (place / "out/mine/notes.txt").write_text("mine")
        return contents(place / "out")

    def fresh(self, source: Path) -> Path:
        """The place as it was."""
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(source, self.place, symlinks=True)
        return self.place

    def check(self, label: str, *allowed: int) -> None:
        """The folder must be of one of these builds."""
        if found := wrong(self.place, [self.wanted[seed] for seed in allowed]):
            self.problems.append(f"{label}: {found}")

    def again(self, label: str, seed: int = NEW, alone: bool = True) -> None:
        """The same command must give the same bytes and leave nothing, but for stages of the other build."""
        code = ended(in_copy(self.place, lambda: build(seed)))
        left = left_over(self.place) + (kept_stages(self.place) if alone else [])
        found = wrong(self.place, [self.wanted[seed]]) or ", ".join(left)
        if code or found:
            self.problems.append(f"{label}, run again: exit {code} {found}")

    def copied(self, seed: int, reruns: int, late: float | None = None) -> tuple[int, int]:
        """Every point of a build as a copy; with ``late`` another one begins so many seconds after it.

        Returns the number of points and of those with the old build in the folder.
        """
        label = f"build {seed}" + ("" if late is None else f" and another one {late} s later")
        snapshots, olds, self.tries = self.root / f"snapshots-{self.tries}", 0, self.tries + 1
        snapshots.mkdir()
        self.fresh(self.begin)
        other = in_copy(self.place, lambda: self.other(late)) if late is not None else 0
        first = in_copy(self.place, lambda: build(seed, copying(self.place, snapshots, other)))
        codes = [ended(pid) for pid in (first, other) if pid]
        if any(codes):
            self.problems.append(f"{label}: exit {codes}")
        total = len(list(snapshots.iterdir()))
        chosen = set(spread(reruns, total))
        for n in range(total):
            self.place = snapshots / f"{n:04}"
            self.check(f"{label}, point {n}", OLD, seed, *([] if late is None else [OTHER]))
            olds += contents(self.place / "out") == self.wanted[OLD]
            if n in chosen:
                self.again(f"{label}, point {n}", seed, alone=late is None)
        self.place = self.root / "place"
        shutil.rmtree(snapshots)
        return total, olds

    def other(self, late: float | None) -> None:
        """The other build."""
        time.sleep(late or 0)
        build(OTHER)

    def killed(self, n: int, late: float | None = None) -> None:
        """A build that is killed for real; with ``late`` beside another one, which comes to its end."""
        label, allowed = f"killed at {n}, {late}", (OLD, NEW) if late is None else (NEW, OTHER)
        self.fresh(self.begin)
        pid = in_copy(self.place, lambda: build(NEW, killing(n + 1)))
        codes = [ended(in_copy(self.place, lambda: self.other(late)))] if late is not None else []
        codes += [ended(pid)]
        if codes[-1] not in (-signal.SIGKILL, 0) or any(codes[:-1]):  # beside another it may have less to do
            self.problems.append(f"{label}: exit {codes}")
        self.check(label, *allowed)
        self.again(label)


def campaign(root: Path, reruns: int, kills: int, pairs: int) -> dict[str, Any]:
    """Everything, as often as asked for."""
    tried = Campaign(root)
    found = [tried.copied(NEW, reruns), tried.copied(SHORT, reruns)]
    found += [tried.copied(NEW, reruns, 0.03 * (i % 10)) for i in range(pairs)]
    for i, n in enumerate(spread(kills, found[0][0])):
        tried.killed(n, 0.02 * (i % 10) if i % 2 else None)
    return {
        "points": [total for total, _ in found], "old": [olds for _, olds in found],
        "reruns": reruns * len(found), "kills": kills, "problems": tried.problems,
    }  # fmt: skip


def warm(place: Path) -> None:
    """Build once in this process, so that its copies need not import and compile."""
    place.mkdir(parents=True)
    os.environ["XDG_CACHE_HOME"] = str(place / "cache")
    write_net(place / "net.net", [dense(weights(np.random.default_rng(0), 3, 4))])
    os.chdir(place)
    build(OLD)


if __name__ == "__main__":
    os.environ.update(
        NUMBA_CACHE_DIR=str(kernels.cache_folder()), OMP_NUM_THREADS="1"
    )  # no threads: it is copied
    kept.WORTH = 0.0
    time.perf_counter = lambda: 0.0  # the files hold times
    root = Path(sys.argv[1]).resolve()
    warm(root / "warm")
    print(json.dumps(campaign(root, *map(int, sys.argv[2:]))))
