"""What a network is trained for: a batch of the training split in, a loss out. The data say which one it is.

Labels: cross entropy. A truth beside the images: their mean absolute difference (the loss of super-resolution).
Neither: the network is a generator, against a critic, with the hinge loss (Lim and Ye 2017).

Before that a network may learn without labels (``objective``; Liao et al., arXiv 2104.09694): a share of the tokens,
patches of an image or characters of a text, is changed, and a linear layer behind the last norm has to give back what
they were: pixels by the squared error, characters by cross entropy. ``masked``: the chosen ones become a learned token,
the loss is theirs; ``random-replacement``: they become tokens of other samples of the batch; ``all-outputs``: so too,
and all tokens are in the loss.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from neurodeploy import datasets
from neurodeploy.encoders import ENCODERS
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.sources import zoo

from .augment import augment

#: share of the tokens that pre-training changes
CHANGED = 0.4
CRITIC_RATE = 5e-4


def network_input(pixels: Tensor, entry: zoo.ZooEntry) -> Tensor:
    """Pixels (B, C, H, W) as the network sees them: scaled and shifted per channel."""
    axes = (-1,) + (1,) * (len(entry.input.shape) - 1)
    scale, offset = (
        torch.tensor(v, dtype=pixels.dtype, device=pixels.device).view(axes)
        for v in (entry.input.scale, entry.input.offset)
    )
    return pixels * scale + offset


def encoded(x: Tensor, entry: zoo.ZooEntry) -> Tensor:
    """Images 0 .. 1 as a frame for each tick (B, T, C, H, W), by the encoder that a build puts before the network."""
    full, levels = 1.0, round(1 / min(entry.input.scale))
    name, params = ENCODERS[entry.input.encoder].neuron(full, levels, entry.timesteps)
    model, still, frames = NEURONS[name], x.cpu().numpy(), []
    state = [np.zeros_like(still) for _ in model.state]
    for _ in range(entry.timesteps):
        out, *state = model.float_step(still, *state, *(params[p] for p in model.float_params))
        frames.append(torch.from_numpy(np.asarray(out, dtype=np.float32)))
    return torch.stack(frames, 1).to(x.device)


def logits(network: nn.Module, x: Tensor, entry: zoo.ZooEntry) -> Tensor:
    """The answers (N, K).

    One for each image: that of the network, or the mean or last one over the ticks of a spiking one; or one for each
    token of sequences (B, T, V), in this order.
    """
    if entry.kind == "ann":
        return network(x)
    if entry.kind == "sequence":
        return zoo.submodule("sequences").run(network, x.transpose(0, 1)).transpose(0, 1).flatten(0, 1)
    x = encoded(x, entry) if entry.input.encoder else x
    ticks = zoo.submodule("spiking").run(network, x, entry.timesteps)
    return ticks.mean(0) if entry.readout == "mean" else ticks[-1]


def wanted(pixels: np.ndarray, labels: np.ndarray, entry: zoo.ZooEntry) -> np.ndarray:
    """The class that each of :func:`answers` should have: the label, or the token that follows."""
    return datasets.following(pixels, labels).ravel() if entry.kind == "sequence" else labels


class Objective:
    """One way to train: pixels as the network sees them, and the loss of what it makes of them.

    ``betas``: how long the optimizer remembers gradients and their squares.
    """

    betas = (0.9, 0.999)

    def __init__(self, entry: zoo.ZooEntry, data: datasets.DataSet, device: str) -> None:
        self.entry, self.plan, self.data, self.device = entry, entry.train, data, device

    def changed(self, pixels: Tensor) -> Tensor:
        """Images (B, C, H, W) of whole levels after the plan's small random changes; texts as they are."""
        plan, pixels = self.plan, pixels.float()
        if len(self.data.shape) < 3:
            return pixels
        changes = plan.shift, plan.rotate, plan.zoom, plan.noise, plan.flip, plan.crop
        # the frames of a sample change alike
        return augment(pixels.flatten(1, -3), self.data.levels, *changes).view_as(pixels)

    def seen(self, pixels: Tensor) -> Tensor:
        """Pixels as the network sees them."""
        return network_input(pixels.to(self.device), self.entry)

    def answer(self, network: nn.Module, x: Tensor) -> Tensor:
        """What the network makes of them."""
        return logits(network, x, self.entry)

    def loss(self, network: nn.Module, pixels: Tensor, picked: Tensor) -> tuple[Tensor, float]:
        """The loss of samples ``picked`` of the fitted part, and a score that is summed over samples."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def state(self) -> dict[str, Any]:
        """What belongs into a checkpoint besides the network."""
        return {}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state`."""

    def parameters(self) -> list[nn.Parameter]:
        """What is learned together with the network, and thrown away behind it."""
        return []


