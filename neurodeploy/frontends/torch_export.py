"""An ANN as a torch module, or a ``.pt2`` file of one, to a source graph by torch.export."""

from __future__ import annotations

import contextlib
import itertools
import operator
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ImportModelError, Problem, first_line
from ..ir.graph import Graph, Header
from ..ir.types import Origin
from . import _torch, doors, guest, observed
from .input_spec import InputSpec
from .lower import lower
from .traced import Call, Ref, Traced, needed

#: torch's own modules that dynamo does not look into
_OPAQUE = re.compile(r"torch\.nn\.modules\.(transformer\.Transformer|activation\.MultiheadAttention)")
_INDEX = re.compile(r"\[(?:'(\w+)'|(\d+))\]")
_GETATTR = re.compile(r"getattr\(([^()]*), '(\w+)'\)")
_LOCAL = re.compile(r"L\['\w+'\]|L__\w+?__")


def import_module(
    model: Any, spec: InputSpec, name: str = "network", inside: str = "", run: bool = False
) -> Graph:
    """The source graph of a torch module that maps (batch, *shape) to one tensor (batch, ...).

    ``inside`` is the attribute under which a wrapper holds the user's module: paths begin there. With ``run`` the
    module is run on numbers and what torch was asked for is read, for modules that ask for values of constants: lines
    of the source are not known then. The module is put into eval mode. Raises ImportModelError: ND101 (all operators
    without a counterpart), ND102 (NaN weights), ND103 (input shape), ND104 (control flow that depends on data), ND105
    (operators that mix samples), ND130 (an exception of the model's own), ND151 (random numbers), ND152 (the number of
    samples in the arithmetic), and what :func:`traced` refuses.
    """
    example = _torch.prepared(model, spec)
    if problems := observed.unsteady(model, example):
        raise ImportModelError(problems)
    if _torch.dressed(model):
        model, inside = _torch.whole(model), ".".join(filter(None, (_torch.INSIDE, inside)))
    program = (_run if run else _exported)(model, example, name)
    return import_program(program, spec, name, inside)


def import_program(
    program: Any,
    spec: InputSpec,
    name: str = "network",
    inside: str = "",
    door: doors.Door = doors.PLAIN,
) -> Graph:
    """The source graph of a torch.export.ExportedProgram with one input whose first axis is a fixed batch.

    The program says its shape itself, and an input of integers is token ids. Further inputs are made of these, where
    they have names that :mod:`.doors` knows. ``door`` says which results are read, of several; else the first is.
    """
    _torch.require_finite(program.state_dict)
    header = Header(name=name, level="source", timesteps=1, notes={"contains_neurons": False})
    return lower(traced(program, inside, door), header, spec)


def _exported(model: Any, example: Any, name: str) -> Any:
    """torch.export with its many exceptions turned into two problems.

    What dynamo cannot read is run by Python itself, if shapes are all that it asks for: caches, loggers, attributes
    that a call sets. A branch on values is not run so, and what a call leaves behind is found by running it.
    """
    import torch

    try:
        with _torch.inference():
            return _with_numbers(torch.export.export(model, (example,), strict=True))
    except Exception as error:  # torch raises a dozen unrelated classes here, some of them private
        problem, cause = _export_problem(model, example, name, error), error
    if problem.code in ("ND104", "ND131") and not observed.asks_for_values(model, example):
        with contextlib.suppress(Exception), _torch.inference(), guest.kept(model):
            return _with_numbers(torch.export.export(model, (example,), strict=False))
    raise ImportModelError(problem) from cause


def _run(model: Any, example: Any, name: str) -> Any:
    """The program of a call on numbers; a problem as of :func:`_exported` where it asks for values of its input."""
    try:
        if observed.asks_for_input(model, example):
            raise ValueError("a value that depends on the input is asked for")
        with _torch.inference(), guest.kept(model):
            return _with_numbers(_exported_run(model, example))
    except Exception as error:  # as above
        raise ImportModelError(_export_problem(model, example, name, error)) from error


