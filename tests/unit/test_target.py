"""Target files: reading, extending, and every way in which they can be wrong."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from neurodeploy import bundled
from neurodeploy.codes import CODES
from neurodeploy.errors import EXIT_USAGE, Problem, UsageError
from neurodeploy.target import ENVIRONMENT, keys, load, names
from neurodeploy.target_schema import Choice, Cost, Limit

BUNDLED = bundled.path("hw_targets")
SYNAPSE_WORDS = '[limits.synapse_words]\nvalue = 8000\nunit = "words"\nsource = "what-if"\n'
CHILD = f'extends = "loihi2"\ntitle = "smaller"\n{SYNAPSE_WORDS}'

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a target file and return its path."""

    def _write(text: str | bytes, name: str = "mine") -> Path:
        path = tmp_path / f"{name}.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return _write


def problems(path: str | Path) -> list[Problem]:
    with pytest.raises(UsageError) as caught:
        load(path)
    assert caught.value.exit_code == EXIT_USAGE
    assert all(p.code in CODES for p in caught.value.problems)
    return list(caught.value.problems)


def only(path: str | Path) -> Problem:
    found = problems(path)
    assert len(found) == 1, found
    return found[0]


def cost(**changes: object) -> dict:
    return {"low": 1.0, "nominal": 2.0, "high": 3.0, "unit": "pJ", "source": "a paper", **changes}


# --- reading -----------------------------------------------------------------------------------------------------


def test_load_gives_limits_costs_and_features_of_loihi2() -> None:
    t = load("loihi2")
    assert (t.chips, t.cores, t.chip.routers_x, t.chip.routers_y, t.chip.cores_per_router) == (
        1,
        128,
        8,
        4,
        4,
    )
    assert t.limits.neurons_per_core.value == 4095
    assert t.limits.weight_bits.value == (1, 2, 3, 4, 5, 6, 8)
    assert t.limits.weight_bits.round_up(7) == 8
    assert t.costs.energy_pj.synaptic_op.nominal == 15.0
    assert t.costs.paper_metric.ac_pj.low == t.costs.paper_metric.ac_pj.high == 0.9
    assert t.features.products.allowed
    assert t.silicon.row_microcode.grade == "simulation-only"


def test_loihi1_refuses_what_needs_microcode_and_says_why() -> None:
    features = load("loihi1").features
    for feature in (features.graded_payload, features.microcode, features.products, features.row_reads):
        assert not feature.allowed
        assert "Davies et al. 2018" in feature.source


def test_cpu_sim_limits_nothing_and_prices_nothing() -> None:
    t = load("cpu-sim")
    assert t.limits.neurons_per_core.value is None
    assert t.limits.neurons_per_core.allows(10**12)
    assert t.limits.index_bits.value == 0
    assert not t.priced
    assert t.costs.energy_pj.synaptic_op.high == 0.0
    assert "not priced" in t.costs.energy_pj.synaptic_op.source
    assert t.costs.paper_metric.mac_pj.nominal == 4.6


def test_assumed_costs_follow_their_stated_derivation() -> None:
    # One LIF update is 8 operations; a product is a synaptic operation and a state access.
    energy, time = load("loihi2").costs.energy_pj, load("loihi2").costs.time_ns
    assert energy.microcode_op.nominal == pytest.approx(energy.neuron_update.nominal / 8)
    for table in (energy, time):
        assert table.product_op.nominal == pytest.approx(
            table.synaptic_op.nominal + table.state_access.nominal
        )


def test_extends_merges_key_by_key_and_replaces_entries_whole(write: Write) -> None:
    parent, child = load("loihi2"), load(write(CHILD))
    assert child.limits.synapse_words.value == 8000
    assert child.limits.synapse_words.note == ""  # the parent's note spoke of the parent's number
    assert child.limits.axon_in == parent.limits.axon_in
    assert (child.name, child.extends, child.title) == ("mine", "loihi2", "smaller")
    assert child.costs == parent.costs


