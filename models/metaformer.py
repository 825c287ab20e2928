"""The skeleton of Spike-driven Transformer v2 and v3: two convolutional stages, a stage between, two of attention.

Five times a convolution that may halve the image, then blocks. The first three stages, at two of which the published
networks spell stage 1, hold convolutional blocks, the last two blocks with attention::

    u = BN(Conv(SN(u)))      no neuron before the first, which sees the image
    u = block(u)             as often as ``depths`` says
    logits = Linear(SN(mean over the image of u))

The shortcut carries membrane current through all of it.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .layers import conv_bn

#: how many of the five stages are convolutional
CONVOLUTIONAL = 3


class Pyramid(nn.Module):
    """One tick: image (B, C, H, W) to logits (B, K).

    ``widths``, ``strides`` and ``depths`` are those of the five stages; ``neuron`` makes SN, ``last`` the one before
    the head; ``convolve`` and ``attend`` make the blocks of a width.
    """

    def __init__(
        self,
        channels: int,
        classes: int,
        widths: tuple[int, ...],
        strides: tuple[int, ...],
        depths: tuple[int, ...],
        first_kernel: int,
        neuron: Callable[[], nn.Module],
        last: Callable[[], nn.Module],
        convolve: Callable[[int], nn.Module],
        attend: Callable[[int], nn.Module],
    ) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        before = channels
        for index, (width, stride, depth) in enumerate(zip(widths, strides, depths, strict=True)):
            if index:
                stages.append(neuron())
            stages.append(conv_bn(before, width, 3 if index else first_kernel, stride))
            block = convolve if index < CONVOLUTIONAL else attend
            stages += [block(width) for _ in range(depth)]
            before = width
        self.stages = nn.Sequential(*stages)
        self.head_sn, self.head = last(), nn.Linear(before, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of this tick, or of all ticks when the neurons run in multi-step mode."""
        return self.head(self.head_sn(self.stages(x).flatten(2).mean(-1)))
