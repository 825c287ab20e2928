"""What each pass does and what it leaves alone; that meaning is kept is proved in tests/conformance/test_passes.py."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from neurodeploy import passes
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Builder, Graph
from neurodeploy.ir.nodes import Const, Input, Micro, Neuron, Node, Output, Product, Sum, Synapse, View
from neurodeploy.ir.types import Origin, Shape, Value

RNG = np.random.default_rng(7)


class Net:
    """Builds small graphs; every node's origin carries its own name."""

    def __init__(self, roles: str, sizes: Sequence[int]) -> None:
        self.builder = Builder()
        self.add(Input, "input", (), roles, sizes, scale=0.25)

    def add(
        self,
        kind: type[Node],
        name: str,
        inputs: Sequence[str],
        roles: str,
        sizes: Sequence[int],
        **fields: object,
    ) -> str:
        node = kind(name=name, inputs=tuple(inputs), origin=(Origin(name, kind.__name__),), **fields)
        return self.builder.add(node, Value(Shape(tuple(roles), tuple(sizes))))

    def dense(
        self, name: str, source: str, roles: str, sizes: Sequence[int], columns: int, bias: bool = True
    ) -> str:
        weight = RNG.normal(size=(sizes[-1], columns))
        return self.add(
            Synapse,
            name,
            [source],
            roles,
            sizes,
            weight=weight,
            bias=RNG.normal(size=sizes[-1]) if bias else None,
        )

    def diagonal(
        self,
        name: str,
        source: str,
        roles: str,
        sizes: Sequence[int],
        factor: np.ndarray,
        bias: np.ndarray | None = None,
    ) -> str:
        return self.add(Synapse, name, [source], roles, sizes, weight=np.diag(factor), bias=bias)

    def done(self, *results: str) -> Graph:
        """The graph with its result; several are summed."""
        shape = self.builder.values[results[0]].shape
        name = results[0]
        if len(results) > 1:
            name = self.add(Sum, "total", results, "".join(shape.roles), shape.sizes)
        self.add(Output, "output", [name], "".join(shape.roles), shape.sizes)
        return self.builder.build()


def same(before: Graph, after: Graph) -> None:
    raw = RNG.integers(-8, 9, (3, *before.shape("input")))
    np.testing.assert_allclose(
        interp.run(after, raw, timesteps=2).outputs, interp.run(before, raw, timesteps=2).outputs, atol=1e-9
    )


def names(graph: Graph) -> list[str]:
    return [n.name for n in graph][1:-1]


def test_passes_are_listed_by_name() -> None:
    assert next(iter(passes.PASSES)) == "fold_constants"
    assert all(name == function.__name__ for name, function in passes.PASSES.items())


# --- fold_batch_norm ---------------------------------------------------------------------------------------------


def test_batch_norm_folds_into_the_synapse_before() -> None:
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 6), 4)
    net.diagonal("bn", "w", "NC", (5, 6), RNG.normal(size=6), RNG.normal(size=6))
    before = net.done("bn")
    after = passes.fold_batch_norm(before)
    same(before, after)
    assert names(after) == ["w"]
    assert [o.path for o in after.nodes["w"].origin] == ["w", "bn"]


def test_batch_norm_folds_through_views() -> None:
    """Convolution, tokens last, batch norm of channels: as in Conv2d, flatten, transpose, BatchNorm."""
    net = Net("CYX", (1, 4, 4))
    net.add(
        Synapse,
        "conv",
        ["input"],
        "CYX",
        (3, 2, 2),
        weight=RNG.normal(size=(3, 1, 2, 2)),
        op="conv",
        stride=(2, 2),
    )
    net.add(View, "r", ["conv"], "CN", (3, 4), op="reshape", args=(3, 4))
    net.add(View, "p", ["r"], "NC", (4, 3), op="permute", args=(1, 0))
    net.diagonal("bn", "p", "NC", (4, 3), RNG.normal(size=3), RNG.normal(size=3))
    before = net.done("bn")
    after = passes.fold_batch_norm(before)
    same(before, after)
    assert names(after) == ["conv", "r", "p"]


