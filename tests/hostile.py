"""Files of torch that would create a file, the trap, if what they bring along were executed."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.later import torch

SCRIPT = '''
import torch
from typing import Tuple

class Marked(torch.nn.Module):
    """What is run when an archive of it is loaded creates a file."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x

    @torch.jit.export
    def __getstate__(self):
        return (self.w, self.training)

    @torch.jit.export
    def __setstate__(self, state: Tuple[torch.Tensor, bool]):
        self.w = state[0]
        self.training = state[1]
        torch.save(torch.zeros(1), {trap!r})
'''


class Touch:
    """A pickle of this creates a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return open, (str(self.path), "w")


def scripted(folder: Path, trap: Path) -> bytes:
    """An archive of TorchScript, whose code sets the trap off when torch.jit.load reads it."""
    name = f"marked_{abs(hash(str(trap)))}"
    (folder / f"{name}.py").write_text(SCRIPT.format(trap=str(trap)))
    sys.path.insert(0, str(folder))
    try:
        module = __import__(name)
    finally:
        sys.path.remove(str(folder))
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(module.Marked()), buffer)
    return buffer.getvalue()


def pickled(trap: Path) -> bytes:
    """A checkpoint of torch with a pickle that calls ``open``."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2), "b": Touch(trap)}, buffer)
    return buffer.getvalue()


def legacy(trap: Path) -> bytes:
    """The same in the format before torch 1.6."""
    buffer = io.BytesIO()
    torch.save({"a": torch.zeros(2), "b": Touch(trap)}, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def bare(trap: Path) -> bytes:
    """A plain pickle."""
    return pickle.dumps(Touch(trap))


def exported(path: Path) -> Path:
    """A small network with an open batch axis in a .pt2 file."""

    class Tiny(torch.nn.Module):
        """A convolution and a linear layer (torch 2.3 cannot read back an exported Sequential)."""

        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = torch.nn.Conv2d(1, 2, 2, stride=2), torch.nn.Linear(32, 3)
            self.shift = torch.ones(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.conv(x).flatten(1)) + self.shift + torch.zeros(17, 1).sum()

    torch.manual_seed(0)
    program = torch.export.export(
        Tiny().eval(), (torch.zeros(4, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},)
    )
    torch.export.save(program, path)
    return path


def rewritten(source: Path, target: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    """A copy of an archive whose members are changed, with more of them in the folder of the others."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        folder = old.namelist()[0].partition("/")[0] + "/" if "/" in old.namelist()[0] else ""
        for name, content in more.items():
            new.writestr(folder + name.replace("__", "/").replace("_dot_", "."), content)
    return target


def is_graph(name: str) -> bool:
    """Whether a member holds the graph, in either layout."""
    return name.endswith(("exported_program.json", "models/model.json"))


def mapped(tree: Any, change: Callable[[str, str], str], key: str = "") -> Any:
    """JSON with every text changed, the names of entries included (their key is ``(name)``)."""
    if isinstance(tree, dict):
        return {change("(name)", name): mapped(part, change, name) for name, part in tree.items()}
    if isinstance(tree, list):
        return [mapped(part, change, key) for part in tree]
    return change(key, tree) if isinstance(tree, str) else tree


def edited(source: Path, target: Path, change: Callable[[str, str], str]) -> Path:
    """A copy of a .pt2 file with the texts of its graph changed."""

    def graph(name: str, content: bytes) -> bytes:
        return json.dumps(mapped(json.loads(content), change)).encode() if is_graph(name) else content

    return rewritten(source, target, graph)