def test_extends_finds_a_parent_beside_its_child_first(write: Write) -> None:
    write(CHILD, "middle")
    leaf = load(write('extends = "middle"\ntitle = "leaf"\n', "leaf"))
    assert leaf.limits.synapse_words.value == 8000


def test_sha256_covers_the_file_and_what_it_extends(write: Write) -> None:
    parent = (BUNDLED / "loihi2.toml").read_bytes()
    assert load("loihi2").sha256 == hashlib.sha256(parent).hexdigest()
    assert load(write(CHILD)).sha256 == hashlib.sha256(CHILD.encode() + parent).hexdigest()


def test_search_order_is_argument_then_working_folder_then_environment_then_bundled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "given", tmp_path / "hw_targets", tmp_path / "variable"]
    for folder in folders:
        folder.mkdir()
        (folder / "loihi1.toml").write_text(f'extends = "loihi2"\ntitle = "{folder.name}"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(ENVIRONMENT, str(folders[2]))
    assert load("loihi1", [folders[0]]).title == "given"
    for expected in ("hw_targets", "variable"):
        assert load("loihi1").title == expected
        (tmp_path / expected / "loihi1.toml").unlink()
    assert load("loihi1").file == BUNDLED / "loihi1.toml"
    assert "loihi-sim" in names([folders[0]])


def test_with_chips_multiplies_cores_up_to_the_largest_system() -> None:
    t = load("loihi-sim")
    assert t.with_chips(4).cores == 512
    assert t.cores == 128
    for n in (0, -1, 1153):
        with pytest.raises(UsageError, match="ND919"):
            t.with_chips(n)


def test_router_numbers_cores_along_x_first() -> None:
    chip = load("loihi2").chip
    places = [chip.router(core) for core in range(chip.cores_per_chip)]
    assert places[:5] == [(0, 0)] * 4 + [(1, 0)]
    assert places[-1] == (7, 3)
    assert all(places.count(p) == 4 for p in set(places))


def test_rows_list_every_key_with_its_unit_and_source() -> None:
    rows = load("loihi2").rows()
    listed = {(r.section, r.key) for r in rows}
    wanted = {(k.section, k.key) for k in keys()}
    assert wanted <= listed
    assert all(r.source for r in rows)
    synop = next(r for r in rows if (r.section, r.key) == ("costs.energy_pj", "synaptic_op"))
    assert (synop.low, synop.nominal, synop.high, synop.unit) == (5.0, 15.0, 27.0, "pJ")


def test_target_cannot_be_changed_and_can_be_hashed() -> None:
    t = load("loihi2")
    with pytest.raises(ValidationError):
        t.chips = 2  # type: ignore[misc]
    assert hash(t) == hash(load("loihi2"))


def test_import_needs_neither_numpy_nor_torch() -> None:
    code = "import sys, neurodeploy.target; print({'numpy', 'torch'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


# --- names and files that cannot be used -------------------------------------------------------------------------


def test_unknown_name_offers_the_nearest() -> None:
    problem = only("loihi3")
    assert problem.code == "ND910"
    assert any("loihi2" in fix for fix in problem.fixes)


def test_unknown_parent_names_the_file_that_asks_for_it(write: Write) -> None:
    problem = only(write('extends = "loihi-2"\n'))
    assert problem.code == "ND910"
    assert "mine.toml" in problem.where


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"# only a comment\n", "empty"),
        (CHILD[:-9].encode(), "not valid TOML"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\xff", "not UTF-8"),
        (b"\x00\x01\x02", "not valid TOML"),
        (b'{"json": true}', "not valid TOML"),
        (b"a = " + b"[" * 100_000, "file cannot be used"),
    ],
)
def test_file_that_is_no_target_is_refused(write: Write, content: bytes, why: str) -> None:
    problem = only(write(content))
    assert problem.code == "ND916"
    assert why in problem.cause


