"""Trains one model of the zoo: ``python models/train.py digits-vit``, or a system of it on other data.

Everything that decides the weights stands in ``models/<name>.toml``: module, arguments, data set, seed and
hyper-parameters. The run writes weights where that file says, and a log (``.log.json``) beside them, and fills the
``[weights]`` table of the TOML file. The random state is a function of (seed, epoch), so a run that was
interrupted with Ctrl-C goes on from its last whole epoch and ends with the same weights. The test split is read
once, after the last epoch.

What the loss is, the data say, and ``--objective`` lets a network first learn without labels: see ``objectives.py``.

``python models/train.py spikformer --data my.npz`` first writes ``models/spikformer-my.toml``: the network and plan of
``digits-spikformer`` with the channels, classes and sizes of the data. That file is the user's to edit.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from neurodeploy import datasets
from neurodeploy.config import resolve
from neurodeploy.errors import (
    ImportModelError,
    NeurodeployError,
    Problem,
    UsageError,
    first_line,
    unknown_name,
)
from neurodeploy.frontends import tensors
from neurodeploy.sources import zoo

objectives = zoo.submodule("objectives")
network_input, encoded, logits = objectives.network_input, objectives.encoded, objectives.logits
wanted = objectives.wanted

INTERRUPTED = 130
#: Images per step of an evaluation: bounds memory, changes nothing else.
CHUNK = 512
#: Training images that choose the steps of quantisers.
CALIBRATION = 256


@dataclass
class State:
    """What a checkpoint holds: a run continues from it as if it had never stopped."""

    fingerprint: str
    epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    model: dict[str, Tensor] = field(default_factory=dict)
    average: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)


def fingerprint(entry: zoo.ZooEntry, data: datasets.DataSet) -> str:
    """A hash of all that decides the weights: a checkpoint of anything else is not continued."""
    parts = entry.model_dump(include={"name", "kind", "timesteps", "readout", "model", "input", "train"})
    if entry.train.start:
        parts["start"] = zoo.entry(entry.train.start).weights.sha256
    return hashlib.sha256(json.dumps([parts, data.hash], sort_keys=True).encode()).hexdigest()


@torch.no_grad()
def answers(network: nn.Module, pixels: np.ndarray, entry: zoo.ZooEntry, device: str = "cpu") -> Tensor:
    """The logits of each image (N, C, H, W), or of each token of each sequence (N, T, V), in the network's type."""
    network.eval()
    kind = next(network.parameters()).dtype
    chunks = (torch.from_numpy(pixels[i : i + CHUNK]).to(device, kind) for i in range(0, len(pixels), CHUNK))
    return torch.cat([logits(network, network_input(chunk, entry), entry).cpu() for chunk in chunks])


def predict(network: nn.Module, pixels: np.ndarray, entry: zoo.ZooEntry, device: str = "cpu") -> np.ndarray:
    """The class of each image or token, the lowest one of several equal."""
    return answers(network, pixels, entry, device).argmax(1).numpy()


def held_out(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions (fit, validation) of the training split: a seeded draw of ``share`` of the images."""
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    count = round(share * len(labels))
    return np.sort(order[count:]), np.sort(order[:count])


def parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels alone: gains, biases and embeddings of one row stay free of it."""
    decayed = [p for p in network.parameters() if p.ndim > 1]
    free = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]


def learning_rate(plan: zoo.TrainTable, position: float) -> float:
    """Linear warm-up, then half a cosine to zero; ``position`` counts epochs with a fraction.

    Pre-training and what comes behind it have one each.
    """
    epochs = plan.epochs if position > plan.pretrain_epochs else plan.pretrain_epochs
    position -= plan.pretrain_epochs if position > plan.pretrain_epochs else 0
    if position < plan.warmup_epochs:
        return plan.learning_rate * position / plan.warmup_epochs
    done = (position - plan.warmup_epochs) / max(1, epochs - plan.warmup_epochs)
    return plan.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def begin(entry: zoo.ZooEntry, data: datasets.DataSet) -> nn.Module:
    """The network that training starts with: fresh, or with another model's weights, and with quantisers set.

    Raises ImportModelError ND193 where those weights do not fit.
    """
    network, plan, quantiser = zoo.build(entry), entry.train, zoo.submodule("quantiser")
    if plan.start:
        source = zoo.entry(plan.start)
        own = {
            f"{name}.{key}": value
            for name, module in network.named_modules()
            if isinstance(module, quantiser.Quantiser)
            for key, value in module.state_dict().items()
        }
        zoo.fill(network, {**zoo.load(plan.start).state_dict(), **own}, source.weights_path)
    if plan.levels:
        fit, _ = held_out(data.train_y, plan.validation, plan.seed)
        run = lambda: predict(network, data.train_x[fit[:CALIBRATION]], entry)
        quantiser.initialise(network, run, plan.levels, plan.init)
    return network


