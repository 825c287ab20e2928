"""Every registered target: complete, ordered, sourced, explained. A new file is tested by existing."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurodeploy import bundled
from neurodeploy.errors import Problem, UsageError
from neurodeploy.ir.nodes import Synapse
from neurodeploy.mapping.checks import overflows
from neurodeploy.mapping.mapper import map_graph
from neurodeploy.passes.balance import balance
from neurodeploy.target import Target, keys, load, names
from neurodeploy.target_schema import Choice, Cost, Limits, Size, check_of, unit_of
from tests.fast import fast
from tests.unit.mapping.networks import ecmt_transformer, mlp, spiking_transformer

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = bundled.path("hw_targets")
README = (FOLDER / "README.md").read_text()


@pytest.fixture(params=names([FOLDER]))
def target(request: pytest.FixtureRequest) -> Target:
    return load(request.param, [FOLDER])


def costs(target: Target) -> Iterator[tuple[str, Cost]]:
    for section in ("energy_pj", "time_ns", "power_w", "ann_baseline", "paper_metric"):
        table = getattr(target.costs, section)
        yield from ((f"{section}.{key}", getattr(table, key)) for key in type(table).model_fields)


def entries(data: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of a file that holds a number, a flag or a grade."""
    for key, value in data.items():
        if isinstance(value, dict):
            if {"value", "low", "allowed", "grade", "cores_per_chip"} & set(value):
                yield f"{path}{key}", value
            else:
                yield from entries(value, f"{path}{key}.")


def test_target_is_titled_described_and_of_a_known_kind(target: Target) -> None:
    assert target.title
    assert target.description
    assert target.kind in ("simulated", "hardware-description", "software")
    assert target.file.stem == target.name
    assert re.fullmatch("[0-9a-f]{64}", target.sha256)


def test_target_is_introduced_in_the_readme(target: Target) -> None:
    assert f"| `{target.name}` | {target.kind} |" in README


def test_ranges_are_ordered_and_finite(target: Target) -> None:
    for key, cost in costs(target):
        assert 0 <= cost.low <= cost.nominal <= cost.high < 1e12, key


def test_assumptions_are_wide_and_say_so(target: Target) -> None:
    for key, cost in costs(target):
        assert cost.assumed == ("assumed" in cost.source), key


def test_units_are_those_of_the_schema(target: Target) -> None:
    for key in type(target.limits).model_fields:
        assert getattr(target.limits, key).unit == unit_of(type(target.limits), key), key


def test_every_entry_in_the_file_has_its_own_source(target: Target) -> None:
    with target.file.open("rb") as handle:
        found = dict(entries(tomllib.load(handle)))
    assert all(entry.get("source") for entry in found.values())
    internal = re.compile(r"\.md\b|hardware\.|/work|semantics")
    assert not [key for key, entry in found.items() if internal.search(entry["source"])]


def test_priced_target_prices_all_work_it_allows(target: Target) -> None:
    if not target.priced:
        assert target.costs.unpriced
        return
    allowed = {
        "product_op": target.features.products.allowed,
        "microcode_op": target.features.microcode.allowed,
    }
    for key, cost in costs(target):
        assert cost.priced == allowed.get(key.partition(".")[2], True), key


def test_refused_features_are_graded_unsupported(target: Target) -> None:
    silicon, features = target.silicon, target.features
    pairs = [
        (features.graded_payload, silicon.graded_payload),
        (features.products, silicon.stream_product),
        (features.row_reads, silicon.row_microcode),
        (features.lookup_tables, silicon.lookup_table),
        (features.microcode, silicon.elementwise_microcode),
    ]
    assert all((grade.grade == "unsupported") == (not feature.allowed) for feature, grade in pairs)


def test_signed_payload_needs_a_graded_spike(target: Target) -> None:
    payload = target.limits.payload_bits.value
    assert (payload == 1) == (not target.features.graded_payload.allowed)


def test_products_cost_at_least_a_synaptic_operation(target: Target) -> None:
    if target.costs.energy_pj.product_op.priced:
        assert target.costs.energy_pj.product_op.nominal > target.costs.energy_pj.synaptic_op.nominal


def test_rows_are_complete_and_sourced(target: Target) -> None:
    rows = target.rows()
    assert {(k.section, k.key) for k in keys()} <= {(r.section, r.key) for r in rows}
    assert all(r.source and r.high is not None for r in rows)


@pytest.mark.parametrize("key", sorted({k.key for k in keys()}))
def test_every_key_is_explained_in_the_readme(key: str) -> None:
    assert f"`{key}`" in README