class Classes(Objective):
    """Cross entropy; the score is how many are right."""

    score = "train_accuracy"

    def __init__(self, *given: Any, labels: Tensor) -> None:
        super().__init__(*given)
        self.labels = labels

    def loss(self, network: nn.Module, pixels: Tensor, picked: Tensor) -> tuple[Tensor, float]:
        """Of images after small changes, or of texts."""
        labels, x = self.labels[picked], self.changed(pixels[picked])
        if self.entry.kind == "sequence":
            labels = torch.from_numpy(wanted(x.numpy(), labels.numpy(), self.entry))
        labels = labels.to(self.device)
        out = self.answer(network, self.seen(x))
        loss = functional.cross_entropy(out, labels, label_smoothing=self.plan.label_smoothing)
        return loss, int((out.argmax(1) == labels).sum()) * len(picked) / len(labels)


class Images(Objective):
    """Mean absolute difference from the whole image; the score is the squared one."""

    score = "train_squared_error"

    def __init__(self, *given: Any, truth: Tensor) -> None:
        super().__init__(*given)
        self.truth = truth

    def loss(self, network: nn.Module, pixels: Tensor, picked: Tensor) -> tuple[Tensor, float]:
        """The whole images are changed, then halved as the data set does it."""
        whole = self.changed(self.truth[picked])
        half = (functional.avg_pool2d(whole, 2) + 0.5).floor()
        out, wanted = self.answer(network, self.seen(half)), (whole / self.data.levels).to(self.device)
        return functional.l1_loss(out, wanted), float(((out - wanted) ** 2).mean((1, 2, 3)).sum())


class Generator(Objective):
    """Images that a critic takes for real ones of ``plan.real``; the score is the critic's hinge loss."""

    score = "critic_loss"
    betas = (0.0, 0.99)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        real = datasets.load(self.plan.real)
        self.levels, arguments = real.levels, self.entry.model.arguments
        size = 4 * 2 ** (len(arguments["dims"]) - 1)
        images = torch.from_numpy(real.train_x).float()
        self.real = functional.interpolate(images, size=size, mode="bilinear", align_corners=False)
        self.critic = zoo.submodule("strans").Critic(arguments["channels"], size).to(self.device)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), CRITIC_RATE, betas=self.betas)

    def loss(self, network: nn.Module, pixels: Tensor, picked: Tensor) -> tuple[Tensor, float]:
        """One step of the critic, then the generator's loss."""
        rows = torch.randint(len(self.real), (len(picked),))
        real = (self.real[rows] * (2 / self.levels) - 1).to(self.device)
        made = self.answer(network, self.seen(pixels[picked].float()))
        hinge = (
            functional.relu(1 - self.critic(real)).mean()
            + functional.relu(1 + self.critic(made.detach())).mean()
        )
        self.optimizer.zero_grad()
        hinge.backward()
        self.optimizer.step()
        return -self.critic(made).mean(), float(hinge) * len(picked)

    def state(self) -> dict[str, Any]:
        """The critic."""
        return {"critic": self.critic.state_dict(), "optimizer": self.optimizer.state_dict()}

    def resume(self, state: dict[str, Any]) -> None:
        """The critic."""
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])