def test_batch_norm_before_a_padded_convolution_stays() -> None:
    net = Net("CYX", (3, 4, 4))
    net.add(
        Synapse,
        "bn",
        ["input"],
        "CYX",
        (3, 4, 4),
        weight=RNG.normal(size=(3, 1, 1, 1)),
        bias=RNG.normal(size=3),
        op="conv",
        groups=3,
    )
    net.add(
        Synapse,
        "conv",
        ["bn"],
        "CYX",
        (2, 4, 4),
        weight=RNG.normal(size=(2, 3, 3, 3)),
        op="conv",
        padding=(1, 1),
    )
    graph = net.done("conv")
    assert names(passes.fold_batch_norm(graph)) == ["bn", "conv"]


@pytest.mark.parametrize("groups", [1, 2])
def test_batch_norm_before_an_unpadded_convolution_folds(groups: int) -> None:
    net = Net("CYX", (4, 4, 4))
    net.add(
        Synapse,
        "bn",
        ["input"],
        "CYX",
        (4, 4, 4),
        weight=RNG.normal(size=(4, 1, 1, 1)),
        bias=RNG.normal(size=4),
        op="conv",
        groups=4,
    )
    net.add(
        Synapse,
        "conv",
        ["bn"],
        "CYX",
        (6, 2, 2),
        weight=RNG.normal(size=(6, 4 // groups, 3, 3)),
        op="conv",
        groups=groups,
    )
    before = net.done("conv")
    after = passes.fold_batch_norm(before)
    same(before, after)
    assert names(after) == ["conv"]


def test_batch_norm_behind_a_shared_synapse_stays() -> None:
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 4), 4)
    net.diagonal("bn", "w", "NC", (5, 4), RNG.normal(size=4))
    assert names(passes.fold_batch_norm(net.done("bn", "w"))) == ["w", "bn", "total"]


@pytest.mark.parametrize("op", ["layer_norm", "rms_norm"])
@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize("bare", [False, True])
def test_gain_behind_a_norm_becomes_the_norms(op: str, offset: bool, bare: bool) -> None:
    net = Net("NC", (5, 4))
    own = {} if bare else {"gamma": RNG.normal(size=4), "beta": RNG.normal(size=4)}
    net.add(Micro, "norm", ["input"], "NC", (5, 4), op=op, params={"width": 4, "eps": 1e-5, **own})
    net.diagonal("gain", "norm", "NC", (5, 4), RNG.normal(size=4), RNG.normal(size=4) if offset else None)
    for name in "qk":
        net.dense(name, "gain", "NC", (5, 4), 4)
    before = net.done("q", "k")
    after = passes.fold_batch_norm(before)
    same(before, after)
    assert names(after) == ["norm", "q", "k", "total"]


def test_gain_behind_a_norm_that_is_read_without_it_stays() -> None:
    net = Net("NC", (5, 4))
    params = {"width": 4, "eps": 1e-5}
    net.add(Micro, "norm", ["input"], "NC", (5, 4), op="layer_norm", params=params)
    net.diagonal("gain", "norm", "NC", (5, 4), RNG.normal(size=4))
    assert names(passes.fold_batch_norm(net.done("norm", "gain"))) == ["norm", "gain", "total"]


@pytest.mark.parametrize("offset", [False, True])
def test_scale_of_one_part_moves_into_the_reader_of_the_whole(offset: bool) -> None:
    net = Net("NC", (5, 4))
    for name, start in (("a", 0), ("b", 2)):
        net.add(View, name, ["input"], "NC", (5, 2), op="slice", args=(1, start, start + 2, 1))
    net.diagonal("minus", "b", "NC", (5, 2), np.full(2, -1.0), RNG.normal(size=2) if offset else None)
    net.add(View, "swapped", ["minus", "a"], "NC", (5, 4), op="concat", args=(1,))
    net.add(View, "columns", ["swapped"], "CN", (4, 5), op="permute", args=(1, 0))
    net.add(View, "turned", ["columns"], "CNG", (4, 5, 1), op="reshape", args=(4, 5, 1))
    gate = RNG.normal(size=(4, 1, 1, 1))
    net.add(Synapse, "gate", ["turned"], "CNG", (4, 5, 1), weight=gate, op="conv", groups=4)
    before = net.done("gate")
    after = passes.fold_batch_norm(before)
    same(before, after)
    assert [n.name for n in after.of(Synapse)] == ["gate"]