def test_missing_file_folder_and_search_folder_are_refused(tmp_path: Path) -> None:
    assert only(tmp_path / "none.toml").code == "ND916"
    (tmp_path / "folder.toml").mkdir()
    assert only(tmp_path / "folder.toml").code == "ND916"
    with pytest.raises(UsageError, match="ND916"):
        names([tmp_path / "none"])


def test_every_prefix_of_a_file_is_read_or_refused(write: Write) -> None:
    text = (BUNDLED / "loihi2.toml").read_text()
    for end in range(0, len(text), 997):
        with pytest.raises(UsageError):
            load(write(text[:end]))


def test_extends_in_a_circle_shows_the_chain(write: Write) -> None:
    write('extends = "b"\n', "a")
    write('extends = "c"\n', "b")
    problem = only(write('extends = "a"\n', "c"))
    assert problem.code == "ND915"
    assert problem.found == "c -> a -> b -> c"
    assert only(write('extends = "self"\n', "self")).code == "ND915"


# --- entries that are wrong --------------------------------------------------------------------------------------


def entry(
    unit: str = "pJ", low: str = "1.0", nominal: str = "2.0", high: str = "3.0", source: str = "'x'"
) -> str:
    lines = f"low = {low}\nnominal = {nominal}\nhigh = {high}\nunit = '{unit}'\nsource = {source}\n"
    return f'extends = "loihi2"\n[costs.energy_pj.synaptic_op]\n{lines}'


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ('extends = "loihi2"\n[limits]\nneurons_per_cor = 3\n', "ND911", "limits.neurons_per_cor"),
        ('extends = "loihi2"\ntitel = "x"\n', "ND911", "titel"),
        ('extends = "loihi2"\nname = "x"\n', "ND911", "name"),
        (CHILD.replace('words"\n', 'bytes"\n'), "ND912", "limits.synapse_words.unit"),
        (CHILD.replace("8000", "-1"), "ND917", "limits.synapse_words.value"),
        (CHILD.replace("8000", "'many'"), "ND917", "limits.synapse_words.value"),
        (CHILD.replace("8000", "true"), "ND917", "limits.synapse_words.value"),
        (CHILD.replace("what-if", ""), "ND914", "limits.synapse_words.source"),
        (CHILD.replace('source = "what-if"\n', ""), "ND914", "limits.synapse_words.source"),
        (entry(unit="nJ"), "ND912", "costs.energy_pj.synaptic_op.unit"),
        (entry(low="-1.0"), "ND917", "costs.energy_pj.synaptic_op.low"),
        (entry(high="nan"), "ND917", "costs.energy_pj.synaptic_op.high"),
        (entry(high="inf"), "ND917", "costs.energy_pj.synaptic_op.high"),
        (entry(low="2.5"), "ND913", "costs.energy_pj.synaptic_op.nominal"),
        (entry(high="1.5"), "ND913", "costs.energy_pj.synaptic_op.high"),
        (entry() + "assumed = true\n", "ND918", "costs.energy_pj.synaptic_op.assumed"),
        ('extends = "loihi2"\nkind = "hardware"\n', "ND917", "kind"),
        ('extends = "loihi2"\nchips = 0\n', "ND917", "chips"),
        ('extends = "loihi2"\nchips = 5000\n', "ND919", "chips"),
        ('extends = "loihi2"\nlimits = 3\n', "ND917", "limits"),
        ('extends = "loihi2"\ncosts = "none"\n', "ND917", "costs"),
        ("extends = 3\n", "ND917", "extends"),
    ],
)
def test_wrong_entry_is_reported_with_file_and_key(write: Write, text: str, code: str, where: str) -> None:
    reported = [(p.code, p.where) for p in problems(write(text))]
    assert any(c == code and "mine.toml" in w and w.endswith(f": {where}") for c, w in reported), reported


def test_near_miss_of_a_key_is_offered(write: Write) -> None:
    problem = only(write('extends = "loihi2"\n[limits]\nneurons_per_cor = 3\n'))
    assert problem.found == "neurons_per_cor"
    assert "write 'neurons_per_core'" in problem.fixes


