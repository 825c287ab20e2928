"""``ecmt``'s preset ``released`` against a second writing of the released code, in torch, on a network of the zoo.

The second one has nothing of the graph: its neurons walk down the levels one by one, its products are the three of the
released code, its calibration hooks a whole forward pass, in float32 and in batches of 64 as there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from neurodeploy.builds.converted import convert
from neurodeploy.builds.imported import import_model
from neurodeploy.config import BuildConfig
from neurodeploy.ir import interp
from neurodeploy.sources import zoo
from tests.later import functional, torch

See = Callable[[str, Any], Any]
#: place of a neuron in the released code -> the node that it stands behind
NODES = {
    "fc_qkv": "norm1", "q": "attn.qkv.0", "k": "attn.qkv.1", "v": "attn.qkv.2", "s": "attn.softmax",
    "fc_out": "attn.product_2", "fc1": "norm2", "fc2": "mlp.act",
}  # fmt: skip


class Neuron:
    """One spike per tick of one of 8 levels a sign, the largest that the membrane reaches."""

    def __init__(self, positive: float, negative: float) -> None:
        self.bases, self.membrane = (positive, negative), 0.0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.membrane = self.membrane + x
        sent, free = torch.zeros_like(x), torch.ones_like(x, dtype=torch.bool)
        for level in reversed(range(8)):
            for sign, base in zip((1, -1), self.bases, strict=True):
                fires = free & (sign * self.membrane - base * 2**level + base / 2 >= 0)
                sent[fires], free = sign * base * 2**level, free & ~fires
        self.membrane = self.membrane - sent
        return sent


class Expected:
    """A function of the mean so far, of which every tick sends what the ticks before it did not."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self.function, self.sum, self.ticks = function, 0.0, 0

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        before = self.function(self.sum / self.ticks) * self.ticks if self.ticks else 0.0
        self.sum, self.ticks = self.sum + x, self.ticks + 1
        return self.function(self.sum / self.ticks) * self.ticks - before


