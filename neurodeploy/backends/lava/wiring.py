"""How values travel between processes: rearrangements that Lava does on the way, in virtual ports."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ...array import Array

#: ("reshape", sizes) or ("permute", axes)
Op = tuple[str, tuple[int, ...]]


def arranged(x: Array, ops: tuple[Op, ...]) -> Array:
    """An array after these rearrangements."""
    for op, args in ops:
        x = x.reshape(args) if op == "reshape" else x.transpose(args)
    return x


def simplified(shape: tuple[int, ...], ops: tuple[Op, ...]) -> tuple[Op, ...]:
    """The same rearrangement of an array of this shape without steps that undo each other."""
    found: list[Op] = []
    shapes = [shape]
    for op, args in ops:
        after = tuple(args) if op == "reshape" else tuple(shapes[-1][a] for a in args)
        if after == shapes[-1] and (op == "reshape" or args == tuple(range(len(args)))):
            continue
        if found and op == found[-1][0] == "reshape":
            found.pop()
            shapes.pop()
            if after == shapes[-1]:
                continue
        elif found and op == found[-1][0] == "permute":
            args = tuple(found[-1][1][a] for a in args)
            found.pop()
            shapes.pop()
            if args == tuple(range(len(args))):
                continue
        found.append((op, tuple(args)))
        shapes.append(after)
    return tuple(found)


@dataclass(frozen=True)
class Wire:
    """A connection: from which unit's out port, and rearranged how."""

    unit: str
    port: int
    ops: tuple[Op, ...] = ()

    def then(self, ops: tuple[Op, ...]) -> Wire:
        """The same with further rearrangements."""
        return replace(self, ops=(*self.ops, *ops))
