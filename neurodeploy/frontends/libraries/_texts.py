"""What a text model of Hugging Face does with tokens, found by running it, and the module that asks it for one tensor.

Class names and types do not tell whether a token sees later ones, whether padding can be hidden, or where positions
begin: the same class is an encoder or a decoder by its settings. So the model is run on a few texts.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import ImportModelError, Problem, first_line
from ..input_spec import InputSpec
from . import _outputs
from ._base import Built
from ._outputs import ReadOut, Results

#: where a folder of sentence-transformers says what it makes of the vectors of the tokens
POOLING = Path("1_Pooling") / "config.json"
#: its keys, and what they mean
POOLS = {
    "pooling_mode_cls_token": "first",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_lasttoken": "last",
}
#: what a token's score exceeds that of the one before by, so that a softmax of integers sees the last alone
NEARER = 32.0
#: largest difference, of the largest value, between what counts as the same: sums may be taken in another order
NEAR = 1e-5


def network(model: Any, options: Any, name: str, tokenised: bool, decoder: bool, where: str) -> Built:
    """The model behind a module that maps the ids of a text to one tensor.

    ``tokenised``: a tokenizer is known, so that padding is hidden where the model can. ``decoder``: its head is for
    the next token. ImportModelError ND137 where it does not run on such texts, ND138 where they are too long, ND139
    where nothing is padding, ND179 for a result that it does not yield, ND180 where padding cannot be hidden.
    """
    config, length = model.config, options.tokens
    pad = config.pad_token_id if config.pad_token_id is not None else config.eos_token_id
    pad = pad if isinstance(pad, int) else None
    _require_short(config, length, where)
    try:
        example = _drawn(_rows(model), length, pad)
        known, results = habits(model, length, pad), _outputs.results(model, {"input_ids": example}, where)
    except ImportModelError:
        raise
    except Exception as error:  # whatever the library says
        cause, found = "the model does not run on token ids alone", first_line(error)
        problem = Problem("ND137", cause, where, found, f"texts of {length} tokens")
        raise ImportModelError(problem) from error
    hiding = known.causal or known.hides
    mask = tokenised and hiding if options.mask is None else options.mask
    if mask:
        _require_hiding(hiding, pad, where)
    read = _read_out(results, options.output, decoder and known.causal, name)
    shown = pad if mask else None
    wrapper = module(model, read, shown, length, known)
    own = reference(model, wrapper, read, shown)
    return Built(wrapper, InputSpec((length,), tokens=True), inside="model", reference=own)


def _require_short(config: Any, length: int, where: str) -> None:
    """ND138 for more tokens than the model has positions."""
    most = getattr(config, "max_position_embeddings", None)
    if isinstance(most, int) and 0 < most < length:
        cause, fix = "a text of this length does not fit the model", "choose another: --set reader.tokens=N"
        raise ImportModelError(Problem("ND138", cause, where, f"{length} tokens", f"at most {most}", (fix,)))


def _require_hiding(hiding: bool, pad: int | None, where: str) -> None:
    """ND139 where no token is padding, ND180 where the model's attention cannot hide it."""
    fix = "texts of one length: --set reader.mask=false"
    if pad is None:
        cause, found = "the model has no token for padding", "neither pad_token_id nor eos_token_id"
        raise ImportModelError(Problem("ND139", cause, where, found, "one of them", (fix,)))
    if not hiding:
        cause = "the model cannot hide padding: tokens behind an attention mask change what it makes of the others"
        raise ImportModelError(Problem("ND180", cause, where, "mask = true", "", (fix,)))


def _read_out(results: Results, wanted: str, decoder: bool, name: str) -> ReadOut:
    """``auto``: logits, a decoder's at the last token, else what the folder says of itself, else the mean."""
    if wanted != "auto":
        return results.asked(wanted)
    if results.of("logits"):
        return results.read("logits", "last" if decoder else "whole")
    if results.axes == 2:  # a network that yields what stands for the whole text, and no more
        return results.read(results.tokens)
    return results.asked(_own_pool(Path(name) / POOLING) or "mean")


def _own_pool(file: Path) -> str:
    """What a folder of sentence-transformers makes of its tokens, empty if it says nothing; ND179 for another pool."""
    if not file.is_file():
        return ""
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        chosen = [key for key, value in said.items() if key.startswith("pooling_mode_") and value is True]
    except (ValueError, AttributeError, OSError, RecursionError) as error:
        chosen = [first_line(error)]
    if len(chosen) != 1 or chosen[0] not in POOLS:
        cause, limit = "the folder asks for a pooling that is not known", ", ".join(POOLS)
        fixes = ("choose one: --set reader.output=mean",)
        raise ImportModelError(Problem("ND179", cause, str(file), ", ".join(chosen) or "none", limit, fixes))
    return POOLS[chosen[0]]


def _rows(model: Any) -> int:
    """Number of token ids."""
    return int(model.get_input_embeddings().weight.shape[0])


# --- habits ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Habits:
    """What a model does: no token sees a later one (``causal``), an attention mask hides tokens from all that it shows
    (``hides``), and the position of the first token, where the model would count it from the ids."""

    causal: bool
    hides: bool
    first: int = 0


def habits(model: Any, length: int, pad: int | None) -> Habits:
    """Those of a model in evaluation mode on texts of ``length`` tokens; what it raises passes through.

    A network of which an output belongs to several tokens is not causal, and hides nothing.
    """
    import torch

    base = model.base_model
    takes = inspect.signature(base.forward).parameters
    ids = _drawn(_rows(model), length, pad)

    def run(given: Any, **more: Any) -> Any:
        with torch.no_grad():
            return base(input_ids=given, return_dict=True, **more)[0]

    own = run(ids)
    by_token = own.ndim == 3 and own.shape[:2] == ids.shape
    return Habits(
        by_token and _causal(run, ids, own),
        by_token and "attention_mask" in takes and _hides(run, ids),
        _first(run, ids, own, pad) if "position_ids" in takes else 0,
    )