def _exported_run(model: Any, example: Any) -> Any:
    """The program of what torch itself was asked for in one call; a call that reads a parameter keeps its module."""
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    made = make_fx(model, _error_on_data_dependent_ops=False)(example)
    for node in reversed(made.graph.nodes):  # what Python was told of constants
        if node.op == "call_function" and not node.users and not _writes(node.target):
            made.graph.erase_node(node)
    made.recompile()
    program = torch.export.export(made, (example,), strict=False)
    owners = {id(tensor): name.rpartition(".")[0] for name, tensor in model.named_parameters()}
    modules = dict(model.named_modules())
    own = {name: owners[id(tensor)] for name, tensor in made.named_parameters() if id(tensor) in owners}
    places = {p: own[n] for p, n in program.graph_signature.inputs_to_parameters.items() if n in own}
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of the program that was made
        path = next((places[n.name] for n in node.all_input_nodes if n.name in places), "")
        node.meta["nn_module_stack"] = {path: (path, type(modules[path]))} if path else {}
    return program


def _with_numbers(program: Any) -> Any:
    """The program; ValueError where one of its constants has no numbers, since it was made while it was read."""
    from torch._subclasses.fake_tensor import FakeTensor

    module = program.graph_module
    own = [getattr(module, node.target, None) for node in module.graph.nodes if node.op == "get_attr"]
    if any(isinstance(value, FakeTensor) for value in (*program.constants.values(), *own)):
        raise ValueError("a constant of the program has no numbers")
    return program


def _export_problem(model: Any, example: Any, name: str, error: Exception) -> Problem:
    """ND103 or ND130 if the module does not even run on the input, ND131 for a call unknown to dynamo, else ND104."""
    import torch

    try:
        with torch.no_grad():
            model(example)
    except Exception as plain:  # whatever the user's own code raises
        file, line = _torch.failure(plain)
        return _torch.does_not_run(plain, f"{name} ({file}:{line})", example)
    file, line = _torch.failure(error)
    where = f"{name} ({file}:{line})" if file else name
    if _unknown_call(error):
        return _torch.not_traced(error, where)
    cause = "the module's control flow cannot be traced"
    limit = "control flow that depends on shapes and settings only"
    fixes = ("replace data-dependent branches by arithmetic", "export the part of the model without them")
    return Problem("ND104", cause, where, first_line(error), limit, fixes)


def _unknown_call(error: Exception) -> bool:
    """Whether dynamo met something else than a branch on values, by the type of its error."""
    from torch._dynamo import exc

    branches = getattr(error, "gb_type", "") == "Data-dependent branching"
    return isinstance(error, exc.Unsupported) and not isinstance(error, exc.UserError) and not branches


def traced(program: Any, inside: str = "", door: doors.Door = doors.PLAIN) -> Traced:
    """The calls of an exported program; ``inside`` is left out of module paths.

    ImportModelError ND108 for writes in place that torch cannot take out or that race, ND134 for several inputs, ND135
    for an open size, ND151 for random numbers, ND154 for buffers that a call changes.
    """
    program = _functional(program)
    constants = _constants(program)
    inputs = list(program.graph_signature.user_inputs)
    nodes = {node.name: node for node in program.graph.nodes}
    value = nodes[inputs[0]].meta["val"] if inputs else None
    ids = value is not None and not value.dtype.is_floating_point
    roles = door.roles(inputs)
    if value is None or any(name not in doors.MADE or not ids for name in roles[1:]):
        cause = "the model takes several inputs"
        limit = f"one image, or one text and beside it {', '.join(doors.MADE)}"
        fixes = (
            "say what they are, in order: --set reader.inputs=input_ids,attention_mask",
            "wrap the model in a module that makes the other inputs itself, and export that",
        )
        raise ImportModelError(Problem("ND134", cause, "forward", ", ".join(roles) or "none", limit, fixes))
    sizes = _sizes(value.shape)
    known: dict[Any, Any] = {}
    applied = list(_calls(program.graph_module, known))
    paths = _paths(applied, program.graph_signature)
    problems = [*_changed(program.graph_signature), *_drawn(applied, paths)]
    if problems:
        raise ImportModelError(problems)
    outputs = list(program.graph_signature.user_outputs)
    found = tuple(known[nodes[name]] if name in nodes else name for name in outputs)
    output, after = _picked(found, door.wanted)
    more = zip(inputs[1:], roles[1:], strict=True)
    before = [
        call
        for name, role in more
        for call in _beside(name, role, inputs[0], door.padding, nodes[name].meta["val"])
    ]
    calls = needed([*before, *(_call(node, known, *paths[node], inside) for node in applied), *after], output)
    kind = {"tokens": ids, "dtype": value.dtype}
    return Traced(calls, constants, inputs[0], output, sizes, sizes[0], _torch.to_array, **kind)


