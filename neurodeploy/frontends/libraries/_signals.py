"""Audio encoders of Hugging Face, by the signal or the features that they take, and the module that a graph is of.

What makes features of sound is no network: they are prepared outside. Levels 0 .. 255 enter as -1 .. 1 unless the user
says what they are worth.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...errors import ImportModelError, Problem
from .. import _torch
from ..input_spec import InputSpec
from . import _images, _outputs
from ._base import Built
from ._outputs import EMBEDDINGS, ReadOut
from ._texts import pooled

#: what the library calls inputs that are neither pixels nor ids
INPUTS = ("input_values", "input_features")
REMARK = "features: levels 0 .. 255 enter as -1 .. 1; --set scale and --set offset say otherwise"


def network(model: Any, options: Any, where: str) -> Built:
    """The encoder behind a module that maps one signal to one tensor: logits, what stands for all of it, or the mean.

    ImportModelError ND103 or ND130 where it does not run, ND178 where nothing says how long signals are, ND179 for a
    result that it does not yield.
    """
    import torch

    model = model.get_encoder() if model.config.is_encoder_decoder else model
    shape = _shape(model.config, options, where)
    example = torch.zeros(_torch.BATCH, *shape)
    try:
        results = _outputs.results(model, {model.main_input_name: example}, where)
    except ImportModelError:
        raise
    except Exception as error:  # whatever the library says
        raise ImportModelError(_torch.does_not_run(error, where, example)) from error
    read = _read_out(results, options.output)
    spec = InputSpec(shape, 2 / _images.TOP, -1.0)
    return Built(_module(model, read), spec, "model", reference=_reference(model, read), remarks=(REMARK,))


def _shape(config: Any, options: Any, where: str) -> tuple[int, ...]:
    """(samples,) of a waveform, or frames of features in the order of the model; ND178 where their number is open."""
    bins, length = getattr(config, "num_mel_bins", None), options.length
    if hasattr(config, "max_source_positions") and bins:
        return bins, length or 2 * config.max_source_positions
    if bins:
        return length or config.max_length, bins
    if length is None:
        cause, fix = "nothing says how long the signals of the model are", "say it: --set reader.length=16000"
        raise ImportModelError(
            Problem("ND178", cause, where, "nothing", "a number of samples or frames", (fix,))
        )
    features = getattr(config, "feature_projection_input_dim", None)
    return (length, features) if features else (length,)


def _read_out(results: _outputs.Results, wanted: str) -> ReadOut:
    """``auto``: logits, else what stands for a whole signal, else the mean of the frames."""
    name = results.of("logits", *EMBEDDINGS) if wanted == "auto" else ""
    return results.read(name) if name else results.asked("mean" if wanted == "auto" else wanted)


def _module(model: Any, read: ReadOut) -> Any:
    """The network as a graph is made of it: signals (B, ...) to what is read."""
    from torch import Tensor, nn

    class Signal(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            return read.listed(self.model(x, return_dict=False), pooled)

    return Signal().eval()


def _reference(model: Any, read: ReadOut) -> Callable[[Any], Any]:
    """The library's own call: signals (B, ...) to what is read."""

    def call(x: Any) -> Any:
        return read.named(model(**{model.main_input_name: x}, return_dict=True), pooled)

    return call