def _drawn(rows: int, length: int, pad: int | None, seed: int = 0) -> Any:
    """Two texts of random ids, none of which is padding."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, rows, (2, length), generator=generator)
    return torch.where(ids == pad, (ids + 1) % rows, ids) if pad is not None else ids


def _changed(ids: Any, start: int) -> Any:
    """The same texts up to token ``start``, others from there on: every token moves to another text."""
    other = ids.clone()
    other[:, start:] = ids.flip(0).roll(1, 1)[:, start:]
    return other


def _causal(run: Callable[..., Any], ids: Any, own: Any) -> bool:
    """Whether what comes later changes nothing, seen from the first token, the middle and the last but one."""
    length = ids.shape[1]
    starts = {1, (length + 1) // 2, length - 1} - {0, length}
    return all(same(run(_changed(ids, n))[:, :n], own[:, :n]) for n in starts)


def _hides(run: Callable[..., Any], ids: Any) -> bool:
    """Whether tokens behind an attention mask change nothing before it."""
    import torch

    shown = max(1, ids.shape[1] // 2)
    mask = (torch.arange(ids.shape[1]) < shown).to(ids.dtype).expand(ids.shape)
    seen = [run(given, attention_mask=mask)[:, :shown] for given in (ids, _changed(ids, shown))]
    return same(*seen)


def _first(run: Callable[..., Any], ids: Any, own: Any, pad: int | None) -> int:
    """Where positions begin if the model counts them from behind its padding index, as RoBERTa does; else 0."""
    import torch

    if pad is None:
        return 0
    place = torch.arange(ids.shape[1])[None].expand(ids.shape)
    try:
        usual, behind = (run(ids, position_ids=place + start) for start in (0, pad + 1))
    except (IndexError, RuntimeError):  # there are no such positions
        return 0
    return pad + 1 if same(behind, own) and not same(usual, own) else 0


def same(a: Any, b: Any) -> bool:
    """Whether two results differ by no more than the order of sums."""
    return bool((a - b).abs().max() <= NEAR * b.abs().max().clamp(min=1e-30))


# --- one tensor --------------------------------------------------------------------------------------------------


def pooled(y: Any, pool: str) -> Any:
    """What of the tokens (B, N, C) is read, all of which count; ``whole`` is what it is."""
    if pool == "mean":
        return y.mean(1)
    if pool == "first":
        return y[:, 0]
    return y[:, -1] if pool == "last" else y


def shown_of(y: Any, pool: str, *, shown: Any) -> Any:
    """The same where those count that are ``shown`` (B, N), in operators that a graph has."""
    import torch

    if pool not in ("mean", "last"):
        return pooled(y, pool)
    share = (shown.to(y.dtype) - 1.0) * torch.finfo(y.dtype).max
    if pool == "last":
        share = share + shown.to(y.dtype) * (NEARER * torch.arange(y.shape[1]))
    return (share.softmax(-1)[:, None] @ y)[:, 0]


def module(model: Any, read: ReadOut, pad: int | None, length: int, known: Habits) -> Any:
    """The network as a graph is made of it: ids (B, N) to what is read of the model.

    Tokens ``pad``, where given, are hidden; where no token sees a later one they are so anyway.
    """
    import torch
    from torch import Tensor, nn

    positions = torch.arange(known.first, known.first + length)[None] if known.first else None

    class Text(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.register_buffer("positions", positions)

        def forward(self, ids: Tensor) -> Tensor:
            given: dict[str, Any] = {"input_ids": ids}
            shown = None if pad is None else ids != pad
            if shown is not None and not known.causal:
                given["attention_mask"] = shown.to(ids.dtype)
            if self.positions is not None:
                given["position_ids"] = self.positions.expand(ids.shape[0], -1)
            found = self.model(**given, return_dict=False)
            return read.listed(found, pooled if shown is None else partial(shown_of, shown=shown))

    return Text().eval()


def reference(model: Any, wrapper: Any, read: ReadOut, pad: int | None) -> Callable[[Any], Any]:
    """The library's own call with its attention mask: ids (B, N) to what is read, text by text.

    The ``wrapper`` itself answers for what the library promises nothing about: vectors of hidden tokens, and texts in
    which padding stands before a token.
    """
    import torch

    def call(ids: Any) -> Any:
        shown = torch.ones_like(ids, dtype=torch.bool) if pad is None else ids != pad
        given = {} if pad is None else {"attention_mask": shown.to(ids.dtype)}
        last = shown.sum(1).clamp(min=1) - 1
        promised = shown[:, 0] & (shown.cumprod(1) == shown).all(1)

        def own(y: Any, pool: str) -> Any:
            if pool == "mean":
                return torch.stack([row[: int(n) + 1].mean(0) for row, n in zip(y, last, strict=True)])
            return y if pool == "whole" else y[torch.arange(len(y)), last if pool == "last" else 0]

        y = read.named(model(input_ids=ids, return_dict=True, **given), own)
        keep = promised.view(-1, *(1,) * (y.ndim - 1))
        by_token = read.beside and y.shape[1] == ids.shape[1] * (1 + len(read.beside))
        if by_token:  # a number for each token, of several results
            keep = keep & shown.repeat(1, 1 + len(read.beside))
        if y.shape[:2] == ids.shape and y.ndim == 3:
            keep = keep & shown[..., None]
        return y if keep.all() else torch.where(keep, y, wrapper(ids))

    return call