def test_near_miss_of_a_word_is_offered(write: Write) -> None:
    problem = only(write('extends = "loihi2"\nkind = "hardware"\n'))
    assert problem.fixes == ("write kind = 'hardware-description'",)


def test_more_cores_than_the_mesh_holds_are_refused(write: Write) -> None:
    mesh = "cores_per_chip = 9\nrouters_x = 2\nrouters_y = 2\ncores_per_router = 2\nsource = 'x'\n"
    problem = only(write(f'extends = "loihi2"\n[chip]\n{mesh}'))
    assert (problem.code, problem.cause) == ("ND919", "9 cores on a mesh with room for 8")


def test_a_board_needs_a_source_and_ports_on_the_mesh(write: Write) -> None:
    problem = only(write('extends = "loihi2"\n[board]\nchips_x = 2\neast = [7, 4]\nsource = "x"\n'))
    assert (problem.code, problem.cause) == ("ND919", "the port east is at no router: [7, 4]")
    assert only(write('extends = "loihi2"\n[board]\nchips_x = 2\n')).code == "ND914"
    found = load(write('extends = "loihi2"\n[board]\nchips_x = 2\neast = [7, 3]\nsource = "x"\n'))
    assert (found.board.chips_x, found.board.chips_y, found.board.east) == (2, 0, (7, 3))
    shown = {row.key: row.high for row in found.rows() if row.section == "board"}
    assert shown == {"chips_x": 2, "chips_y": 0, "east": "7, 3"} | dict.fromkeys(
        ("west", "south", "north", "up", "down"), "middle"
    )
    assert load("cpu-sim").board.chips_x == 0


def test_all_problems_of_a_file_are_reported_at_once(write: Write) -> None:
    text = (
        entry(low="9.0", unit="nJ", high="nan", source="''")
        + "[limits]\nneuron_pr_core = 1\n[features]\nx = 1\n"
    )
    codes = {p.code for p in problems(write(text))}
    assert codes == {"ND911", "ND912", "ND913", "ND914", "ND917"}


def test_missing_tables_are_all_named(write: Write) -> None:
    wheres = {p.where.rpartition(": ")[2] for p in problems(write('title = "x"\n'))}
    assert {"kind", "chip", "features", "costs"} <= wheres


def test_missing_cost_is_an_error_unless_unpriced_says_why(write: Write) -> None:
    text = (BUNDLED / "loihi1.toml").read_text()
    assert load(write(text)).costs.energy_pj.product_op.priced is False
    reason = next(line for line in text.splitlines() if line.startswith("unpriced"))
    missing = problems(write(text.replace(reason, "")))
    assert {p.code for p in missing} == {"ND914"}
    assert any(p.where.endswith("costs.energy_pj.product_op") for p in missing)


def test_error_of_an_extended_file_names_the_file_that_holds_the_entry(write: Write) -> None:
    parent = write(entry(low="-1.0"), "parent")
    problem = only(write('extends = "parent"\ntitle = "child"\n', "child"))
    assert str(parent) in problem.where


# --- properties --------------------------------------------------------------------------------------------------

amounts = st.floats(0, 1e9, allow_nan=False)


@given(st.lists(amounts, min_size=3, max_size=3))
def test_cost_accepts_exactly_ordered_ranges(values: list[float]) -> None:
    low, nominal, high = values
    if low <= nominal <= high:
        Cost(**cost(low=low, nominal=nominal, high=high))
    else:
        with pytest.raises(ValidationError):
            Cost(**cost(low=low, nominal=nominal, high=high))


@given(nominal=st.floats(1e-6, 1e6), factor=st.floats(1.0, 10.0))
def test_assumed_cost_spans_a_factor_of_three(nominal: float, factor: float) -> None:
    given_range = cost(low=nominal / factor, nominal=nominal, high=nominal * factor, assumed=True)
    if factor >= 3:
        Cost(**given_range)
    elif factor < 2.999:
        with pytest.raises(ValidationError):
            Cost(**given_range)