def test_scale_that_differs_inside_a_channel_of_the_reader_stays() -> None:
    net = Net("NC", (5, 4))
    net.diagonal("gain", "input", "NC", (5, 4), np.arange(1.0, 5.0))
    net.add(View, "joined", ["gain"], "NC", (10, 2), op="reshape", args=(10, 2))
    net.dense("w", "joined", "NC", (10, 3), 2)
    assert "gain" in names(passes.fold_batch_norm(net.done("w")))


# --- fold_scalars ------------------------------------------------------------------------------------------------


def test_scale_of_queries_moves_into_the_product() -> None:
    net = Net("NC", (5, 4))
    for name in "qk":
        net.dense(name, "input", "NC", (5, 6), 4)
    net.diagonal("scaled", "q", "NC", (5, 6), np.full(6, 0.5))
    net.add(View, "view", ["scaled"], "CN", (6, 5), op="permute", args=(1, 0))
    net.add(Product, "p", ["view", "k"], "NN", (5, 5), equation="ca,bc->ab", scale=3.0)
    before = net.done("p")
    after = passes.fold_scalars(before)
    same(before, after)
    assert after.nodes["p"].scale == 1.5
    assert "scaled" not in after.nodes


def test_scale_of_a_square_counts_twice() -> None:
    net = Net("NC", (5, 4))
    net.diagonal("scaled", "input", "NC", (5, 4), np.full(4, 0.5))
    net.add(Product, "p", ["scaled", "scaled"], "NC", (5, 4), equation="ac,ac->ac")
    before = net.done("p")
    after = passes.fold_scalars(before)
    same(before, after)
    assert after.nodes["p"].scale == 0.25


def test_scale_behind_a_product_moves_back_into_it() -> None:
    net = Net("NC", (5, 4))
    net.add(Product, "p", ["input", "input"], "NN", (5, 5), equation="ac,bc->ab")
    net.diagonal("scaled", "p", "NN", (5, 5), np.full(5, 0.5))
    net.add(Micro, "softmax", ["scaled"], "NN", (5, 5), op="softmax")
    before = net.done("softmax")
    after = passes.fold_scalars(before)
    same(before, after)
    assert names(after) == ["p", "softmax"]


@pytest.mark.parametrize("factor", [0.0, -0.5])
def test_a_product_takes_no_factor_that_is_not_the_worth_of_a_unit(factor: float) -> None:
    net = Net("NC", (5, 4))
    net.diagonal("before", "input", "NC", (5, 4), np.full(4, factor))
    net.add(Product, "p", ["before", "input"], "NN", (5, 5), equation="ac,bc->ab")
    net.diagonal("behind", "p", "NN", (5, 5), np.full(5, factor))
    before = net.done("behind")
    after = passes.fold_scalars(before)
    same(before, after)
    assert {"before", "behind"} <= set(after.nodes) and after.nodes["p"].scale == 1.0


@pytest.mark.parametrize("also", [None, "one", "both"])
def test_scale_of_a_sum_moves_into_what_it_adds(also: str | None) -> None:
    """As of the mean of two heads; not where another reads one of them, or their sum."""
    net = Net("NC", (5, 4))
    for name in ("one", "other"):
        net.dense(name, "input", "NC", (5, 6), 4)
    net.add(Sum, "both", ["one", "other"], "NC", (5, 6), signs=(1, -1))
    net.diagonal("half", "both", "NC", (5, 6), np.full(6, 0.5))
    before = net.done(*filter(None, ("half", also)))
    after = passes.fold_scalars(before)
    same(before, after)
    assert ("half" in after.nodes) == (also is not None)