class Run:
    """One training: network, optimizer and the state that goes to the checkpoint after each epoch."""

    def __init__(
        self, entry: zoo.ZooEntry, data: datasets.DataSet, folder: Path, device: str = "cpu"
    ) -> None:
        self.entry, self.plan, self.data, self.device = entry, entry.train, data, device
        self.checkpoint = folder / f"{entry.name}.pt"
        torch.manual_seed(self.plan.seed)
        layout = torch.channels_last if self.plan.channels_last else torch.contiguous_format
        self.network = begin(entry, data).to(device, memory_format=layout)
        self.fit, self.validation = held_out(data.train_y, self.plan.validation, self.plan.seed)
        self.pixels = torch.from_numpy(data.train_x[self.fit])
        self.state = State(fingerprint(entry, data))
        self._aim()

    def _aim(self) -> None:
        """What the next epochs are for, with an optimizer of its own."""
        pretraining = self.state.epoch < self.plan.pretrain_epochs
        self.objective = objectives.objective(
            self.entry, self.data, self.device, self.network, self.fit, pretraining
        )
        groups = parameter_groups(self.network, self.plan.weight_decay)
        groups[1]["params"] += self.objective.parameters()
        self.optimizer = torch.optim.AdamW(groups, betas=self.objective.betas)

    @property
    def epochs(self) -> int:
        """Those of both parts."""
        return self.plan.pretrain_epochs + self.plan.epochs

    @property
    def entry_of_epoch(self) -> zoo.ZooEntry:
        """The model as this epoch sees it: with one tick where the plan begins so.

        One tick costs a T-th and teaches most of what T ticks need (Chowdhury et al., arXiv 2110.05929, the other way
        round); the last epochs, at all ticks, teach the neurons' leak and the statistics of the norms.
        """
        one = self.state.epoch - self.plan.pretrain_epochs < self.plan.one_tick_epochs
        return self.entry.model_copy(update={"timesteps": 1}) if one else self.entry

    def resume(self) -> bool:
        """Continue from the checkpoint if there is one of this very training; True when it did."""
        if not self.checkpoint.is_file():
            return False
        saved = tensors.read(self.checkpoint)
        if saved["fingerprint"] != self.state.fingerprint:
            return False
        saved["average"] = {name: value.to(self.device) for name, value in saved["average"].items()}
        self.state = State(**saved)
        self.network.load_state_dict(self.state.model)
        self._aim()
        if self.state.epoch != self.plan.pretrain_epochs:  # there the second part begins afresh
            self.optimizer.load_state_dict(self.state.optimizer)
            self.objective.resume(self.state.objective)
        return True

    def save(self) -> None:
        """Write the checkpoint beside its place and rename it: it is whole or absent."""
        self.state.model, self.state.optimizer = self.network.state_dict(), self.optimizer.state_dict()
        self.state.objective = self.objective.state()
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        partial = self.checkpoint.with_suffix(".partial")
        torch.save({key: getattr(self.state, key) for key in State.__dataclass_fields__}, partial)
        os.replace(partial, self.checkpoint)

    def epoch(self) -> dict[str, float]:
        """Train one epoch and write the checkpoint; returns its line of the log."""
        started = time.perf_counter()
        # Dropout, augmentation and order depend on (seed, epoch) alone: resuming cannot change them.
        torch.manual_seed(self.plan.seed * 1_000_003 + self.state.epoch + 1)
        self.objective.entry = self.entry_of_epoch
        line = self._train()
        if len(self.validation) and self.data.labelled:
            line["validation_accuracy"] = self._validate()
        self.state.epoch += 1
        self.state.seconds += time.perf_counter() - started
        self.state.history.append(line)
        if self.state.epoch == self.plan.pretrain_epochs:
            self.network, self.state.average = self.averaged(), {}
            self._aim()
        self.save()
        return line

    def _train(self) -> dict[str, float]:
        self.network.train()
        batches = torch.randperm(len(self.pixels)).split(self.plan.batch)
        loss, score = 0.0, 0.0
        for index, picked in enumerate(batches):
            rate = learning_rate(self.plan, self.state.epoch + (index + 1) / len(batches))
            batch_loss, batch_score = self._step(picked, rate)
            loss, score = loss + batch_loss * len(picked), score + batch_score
        count = len(self.pixels)
        return {"epoch": self.state.epoch + 1, "loss": loss / count, self.objective.score: score / count}

    def _step(self, picked: Tensor, rate: float) -> tuple[float, float]:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.plan.bfloat16):
            loss, score = self.objective.loss(self.network, self.pixels, picked)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.plan.clip_norm)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self._follow()
        return loss.item(), score

    def _follow(self) -> None:
        """Move the average of the weights (and of the batch norm statistics) towards the present ones."""
        current = {k: v for k, v in self.network.state_dict().items() if v.is_floating_point()}
        if not self.state.average or not self.plan.average:
            self.state.average = {k: v.detach().clone() for k, v in current.items()}
            return
        for key, value in current.items():
            self.state.average[key].lerp_(value, 1 - self.plan.average)

    def averaged(self) -> nn.Module:
        """A network with the averaged weights: what is evaluated and saved."""
        network = zoo.build(self.entry).to(self.device)
        network.load_state_dict({**self.network.state_dict(), **self.state.average})
        return network.eval()

    def _validate(self) -> float:
        random_state = torch.get_rng_state()
        pixels, labels = self.data.train_x[self.validation], self.data.train_y[self.validation]
        found = predict(self.averaged(), pixels, self.entry_of_epoch, self.device)
        torch.set_rng_state(random_state)
        return float((found == wanted(pixels, labels, self.entry)).mean())


