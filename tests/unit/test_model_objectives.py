"""What networks of the zoo are trained for besides labels: images, a critic, patches; and tables of bits."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import datasets
from neurodeploy.datasets import DataSet
from neurodeploy.datasets._types import array_split
from neurodeploy.sources import zoo
from tests.fast import fast
from tests.later import Later, torch

train, lut, layers = (Later(name, zoo.submodule) for name in ("train", "lut", "layers"))

#: arguments that make each of them tiny
TINY: dict[str, dict[str, Any]] = {
    "digits-cfin": {"dim": 8, "depth": 1, "heads": 2},
    "digits-strans": {"dims": [8, 8, 8], "heads": 2},
    "digits-vit-pretrained": {"dim": 8, "depth": 1, "heads": 2},
    "documentation-text": {"dim": 8, "depth": 1, "heads": 2},
    "digits-quweit": {"dim": 8, "depth": 1, "heads": 2, "tables": [8], "bits": 3},
}
#: those that learn without labels before
PRETRAINED = ("digits-vit-pretrained", "documentation-text")


@pytest.fixture(autouse=True)
def _one_thread_and_seed() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


def few(spec: str) -> DataSet:
    """32 training samples of a data set, with their truth where they have one."""
    data = datasets.load(spec)
    split = array_split(data.train_x[:32], data.train_y[:32])
    return replace(data, train=replace(split, truth=data.train.truth))


def tiny(name: str, **changes: object) -> zoo.ZooEntry:
    entry = zoo.entry(name)
    model = entry.model.model_copy(update={"arguments": {**entry.model.arguments, **TINY[name]}})
    plan = {"epochs": 2, "warmup_epochs": 0, "batch": 16, **changes}
    return entry.model_copy(update={"model": model, "train": entry.train.model_copy(update=plan)})


def finished(run: Any) -> dict[str, torch.Tensor]:
    while run.state.epoch < run.epochs:
        run.epoch()
    return run.averaged().state_dict()


@pytest.mark.parametrize("name", fast(TINY, "digits-cfin", "digits-vit-pretrained"))
def test_a_training_that_stopped_ends_with_the_same_weights(name: str, tmp_path: Path) -> None:
    """After every epoch, also that with which pre-training ends; critic and decoder are kept too."""
    entry = tiny(name, **({"pretrain_epochs": 2} if name in PRETRAINED else {}))
    data = few(entry.dataset)
    straight = finished(train.Run(entry, data, tmp_path / "a"))
    for _ in range(4 if name in PRETRAINED else 2):
        run = train.Run(entry, data, tmp_path / "b")
        run.resume()
        run.epoch()
    again = run.averaged().state_dict()
    assert run.state.epoch == run.epochs and straight.keys() == again.keys()
    assert all(torch.equal(straight[key], again[key]) for key in straight)


@pytest.mark.parametrize("name", fast(PRETRAINED, "digits-vit-pretrained"))
def test_pretraining_learns_to_give_tokens_back(name: str, tmp_path: Path) -> None:
    data, lines = few(zoo.entry(name).dataset), {}
    for objective in zoo.OBJECTIVES:
        changes = {"objective": objective, "pretrain_epochs": 12, "learning_rate": 1e-2, "average": 0.0}
        run = train.Run(tiny(name, **changes), data, tmp_path / objective)
        lines[objective] = [run.epoch() for _ in range(12)]
        assert lines[objective][-1]["loss"] < 0.75 * lines[objective][0]["loss"]
    assert len({line[0]["loss"] for line in lines.values()}) == 3


@pytest.mark.parametrize("name", PRETRAINED)
def test_tokens_are_cut_and_joined(name: str, tmp_path: Path) -> None:
    """And a decoder that gives back what was there is not blamed."""
    data = few(zoo.entry(name).dataset)
    objective = train.Run(tiny(name, pretrain_epochs=1), data, tmp_path).objective
    x = objective.seen(torch.from_numpy(data.train_x).float())
    rows = objective.rows(x)
    assert rows.shape == (32, {"digits": 16, "documentation-pages": 64}[data.name], objective.mask.numel())
    assert torch.equal(objective.whole(rows), x)
    losses, _ = objective.judged(rows * (1 if name.startswith("digits") else 50), rows)
    assert losses.shape[:2] == rows.shape[:2] and losses.max() < 1e-6


def test_images_are_judged_by_their_truth(tmp_path: Path) -> None:
    entry = tiny("digits-cfin")
    run = train.Run(entry, few("x2:digits"), tmp_path)
    data = replace(run.data, test=datasets.load("x2:digits").test)
    table, _ = train.judge(run.network.eval(), data, entry)
    with torch.no_grad():
        made = run.network(torch.from_numpy(data.test_x / 16).float()).numpy()
    error = ((made - datasets.load("digits").test_x / 16) ** 2).mean()
    assert table == {"tested": 360, "psnr_db": pytest.approx(-10 * np.log10(error), abs=0.01)}


def test_the_difference_of_a_table_is_that_of_its_formula() -> None:
    """Entry by entry, as the text has it."""
    bits = 3
    weight = lut.differences(bits)
    for place in range(bits):
        for address in range(8):
            for entry in range(8):
                apart = bin((address ^ entry) & ~(1 << place)).count("1")
                sign = 1 if entry >> place & 1 else -1
                assert float(weight[place, address, entry]) == pytest.approx(sign / (1 + apart))


def test_tables_learn_a_function_of_their_bits() -> None:
    """An exclusive or of three of eight bits, which no single sum of them is; and both forms give the same bits."""
    layer = lut.LutLayer(8, 24, 4)
    out = torch.nn.Linear(24, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *out.parameters()], 5e-2)
    x = torch.randint(0, 2, (256, 8)).float()
    wanted = (x[:, 0] + x[:, 3] + x[:, 5]) % 2
    for _ in range(150):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(out(layer(x))[:, 0], wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    trained = layer(x)
    assert torch.equal(layer.eval()(x), trained) and set(trained.unique().tolist()) == {0.0, 1.0}
    assert ((out(trained)[:, 0] > 0) == wanted.bool()).float().mean() > 0.9


def test_windows_hold_the_tokens_of_their_places() -> None:
    x = torch.rand(2, 12, 8, 8)
    windows = layers.as_windows(x, 3, 4)
    assert windows.shape == (2, 4, 3, 16, 4) and torch.equal(layers.from_windows(windows, 8), x)
    assert torch.equal(windows[:, 2, 2, 2 * 4 + 3, 1], x[:, 9, 6, 3])
