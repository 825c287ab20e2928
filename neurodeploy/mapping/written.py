"""A mapping as a mapping file, which gives the same mapping again (:mod:`.given`)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from textwrap import fill

from ..target import Target
from .given import COPIES, first_elements
from .groups import HOST
from .layouts.grid import parts_of
from .types import Mapping

FILE = "mapping.toml"
HEAD = """\
# How every layer is cut, and on which cores its tiles lie. Give it back, wholly or in part, with --mapping FILE;
# what is left out is found again. layout: parts per axis; cores: chip:core of each tile, in order of first elements.
# "host": a table of token ids that the host looks up.
# streams, or copies of a layer: on so many of it the tokens take turns, one after the other; stores: places for what
# is kept of them, which the samples of a pipeline use in turn.
"""
WIDTH = 118


def written(mapping: Mapping, target: Target) -> str:
    """The text of the file; without cores where there are not as many as the mapping needs."""
    places = _places(mapping, target) if len(mapping.cores) <= target.cores else {}
    said = {*mapping.notes.get("streams", ())}
    streams = f"streams = {said.pop()}\n" if len(said) == 1 else ""
    stores = f"stores = {mapping.notes['stores']}\n" if "stores" in mapping.notes else ""
    hosted = mapping.notes.get("hosted", ())
    layers = [g for g in mapping.groups if g.layout != HOST or g.name in hosted]
    tables = (_table(g.name, g.layout, places.get(g.name, ()), g.copies if said else 0) for g in layers)
    return "\n".join([HEAD + streams + stores, *tables])


def _places(mapping: Mapping, target: Target) -> dict[str, list[str]]:
    """Places of the tiles of every group, in order; the cores of a router are numbered in order of the mapping."""
    chip, taken = target.chip, Counter[tuple[int, int, int]]()
    found: dict[str, list[tuple[tuple[float, ...], str]]] = {}
    for core in mapping.cores:
        at = core.chip, core.x, core.y
        number = (core.y * chip.routers_x + core.x) * chip.cores_per_router + taken[at]
        taken[at] += 1
        for piece in core.pieces:
            pair = first_elements(piece.elements), f"{core.chip}:{number}"
            found.setdefault(piece.group, []).append(pair)
    return {name: [place for _, place in sorted(pairs)] for name, pairs in found.items()}


def _table(name: str, layout: str, cores: Sequence[str], copies: int) -> str:
    return "\n".join([f"[layer.{_text(name)}]", *_lines(layout, cores, copies)]) + "\n"


def _lines(layout: str, cores: Sequence[str], copies: int) -> Iterator[str]:
    parts = parts_of(layout)
    if parts and copies:
        parts[COPIES] = copies
    cut = ", ".join(f"{word} = {n if isinstance(n, int) else [*n]}" for word, n in (parts or {}).items())
    yield f"layout = {{ {cut} }}" if parts else f"layout = {_text(layout)}"
    if len(set(cores)) < len(cores):
        yield "shared = true  # some of its tiles are on one core"
    if cores:
        yield fill(f"cores = [{', '.join(map(_text, cores))}]", WIDTH, subsequent_indent=" " * 9)


def _text(text: str) -> str:
    """A TOML string: as in JSON, which allows one character more."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