def _beside(name: str, role: str, ids: str, padding: int | None, value: Any) -> Iterator[Call]:
    """The calls that make another input of the ids."""
    import torch

    origin = Origin("", name)

    def call(to: str, op: str, function: Any, *args: Any) -> Call:
        return Call(to, op, args, {}, origin, False, function, tuple(value.shape), value.dtype)

    if doors.MADE[role] is doors.positions:
        places = torch.arange(value.shape[1])[None].expand(value.shape[0], -1)
        yield call(name, "arange", lambda: places)
    elif doors.MADE[role] is doors.mask and padding is not None:
        yield replace(call(f"{name}.shown", "ne", torch.ne, Ref(ids), padding), dtype=torch.bool)
        yield call(name, "_to_copy", lambda shown: shown.to(value.dtype), Ref(f"{name}.shown"))
    else:
        op = "ones_like" if doors.MADE[role] is doors.mask else "zeros_like"
        yield call(name, op, getattr(torch, op), Ref(ids))


def _picked(found: tuple[Any, ...], wanted: Sequence[str]) -> tuple[Any, list[Call]]:
    """The output of a program, and the calls that put several results into one; ImportModelError ND179."""
    import torch

    if not wanted:
        return (found[0] if len(found) == 1 else found), []
    if unknown := [name for name in wanted if not name.isdecimal() or int(name) >= len(found)]:
        cause, limit = "the model does not yield what is to be read of it", f"0 to {len(found) - 1}"
        fix = "of an exported program name results by their numbers"
        raise ImportModelError(Problem("ND179", cause, "return value", unknown[0], limit, (fix,)))
    parts = [found[int(name)] for name in wanted]
    if len(parts) == 1:
        return parts[0], []
    origin = Origin("", "cat")
    flat = [
        Call(f"output.{k}", "flatten", (part, 1), {}, origin, False, torch.flatten)
        for k, part in enumerate(parts)
    ]
    joined = Call("output.all", "cat", ([Ref(call.name) for call in flat], 1), {}, origin, False, torch.cat)
    return Ref("output.all"), [*flat, joined]


def _functional(program: Any) -> Any:
    """The program without writes in place, which newer versions of torch leave in; ImportModelError ND108."""
    program = _without_cells(program)
    writes = [node for node in program.graph.nodes if _writes(node.target)]
    if not writes:
        return program
    if problems := [
        observed.race(_torch.operator_name(node.target), _line(node)) for node in writes if _races(node)
    ]:
        raise ImportModelError(problems)
    try:
        return program.run_decompositions({})
    except Exception as error:  # torch raises a dozen unrelated classes here
        cause, where = "tensors are changed in place and read again", _line(writes[0])
        limit, fixes = "operators that return a new tensor", ("use the form that is not in place",)
        problem = Problem("ND108", cause, where, first_line(error), limit, fixes)
        raise ImportModelError(problem) from error


