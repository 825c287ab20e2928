"""Units that are alike: what one instruction does, it does for all of their cores at once.

Units are of one kind where they run the same instructions on as many elements, at the same steps, with the same
parameters but for those of single elements.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ...array import Array
from ...image import HOST, CoreImage, Instruction, Unit
from .execute import local

Shown = list[
    list[Array | None]
]  # by turn and instruction the elements of its node (-1: none), None: does not run


@dataclass(frozen=True, eq=False)
class Kind:
    """Units that are alike: the numbers of their images, the units themselves, and what they show."""

    sites: tuple[int, ...]
    numbers: tuple[int, ...]
    units: tuple[Unit, ...]
    shown: tuple[Shown, ...]

    @property
    def places(self) -> Iterator[tuple[int, int]]:
        """(image, number of the unit) of each."""
        return zip(self.sites, self.numbers, strict=True)


def kinds(images: Sequence[CoreImage]) -> list[Kind]:
    """All units by kind; a core has no two units in one."""
    found: dict[object, list[tuple[int, int, Unit, Shown]]] = {}
    for site, image in enumerate(images):
        seen = Counter[object]()
        for number, unit in enumerate(image.units):
            shown = [list(_shown(image, unit, turn)) for turn in range(unit.turns)]
            key = _kind(image, unit, shown)
            found.setdefault((key, seen[key]), []).append((site, number, unit, shown))
            seen[key] += 1
    return [Kind(*zip(*members, strict=True)) for members in found.values()]


def _shown(image: CoreImage, unit: Unit, turn: int) -> Iterator[Array | None]:
    """Elements of its node that each instruction computes in a turn; None where it has none and does not run."""
    here: list[bool] = []
    for item in unit.program:
        flat, given = image.elements(item), [here[operand.source] for operand in item.operands]
        # What belongs to no node runs if any of its inputs does; what has one row, of the host, in every turn.
        if flat.ndim == 1:
            runs = any(given) or not given
        else:
            flat = flat[turn]
            runs = bool((flat >= 0).any() or not item.size)
        here.append(runs)
        yield flat if runs else None


def _kind(image: CoreImage, unit: Unit, shown: Shown) -> object:
    ports = list(dict.fromkeys(port for item in unit.program for port in item.ports))
    kept = [row[1:].tolist() for row in image.tables["kept"] if row[0] in ports]
    order = [ports.index(port) for item in unit.program for port in item.ports]
    silent = [[flat is None for flat in turn] for turn in shown]
    items = tuple(_alike(image, item) for item in unit.program)
    return image.chip == HOST, unit.depth, unit.turns, items, str((order, kept, silent))


def _alike(image: CoreImage, item: Instruction) -> object:
    """All of an instruction but where it finds its elements, and what holds for single ones."""
    numbers = tuple(sorted((k, v) for k, v in item.numbers.items() if k not in ("from", "kernel")))
    arrays = tuple(
        (name, array.shape, b"" if local(name, array.shape, item.size) else image.array(array).tobytes())
        for name, array in sorted(item.arrays.items())
        if not name.startswith("own")
    )
    sizes = item.size, item.state.size, item.probe.shape, tuple(image.port_size(p) for p in item.ports)
    sources = tuple(operand.source for operand in item.operands)
    return item.op, item.node, sizes, sources, numbers, tuple(sorted(item.texts.items())), arrays
