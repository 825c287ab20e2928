"""What a user says about the mapping: layouts and cores of layers, read from a mapping file, checked, and applied.

    [layer."blocks.0.mlp.fc1"]
    layout = { tokens = 4, channels = 2 }  # parts per axis; an axis that is not named is not cut
    layout = { channels = 2, copies = 4 }  # or: on 4 copies of the layer tokens take turns
    layout = "host"                        # or, of a table of token ids: the host looks it up (:mod:`.hosting`)
    cores = ["0:12", "0:13", ...]          # chip:core of each tile, in order of their first elements

    streams = 2                            # first, before all layers: copies of all that say nothing; 0: none
    stores = 2                             # places for what is kept of tokens in turn, for samples that overlap

A name is that of a layer (its ``group`` in layers.csv) or a shell wildcard; later rules win, key by key. What no rule
says is found as ever. Cores of a chip are numbered router by router, neighbours first along x. A core may appear in
several layers, which then share it, as far as its limits allow; twice in one layer only if that says
``shared = true``.
"""

from __future__ import annotations

import fnmatch
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from ..array import Array
from ..config import read_toml
from ..errors import Problem, UsageError, unknown_name
from ..ir.graph import STORES
from ..ir.trace import Router
from ..target import Target
from .groups import Population
from .layouts._base import Partition, Wanted
from .repeats import Cutter
from .tiling import Tiling
from .types import Piece

MOST = 100  # problems that are told of one file
MOST_RULES = 1 << 14
MOST_PARTS = 1 << 40  # no axis is as long
MOST_TILES = 1 << 16  # of all layers whose layout is given, or as many as there are cores
SHOWN = 3  # entries that one message names
CORE = re.compile(r"(\d{1,9}):(\d{1,9})", re.ASCII)
KEYS = ("layout", "cores", "shared")
COPIES = "copies"  # what stands beside the parts of a layout

Place = tuple[int, int]  # chip, and core on it


@dataclass(frozen=True)
class Rule:
    """What is said about a layer; None where nothing is."""

    layout: Wanted | None = None
    cores: tuple[Place, ...] | None = None
    shared: bool | None = None
    copies: int | None = None

    def then(self, later: Rule) -> Rule:
        """This rule, as far as a later one says nothing else."""
        said = {key: value for key in (*KEYS, COPIES) if (value := getattr(later, key)) is not None}
        return replace(self, **said)


@dataclass(frozen=True)
class Given:
    """The rules of a mapping file, by the names or wildcards of layers; none where there is no file.

    ``streams``: copies of each layer that take the tokens in turn, 0: all tokens in space, None: not said.
    ``stores``: places for what is kept of tokens that take turns, None: not said.
    """

    file: str = ""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    streams: int | None = None
    stores: int | None = None

    @property
    def sha256(self) -> str | None:
        """Of what is said, whatever the spelling; None where there is no file."""
        whole = (("streams", self.streams), ("stores", self.stores))
        said = [*self.rules.items(), *(pair for pair in whole if pair[1] is not None)]
        return hashlib.sha256(repr(said).encode()).hexdigest() if self.file else None

    def where(self, layer: str, key: str = "") -> str:
        """How messages name a place in the file."""
        return f"{self.file}: layer.{layer!r}" + (f".{key}" if key else "")


# --- read --------------------------------------------------------------------------------------------------------


def read(file: str | Path | None) -> Given:
    """The rules of a mapping file, which is data and nothing else.

    Raises UsageError with all that is wrong whatever the network: ND521 what is no mapping file, ND523 parts that are
    no numbers, ND524 cores that are no places or that one layer names twice.
    """
    if file is None:
        return Given()
    tables = read_toml(Path(file), "ND521", "mapping")
    if problems := list(islice(_problems(Given(str(file)), tables), MOST)):
        raise UsageError(problems)
    rules = {name: _rule(**said) for name, said in tables.get("layer", {}).items()}
    return Given(str(file), rules, tables.get("streams"), tables.get("stores"))


