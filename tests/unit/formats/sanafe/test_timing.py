"""Our event-driven time of what SANA-FE replays: the same work in the same steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy.cost import contention
from neurodeploy.formats.sanafe import timing
from neurodeploy.formats.sanafe.write import export
from tests.unit.formats.sanafe.second_reader import simulate
from tests.unit.formats.sanafe.test_sanafe import dense, mixed


@pytest.mark.parametrize("name", ["loihi2", "mixed"])
def test_cores_have_the_work_that_the_files_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SANA-FE's simple time of a step is the busiest half of any core and the barrier: never more than by events."""
    program, target, x = mixed() if name == "mixed" else dense(name)
    (network, architecture, _), net = export(program, tmp_path / "net.yaml", x, target=target)
    seen: list[tuple[Any, ...]] = []

    def spied(*given: Any, **more: int) -> contention.Contention:
        seen.append(given)
        return contention.step_times(*given, **more)

    monkeypatch.setattr(timing, "step_times", spied)
    found = timing.replayed(net, target)
    ((flows, places, program_ns, receive_ns, *_),) = seen
    busiest = (
        np.maximum(program_ns.max(axis=0), receive_ns.max(axis=0)) + target.costs.time_ns.barrier.nominal
    )
    runs = simulate(architecture, network, (net.pipelined, net.framed))
    for run, steps, ns in zip(
        runs, np.split(busiest, [net.pipelined]), (found.pipelined_ns, found.framed_ns), strict=True
    ):
        assert steps.sum() == pytest.approx(run["sim_time"] * 1e9)
        assert ns >= steps.sum()
    expected = net.expected
    packets = flows.packets[:, : net.pipelined].sum(axis=1)
    assert packets.sum() == expected.packets
    ends = [[(places[end].x, places[end].y) for end in pair] for pair in flows.ends.tolist()]
    hops = np.array([abs(a[0] - b[0]) + abs(a[1] - b[1]) for a, b in ends])
    assert hops @ packets == expected.hops_x + expected.hops_y