def versions() -> dict[str, str]:
    """The software that the weights depend on."""
    return {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}


def one_line_each(log: dict[str, Any]) -> str:
    """JSON with one line per key, and one per epoch: short to read and to compare."""
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in log.items() if key != "epochs"]
    epochs = ",\n".join(f"  {json.dumps(line)}" for line in log["epochs"])
    return "{\n" + ",\n".join([*lines, f' "epochs": [\n{epochs}\n ]']) + "\n}\n"


def judge(
    network: nn.Module, data: datasets.DataSet, entry: zoo.ZooEntry
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the test split says, for the ``[weights]`` table, and for the log alone: which answers are wrong.

    In double precision, as source graphs are run: in single a voltage may miss a threshold by its last bit.
    """
    network = copy.deepcopy(network).double()
    if data.test.truth is not None:
        squares = (
            answers(network, data.test_x, entry).numpy()
            - data.test.truth(np.arange(len(data.test))) / data.levels
        ) ** 2
        return {"tested": len(data.test), "psnr_db": round(-10 * math.log10(squares.mean()), 2)}, {}
    if not data.labelled:
        return {"tested": len(data.test)}, {}
    out = answers(network, data.test_x, entry)
    found, right = out.argmax(1).numpy(), wanted(data.test_x, data.test_y, entry)
    correct, tested = int((found == right).sum()), len(found)
    table = {"accuracy": round(correct / tested, 4), "correct": correct, "tested": tested}
    if entry.kind == "sequence":
        bits = functional.cross_entropy(out, torch.from_numpy(right)).item() / math.log(2)
        return {**table, "bits": round(bits, 4)}, {}
    return table, {"wrong": np.flatnonzero(found != right).tolist()}


def write_results(run: Run, models: Path) -> dict[str, Any]:
    """Test the averaged network once and write weights (where the entry says) and log; the ``[weights]`` table."""
    network = run.averaged().cpu()
    judged, wrong = judge(network, run.data, run.entry)
    name = run.entry.weights.file or f"weights/{run.entry.name}.safetensors"
    file = models / name
    file.parent.mkdir(parents=True, exist_ok=True)
    content = save({k: v.contiguous() for k, v in network.state_dict().items()})
    file.write_bytes(content)
    table = {
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        **judged,
        "parameters": sum(p.numel() for p in network.parameters()),
    }
    log = log_of(run, {**table, **wrong})
    file.with_suffix(".log.json").write_text(one_line_each(log), encoding="utf-8")
    return table


def log_of(run: Run, test: dict[str, Any]) -> dict[str, Any]:
    """What the weights were made from, how each epoch went, and how they did on the test split."""
    return {
        "name": run.entry.name,
        "seed": run.plan.seed,
        "versions": versions(),
        "device": run.device,
        "threads": torch.get_num_threads(),
        "seconds": round(run.state.seconds, 1),
        "dataset": {"name": run.data.name, "hash": run.data.hash, "trained_on": len(run.pixels)},
        "model": run.entry.model.model_dump(),
        "train": run.plan.model_dump(),
        "test": test,
        "epochs": [{k: round(v, 5) for k, v in line.items()} for line in run.state.history],
    }


def record(path: Path, table: dict[str, Any], plan: Mapping[str, Any]) -> None:
    """Put the measured numbers, and what was asked on the command line, into the model's TOML file."""
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    document["weights"].update(table)
    if plan:
        document["train"].update(plan)
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def train(run: Run, console: Console) -> None:
    """Run the epochs that are left, with a progress bar on a terminal and a line for each elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console) as progress:
        task = progress.add_task(run.entry.name, total=run.epochs, completed=run.state.epoch, note="")
        while run.state.epoch < run.epochs:
            line = run.epoch()
            note = "  ".join(f"{key} {value:.4f}" for key, value in line.items() if key != "epoch")
            progress.update(task, advance=1, note=note)
            if not console.is_terminal:
                seconds = f"{run.state.seconds:.0f} s"
                print(f"epoch {run.state.epoch} of {run.epochs}  {note}  {seconds}", flush=True)


def adapted(system: str, spec: str, data: datasets.DataSet, loader: Mapping[str, Any]) -> str:
    """The model of a system for data of the user's own, as a new file of the zoo; the file stays if there is one.

    Raises UsageError ND908 for an unknown system, ImportModelError ND190 where the network cannot take such images.
    """
    name = f"{system}-{Path(spec).stem}"
    path = zoo.models_folder() / f"{name}.toml"
    if path.is_file():
        return name
    if f"digits-{system}" not in zoo.names():
        systems = [known.removeprefix("digits-") for known in zoo.names() if known.startswith("digits-")]
        raise UsageError(unknown_name("ND908", "model", system, [*zoo.names(), *systems]))
    template = f"digits-{system}.toml"
    described = tomlkit.parse((zoo.models_folder() / template).read_text(encoding="utf-8")).unwrap()
    described |= {"name": name, "title": f"{system} on {data.name}", "dataset": str(Path(spec).resolve())}
    arguments = described["model"]["arguments"]
    sizes = {"channels": data.shape[0], "classes": data.class_count}
    sizes |= {key: data.shape[-1] for key in ("size", "image_size") if key in arguments}
    arguments.update(sizes)
    described["input"] = {"shape": list(data.shape), "scale": 1 / data.levels, "offset": 0.0}
    described["input"]["frames"], described["loader"] = data.ticks > 0, dict(loader)
    if data.ticks:
        described["timesteps"] = data.ticks
    described["weights"] = {"file": f"weights/{name}.safetensors"}
    described["train"].pop("start", None)
    entry = zoo.ZooEntry.model_validate(described)
    try:
        predict(zoo.build(entry), data.train_x[:2], entry)
    except RuntimeError as error:
        cause, found = "the network cannot take such images", first_line(error)
        fix = f"write {path.name} yourself, after {template}, with arguments that fit"
        raise ImportModelError(Problem("ND190", cause, name, found, fixes=(fix,))) from error
    path.write_text(f"# Begun from {template}.\n{tomlkit.dumps(described)}", encoding="utf-8")
    return name


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Train one model of the zoo and write its weights.")
    parser.add_argument(
        "name", help="a model of the zoo, such as digits-vit; a system, such as spikformer, with --data"
    )
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--data", help="name or path of the data set, in place of the one in the model file")
    parser.add_argument(
        "--set", action="append", default=[], help="loader.KEY=VALUE, an option of the format of --data"
    )
    parser.add_argument(
        "--objective",
        choices=zoo.OBJECTIVES,
        help="first train without labels: tokens are masked or replaced, and given back",
    )
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoint and start at epoch 1")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Train, test, write; exit code 2 for a wrong name or file, 130 after Ctrl-C."""
    options, console = parse(arguments), Console()
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        loader = resolve(settings=options.set).loader
        given = datasets.load(options.data, loader) if options.data else None
        name = options.name
        if given is not None and name not in zoo.names():
            name = adapted(name, options.data, given, loader)
        entry = zoo.entry(name)
        asked = {"objective": options.objective} if options.objective else {}
        if asked and not entry.train.pretrain_epochs:
            asked["pretrain_epochs"] = entry.train.epochs
        entry = entry.model_copy(update={"train": entry.train.model_copy(update=asked)})
        run = Run(entry, given or zoo.dataset(name), zoo.models_folder() / "checkpoints", device)
        if not options.restart and run.resume():
            console.print(f"continuing after epoch {run.state.epoch} of {run.epochs}")
        train(run, console)
    except NeurodeployError as error:
        console.print(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on from the last whole epoch")
        return INTERRUPTED
    table = write_results(run, zoo.models_folder())
    record(zoo.models_folder() / f"{entry.name}.toml", table, asked)
    console.print(f"{entry.name}: {zoo.WeightsTable(**table).result}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