def test_scale_between_neuron_and_sum_stays() -> None:
    net = Net("NC", (5, 4))
    net.add(
        Neuron, "s", ["input"], "NC", (5, 4), model="lif", params={"beta": 0.5, "gain": 1.0, "threshold": 1.0}
    )
    net.diagonal("half", "s", "NC", (5, 4), np.full(4, 0.5))
    assert "half" in passes.fold_scalars(net.done("half", "input")).nodes


# --- split_synapse -----------------------------------------------------------------------------------------------


def test_halves_of_a_convolution_are_split_by_channels() -> None:
    net = Net("CYX", (2, 3, 3))
    net.add(
        Synapse,
        "conv",
        ["input"],
        "CYX",
        (4, 3, 3),
        weight=RNG.normal(size=(4, 2, 1, 1)),
        bias=RNG.normal(size=4),
        op="conv",
    )
    net.add(View, "a", ["conv"], "CYX", (2, 3, 3), op="slice", args=(0, 0, 2, 1))
    net.add(View, "b", ["conv"], "CYX", (2, 3, 3), op="slice", args=(0, 2, 4, 1))
    net.add(Product, "p", ["a", "b"], "CYX", (2, 3, 3), equation="cyx,cyx->cyx")
    before = net.done("p")
    after = passes.split_synapse(before)
    same(before, after)
    assert names(after) == ["conv.0", "conv.1", "p"]


def test_interleaved_heads_are_split() -> None:
    """(N, H, 3, d): the three parts of every head lie side by side."""
    net = Net("NC", (5, 4))
    net.dense("qkv", "input", "NC", (5, 24), 4)
    net.add(View, "r", ["qkv"], "NHGC", (5, 2, 3, 4), op="reshape", args=(5, 2, 3, 4))
    parts = []
    for i in range(3):
        net.add(View, f"s{i}", ["r"], "NHGC", (5, 2, 1, 4), op="slice", args=(2, i, i + 1, 1))
        parts.append(net.add(View, f"v{i}", [f"s{i}"], "NHC", (5, 2, 4), op="reshape", args=(5, 2, 4)))
    before = net.done(*parts)
    after = passes.split_synapse(before)
    same(before, after)
    assert [n.name for n in after.of(Synapse)] == ["qkv.0", "qkv.1", "qkv.2"]
    assert [after.nodes[i].op for i in after.nodes["total"].inputs] == ["reshape"] * 3


def test_a_part_that_is_read_at_two_ends_of_a_chain_of_views_is_split() -> None:
    """Queries are read as they are, and once more turned: the views of both have names of their own."""
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 12), 4)
    net.add(View, "q", ["w"], "NC", (5, 6), op="slice", args=(1, 0, 6, 1))
    net.add(View, "heads", ["q"], "NHC", (5, 2, 3), op="reshape", args=(5, 2, 3))
    net.add(View, "turned", ["heads"], "HNC", (2, 5, 3), op="permute", args=(1, 0, 2))
    net.add(View, "k", ["w"], "NC", (5, 6), op="slice", args=(1, 6, 12, 1))
    net.add(Micro, "f", ["heads"], "NHC", (5, 2, 3), op="relu")
    net.add(View, "back", ["turned"], "NHC", (5, 2, 3), op="permute", args=(1, 0, 2))
    net.add(Micro, "g", ["turned"], "HNC", (2, 5, 3), op="relu")
    net.add(View, "gb", ["g"], "NHC", (5, 2, 3), op="permute", args=(1, 0, 2))
    net.add(View, "kh", ["k"], "NHC", (5, 2, 3), op="reshape", args=(5, 2, 3))
    before = net.done("f", "gb", "kh")
    after = passes.split_synapse(before)
    same(before, after)
    assert [n.name for n in after.of(Synapse)] == ["w.0", "w.1"]


def test_unread_channels_are_dropped() -> None:
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 6), 4)
    net.add(View, "part", ["w"], "NC", (5, 2), op="slice", args=(1, 1, 5, 2))
    before = net.done("part")
    after = passes.split_synapse(before)
    same(before, after)
    assert after.nodes["w.0"].weight.shape == (2, 4)