def _problems(given: Given, tables: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the tables of a mapping file."""
    for key in tables.keys() - {"layer", "streams", "stores"}:
        yield unknown_name("ND521", "key", key, ("layer", "streams", "stores"), f"{given.file}: {key}")
    streams = tables.get("streams", 0)
    if type(streams) is not int or not 0 <= streams < MOST_RULES:
        yield _wrong(f"{given.file}: streams", streams, "a number of copies, 0 for none")
    stores = tables.get("stores", 1)
    if type(stores) is not int or stores not in STORES:
        yield _wrong(f"{given.file}: stores", stores, "1, or 2 where samples take turns in what is kept")
    layers = tables.get("layer", {})
    if not isinstance(layers, dict):
        yield _wrong(f"{given.file}: layer", layers, "tables [layer.NAME]")
    elif len(layers) > MOST_RULES:
        yield _wrong(f"{given.file}: layer", layers, f"at most {MOST_RULES} layers")
    else:
        for name, said in layers.items():
            yield from _rule_problems(given, name, said)


def _rule_problems(given: Given, name: str, said: Any) -> Iterator[Problem]:
    if not isinstance(said, dict):
        yield _wrong(given.where(name), said, "a table of layout and cores")
        return
    for key in said.keys() - {*KEYS}:
        yield unknown_name("ND521", "key", key, KEYS, given.where(name, key))
    layout, cores, shared = (said.get(key) for key in KEYS)
    yield from _layout_problems(given.where(name, "layout"), layout)
    yield from _core_problems(given.where(name, "cores"), cores, shared is True)
    if not isinstance(shared, bool | None):
        yield _wrong(given.where(name, "shared"), shared, "true or false")


def _rule(layout: Any = None, cores: Sequence[str] | None = None, shared: bool | None = None) -> Rule:
    """A table in which nothing is wrong."""
    places = None if cores is None else tuple(_place(core) for core in cores)
    copies = None
    if isinstance(layout, dict):
        copies = layout.get(COPIES)
        parts = {word: n for word, n in layout.items() if word != COPIES}
        layout = tuple((word, tuple(n) if isinstance(n, list) else n) for word, n in parts.items())
    return Rule(layout if layout or copies is None else None, places, shared, copies)


def _layout_problems(where: str, layout: Any) -> Iterator[Problem]:
    if not isinstance(layout, dict | str | None):
        yield _wrong(where, layout, "parts per axis, such as { tokens = 4 }, or a label of layers.csv")
    for word, parts in layout.items() if isinstance(layout, dict) else ():
        wrong = [
            n
            for n in (parts if isinstance(parts, list) else [parts])
            if type(n) is not int or not 1 <= n < MOST_PARTS
        ]
        wrong += [parts] if word == COPIES and isinstance(parts, list) else []
        if wrong or parts == []:
            found, limit = (
                _shown(wrong[0] if wrong else parts),
                "a whole number from 1, or a list of such sizes",
            )
            yield Problem("ND523", "no number of parts", f"{where}.{word}", found, limit)


def _core_problems(where: str, cores: Any, shared: bool) -> Iterator[Problem]:
    if cores is None:
        return
    if not isinstance(cores, list):
        yield _wrong(where, cores, 'a list of places such as "0:12"')
        return
    bad = [core for core in cores if not (isinstance(core, str) and CORE.fullmatch(core))]
    if bad:
        limit = 'chip:core, such as "0:12"'
        yield Problem("ND524", "not the place of a core", where, ", ".join(map(_shown, bad[:SHOWN])), limit)
    often = [core for core, n in Counter(core for core in cores if isinstance(core, str)).items() if n > 1]
    if often and not shared:
        cause, fixes = "a core is given twice to one layer", ("shared = true, if its tiles are to share it",)
        yield Problem("ND524", cause, where, ", ".join(often[:SHOWN]), "each core once", fixes)


def _place(core: str) -> Place:
    chip, _, number = core.partition(":")
    return int(chip), int(number)


def _wrong(where: str, found: Any, limit: str) -> Problem:
    return Problem("ND521", "a value of the mapping file is not usable", where, _shown(found), limit)


def _shown(value: Any) -> str:
    """A value of a file, in short; numbers that are too long to be spelled too."""
    if isinstance(value, int) and value.bit_length() > 64:
        return f"a number of {value.bit_length()} bits"
    return repr(value)[:80] if isinstance(value, str | int | float) else f"a {type(value).__name__}"


# --- check -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Decided:
    """Tilings of the groups whose layout is given, and cores for the tiles of some of them."""

    tilings: Mapping[str, Tiling]
    cores: Mapping[str, Sequence[Place]]

    def places(self, pieces: Sequence[Piece]) -> dict[int, Place]:
        """The cores that are given, by the index of their piece."""
        of_layer: dict[str, list[int]] = {}
        for index, piece in enumerate(pieces):
            of_layer.setdefault(piece.group, []).append(index)
        found: dict[int, Place] = {}
        for name, cores in self.cores.items():
            ordered = sorted(of_layer[name], key=lambda i: first_elements(pieces[i].elements))
            found.update(zip(ordered, cores, strict=True))
        return found


def first_elements(elements: Mapping[str, Array]) -> tuple[float, ...]:
    """What orders the pieces of a group, also where nothing but the mapping is known."""
    return tuple(float(found[0]) if len(found) else float("inf") for _, found in sorted(elements.items()))


def decided(given: Given, groups: Sequence[Population], cutter: Cutter) -> Decided:
    """What is given about the groups of a network; UsageError with every wish that its target or layers cannot grant.

    ND522: names that are none, ND523: impossible cuts, ND524: cores that there are not, or not as many as tiles.
    """
    if not given.rules:
        return Decided({}, {})
    layers = {group.name: group for group in groups if not group.on_host}
    problems = list(islice(_unmatched(given, layers), MOST))
    rules, parts = of_layers(given, layers), dict[str, Partition]()
    for name, rule in rules.items():
        found, wrong = _partition(given.where(name, "layout"), layers[name], rule.layout, cutter)
        problems += [*wrong, *_misplaced(given.where(name, "cores"), rule, found, cutter.target)]
        if found is not None:
            parts[name] = found
    problems += [*_too_many(given, parts, cutter.target), *_crowded(given, rules, cutter.target)]
    if problems:
        raise UsageError(problems[:MOST])
    wanted = {name: wish for name in parts if (wish := rules[name].layout) is not None}
    tilings = {name: cutter.given(layers[name], wish, parts[name]) for name, wish in wanted.items()}
    return Decided(tilings, {name: cores for name in parts if (cores := rules[name].cores) is not None})


def _partition(
    where: str, group: Population, wanted: Wanted | None, cutter: Cutter
) -> tuple[Partition | None, list[Problem]]:
    """The partition that is wanted of a layer, or why there is none such."""
    try:
        found = None if wanted is None else cutter.partition(group, wanted)
    except UsageError as error:
        return None, [replace(p, where=f"{where}.{p.where}" if p.where else where) for p in error.problems]
    if found is None and wanted is not None:
        limit = "parts per axis, such as { tokens = 4 }, or a label of a layout"
        return None, [Problem("ND522", "unknown layout", where, _shown(wanted), limit)]
    return found, []


def matching(pattern: str, layers: Collection[str]) -> list[str]:
    """The layers that a rule is about: that of the name, which is no wildcard then, or those of a wildcard."""
    return [pattern] if pattern in layers else [name for name in layers if fnmatch.fnmatchcase(name, pattern)]


def of_layers(given: Given, layers: Collection[str]) -> dict[str, Rule]:
    """What all rules together say about each layer."""
    found = dict.fromkeys(layers, Rule())
    for pattern, rule in given.rules.items():
        for name in matching(pattern, layers):
            found[name] = found[name].then(rule)
    return found


def _unmatched(given: Given, layers: Mapping[str, Population]) -> Iterator[Problem]:
    """Rules that no layer matches, with the nearest names, or the layer that a node lives in."""
    owner = {node: group.name for group in layers.values() for node in group.names}
    for pattern in given.rules:
        if not matching(pattern, layers):
            problem = unknown_name("ND522", "layer", pattern, layers, given.where(pattern))
            lives = (f"it is part of layer {owner[pattern]!r}",) if pattern in owner else ()
            yield replace(problem, fixes=lives or problem.fixes)


def _misplaced(where: str, rule: Rule, partition: Partition | None, target: Target) -> Iterator[Problem]:
    if rule.cores is None:
        return
    cores, room = rule.cores, mesh_room(target)
    if rule.layout is None:
        cause, fixes = "cores are given for a layer whose layout is left open", ("give its layout too",)
        yield Problem("ND524", cause, where, f"{len(cores)} cores", "a layout", fixes)
    elif partition is not None and partition.count != len(cores):
        limit = f"{partition.count} tiles of {partition.label}"
        yield Problem("ND524", "not as many cores as tiles", where, f"{len(cores)} cores", limit)
    outside = [core for core in cores if core[0] >= target.chips or core[1] >= room]
    if outside:
        limit = f"chips 0 .. {target.chips - 1}, cores 0 .. {room - 1} of {target.name}"
        shown = ", ".join(f"{chip}:{number}" for chip, number in outside[:SHOWN])
        chips = max(chip for chip, _ in outside) + 1
        enough = target.limits.chips.allows(chips) and all(number < room for _, number in outside)
        more = (f"--chips {chips}",) if enough else ()
        yield Problem("ND524", "cores that the target does not have", where, shown, limit, more)


def _too_many(given: Given, parts: Mapping[str, Partition], target: Target) -> Iterator[Problem]:
    """Before memory is taken for tiles."""
    tiles, most = sum(partition.count for partition in parts.values()), max(MOST_TILES, target.cores)
    if tiles > most:
        yield Problem(
            "ND523", "more tiles than any target has cores", given.file, f"{tiles} tiles", str(most)
        )


def _crowded(given: Given, rules: Mapping[str, Rule], target: Target) -> Iterator[Problem]:
    """A mesh may have room for more cores than a network may use."""
    used = Counter(chip for chip, _ in {core for rule in rules.values() for core in rule.cores or ()})
    for chip, count in used.items():
        if target.chip.cores_per_chip < count <= mesh_room(target):
            limit = f"{target.chip.cores_per_chip} (chip.cores_per_chip)"
            yield Problem(
                "ND524", f"more cores than chip {chip} may use", given.file, f"{count} cores", limit
            )


# --- places ------------------------------------------------------------------------------------------------------


def mesh_room(target: Target) -> int:
    """Numbers that cores of one chip can have."""
    return target.chip.routers_x * target.chip.routers_y * target.chip.cores_per_router


def router(place: Place, target: Target) -> Router:
    """The router of a core."""
    return Router(place[0], *target.chip.router(place[1]))