def _without_cells(program: Any) -> Any:
    """The program with recurrent layers in their parts, which newer versions of torch leave whole."""
    import torch
    from torch._decomp import get_decompositions

    aten = torch.ops.aten
    cells = [aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input]
    met = [cell for cell in cells if any(node.target == cell for node in program.graph.nodes)]
    return program.run_decompositions(get_decompositions(met)) if met else program


def _writes(target: Any) -> bool:
    schema = getattr(target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _races(node: Any) -> bool:
    import torch.fx

    args, kwargs = (torch.fx.node.map_arg(part, lambda n: n.meta["val"]) for part in (node.args, node.kwargs))
    return observed.races(node.target, args, kwargs)


def _line(node: Any) -> str:
    return "{}:{}".format(*_torch.place(node.stack_trace))


def _changed(signature: Any) -> Iterator[Problem]:
    """ND154 for every buffer or parameter that a call leaves behind with other numbers."""
    changed = {**signature.buffers_to_mutate, **getattr(signature, "parameters_to_mutate", {})}
    for name in sorted(set(changed.values())):
        yield observed.lasting_write(name, "forward")


def _drawn(calls: Sequence[Any], paths: Mapping[Any, tuple[str, bool]]) -> Iterator[Problem]:
    """ND151 for every call that draws random numbers which something reads."""
    for node in calls:
        if node.users and observed.is_random(node.target, node.args, node.kwargs):
            op, (file, line) = _torch.operator_name(node.target), _torch.place(node.stack_trace)
            yield observed.random_numbers(op, str(Origin(paths[node][0], op, file, line)))


def _sizes(shape: Iterable[Any]) -> tuple[int, ...]:
    """The input's sizes; an open batch becomes :data:`BATCH`. ImportModelError ND135 for another open size."""
    sizes = tuple(s if isinstance(s, int) else None for s in shape)
    if not sizes or any(s is None for s in sizes[1:]):
        cause = "the input shape of the model is left open"
        limit = "fixed sizes, but for the batch in the first axis"
        fixes = ("export with an example of the size that will be used",)
        raise ImportModelError(Problem("ND135", cause, "input", str(tuple(shape)), limit, fixes))
    return tuple(_torch.BATCH if s is None else s for s in sizes)


def _constants(program: Any) -> dict[str, Any]:
    """Parameters, buffers and constant tensors by the name of their placeholder."""
    signature, state = program.graph_signature, program.state_dict
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    table = {place: state.get(name, program.constants.get(name)) for place, name in lifted.items()}
    table.update({p: program.constants[n] for p, n in signature.inputs_to_lifted_tensor_constants.items()})
    return table


def _calls(module: Any, known: dict[Any, Any], given: Iterable[Any] = (), scope: str = "") -> Iterator[Any]:
    """Nodes that compute, in order, those inside of a context without gradients or autocast in its place.

    ``known`` receives what each node stands for: a Ref, or a tuple of them.
    """
    arguments = iter(given)
    for node in module.graph.nodes:
        if node.op == "placeholder":
            known[node] = next(arguments, Ref(scope + node.name))
        elif node.op == "get_attr":
            known[node] = getattr(module, node.target)
        elif node.op == "call_function" and _is_context(node):
            at = next(i for i, a in enumerate(node.args) if hasattr(known.get(a), "graph"))
            inner = known[node.args[at]]
            yield from _calls(inner, known, _known(node.args[at + 1 :], known), f"{scope}{node.name}.")
            (result,) = (n for n in inner.graph.nodes if n.op == "output")
            known[node] = _known(result.args[0], known)
        elif node.target is operator.getitem and isinstance(known[node.args[0]], tuple):
            known[node] = known[node.args[0]][node.args[1]]
        elif node.op == "call_function" and _restrides(node):
            known[node] = known[node.args[0]]
        elif node.op == "call_function":
            known[node] = Ref(scope + node.name)
            yield node


def _restrides(node: Any) -> bool:
    """Whether a node only says how axes of size 1 lie in memory, as torch's own pooling to one pixel does."""
    if _torch.operator_name(node.target) != "as_strided":
        return False
    made, given = node.meta["val"], node.args[0].meta["val"]
    steps = zip(made.shape, made.stride(), given.stride(), strict=False)
    alike = made.shape == given.shape and made.storage_offset() == given.storage_offset()
    return alike and all(new == old for size, new, old in steps if size > 1)


def _is_context(node: Any) -> bool:
    """Whether a node only says under which settings its module computes, and these change no number."""
    name = getattr(node.target, "__name__", "")
    return name == "wrap_with_set_grad_enabled" or (name == "wrap_with_autocast" and not node.args[2])


def _known(item: Any, known: dict[Any, Any]) -> Any:
    """torch.fx nodes inside arguments become what they stand for."""
    import torch.fx

    return torch.fx.node.map_arg(item, lambda n: known[n])


def _call(node: Any, known: dict[Any, Any], path: str, leaf: bool, inside: str) -> Call:
    op = _torch.operator_name(node.target)
    if inside and f"{path}.".startswith(f"{inside}."):
        path = path.removeprefix(inside).removeprefix(".")
    args, kwargs = (_known(part, known) for part in (node.args, node.kwargs))
    origin = Origin(path, op, *_torch.place(node.stack_trace))
    kind = _torch.kind_of(node.meta.get("val"))
    return Call(known[node].name, op, tuple(args), kwargs, origin, leaf, node.target, *kind)


def _paths(calls: Sequence[Any], signature: Any) -> dict[Any, tuple[str, bool]]:
    """Node -> (path of its module, whether that module is one operator).

    Dynamo takes torch's transformer layers as one piece. What happens inside is told by the parameters that a node
    reads, and between two such nodes by what their modules have in common.
    """
    paths = {node: _module(node) for node in calls}
    opaque = [node for node in calls if _OPAQUE.match(_innermost(node)[1])]
    owners = {node: owner for node in calls if (owner := _owner(node, signature))}
    for position, node in enumerate(opaque):
        stack, leaf = paths[node]
        near = [
            next((owners[n] for n in run if n in owners and _agree(owners[n], stack)), "")
            for run in (opaque[position::-1], opaque[position:])
        ]
        deeper = near[0] if node in owners else _common(*near) if all(near) else ""
        if _agree(deeper, stack) and len(deeper) > len(stack):
            paths[node] = deeper, leaf
    return paths


def _agree(path: str, stack: str) -> bool:
    """Whether a module's path lies inside another's."""
    return not stack or path == stack or path.startswith(f"{stack}.")


def _common(a: str, b: str) -> str:
    """The path of the innermost module that holds both."""
    pairs = zip(a.split("."), b.split("."), strict=False)
    return ".".join(part for part, _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _owner(node: Any, signature: Any) -> str:
    """Path of the module whose parameter a node reads, directly or turned around; empty if it reads none."""
    for source in node.all_input_nodes:
        while source.op == "call_function" and len(source.all_input_nodes) == 1:
            source = source.all_input_nodes[0]
        name = signature.inputs_to_parameters.get(source.name)
        if name:
            return str(name).rpartition(".")[0]
    return ""


def _module(node: Any) -> tuple[str, bool]:
    """Path of the innermost module, and whether it is one operator."""
    path, kind = _innermost(node)
    return _plain(path), _torch.one_operator(kind)


def _innermost(node: Any) -> tuple[str, str]:
    """(path as torch writes it, qualified class) of the innermost module; both empty outside of all."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return "", ""
    path, kind = stack[-1]
    return path, kind if isinstance(kind, str) else f"{kind.__module__}.{kind.__qualname__}"


def _plain(path: str) -> str:
    """``getattr(L['fn'], '0').1`` as torch 2.3 says for a Sequential, to the user's '0.1'."""
    while match := _GETATTR.search(path):
        path = f"{path[: match.start()]}{match[1]}.{match[2]}{path[match.end() :]}"
    return _INDEX.sub(r".\1\2", _LOCAL.sub("", path)).strip(".")