class ExpectedProduct:
    """The same of a product of two means, by three products per tick."""

    def __init__(self) -> None:
        self.a: Any = None
        self.ticks = 0

    def __call__(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        self.ticks += 1
        if self.ticks == 1:
            self.a, self.b, self.total = a, b, a @ b
            return a @ b
        self.total = self.total + a @ b + a @ self.b + self.a @ b
        self.a, self.b, t = self.a + a, self.b + b, self.ticks
        return (a @ self.b + self.a @ b - a @ b) / (t - 1) - self.total / (t * (t - 1))


class Released:
    """A ViT of the zoo from its state dict; ``at`` is what stands at a site, ``made`` at an operator or a product."""

    def __init__(self, network: Any) -> None:
        self.network, self.w = network, {k: v.detach() for k, v in network.state_dict().items()}
        self.bases: dict[str, tuple[float, float]] = {}
        self.parts: dict[str, Any] = {}

    def reset(self) -> None:
        self.parts = {}

    def neuron(self, site: str, x: torch.Tensor) -> torch.Tensor:
        found = self.parts.setdefault(site, Neuron(*self.bases[site]))
        return found(x)

    def operator(self, name: str, function: Any, x: torch.Tensor) -> torch.Tensor:
        return self.parts.setdefault(name, Expected(function))(x)

    def product(self, name: str, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return self.parts.setdefault(name, ExpectedProduct())(a, b)

    def dense(self, name: str, x: torch.Tensor) -> torch.Tensor:
        return functional.linear(x, self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def norm(self, name: str, x: torch.Tensor) -> torch.Tensor:
        w = self.w
        function = lambda y: functional.layer_norm(
            y, y.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], 1e-6
        )
        return self.operator(name, function, x)

    def tick(self, x: torch.Tensor, at: See) -> torch.Tensor:
        """Logits of one tick."""
        x = functional.conv2d(
            x, self.w["patch.weight"], self.w["patch.bias"], stride=self.network.patch.stride
        )
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat((self.w["cls_token"].expand(len(x), -1, -1), x), 1) + self.w["pos_embed"]
        for i, block in enumerate(self.network.blocks):
            x = self.block(f"blocks.{i}", block.attn.heads, x, at)
        return self.dense("head", self.norm("norm", x)[:, 0])

    def block(self, b: str, heads: int, x: torch.Tensor, at: See) -> torch.Tensor:
        a = at(f"{b}.fc_qkv", self.norm(f"{b}.norm1", x))
        batch, tokens, dim = a.shape
        q, k, v = (
            self.dense(f"{b}.attn.qkv", a)
            .reshape(batch, tokens, 3, heads, dim // heads)
            .permute(2, 0, 3, 1, 4)
        )
        q, k, v = at(f"{b}.q", q), at(f"{b}.k", k), at(f"{b}.v", v)
        scores = self.product(f"{b}.qk", q, k.transpose(-2, -1)) * (dim // heads) ** -0.5
        weights = at(f"{b}.s", self.operator(f"{b}.softmax", lambda y: y.softmax(-1), scores))
        mix = self.product(f"{b}.pv", weights, v).transpose(1, 2).reshape(batch, tokens, dim)
        x = x + self.dense(f"{b}.attn.proj", at(f"{b}.fc_out", mix))
        hidden = self.dense(f"{b}.mlp.fc1", at(f"{b}.fc1", self.norm(f"{b}.norm2", x)))
        hidden = self.operator(f"{b}.gelu", functional.gelu, hidden)
        return x + self.dense(f"{b}.mlp.fc2", at(f"{b}.fc2", hidden))

    def calibrate(self, batches: Any) -> None:
        """99 % and 1 % order statistics of every site, averaged over batches; softmax and GELU have fixed ones."""
        seen: dict[str, list[tuple[float, float]]] = {}

        def look(site: str, x: torch.Tensor) -> torch.Tensor:
            flat = x.reshape(-1)
            ends = [torch.kthvalue(flat, int(p * flat.numel())).values.item() for p in (0.99, 1 - 0.99)]
            seen.setdefault(site, []).append((ends[0], -ends[1]))
            return x

        for batch in batches:
            self.reset()
            self.tick(batch, look)
        fixed = {"s": (0.0125, 0.0125), "fc2": (0.25, 0.08)}
        means = {site: np.mean(rows, 0) for site, rows in seen.items()}
        self.bases = {
            s: fixed.get(s.rpartition(".")[2], (float(m[0]), float(m[1]))) for s, m in means.items()
        }

    def logits(self, x: torch.Tensor, ticks: int) -> list[torch.Tensor]:
        """Sums of logits after each tick."""
        self.reset()
        sums, total = [], torch.zeros(1)
        for _ in range(ticks):
            total = total + self.tick(x, self.neuron)
            sums.append(total)
        return sums


@pytest.mark.parametrize(
    ("calib", "tested", "ticks"), [(64, 40, 3), pytest.param(256, 0, 8, marks=pytest.mark.slow)]
)
def test_released_is_the_released_code(calib: int, tested: int, ticks: int) -> None:
    """Correct answers differ by no more than two at any tick; 0 images: the whole test split."""
    asked = BuildConfig(
        model="digits-vit", target="loihi-sim", convert={"preset": "released"}, timesteps=ticks, calib=calib
    )
    imported = import_model(asked)
    spiking = convert(imported).graph
    assert spiking is not None
    x, labels = imported.stimulus.measurement(tested)
    ours = [out.argmax(-1) for out in interp.run(spiking, x).outputs]

    second = Released(zoo.load("digits-vit"))
    levels = lambda raw: torch.tensor(raw * 0.0625, dtype=torch.float32)
    with torch.no_grad():
        second.calibrate(levels(imported.stimulus.calibration(calib)).split(64))
        theirs = [out.argmax(-1).numpy() for out in second.logits(levels(x), ticks)]
    for site, (positive, negative) in second.bases.items():
        block, _, place = site.rpartition(".")
        params = spiking.nodes[f"{block}.{NODES[place]}.mt"].params
        np.testing.assert_allclose((params["base_p"], params["base_n"]), (positive, negative), 1e-4)
    right = [[int((answers == labels).sum()) for answers in table] for table in (ours, theirs)]
    assert all(abs(a - b) <= 2 for a, b in zip(*right, strict=True)), right