@given(value=st.integers(0, 1000), amount=st.integers(0, 1000))
def test_limit_allows_up_to_its_value(value: int, amount: int) -> None:
    assert Limit(value=value, unit="words", source="x").allows(amount) == (amount <= value)


@given(codes=st.sets(st.integers(0, 32), min_size=1), amount=st.integers(0, 40))
def test_round_up_gives_the_smallest_code_that_fits(codes: set[int], amount: int) -> None:
    expected = min((c for c in codes if c >= amount), default=None)
    assert Choice(value=tuple(sorted(codes)), unit="bits", source="x").round_up(amount) == expected


JUNK = ["", "-1", "nan", "[]", "{}", "'x'", "true", "1e400", "2024-01-01", '""', "unlimited"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(line=st.integers(0, 10_000), junk=st.sampled_from(JUNK))
def test_damaged_line_is_read_or_refused_but_never_crashes(write: Write, line: int, junk: str) -> None:
    lines = (BUNDLED / "loihi1.toml").read_text().splitlines()
    key, equals, _ = lines[line % len(lines)].partition("=")
    lines[line % len(lines)] = f"{key}= {junk}" if equals else junk
    try:
        load(write("\n".join(lines)))
    except UsageError as error:
        assert error.problems
        assert all(p.code in CODES and p.where for p in error.problems)


# --- another chip ------------------------------------------------------------------------------------------------

MESH = "cores_per_chip = 152\nrouters_x = 8\nrouters_y = 5\ncores_per_router = 4\nsource = 'a data sheet'\n"


def test_another_chip_inherits_nothing_as_documented(write: Write) -> None:
    own = "[silicon.dense_synapse]\ngrade = 'documented'\nsource = 'its own paper'\n"
    cost = "[costs.energy_pj.synaptic_op]\nlow = 9.0\nnominal = 10.0\nhigh = 11.0\nunit = 'pJ'\nsource = 'measured'\n"
    target = load(write(f"extends = 'loihi-sim'\ntitle = 'SpiNNaker2'\n[chip]\n{MESH}{own}{cost}"))
    grades = dict(target.silicon)
    assert grades.pop("dense_synapse").grade == "documented"
    assert {grade.grade for grade in grades.values()} == {"simulation-only"}
    assert all("Intel Loihi 2" in g.source for g in grades.values() if g.source != "no public source given")
    energies, parent = target.costs.energy_pj, load("loihi-sim").costs.energy_pj
    assert (energies.synaptic_op.source, energies.synaptic_op.assumed) == ("measured", False)
    assert energies.barrier_per_core.assumed and not parent.barrier_per_core.assumed
    assert energies.barrier_per_core.high == pytest.approx(3 * parent.barrier_per_core.nominal)
    assert energies.barrier_per_core.source.startswith("assumed: as Intel Loihi 2: inferred: ")
    assert target.limits.neurons_per_core.source.startswith("assumed: as Intel Loihi 2: ")
    assert target.board.source.startswith("assumed: as Intel Loihi 2: ")
    assert target.costs.paper_metric == load("loihi-sim").costs.paper_metric


@pytest.mark.parametrize("text", [f"[chip]\nmodel = 'Intel Loihi 2'\n{MESH}", "chips = 2\n", ""])
def test_a_what_if_of_the_same_chip_inherits_as_before(write: Write, text: str) -> None:
    target, parent = (
        load(write(f"extends = 'loihi-sim'\ntitle = 'x'\n{text}")),
        load("loihi-sim"),
    )
    assert (target.silicon, target.costs, target.limits) == (parent.silicon, parent.costs, parent.limits)


def test_what_is_wrong_with_another_chips_file_is_still_said(write: Write) -> None:
    problem = only(write(f"extends = 'loihi2'\n[chip]\n{MESH}[silicon]\ndense_synapse = 3\n"))
    assert problem.code == "ND917"