class Tokens(Objective):
    """Tokens given back; what these are, classes of this one say. ``blank``: a learned token begins as this."""

    blank: float

    def __init__(self, *given: Any, network: nn.Module, size: int) -> None:
        super().__init__(*given)
        self.decoder = nn.Linear(network.norm.normalized_shape[0], size).to(self.device)
        self.mask = nn.Parameter(torch.full((size,), self.blank, device=self.device))

    def rows(self, x: Tensor) -> Tensor:
        """The tokens (B, N, S) of what a network sees."""
        raise TypeError(f"{type(self).__name__} has no tokens")

    def whole(self, rows: Tensor) -> Tensor:
        """What a network sees, of tokens."""
        raise TypeError(f"{type(self).__name__} has no tokens")

    def judged(self, given: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each number or token that is given back, and its score."""
        raise TypeError(f"{type(self).__name__} has no loss")

    def loss(self, network: nn.Module, pixels: Tensor, picked: Tensor) -> tuple[Tensor, float]:
        """Of the tokens behind the last norm, without a class token; the score is of those that were changed."""
        rows = self.rows(self.seen(self.changed(pixels[picked])))
        chosen = torch.rand(rows.shape[:2]).to(self.device) < CHANGED
        others = rows[torch.randperm(len(rows))][:, torch.randperm(rows.shape[1])]
        new = self.mask.expand_as(rows) if self.plan.objective == "masked" else others
        tokens: list[Tensor] = []
        hook = network.norm.register_forward_hook(lambda module, args, out: tokens.append(out))
        self.answer(network, self.whole(torch.where(chosen[..., None], new, rows)))
        hook.remove()
        losses, scores = self.judged(self.decoder(tokens[0][:, -rows.shape[1] :]), rows)
        loss = losses.mean() if self.plan.objective == "all-outputs" else losses[chosen].mean()
        return loss, float(scores[chosen].mean()) * len(picked)

    def parameters(self) -> list[nn.Parameter]:
        """The layer that gives tokens back, and the learned one."""
        return [*self.decoder.parameters(), self.mask]

    def state(self) -> dict[str, Any]:
        """These parameters."""
        return {"decoder": self.decoder.state_dict(), "mask": self.mask.detach()}

    def resume(self, state: dict[str, Any]) -> None:
        """These parameters."""
        self.decoder.load_state_dict(state["decoder"])
        self.mask.data.copy_(state["mask"])


class Patches(Tokens):
    """Patches of images; the score is the squared error."""

    score, blank = "train_squared_error", 0.5

    def __init__(self, *given: Any, network: nn.Module) -> None:
        entry, data, _ = given
        self.patch = entry.model.arguments["patch"]
        super().__init__(*given, network=network, size=data.shape[0] * self.patch**2)

    def rows(self, x: Tensor) -> Tensor:
        """The pixels of each patch."""
        return functional.unfold(x, self.patch, stride=self.patch).transpose(1, 2)

    def whole(self, rows: Tensor) -> Tensor:
        """The image."""
        return functional.fold(rows.transpose(1, 2), self.data.shape[-2:], self.patch, stride=self.patch)

    def judged(self, given: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Squared differences."""
        error = (given - rows) ** 2
        return error, error


class Characters(Tokens):
    """Characters of texts (B, N, V), one line for each of the alphabet; the score is the share given back."""

    score, blank = "train_given_back", 0.0

    def __init__(self, *given: Any, network: nn.Module) -> None:
        _, data, _ = given
        super().__init__(*given, network=network, size=data.shape[-1])

    def rows(self, x: Tensor) -> Tensor:
        """They are there already."""
        return x

    def whole(self, rows: Tensor) -> Tensor:
        """The text is its characters."""
        return rows

    def judged(self, given: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy, and which are right."""
        classes, wanted = given.transpose(1, 2), rows.argmax(-1)
        return functional.cross_entropy(classes, wanted, reduction="none"), (
            given.argmax(-1) == wanted
        ).float()


def objective(
    entry: zoo.ZooEntry, data: datasets.DataSet, device: str, network: nn.Module, fit: Any, pretraining: bool
) -> Objective:
    """That of the data, or of pre-training."""
    given = entry, data, device
    if pretraining:
        return (Patches if len(data.shape) == 3 else Characters)(*given, network=network)
    if data.train.truth is not None:
        return Images(*given, truth=torch.from_numpy(data.train.truth(fit)))
    if data.labelled:
        return Classes(*given, labels=torch.from_numpy(data.train_y[fit]))
    return Generator(*given)