@pytest.mark.parametrize("bounds", [((0, 4, 1), (2, 6, 1)), ((0, 6, 1), (0, 3, 1))])
def test_overlapping_parts_stay_one_synapse(bounds: tuple) -> None:
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 6), 4)
    for i, bound in enumerate(bounds):
        net.add(View, f"v{i}", ["w"], "NC", (5, len(range(*bound))), op="slice", args=(1, *bound))
        net.add(View, f"t{i}", [f"v{i}"], "NC", (5, 3), op="slice", args=(1, 0, 3, 1))
    graph = net.done("t0", "t1")
    assert "w" in passes.split_synapse(graph).nodes or bounds[1] == (0, 3, 1)
    same(graph, passes.split_synapse(graph))


def test_synapse_that_is_also_read_whole_stays() -> None:
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 4), 4)
    net.add(View, "part", ["w"], "NC", (5, 1), op="slice", args=(1, 0, 1, 1))
    assert names(passes.split_synapse(net.done("w", "part"))) == ["w", "part", "total"]


# --- fold_constants, fold_bias -----------------------------------------------------------------------------------


def test_class_token_and_positions_become_one_constant() -> None:
    net = Net("NC", (5, 4))
    net.add(Const, "token", [], "NC", (1, 4), value=RNG.normal(size=(1, 4)))
    net.add(Const, "positions", [], "NC", (6, 4), value=RNG.normal(size=(6, 4)))
    net.add(View, "tokens", ["token", "input"], "NC", (6, 4), op="concat", args=(0,))
    net.add(Sum, "x", ["tokens", "positions"], "NC", (6, 4), signs=(1, -1))
    before = net.done("x")
    after = passes.fold_constants(before)
    same(before, after)
    assert [n.kind for n in after] == ["input", "view", "const", "sum", "output"]
    assert after.nodes["tokens.pad"].args == (0, 1, 0)


def test_constants_at_both_ends_of_several_streams() -> None:
    net = Net("NC", (5, 4))
    for name in ("a", "b"):
        net.add(Const, name, [], "NC", (1, 4), value=RNG.normal(size=(1, 4)))
    net.add(View, "x", ["a", "input", "input", "b"], "NC", (12, 4), op="concat", args=(0,))
    before = net.done("x")
    after = passes.fold_constants(before)
    same(before, after)
    assert after.nodes["x.pad"].args == (0, 1, 1)


def test_constant_between_streams_stays() -> None:
    net = Net("NC", (5, 4))
    net.add(Const, "a", [], "NC", (1, 4), value=RNG.normal(size=(1, 4)))
    net.add(View, "x", ["input", "a", "input"], "NC", (11, 4), op="concat", args=(0,))
    assert names(passes.fold_constants(net.done("x"))) == ["a", "x"]


def test_views_and_sums_of_constants_are_computed() -> None:
    net = Net("NC", (5, 4))
    net.add(Const, "a", [], "CN", (4, 5), value=RNG.normal(size=(4, 5)))
    net.add(View, "at", ["a"], "NC", (5, 4), op="permute", args=(1, 0))
    net.add(Sum, "twice", ["at", "at"], "NC", (5, 4))
    before = net.done("input", "twice")
    after = passes.fold_constants(before)
    same(before, after)
    assert [n.kind for n in after] == ["input", "const", "sum", "output"]


@pytest.mark.parametrize("shape", [(1, 6), (5, 6)])
def test_constant_behind_a_synapse(shape: tuple[int, int]) -> None:
    """Per channel it is a bias, per token it is not."""
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 6), 4, bias=False)
    net.add(Const, "c", [], "NC", shape, value=RNG.normal(size=shape))
    net.add(Sum, "x", ["c", "w"], "NC", (5, 6), signs=(-1, 1))
    before = net.done("x")
    after = passes.fold_bias(before)
    same(before, after)
    assert names(after) == (["w"] if shape[0] == 1 else ["w", "c", "x"])


# --- push_slices -------------------------------------------------------------------------------------------------