def test_known_systems_are_all_there() -> None:
    assert {"loihi1", "loihi2", "loihi-sim", "hala-point", "cpu-sim"} <= set(names([FOLDER]))


def test_loihi2_words_reproduce_the_compiler_printouts() -> None:
    # (outputs on the core, effective weight bits, words per input axon) of Lava-DL print-outs.
    limits = load("loihi2", [FOLDER]).limits
    for n, bits, words in [(50, 8, 16), (64, 8, 21), (10, 8, 4), (200, 8, 63), (85, 8, 27), (256, 8, 81)]:
        used = n * (bits + limits.index_bits.value) + limits.synapse_header_bits_dense.value
        assert -(-used // 64) == words


def test_loihi2_kernel_words_reproduce_the_compiler_printouts() -> None:
    limits = load("loihi2", [FOLDER]).limits
    cases = [
        (16, 5, 2),
        (32, 5, 4),
        (64, 5, 6),
        (128, 5, 11),
        (64, 4, 5),
        (64, 5, 6),
        (256, 5, 21),
        (48, 6, 6),
    ]
    for channels, bits, words in cases:
        assert -(-(channels * bits + limits.synapse_header_bits_conv.value) // 64) == words


def test_files_mention_no_machine_path() -> None:
    for path in [*Path(FOLDER).glob("*.toml"), FOLDER / "README.md"]:
        assert not re.search(r"/(work|home|root|tmp)/", path.read_text()), path


# --- every limit is enforced ----------------------------------------------------------------------------------------

NETWORKS = (mlp((8, 6, 4)), spiking_transformer(1, 4, 8), ecmt_transformer(1, 2, 8))
#: a list that stores every target exists only where positions do not share a kernel
UNSHARED = ("sparse_index_bits",)


def broken(key: str) -> Target:
    """A target that breaks one limit as soon as anything needs it: nothing is allowed, or an encoding is huge."""
    base = load("loihi2", [FOLDER])
    entry = getattr(base.limits, key)
    value = 10**6 if isinstance(entry, Size) else (1,) if isinstance(entry, Choice) else int("block" in key)
    changed: dict[str, Any] = {
        "limits": base.limits.model_copy(update={key: entry.model_copy(update={"value": value})})
    }
    if key in UNSHARED:
        shared = base.features.shared_kernels.model_copy(update={"allowed": False})
        changed["features"] = base.features.model_copy(update={"shared_kernels": shared})
    if key == "synapses_per_block":
        words = base.limits.synapse_words.model_copy(update={"value": 30})
        changed["limits"] = changed["limits"].model_copy(update={"synapse_words": words})
    return base.model_copy(update=changed)


def refusals(key: str) -> Iterator[Problem]:
    """The errors of some networks on the target that breaks a limit, placed on two chips."""
    place = broken(key)
    for network in NETWORKS:
        graph = balance(network)
        seen = {node.name: 9 for node in graph.of(Synapse)}
        try:
            yield from map_graph(graph, place, chips=2, seen=seen).problems
        except UsageError as error:
            yield from error.problems


#: one of every kind of check; the others are among the long proofs
FEW = ("synapse_words", "axon_out", "fan_out", "weight_bits", "delay_steps", "payload_bits", "register_bits")


@pytest.mark.parametrize("key", fast(Limits.model_fields, *FEW))
def test_every_limit_is_enforced_by_the_check_it_names(key: str) -> None:
    check = check_of(key)
    found = [p for p in refusals(key) if p.severity == "error" and f"limits.{check.key}" in p.limit]
    assert found and {p.code for p in found} == {check.code}
    entry = getattr(load("loihi2", [FOLDER]).limits, key)
    free = [p for n in NETWORKS for p in map_graph(balance(n), load("loihi2", [FOLDER]), chips=2).problems]
    assert not [p for p in free if f"limits.{check.key}" in p.limit and p.severity == "error"], entry


def test_a_sum_that_only_its_bound_could_exceed_is_a_warning() -> None:
    graph = balance(NETWORKS[0])
    narrow = load("loihi1", [FOLDER])  # sums of 21 bits
    (name, *_) = (n.name for n in graph.of(Synapse))
    assert {(p.code, p.severity) for p in map_graph(graph, narrow).problems} == {("ND513", "warning")}
    assert not overflows(graph, narrow, {name: (1 << 20) - 1})
    (problem,) = overflows(graph, narrow, {name: 1 << 20})
    assert (problem.code, problem.severity, problem.found) == ("ND520", "error", "22 bits")
    assert not map_graph(graph, narrow, seen={name: 1 << 20}).fits
