"""Data sets as streams of batches: counts are those of one run, whoever works on them and whoever is lost."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, evaluation
from neurodeploy.artifact import Artifact
from neurodeploy.errors import BackendError, UsageError
from neurodeploy.evaluation import Progress, Tally
from neurodeploy.evaluation.stream import AHEAD, RETRIES
from neurodeploy.ir import interp
from neurodeploy.ir.nodes import Neuron, Synapse
from tests.tiny import chain

Batches = list[tuple[np.ndarray, np.ndarray]]


@pytest.fixture
def work(tmp_path: Path) -> evaluation.Work:
    """An artifact of four inputs and three classes, whose neurons clip now and then."""
    weight = np.random.default_rng(0).integers(-9, 10, (3, 4))
    params = {"vth": 40, "du": 4095, "dv": 200}
    graph = chain(
        (4,), (Synapse(name="fc", inputs=("x",), weight=weight), (3,)),
        (Neuron(name="n", inputs=("fc",), model="lif", params=params), (3,)), ticks=3,
    )  # fmt: skip
    artifact.save(tmp_path / artifact.FILE, Artifact(integer=graph))
    return evaluation.Work(tmp_path / artifact.FILE, "integer", "cpu")


def batches(count: int = 9, size: int = 5) -> Batches:
    rng = np.random.default_rng(1)
    return [(rng.integers(-100, 101, (size, 4)), rng.integers(0, 3, size)) for _ in range(count)]


def by_hand(work: evaluation.Work, given: Batches) -> tuple[int, tuple[int, ...]]:
    graph = artifact.load(work.file).program.graph
    x, labels = (np.concatenate(parts) for parts in zip(*given, strict=True))
    answers = interp.run(graph, x).outputs.argmax(-1)
    return len(labels), tuple(int(right) for right in (answers == labels).sum(axis=1))


def evaluated(work: evaluation.Work, given: Batches, heard: Any = lambda _: None, **where: Any) -> Progress:
    with evaluation.workers(work, **where) as found:
        return evaluation.evaluate(found, given, sum(len(labels) for _, labels in given), heard)


def test_a_stream_counts_what_one_run_does(work: evaluation.Work) -> None:
    heard: list[Progress] = []
    found = evaluated(work, batches(), heard.append)
    assert (found.found.samples, found.found.correct) == by_hand(work, batches())
    assert [one.found.samples for one in heard] == list(range(5, 50, 5)) and found.left_s == 0
    assert 0 < found.found.accuracy < 1 and found.found.by_timestep[-1] == found.found.accuracy
    assert evaluated(work, []).found == Tally()


def test_clipped_values_add_up() -> None:
    total = Tally() + Tally(2, (1, 0), {"a": 3}) + Tally(1, (1, 1), {"a": 1, "b": 2})
    assert total == Tally(3, (2, 1), {"a": 4, "b": 2})


class Unreliable:
    """Workers of which some end before they answer; keeps how many batches were in flight."""

    slots, lost = 2, (BrokenProcessPool,)

    def __init__(self, losses: dict[int, int]) -> None:
        self.losses, self.renewed, self.flying, self.most, self.asked = losses, 0, 0, 0, 0

    def submit(self, x: np.ndarray, labels: np.ndarray) -> Future[Tally]:
        future: Future[Tally] = Future()
        self.asked += 1
        self.flying += 1
        self.most = max(self.most, self.flying)
        if self.losses.get(int(x[0]), 0) > 0:
            self.losses[int(x[0])] -= 1
            future.set_exception(BrokenProcessPool())
        else:
            future.set_result(Tally(len(x), (int(x[0]),)))
        return future

    def renew(self) -> None:
        self.renewed += 1

    def given(self, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i in range(count):
            yield np.array([i]), np.array([0])

    def heard(self, _: Progress) -> None:
        self.flying -= 1


def test_few_batches_are_in_flight() -> None:
    workers = Unreliable({})
    found = evaluation.evaluate(workers, workers.given(50), 50, workers.heard)
    assert workers.most == AHEAD * workers.slots and found.found == Tally(50, (sum(range(50)),))


def test_a_batch_whose_worker_is_lost_is_asked_again_and_counted_once() -> None:
    workers = Unreliable({0: 1, 3: RETRIES, 9: 1})
    found = evaluation.evaluate(workers, workers.given(10), 10)
    assert (
        found.found == Tally(10, (45,)) and workers.asked == 10 + RETRIES + 2 and workers.renewed >= RETRIES
    )


def test_workers_that_are_lost_again_and_again_are_an_error() -> None:
    workers = Unreliable({3: RETRIES + 1})
    with pytest.raises(BackendError) as raised:
        evaluation.evaluate(workers, workers.given(10), 10)
    assert [p.code for p in raised.value.problems] == ["ND707"]


def test_what_is_wrong_with_a_batch_is_told_as_it_is(work: evaluation.Work) -> None:
    floats = evaluation.Work(work.file, "source", "cpu")
    with pytest.raises(UsageError) as raised:
        evaluated(floats, batches(1))
    assert [p.code for p in raised.value.problems] == ["ND949"]


def test_processes_and_a_scheduler_exclude_each_other(work: evaluation.Work) -> None:
    with pytest.raises(UsageError) as raised:
        evaluated(work, batches(1), jobs=2, scheduler="tcp://127.0.0.1:1")
    assert [p.code for p in raised.value.problems] == ["ND900"]


@pytest.mark.slow  # 5 s: every process imports the package
def test_processes_count_the_same_and_a_lost_one_loses_nothing(work: evaluation.Work) -> None:
    assert evaluated(work, batches(), jobs=2).found == evaluated(work, batches()).found
    with evaluation.workers(work, jobs=2) as found:
        killed: list[int] = []

        def heard(_: Progress) -> None:
            if not killed:
                killed.extend(found.executor._processes)
                os.kill(killed[0], signal.SIGKILL)

        many = batches(60)
        counted = evaluation.evaluate(found, many, 300, heard)
    assert killed and counted.found == evaluated(work, many).found


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as found:
        yield found


@pytest.mark.slow  # 8 s: workers start, and start again
def test_a_cluster_counts_the_same_and_a_lost_worker_loses_nothing(
    work: evaluation.Work, cluster: Any
) -> None:
    here, many = evaluated(work, batches(60)).found, batches(60)
    assert evaluated(work, many, scheduler=cluster.scheduler_address).found == here
    killed: list[int] = []

    def heard(_: Progress) -> None:
        if not killed:
            killed.append(next(iter(cluster.workers.values())).pid)
            os.kill(killed[0], signal.SIGKILL)

    assert evaluated(work, many, heard, scheduler=cluster.scheduler_address).found == here and killed


@pytest.mark.slow  # 10 s: nobody answers
@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_a_cluster_that_cannot_be_used_is_refused(work: evaluation.Work, address: str) -> None:
    pytest.importorskip("distributed")
    with pytest.raises(BackendError) as raised:
        evaluated(work, batches(1), scheduler=address)
    assert [p.code for p in raised.value.problems] == ["ND706"]
