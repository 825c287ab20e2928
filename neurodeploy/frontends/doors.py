"""A module of several inputs or results as one that takes an image or a text, and returns one tensor.

Beside token ids libraries and their users hand over what follows from these: an attention mask, token types, positions.
Each is made of the ids inside, where the module's forward has it by one of these names. Of several results those that
are named are read; the module itself, called as its author calls it, is what the import is compared with.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ImportModelError, Problem

#: name of an input -> what it is of ids (B, N) and of the token that fills texts up, None: no token does
Made = Callable[[Any, "int | None"], Any]


def mask(ids: Any, padding: int | None) -> Any:
    """One where a token counts."""
    import torch

    return torch.ones_like(ids) if padding is None else (ids != padding).to(ids.dtype)


def types(ids: Any, padding: int | None) -> Any:
    """All tokens are of the first type."""
    import torch

    return torch.zeros_like(ids)


def positions(ids: Any, padding: int | None) -> Any:
    """Places from 0 on."""
    import torch

    return torch.arange(ids.shape[1])[None].expand(ids.shape[0], -1)


MADE: Mapping[str, Made] = {
    "attention_mask": mask,
    "mask": mask,
    "token_type_ids": types,
    "position_ids": positions,
}


@dataclass(frozen=True)
class Door:
    """How a program is asked: ``padding`` of the mask of its ids, the results ``wanted``, its ``inputs`` by name."""

    padding: int | None = None
    wanted: tuple[str, ...] = ()
    inputs: tuple[str, ...] = ()

    def roles(self, own: Sequence[str]) -> list[str]:
        """The names of the inputs, in order; those that the program has itself unless others are given."""
        return list(self.inputs) if len(self.inputs) == len(own) else list(own)


#: one input, of which one result is read
PLAIN = Door()

#: the attribute that holds the user's module
INSIDE = "module"


def opened(module: Any, tokens: bool, padding: int | None, wanted: str, where: str) -> Any:
    """The module behind one of one input and one result; itself where it is one already.

    ``padding`` is the token of which an attention mask is made, ``wanted`` the results by name or number, with commas
    between. ImportModelError ND134 for an input that nothing says, ND179 for a result that the module does not yield.
    """
    more, names = (_more(module, padding, where) if tokens else ()), listed(wanted)
    return _one(module, more, padding, names, where) if more or names else module


def listed(wanted: str) -> list[str]:
    """Names between commas."""
    return [name.strip() for name in wanted.split(",") if name.strip()]


def _more(module: Any, padding: int | None, where: str) -> tuple[str, ...]:
    """The inputs behind the first that a module needs, or can take where texts are filled up."""
    parameters = list(inspect.signature(module.forward).parameters.values())[1:]
    usual = [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    needed = [p.name for p in usual if p.default is p.empty]
    if unknown := [name for name in needed if name not in MADE]:
        cause, limit = "the model takes several inputs", f"beside ids {', '.join(MADE)}"
        fix = "wrap the model in a module that makes the other inputs itself"
        raise ImportModelError(Problem("ND134", cause, where, ", ".join(unknown), limit, (fix,)))
    masks = [p.name for p in usual if padding is not None and MADE.get(p.name) is mask]
    return tuple(dict.fromkeys((*needed, *masks)))


def _one(module: Any, more: Sequence[str], padding: int | None, wanted: Sequence[str], where: str) -> Any:
    from torch import Tensor, nn

    class One(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: Tensor) -> Any:
            made = {name: MADE[name](x, padding) for name in more}
            return chosen(self.module(x, **made), wanted, where)

    return One().eval()


def chosen(found: Any, wanted: Sequence[str], where: str) -> Any:
    """What of a tuple, a dictionary or a record is named; of several each flat, one behind the other, (B, ...)."""
    import torch

    if not wanted:
        return found
    parts = [_part(found, name, where) for name in wanted]
    return torch.cat([part.flatten(1) for part in parts], 1) if len(parts) > 1 else parts[0]


def _part(found: Any, name: str, where: str) -> Any:
    import torch

    named, row = isinstance(found, Mapping), isinstance(found, (tuple, list))
    fields = list(found) if named else list(getattr(found, "_fields", ())) if row else []
    part = None
    if name in fields:
        part = found[name] if named else found[fields.index(name)]
    elif row and name.isdecimal() and int(name) < len(found):
        part = found[int(name)]
    if isinstance(part, torch.Tensor):
        return part
    cause, fix = (
        "the model does not yield what is to be read of it",
        "name one of these: --set reader.output=NAME",
    )
    limit = ", ".join([*fields, *map(str, range(len(found) if row else 0))]) or type(found).__name__
    raise ImportModelError(Problem("ND179", cause, where, name, limit, (fix,)))
