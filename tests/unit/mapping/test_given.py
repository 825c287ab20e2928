"""Mapping files: what is written gives the same mapping again, wishes are granted or refused all at once."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.backends._base import BACKENDS
from neurodeploy.errors import UsageError
from neurodeploy.image import encode, to_arrays
from neurodeploy.ir import interp
from neurodeploy.ir.graph import Graph
from neurodeploy.limits import MOST_TOML
from neurodeploy.mapping.given import MOST, MOST_RULES, Given, read
from neurodeploy.mapping.layouts.grid import numbered, parts_of
from neurodeploy.mapping.mapper import map_graph, prepared
from neurodeploy.mapping.types import Mapping
from neurodeploy.mapping.written import written
from neurodeploy.program import Program
from neurodeploy.target import Target, load
from tests.strategies import integer_graphs
from tests.unit.mapping.networks import Net, ecmt_transformer, mlp, spiking_transformer
from tests.unit.mapping.test_map_graph import assert_sound, limited

LOIHI2 = load("loihi2")
PLAIN = prepared(mlp((40, 30, 20, 10)), LOIHI2)
DEEP = prepared(spiking_transformer(2, 4, 16), LOIHI2)


def few(cores: int, target: Target = LOIHI2) -> Target:
    return target.model_copy(update={"chip": target.chip.model_copy(update={"cores_per_chip": cores})})


def said(folder: Path, text: str) -> Given:
    (folder / "map.toml").write_text(text, encoding="utf-8")
    return read(folder / "map.toml")


def spots(mapping: Mapping, layer: str = "") -> list[tuple[int, int, int]]:
    return [(c.chip, c.x, c.y) for c in mapping.cores if not layer or layer in c.layers]


def content(graph: Graph, mapping: Mapping, target: Target) -> list[Any]:
    """All of a mapping that the hardware, or its reader, would see; byte for byte."""
    layouts = [(g.name, g.layout, g.limiting) for g in mapping.groups]
    cores = [(c.index, c.chip, c.x, c.y, c.demand, c.limiting, c.layers) for c in mapping.cores]
    elements = [
        {name: found.tobytes() for name, found in piece.elements.items()}
        for core in mapping.cores
        for piece in core.pieces
    ]
    images = encode(graph, mapping, target).images if mapping.fits else ()
    return [layouts, cores, elements, [frozen(to_arrays(image)) for image in images]]


def frozen(item: Any) -> Any:
    if isinstance(item, np.ndarray):
        return item.dtype.str, item.shape, item.tobytes()
    if isinstance(item, dict):
        return {key: frozen(value) for key, value in item.items()}
    return [frozen(part) for part in item] if isinstance(item, (list, tuple)) else item


# --- replay ------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(
    integer_graphs(), st.sampled_from([20, 60, 4095]), st.sampled_from([3, 12, 128]),
    st.sampled_from(["cores", "latency", "energy"]), st.data(),
)  # fmt: skip
def test_what_is_written_maps_and_writes_the_same_again(
    tmp_path_factory: pytest.TempPathFactory,
    graph: Graph,
    neurons: int,
    cores: int,
    optimise: str,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("replay")
    target = few(cores, limited(neurons_per_core=neurons))
    graph = prepared(graph, target)
    first = map_graph(graph, target, optimise=optimise)
    text = written(first, target)
    wishes = said(folder, text)
    again = map_graph(graph, target, optimise=optimise, given=wishes)
    assert content(graph, again, target) == content(graph, first, target)
    assert written(again, target) == text
    if "cores = " in text:  # then nothing is left to the search, whatever it is asked for
        other = map_graph(graph, target, optimise="latency", given=wishes)
        assert written(other, target) == text

    kept = data.draw(st.sets(st.sampled_from(sorted(wishes.rules)))) if wishes.rules else set()
    part = Given(wishes.file, {name: wishes.rules[name] for name in kept})
    partly = map_graph(graph, target, optimise="cores", given=part)
    assert {p.code for p in partly.problems} <= {p.code for p in first.problems} | {"ND502"}
    if "ND501" not in {p.code for p in partly.problems}:
        assert_sound(graph, partly, target)
    for name in kept:
        assert next(g.layout for g in partly.groups if g.name == name) == next(
            g.layout for g in first.groups if g.name == name
        )
        if part.rules[name].cores:
            assert Counter(spots(partly, name)) == Counter(spots(first, name))


@pytest.mark.parametrize("network", [ecmt_transformer(2, 4, 32), spiking_transformer(2, 16, 32)])
@pytest.mark.parametrize("optimise", ["cores", "energy"])
def test_transformers_on_several_chips_replay(tmp_path: Path, network: Graph, optimise: str) -> None:
    target = few(24, limited(neurons_per_core=300, synapse_words=600)).with_chips(4)
    graph = prepared(network, target)
    first = map_graph(graph, target, optimise=optimise)
    again = map_graph(graph, target, given=said(tmp_path, written(first, target)))
    assert first.fits and content(graph, again, target) == content(graph, first, target)
    assert written(again, target) == written(first, target)


def test_a_mapping_on_too_few_cores_is_written_without_places(tmp_path: Path) -> None:
    target = few(2, limited(neuron_groups=1))
    first = map_graph(DEEP, target)
    text = written(first, target)
    assert "ND502" in {p.code for p in first.problems} and "cores = " not in text
    again = map_graph(DEEP, target, given=said(tmp_path, text))
    assert content(DEEP, again, target) == content(DEEP, first, target)


def test_tiles_of_one_layer_that_share_a_core_are_said_to(tmp_path: Path) -> None:
    text = (
        '[layer."fc1"]\nlayout = { channels = 3 }\nshared = true\ncores = ["0:5", "0:9", "0:5"]\n'
        '[layer."fc2"]\nlayout = { channels = 1 }\ncores = ["0:9"]\n'
    )
    first = map_graph(PLAIN, LOIHI2, given=said(tmp_path, text))
    assert first.fits and [c.layers for c in first.cores[:2]] == [("fc1", "fc1", "fc3"), ("fc1", "fc2")]
    whole = written(first, LOIHI2)
    assert whole.count("shared = true") == 1
    again = map_graph(PLAIN, LOIHI2, given=said(tmp_path, whole))
    assert content(PLAIN, again, LOIHI2) == content(PLAIN, first, LOIHI2) and written(again, LOIHI2) == whole


# --- wishes ------------------------------------------------------------------------------------------------------


def test_layers_are_named_by_wildcards_and_later_rules_win(tmp_path: Path) -> None:
    text = (
        '[layer."*_fc*"]\nlayout = { tokens = 4 }\n[layer."block1_fc?"]\nlayout = { channels = 2 }\n'
        '[layer.block1_fc2]\ncores = ["0:100", "0:60"]\n'
    )
    mapping = map_graph(DEEP, LOIHI2, given=said(tmp_path, text))
    layouts = {g.name: g.layout for g in mapping.groups}
    assert layouts["block0_fc1"] == layouts["block0_fc2"] == "tokens/4 x channels/1"
    assert layouts["block1_fc1"] == layouts["block1_fc2"] == "tokens/1 x channels/2"
    assert spots(mapping, "block1_fc2") == [(0, *LOIHI2.chip.router(n)) for n in (100, 60)]
    assert mapping.fits
    assert_sound(DEEP, mapping, LOIHI2)


def test_a_name_with_brackets_means_its_layer_alone(tmp_path: Path) -> None:
    net = Net()
    x = net.lif(net.dense(net.input("C", 8), 6, name="a[12]"), "l1")
    graph = prepared(net.output(net.dense(net.lif(net.dense(x, 6, name="a1"), "l2"), 4, name="a*")), LOIHI2)
    text = '[layer."a[12]"]\nlayout = { channels = 2 }\n[layer."a*"]\nlayout = { channels = 4 }\n'
    layouts = {g.name: g.layout for g in map_graph(graph, LOIHI2, given=said(tmp_path, text)).groups}
    assert (layouts["a[12]"], layouts["a1"], layouts["a*"]) == ("channels/2", "channels/1", "channels/4")


def test_a_label_of_the_tables_is_a_layout(tmp_path: Path) -> None:
    for label in ("tokens/2 x channels/2", "tokens/1+3 x channels/1"):
        wishes = said(tmp_path, f'[layer.block0_fc1]\nlayout = "{label}"\n')
        mapping = map_graph(DEEP, LOIHI2, given=wishes)
        assert next(g.layout for g in mapping.groups if g.name == "block0_fc1") == label


def test_parts_may_have_any_sizes(tmp_path: Path) -> None:
    text = (
        "[layer.block0_fc1]\nlayout = { channels = [3, 13, 16], tokens = 2 }\n"
        "[layer.block0_fc2]\nlayout = { tokens = [1, 3] }\n[layer.block1_fc1]\nlayout = { tokens = [2, 2] }\n"
        "[layer.block0_kv]\nlayout = { channels_2 = [1, 7] }\n[layer.block0_proj]\nlayout = { tokens = [3, 1] }"
    )
    mapping = map_graph(DEEP, LOIHI2, given=said(tmp_path, text))
    layouts = {g.name: g.layout for g in mapping.groups}
    assert layouts["block0_fc1"] == "tokens/2 x channels/3+13+16" and layouts["block0_fc2"].startswith(
        "tokens/1+3 "
    )
    assert layouts["block1_fc1"] == "tokens/2 x channels/1"
    assert mapping.fits
    assert_sound(DEEP, mapping, LOIHI2)
    sizes = [
        len(p.elements["block0_fc1"]) for c in mapping.cores for p in c.pieces if p.group == "block0_fc1"
    ]
    assert sizes == [6, 26, 32] * 2
    whole = written(mapping, LOIHI2)
    assert "layout = { tokens = 2, channels = [3, 13, 16] }" in whole
    again = map_graph(DEEP, LOIHI2, given=said(tmp_path, whole))
    assert content(DEEP, again, LOIHI2) == content(DEEP, mapping, LOIHI2) and written(again, LOIHI2) == whole
    x = np.random.default_rng(0).integers(0, 2, (3, *DEEP.shape("x")))
    trace, _ = BACKENDS["loihi-sim"].run(Program(DEEP, encode(DEEP, mapping, LOIHI2)), x)
    assert np.array_equal(trace.outputs, interp.run(DEEP, x).outputs)


def test_axes_of_one_kind_are_numbered() -> None:
    assert list(numbered(["heads", "tokens", "tokens"])) == ["heads", "tokens", "tokens_2"]
    assert parts_of("heads/4 x tokens/2 x tokens/1") == {"heads": 4, "tokens": 2, "tokens_2": 1}
    assert parts_of("rows/6+5+6 x columns/2") == {"rows": (6, 5, 6), "columns": 2}
    assert parts_of("runs/2") is None and parts_of("whole") is None and parts_of("tokens/2 x runs/2") is None


def test_others_make_room_for_cores_that_are_given(tmp_path: Path) -> None:
    chip = LOIHI2.chip.model_copy(
        update={"cores_per_chip": 6, "routers_x": 2, "routers_y": 2, "cores_per_router": 2}
    )
    target = limited(neurons_per_core=16).model_copy(update={"chip": chip}).with_chips(30)
    text, wanted = "", Counter[tuple[int, int, int]]()
    for number, name in enumerate(["block0_fc1", "block0_fc2"]):
        places = [(2 * number + n // 6, n % 6) for n in range(8)]
        cores = [f"{chip_}:{core}" for chip_, core in places]
        text += f'[layer."{name}"]\nlayout = {{ tokens = 4, channels = 2 }}\ncores = {cores!r}\n'
        wanted.update((chip_, *chip.router(core)) for chip_, core in places)
    mapping = map_graph(DEEP, target, given=said(tmp_path, text))
    assert mapping.fits, mapping.problems
    assert_sound(DEEP, mapping, target)
    assert Counter(spots(mapping, "block0_fc1") + spots(mapping, "block0_fc2")) == wanted
    assert max(Counter(spots(mapping)).values()) <= 2
    assert max(Counter(place[0] for place in spots(mapping)).values()) <= 6


def test_what_breaks_a_limit_is_a_problem_of_its_layer(tmp_path: Path) -> None:
    target = limited(neurons_per_core=20)
    mapping = map_graph(PLAIN, target, given=said(tmp_path, "[layer.fc1]\nlayout = { channels = 1 }\n"))
    (problem,) = mapping.problems
    assert problem.code == "ND501" and problem.where == "fc1 cut as channels/1" and problem.found == "30"
    assert problem.fixes[0] == "leave its layout to the search"


def test_layers_that_share_a_core_have_to_fit_it_together(tmp_path: Path) -> None:
    text = '[layer.fc1]\nlayout = {channels=1}\ncores = ["0:3"]\n[layer.fc2]\nlayout = {channels=1}\ncores = ["0:3"]'
    assert map_graph(PLAIN, limited(neurons_per_core=50), given=said(tmp_path, text)).fits
    mapping = map_graph(PLAIN, limited(neurons_per_core=49), given=said(tmp_path, text))
    (problem,) = mapping.problems
    assert problem.code == "ND501" and "share a core" in problem.cause and "fc1, fc2" in problem.where
    assert (problem.found, problem.limit) == ("50", "49 (limits.neurons_per_core)")


def test_what_is_said_is_told_apart_from_how(tmp_path: Path) -> None:
    same = [
        said(tmp_path, f"{comment}\n[layer.fc1]\nlayout = {{channels=2}}\n").sha256 for comment in ("", "# a")
    ]
    other = said(tmp_path, "[layer.fc1]\nlayout = {channels=3}\n").sha256
    assert same[0] == same[1] != other and read(None).sha256 is None


# --- refusals ----------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, str, str]] = {
    "not TOML": ("[layer", "ND521", "not valid TOML"),
    "other keys": ("target = 1", "ND521", "unknown key 'target'"),
    "no table of layers": ("layer = 3", "ND521", "tables [layer.NAME]"),
    "no table of a layer": ("[layer]\nfc0 = 3", "ND521", "a table of layout and cores"),
    "a mistyped key": ("[layer.fc1]\nlayuot = {}", "ND521", "use key 'layout'"),
    "a date": ("[layer.fc1]\nlayout = 1979-05-27", "ND521", "a date"),
    "no list": ('[layer.fc1]\ncores = "0:1"', "ND521", "a list of places"),
    "shared is a number": ("[layer.fc1]\nshared = 1", "ND521", "true or false"),
    "no parts": ("[layer.fc1]\nlayout = {channels = 0}", "ND523", "whole number from 1"),
    "half a part": ("[layer.fc1]\nlayout = {channels = 1.5}", "ND523", "1.5"),
    "true parts": ("[layer.fc1]\nlayout = {channels = true}", "ND523", "True"),
    "sizes that do not add up": ("[layer.fc1]\nlayout = {channels = [20, 9]}", "ND523", "29 in all"),
    "a size of nothing": ("[layer.fc1]\nlayout = {channels = [30, 0]}", "ND523", "found: 0"),
    "no sizes": ("[layer.fc1]\nlayout = {channels = []}", "ND523", "a list"),
    "no place": ('[layer.fc1]\ncores = ["0:1", "1", 5, "-1:3"]', "ND524", "'1', 5, '-1:3'"),
    "a core twice": ('[layer.fc1]\nlayout = {channels = 2}\ncores = ["0:1", "0:1"]', "ND524", "given twice"),
    "unknown layer": ("[layer.fc9]\nlayout = {}", "ND522", "use layer 'fc"),
    "a node inside": ("[layer.lif1]\nlayout = {}", "ND522", "part of layer 'fc1'"),
    "an idle wildcard": ('[layer."x*"]\nlayout = {}', "ND522", "unknown layer 'x*'"),
    "unknown axis": ("[layer.fc1]\nlayout = {token = 2}", "ND522", "channels"),
    "no part in a label": ('[layer.fc1]\nlayout = "channels/0"', "ND522", "channels/0"),
    "unknown layout": ('[layer.fc1]\nlayout = "spiral/2"', "ND522", "spiral/2"),
    "too many parts": ("[layer.fc1]\nlayout = {channels = 31}", "ND523", "1 .. 30"),
    "very many parts": (f"[layer.fc1]\nlayout = {{channels = {2**63 - 1}}}", "ND523", "whole number"),
    "no such parts": ("[layer.fc1]\nlayout = {channels = 9}", "ND523", "8 or 10"),
    "too few cores": ('[layer.fc1]\nlayout = {channels = 2}\ncores = ["0:1"]', "ND524", "2 tiles of channels/2"),
    "another chip": ('[layer.fc1]\nlayout = {channels = 1}\ncores = ["1:1"]', "ND524", "--chips 2"),
    "beyond the mesh": ('[layer.fc1]\nlayout = {channels = 1}\ncores = ["0:128"]', "ND524", "0 .. 127"),
    "cores alone": ('[layer.fc1]\ncores = ["0:1"]', "ND524", "layout too"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_typed(tmp_path: Path, case: str) -> None:
    text, code, hint = WRONG[case]
    loihi2 = few(128, limited(chips=4))
    with pytest.raises(UsageError) as caught:
        map_graph(PLAIN, loihi2, given=said(tmp_path, text))
    (problem,) = caught.value.problems
    assert problem.code == code and hint in str(problem), str(problem)
    assert problem.where.startswith(str(tmp_path / "map.toml")) and problem.found


def test_everything_is_refused_at_once(tmp_path: Path) -> None:
    broken = "[layer.a]\nlayout = {x = 0, y = -1}\ncores = [1]\n[layer.b]\nshared = 2\nz = 1\n"
    with pytest.raises(UsageError) as caught:
        said(tmp_path, broken)
    assert [p.code for p in caught.value.problems] == ["ND521"] * 2 + ["ND523"] * 2 + ["ND524"]
    hopeless = '[layer.fc1]\nlayout = {channels = 9, rows = 1}\ncores = ["7:1"]\n[layer.fc9]\n[layer.fc2]\ncores=[]\n'
    with pytest.raises(UsageError) as caught:
        map_graph(PLAIN, LOIHI2, given=said(tmp_path, hopeless))
    assert [p.code for p in caught.value.problems] == ["ND522"] * 2 + ["ND523"] + ["ND524"] * 2


def test_more_cores_than_a_chip_may_use_are_refused(tmp_path: Path) -> None:
    text = '[layer.fc1]\nlayout = {channels = 3}\ncores = ["0:7", "0:8", "0:127"]\n'
    with pytest.raises(UsageError, match="more cores than chip 0 may use"):
        map_graph(PLAIN, few(2), given=said(tmp_path, text))


def test_files_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ND521[\s\S]*more than"):
        read("/dev/zero")
    for text in ("#" * (MOST_TOML + 1), "a = " + "{a=" * 50_000, f"[layer.a]\nlayout = {{x = {'9' * 5000}}}"):
        with pytest.raises(UsageError, match=r"ND52[13]"):
            said(tmp_path, text)
    with pytest.raises(UsageError, match=str(MOST_RULES)):
        said(tmp_path, "[layer]\n" + "".join(f"l{i} = {{}}\n" for i in range(MOST_RULES + 1)))
    with pytest.raises(UsageError) as caught:
        said(tmp_path, "[layer]\n" + "".join(f"l{i} = 1\n" for i in range(500)))
    assert len(caught.value.problems) == MOST
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(UsageError, match="ND521"):
            read(path)


def test_numbers_are_checked_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from neurodeploy.mapping import given as room

    monkeypatch.setattr(room, "MOST_TILES", 5)
    text = "[layer.fc1]\nlayout = {channels = 15}\n"
    with pytest.raises(UsageError, match=re.escape("15 tiles")):
        map_graph(PLAIN, few(4), given=said(tmp_path, text))
