"""Which of the results of a model of Hugging Face is read, and what of it, by what the model yields when it is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import ImportModelError, Problem

#: results that stand for a whole input, which a model that has them documents as its answer
EMBEDDINGS = ("image_embeds", "text_embeds", "pooler_output")


#: of the tokens (B, N, C) and what is to be made of them, what is read
Pooled = Callable[[Any, str], Any]


@dataclass(frozen=True)
class ReadOut:
    """Result ``name``, number ``place`` of the tuple of results, of which ``pool`` is read; ``whole``: all of it.

    The results ``beside`` it follow in the last axis of one tensor (B, ...), each flat.
    """

    name: str
    place: int
    pool: str = "whole"
    beside: tuple[ReadOut, ...] = ()

    def listed(self, found: Any, pooled: Pooled) -> Any:
        """What is read of the tuple of results."""
        return self._joined([pooled(found[one.place], one.pool) for one in (self, *self.beside)])

    def named(self, found: Any, pooled: Pooled) -> Any:
        """What is read of the results by name."""
        return self._joined([pooled(getattr(found, one.name), one.pool) for one in (self, *self.beside)])

    def _joined(self, parts: list[Any]) -> Any:
        import torch

        return torch.cat([part.flatten(1) for part in parts], 1) if self.beside else parts[0]


@dataclass(frozen=True)
class Results:
    """What a model yields: name -> (its place in the tuple of results, number of axes)."""

    where: str
    found: Mapping[str, tuple[int, int]]

    def read(self, name: str, pool: str = "whole") -> ReadOut:
        """That result."""
        return ReadOut(name, self.found[name][0], pool)

    @property
    def tokens(self) -> str:
        """The vectors of all tokens, or the logits where only these are to be had."""
        return "last_hidden_state" if "last_hidden_state" in self.found else next(iter(self.found))

    @property
    def axes(self) -> int:
        """Number of axes of the vectors of all tokens: (B, N, C), or (B, C, H, W)."""
        return self.found[self.tokens][1]

    def of(self, *names: str) -> str:
        """The first of these results that there is; empty if there is none."""
        return next((name for name in names if name in self.found), "")

    def asked(self, wanted: str) -> ReadOut:
        """What a user asks for by name, or by several with commas between; ND179 where the model does not yield it."""
        names = [name.strip() for name in wanted.split(",")]
        if all(name in self.found for name in names):
            first, *more = map(self.read, names)
            return replace(first, beside=tuple(more))
        if wanted == "tokens":
            return self.read(self.tokens)
        if wanted in ("logits", "pooled"):
            name = self.of("logits") if wanted == "logits" else self.of(*EMBEDDINGS)
            if name:
                return self.read(name)
        elif self.axes == 3 or (wanted == "mean" and self.axes == 4):
            return self.read(self.tokens, wanted)
        cause = "the model does not yield what is to be read of it"
        limit = ", ".join(f"{name} of {axes} axes" for name, (_, axes) in self.found.items())
        several = ",".join(list(self.found)[:2])
        fixes = (
            "leave out --set reader.output",
            "all that there is: --set reader.output=tokens",
            f"results by their names: --set reader.output={several}",
        )
        raise ImportModelError(Problem("ND179", cause, self.where, wanted, limit, fixes))


def results(model: Any, given: Mapping[str, Any], where: str) -> Results:
    """Those of a model in evaluation mode on an example; what it raises passes through."""
    import torch

    with torch.no_grad():
        named, listed = model(**given, return_dict=True), model(**given, return_dict=False)
    found = {
        name: (place, value.ndim)
        for name, value in named.items()
        if isinstance(value, torch.Tensor)
        for place, item in enumerate(listed)
        if isinstance(item, torch.Tensor) and item.shape == value.shape and torch.equal(item, value)
    }
    if not found:
        cause = "the model yields no tensor that could be read"
        raise ImportModelError(Problem("ND179", cause, where, ", ".join(named) or "nothing"))
    return Results(where, found)
