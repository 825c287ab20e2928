"""Networks in ``.onnx`` files: read as data, translated to torch, held against onnxruntime."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..doors import Door
from ..input_spec import InputSpec
from . import read

if TYPE_CHECKING:
    from ...ir.graph import Graph
    from ..proof.reference import Reference


def import_file(
    path: Path, spec: InputSpec, shape: tuple[int, ...] | None, door: Door
) -> tuple[Graph, Reference]:
    """The source graph of a file, and the file in onnxruntime, which it has to equal.

    ``shape`` is that of the data, for sizes that the file leaves open; ``door`` says what inputs are, in the order of
    the file, and which results are read, by name or number. Raises what :func:`.read.load`, :func:`.network.sized`,
    :func:`.network.program` and :func:`neurodeploy.frontends.torch_export.import_program` raise.
    """
    file = read.load(path)
    from .. import torch_export
    from . import network, runtime

    inputs = network.sized(file, shape, door.inputs, path.name)
    called = dict(
        zip((each.name for each in file.inputs), door.roles([i.name for i in file.inputs]), strict=True)
    )
    numbers = {name: str(k) for k, name in enumerate(file.outputs)}
    door = replace(
        door,
        inputs=tuple(called[each.name] for each in inputs),
        wanted=tuple(numbers.get(name, name) for name in door.wanted),
    )
    program = network.program(file, inputs, path.name)
    graph = torch_export.import_program(program, spec, path.stem, door=door)
    own = next(each for each in file.inputs if each.name == inputs[0].name).sizes[0]
    batch = own if isinstance(own, int) else None
    return graph, runtime.reference(path, inputs, program, spec, door, batch)
