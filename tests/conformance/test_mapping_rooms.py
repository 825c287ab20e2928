"""Objectives, layouts and placements: every member keeps the rules of its room, and a new one is one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import artifact, registry
from neurodeploy.cli import call
from neurodeploy.config import BuildConfig, resolve
from neurodeploy.errors import UsageError
from neurodeploy.ir.graph import Graph
from neurodeploy.mapping.demand import Accounting
from neurodeploy.mapping.given import read
from neurodeploy.mapping.groups import populations
from neurodeploy.mapping.layouts._base import LAYOUTS
from neurodeploy.mapping.mapper import PLACEMENT, map_graph, prepared
from neurodeploy.mapping.objectives._base import OBJECTIVES
from neurodeploy.mapping.placements._base import PLACEMENTS
from neurodeploy.mapping.types import Mapping
from neurodeploy.mapping.written import written
from neurodeploy.target import load
from tests import rooms
from tests.fast import fast
from tests.unit.mapping.networks import Net, ecmt_transformer, mlp, spiking_transformer
from tests.unit.mapping.test_map_graph import assert_sound, limited

LOIHI2 = load("loihi2")
NETWORKS = {
    "mlp": lambda: mlp((40, 30, 20, 10)),
    "spiking": lambda: spiking_transformer(1, 4, 16),
    "ecmt": lambda: ecmt_transformer(1, 2, 16),
}


def spots(mapping: Mapping) -> list[tuple[int, int, int]]:
    return [(c.chip, c.x, c.y) for c in mapping.cores]


# --- members -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives_give_sound_mappings_and_their_costs_rank_plans(name: str, network: str) -> None:
    assert OBJECTIVES[name].title
    target = limited(neurons_per_core=60)
    graph = prepared(NETWORKS[network](), target)
    assert_sound(graph, map_graph(graph, target, optimise=name), target)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_rewrite_soundly_and_partition_every_neuron_once(name: str, network: str) -> None:
    layout = LAYOUTS[name]
    graph = prepared(layout.rewrite(NETWORKS[network](), LOIHI2), LOIHI2)
    for group in (g for g in populations(graph) if not g.on_host):
        accounting = Accounting.of(graph, LOIHI2, group)
        offered = layout.partitions(accounting, 1)
        assert [p.count for p in offered] == sorted(p.count for p in offered)
        for partition in offered[:: max(len(offered) // 5, 1)]:
            tiles = partition.tiles()
            assert len(tiles) == partition.count and partition.label
            for node in group.names:
                found = np.concatenate([t.of(node) for t in tiles])
                assert np.array_equal(np.sort(found), np.arange(graph.values[node].shape.size))


@pytest.mark.parametrize("name", PLACEMENTS)
def test_placements_keep_to_routers_and_chips(name: str) -> None:
    chip = LOIHI2.chip.model_copy(
        update={"cores_per_chip": 6, "routers_x": 2, "routers_y": 2, "cores_per_router": 2}
    )
    target = limited(neurons_per_core=12).model_copy(update={"chip": chip})
    mapping = map_graph(prepared(spiking_transformer(1, 4, 16), target), target, chips=20, placement=name)
    assert PLACEMENTS[name].title and len(mapping.cores) > 2 * chip.cores_per_chip
    for count, most in ((spots(mapping), chip.cores_per_router), ([s[:1] for s in spots(mapping)], 6)):
        assert max(count.count(spot) for spot in count) <= most
    assert all(0 <= x < 2 and 0 <= y < 2 for _, x, y in spots(mapping))


def test_defaults_are_members() -> None:
    assert PLACEMENT in PLACEMENTS and BuildConfig().optimise in OBJECTIVES


# --- a new member is one file -------------------------------------------------------------------------------------

OBJECTIVE = '''
    """Fewest messages."""

    from neurodeploy.mapping.objectives._base import Objective


    class Quiet(Objective):
        name, title = "quiet", "the fewest messages"

        def cost(self, plan):
            return float(plan.flows.messages.sum())

        def budgets(self, fewest, cores):
            return (cores, fewest)


    MEMBER = Quiet()
'''

PLACE = '''
    """Cores in order, from the last router backwards."""

    from neurodeploy.ir.trace import Router
    from neurodeploy.mapping.placements._base import Placement


    class Backwards(Placement):
        name, title = "backwards", "from the last router to the first"

        def place(self, cores, flows, target):
            chip = target.chip
            each = [divmod(i, chip.cores_per_chip) for i in range(len(cores))]
            return [Router(n, *chip.router(chip.cores_per_chip - 1 - i)) for n, i in each]


    MEMBER = Backwards()
'''

LAYOUT = '''
    """Runs of neighbours in row-major order, whatever the axes."""

    from dataclasses import dataclass

    import numpy as np

    from neurodeploy.mapping.cells import Cells, Tile
    from neurodeploy.mapping.layouts._base import Layout, Partition


    @dataclass(frozen=True)
    class Run(Partition):
        cells: Cells
        parts: int

        @property
        def count(self):
            return self.parts

        @property
        def label(self):
            return f"runs/{self.parts}"

        def tiles(self):
            runs = np.array_split(np.arange(len(self.cells.homes[0])), self.count)
            return [self.cells.hosted(run) for run in runs]

        def sample(self):
            return self.tiles()[0]


    class Runs(Layout):
        name, title = "runs", "neighbours in row-major order"

        def partitions(self, accounting, least, fine=False):
            cells = accounting.cells
            return [Run(cells, n) for n in range(least, len(cells.homes[0]) + 1)]


    MEMBER = Runs()
'''


def test_a_new_objective_is_one_file(tmp_path: Path) -> None:
    graph = prepared(spiking_transformer(1, 4, 16), LOIHI2)
    with pytest.raises(UsageError, match="ND514"):
        map_graph(graph, LOIHI2, optimise="quiet")
    with rooms.member(OBJECTIVES, tmp_path, quiet=OBJECTIVE):
        assert resolve({"optimise": "quiet"}).optimise == "quiet"
        quiet, fast = (map_graph(graph, LOIHI2, optimise=o) for o in ("quiet", "latency"))
        assert_sound(graph, quiet, LOIHI2)
        assert quiet.notes["optimise"] == "quiet" and len(quiet.cores) < len(fast.cores)


def test_a_new_placement_is_one_file(tmp_path: Path) -> None:
    graph = prepared(mlp((40, 30, 20, 10)), LOIHI2)
    with pytest.raises(UsageError, match="ND516"):
        map_graph(graph, LOIHI2, placement="backwards")
    with rooms.member(PLACEMENTS, tmp_path, backwards=PLACE):
        assert resolve(settings=["placement=backwards"]).placement == "backwards"
        mapping = map_graph(graph, LOIHI2, placement="backwards")
        assert mapping.fits and set(spots(mapping)) == {(0, *LOIHI2.chip.router(127))}


def perceptron() -> Any:
    """Two layers on eight by eight pixels."""
    from torch import nn

    return nn.Sequential(nn.Flatten(), nn.LayerNorm(64), nn.Linear(64, 12), nn.GELU(), nn.Linear(12, 10))


def plane() -> Graph:
    net = Net()
    return net.output(net.lif(net.conv(net.input("CYX", 1, 5, 5), 1, 1)))


def test_a_new_layout_is_one_file_and_competes_with_the_others(tmp_path: Path) -> None:
    target = limited(neurons_per_core=13)
    graph = prepared(plane(), target)
    before = map_graph(graph, target)
    assert len(before.cores) == 3 and before.groups[1].layout == "channels/1 x rows/3 x columns/1"
    with rooms.member(LAYOUTS, tmp_path, runs=LAYOUT):
        after = map_graph(graph, target)
        assert_sound(graph, after, target)
        assert len(after.cores) == 2 and after.groups[1].layout == "runs/2"
        (tmp_path / "map.toml").write_text(written(after, target))
        again = map_graph(graph, target, optimise="latency", given=read(tmp_path / "map.toml"))
        assert written(again, target) == (tmp_path / "map.toml").read_text() and spots(again) == spots(after)
        assert 'layout = "runs/2"' in written(again, target)


#: room, name and text of a member, the options that ask for it, and what a mapping shows of it
MEMBERS: dict[str, tuple[registry.Room, str, str, list[str], Callable[[Mapping], bool]]] = {
    "objective": (
        OBJECTIVES,
        "quiet",
        OBJECTIVE,
        ["--optimise", "quiet"],
        lambda m: m.notes["optimise"] == "quiet",
    ),
    "placement": (
        PLACEMENTS,
        "backwards",
        PLACE,
        ["--set", "placement=backwards"],
        lambda m: spots(m)[0] == (0, *LOIHI2.chip.router(127)),
    ),
    "layout": (
        LAYOUTS,
        "runs",
        LAYOUT,
        ["--optimise", "latency"],
        lambda m: "runs" in str(m.groups[-1].alternatives),
    ),
}


@pytest.mark.parametrize("kind", fast(MEMBERS, "objective"))
def test_a_new_member_builds_and_verifies(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    room, name, text, option, worked = MEMBERS[kind]
    folder, out = tmp_path / "member", tmp_path / "out"
    folder.mkdir()
    command = [
        "build",
        "py:tests.conformance.test_mapping_rooms:perceptron",
        "--target",
        "loihi-sim",
        "--data",
        "digits",
    ]
    command += ["--timesteps", "2", "--calib", "8", "--eval", "8", "--verify", "2", "--format", "plain", "-q"]
    with rooms.member(room, folder, **{name: text}):
        assert call([*command, *option, "--out", str(out)]) == 0, capsys.readouterr().err
    mapping = artifact.load(out).mapping
    assert mapping is not None and worked(mapping)