def test_slice_passes_rows_and_stops_at_the_softmax() -> None:
    net = Net("NC", (5, 4))
    net.add(Product, "scores", ["input", "input"], "NN", (5, 5), equation="ac,bc->ab")
    net.add(Micro, "softmax", ["scores"], "NN", (5, 5), op="softmax")
    net.add(View, "rows", ["softmax"], "NN", (2, 5), op="slice", args=(0, 1, 5, 2))
    net.add(View, "columns", ["rows"], "NN", (2, 1), op="slice", args=(1, 0, 1, 1))
    before = net.done("columns")
    after = passes.push_slices(before)
    same(before, after)
    assert after.shape("softmax") == (2, 5)
    assert after.nodes["scores"].inputs == ("input.slice", "input")


def test_slice_that_others_do_not_share_stays() -> None:
    net = Net("NC", (5, 4))
    net.dense("w", "input", "NC", (5, 4), 4)
    net.add(View, "first", ["w"], "NC", (1, 4), op="slice", args=(0, 0, 1, 1))
    assert passes.push_slices(net.done("w", "first")).shape("w") == (5, 4)


def test_slice_of_a_broadcast_sum() -> None:
    net = Net("NC", (5, 4))
    net.add(Const, "c", [], "NC", (1, 4), value=RNG.normal(size=(1, 4)))
    net.add(Const, "d", [], "NC", (5, 4), value=RNG.normal(size=(5, 4)))
    net.add(Sum, "x", ["input", "c"], "NC", (5, 4), signs=(1, -1))
    net.add(Sum, "y", ["x", "d"], "NC", (5, 4))
    net.add(View, "last", ["y"], "NC", (1, 4), op="slice", args=(0, 4, 5, 1))
    before = net.done("last")
    after = passes.push_slices(before)
    same(before, after)
    assert names(after)[0] == "input.slice"
    assert after.shape(after.output.inputs[0]) == (1, 4)


# --- sink_views, drop_identity -----------------------------------------------------------------------------------


def test_a_sum_of_one_with_channels_last_and_one_without_comes_to_an_end() -> None:
    """To turn the sum would only turn the other operand, for ever."""
    net = Net("NC", (5, 5))
    net.dense("a", "input", "NC", (5, 5), 5)
    net.dense("b", "input", "NC", (5, 5), 5)
    net.add(View, "at", ["a"], "CN", (5, 5), op="permute", args=(1, 0))
    net.add(Sum, "sum", ["at", "b"], "CN", (5, 5), signs=(1, 1))
    before = net.done("sum")
    after = passes.sink_views(before)
    same(before, after)
    assert names(after) == names(before)


def test_channels_first_network_is_turned_around() -> None:
    net = Net("NC", (5, 4))
    lif = {"beta": 0.5, "gain": 1.0, "threshold": 1.0}
    net.dense("a", "input", "NC", (5, 6), 4)
    net.add(View, "at", ["a"], "CN", (6, 5), op="permute", args=(1, 0))
    net.add(Neuron, "s", ["at"], "CN", (6, 5), model="lif", params=lif)
    net.add(View, "st", ["s"], "NC", (5, 6), op="permute", args=(1, 0))
    net.dense("b", "st", "NC", (5, 6), 6)
    net.add(View, "bt", ["b"], "CN", (6, 5), op="permute", args=(1, 0))
    net.add(Sum, "sum", ["at", "bt"], "CN", (6, 5), signs=(1, -1))
    net.add(Neuron, "s2", ["sum"], "CN", (6, 5), model="lif", params=lif)
    before = net.done("s2")
    after = passes.sink_views(before)
    same(before, after)
    assert [n.kind for n in after] == [
        "input",
        "synapse",
        "neuron",
        "synapse",
        "sum",
        "neuron",
        "view",
        "output",
    ]


def test_equal_views_are_shared_and_dead_ones_go() -> None:
    net = Net("NC", (5, 4))
    for name in "abc":
        net.add(View, name, ["input"], "CN", (4, 5), op="permute", args=(1, 0))
    assert len(names(passes.drop_identity(net.done("a", "b")))) == 2
