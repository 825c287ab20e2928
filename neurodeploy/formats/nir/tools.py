"""The tools that write NIR files: how a file is told from others, and by which conventions its numbers are meant.

NIR holds differential equations. Time step, reset rule and first voltage are the business of the tool that runs them
and stand in no field, but exporters leave marks: how r goes with a time constant, types of numbers, the name of the
input. Sources: export_nir.py of snnTorch 0.9.1 to 1.0.0 and of Norse 1.1.0 and later, nir_exchange of SpikingJelly
before 2.0.0 and of it, nir.py of sinabs, as published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...array import Array
from ...errors import Problem
from . import integers
from .file import Item, Network
from .neurons import INTEGRATING, SPIKING
from .options import NirOptions

STEP = 1e-4  # snnTorch's, written into its exporter, and SpikingJelly's default
NORSE_STEP = 1e-3  # of Norse's cells
CLOSE = 1e-5  # relative: exporters compute in float32
LEAKY = ("LIF", "LI", "CubaLIF", "CubaLI")
CURRENTS = ("CubaLIF", "CubaLI")


class Marks:
    """What the parameters of all neurons of a file have in common."""

    def __init__(self, network: Network) -> None:
        self.items = [i for i in network.items.values() if i.kind in {**SPIKING, **INTEGRATING}]
        self.kinds = {item.kind for item in self.items}
        self.entry = next((network.items[key].name for key in network.of("Input")), "")

    def of(self, *kinds: str) -> list[Item]:
        """The neurons of these kinds."""
        return [item for item in self.items if item.kind in kinds]

    def all_are(self, key: str, value: float) -> bool:
        """Whether a parameter is this number wherever it stands."""
        return all(np.allclose(_raw(item, key), value, rtol=CLOSE) for item in self.items)

    def typed(self, name: str) -> bool:
        """Whether all resistances, which exporters make themselves, are of this type."""
        return all(_found(item, "r").dtype == np.dtype(name) for item in self.items)

    def ratios(self, above: str, below: str, *kinds: str) -> Array:
        """One parameter over another, of all neurons of these kinds."""
        found = [_ratio(item, above, below) for item in self.of(*kinds)]
        return np.concatenate([np.zeros(0), *found])


def _found(item: Item, key: str) -> Array:
    return item.tree.arrays.get(f"{item.place}/{key}", np.zeros(0))


def _raw(item: Item, key: str) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(_found(item, key), dtype=np.float64).ravel()


def _alike(a: Array, b: Array) -> bool:
    """Whether two parameters are the same, one number standing for all."""
    return bool(a.size and b.size and (a.size == b.size or 1 in (a.size, b.size)) and (a == b).all())


def _ratio(item: Item, above: str, below: str) -> Array:
    """Nothing that any step equals where the two do not go together."""
    a, b = _raw(item, above), _raw(item, below)
    if not a.size or not b.size or (a.size != b.size and 1 not in (a.size, b.size)):
        return np.full(1, np.nan)
    with np.errstate(all="ignore"):
        return np.atleast_1d(a / b)


def _same(values: Array) -> float | None:
    """The one number that all of them are."""
    if (
        not values.size
        or not np.isfinite(values).all()
        or not np.allclose(values, values[0], rtol=CLOSE, atol=0)
    ):
        return None
    return float(values[0])


def _rounded(step: float) -> float:
    """A time step without the dust of float32."""
    return float(f"{step:.4g}")


Conventions = Mapping[str, Any]


def _snntorch(marks: Marks) -> Conventions | None:
    """r = tau / 1e-4, so that a tick adds the input itself."""
    if marks.entry != "input" or not marks.kinds or not marks.kinds <= {"LIF", "CubaLIF"}:
        return None
    if not marks.all_are("v_leak", 0) or not marks.all_are("v_reset", 0):
        return None
    steps = [marks.ratios("tau", "r", "LIF"), marks.ratios("tau_mem", "r", "CubaLIF")]
    steps.append(marks.ratios("tau_syn", "w_in", "CubaLIF"))
    together = np.concatenate(steps)
    return {"dt": STEP} if np.allclose(together, STEP, rtol=CLOSE, atol=0) else None


def _spikingjelly(marks: Marks) -> Conventions | None:
    """Parameters in float64, r = 1 / dt of an IF, 1 or tau / dt of a LIF, tau_mem / dt of a CubaLIF."""
    if marks.entry == "input" or not marks.kinds or not marks.kinds <= {"IF", "LIF", "CubaLIF"}:
        return None
    rests = all(_alike(_raw(item, "v_leak"), _raw(item, "v_reset")) for item in marks.of("LIF"))
    if not marks.typed("float64") or not rests:
        return None
    fed = [item for item in marks.of("LIF") if not np.allclose(_raw(item, "r"), 1)]
    steps = [_ratio(item, "tau", "r") for item in fed]
    steps += [1.0 / _raw(item, "r") for item in marks.of("IF") if (_raw(item, "r") > 0).all()]
    steps += [marks.ratios("tau_mem", "r", "CubaLIF"), marks.ratios("tau_syn", "w_in", "CubaLIF")]
    together = np.concatenate(steps)
    if not together.size:
        return {"dt": STEP, "integrator_dt": STEP}
    step = _same(together)
    return None if step is None else {"dt": _rounded(step), "integrator_dt": _rounded(step)}


def _norse(marks: Marks) -> Conventions | None:
    """r = 1 and w_in = 1 in float32, time constants in seconds, or in seconds times the step of the export."""
    if not marks.kinds & {*LEAKY} or not marks.kinds <= {"IF", "LIF", "CubaLIF", "LI"}:
        return None
    if not marks.typed("float32") or not marks.all_are("r", 1) or not marks.all_are("w_in", 1):
        return None
    constants = [_raw(item, key) for item in marks.of(*LEAKY) for key in ("tau", "tau_mem", "tau_syn")]
    shortest = float(min((found.min() for found in constants if found.size), default=1.0))
    if not 0 < shortest < 1:
        return None
    # of cells with rates of 1 to 1000 per second either step is the only one that is shorter than all of them
    return {"dt": NORSE_STEP if shortest >= NORSE_STEP * (1 - CLOSE) else NORSE_STEP**2}


def _sinabs(marks: Marks) -> Conventions | None:
    """r = 1 in float32, and time constants in ticks."""
    if marks.entry != "input" or not marks.kinds & {"LIF", "LI"} or not marks.kinds <= {"IF", "LIF", "LI"}:
        return None
    if not marks.typed("float32") or not marks.all_are("r", 1) or not marks.all_are("v_leak", 0):
        return None
    constants = np.concatenate([_raw(item, "tau") for item in marks.of("LIF", "LI")])
    return {"dt": 1.0} if constants.size and (constants >= 1).all() else None


@dataclass(frozen=True)
class Tool:
    """A tool: ``options`` of the reader that its files are meant by, ``open`` those that no mark tells.

    ``fits`` returns further options, such as the step, where a file bears the tool's marks.
    """

    name: str
    title: str
    versions: str
    told_by: str
    options: Conventions
    open: tuple[str, ...]
    fits: Callable[[Marks], Conventions | None]
    steps: str = ""


TOOLS = (
    Tool(
        "snntorch", "snnTorch", "0.9.1, 1.0.0",
        "every r is tau / 1e-4, every w_in tau_syn / 1e-4; v_leak and v_reset are 0; the input is called input",
        {"reset": "subtract", "reset_delay": True, "start": "zero", "synapse": "euler",
         "decay": "euler", "fires": "above"},
        ("reset", "reset_delay"), _snntorch, "`dt` 1e-4",
    ),
    Tool(
        "spikingjelly", "SpikingJelly", "2.0.0, and before",
        "parameters in float64; r is 1 / dt (IF), 1 or tau / dt (LIF), tau_mem / dt (CubaLIF); v_leak of a LIF is its "
        "v_reset; the input is not called input",
        {"reset": "value", "reset_delay": False, "start": "reset", "synapse": "euler",
         "decay": "euler", "fires": "reached"},
        ("reset",), _spikingjelly, "`dt` and `integrator_dt` from r, 1e-4 where r does not tell",
    ),
    Tool(
        "norse", "Norse", "1.1.0 and later",
        "r and w_in are 1, in float32, and time constants are below 1",
        {"reset": "value", "reset_delay": False, "start": "rest", "synapse": "jump", "decay": "euler",
         "fires": "above", "integrator_dt": 1.0}, (), _norse,
        "`dt` 1e-3, or 1e-6 where a time constant is below 1e-3",
    ),
    Tool(
        "sinabs", "sinabs", "1.2 and later",
        "r is 1, in float32, v_leak is 0, and time constants are 1 and more; the input is called input",
        {"reset": "subtract", "reset_delay": False, "start": "zero", "decay": "exponential", "fires": "reached",
         "integrator_dt": 1.0}, ("reset",), _sinabs, "`dt` 1",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class _Question:
    """Something that a NIR file does not say: ``what`` in words, where ``asks`` finds nodes for which it matters."""

    option: str
    what: str
    choices: str
    asks: Callable[[list[Item], NirOptions], list[Item]]


def _of(*kinds: str) -> Callable[[list[Item], NirOptions], list[Item]]:
    return lambda items, options: [item for item in items if item.kind in kinds]


def _stepped(items: list[Item], options: NirOptions) -> list[Item]:
    kinds = (*LEAKY, *(() if options.delay_dt else ("Delay",)))
    return [item for item in items if item.kind in kinds]


def _resetting(items: list[Item], options: NirOptions) -> list[Item]:
    """A reset to a value other than 0 says what it is."""
    return [item for item in items if item.kind in SPIKING and not _raw(item, "v_reset").any()]


def _late(items: list[Item], options: NirOptions) -> list[Item]:
    """Without a current, a reset to a value is the same early or late."""
    kinds = SPIKING if options.reset == "subtract" else ("CubaLIF",)
    return [item for item in items if item.kind in kinds]


def _starting(items: list[Item], options: NirOptions) -> list[Item]:
    return [item for item in items if _raw(item, "v_leak").any() or _raw(item, "v_reset").any()]


QUESTIONS = (
    _Question("dt", "the time step", "STEP", _stepped),
    _Question("integrator_dt", "the time step of integrators without leak", "STEP", _of("IF", "I")),
    _Question("decay", "how much a tick forgets", "euler or exponential", _of(*LEAKY)),
    _Question("synapse", "how much of its input a current takes in a tick", "euler or jump", _of(*CURRENTS)),
    _Question("reset", "whether a spike resets the voltage or lowers it", "value or subtract", _resetting),
    _Question("reset_delay", "whether a reset acts at once or in the next tick", "true or false", _late),
    _Question("start", "the voltage before the first tick", "zero, rest or reset", _starting),
)


def settled(network: Network, options: NirOptions) -> tuple[NirOptions, list[Problem]]:
    """The options by which a file is read, and a warning (ND166) for each that neither user nor file stated.

    What the user set stands. A file of this program's own says everything by the defaults.
    """
    items = list(network.items.values())
    if options.tool == "auto" and items and integers.PLACE in items[0].tree.groups:
        return options, []
    tool, told = _tool(network, options.tool)
    known = {} if tool is None else {**tool.options, **told}
    free = {key: value for key, value in known.items() if key not in options.model_fields_set}
    chosen = options.model_copy(update=free)
    answered = {*options.model_fields_set, *known} - {*(tool.open if tool is not None else ())}
    answered |= options.model_fields_set
    by = "the reader's default" if tool is None else f"{tool.title}'s default"
    unsure = [q for q in QUESTIONS if q.option not in answered]
    return chosen, [*_taken(items, tool, free, chosen), *_open(items, unsure, chosen, by)]


def _tool(network: Network, asked: str) -> tuple[Tool | None, Conventions]:
    """The tool that wrote a file, or that the user names, and what its marks say."""
    marks = Marks(network)
    for tool in TOOLS:
        told = tool.fits(marks) if asked in ("auto", tool.name) else None
        if told is not None or asked == tool.name:
            return tool, told or {}
    return None, {}


def _taken(items: list[Item], tool: Tool | None, free: Conventions, chosen: NirOptions) -> Iterator[Problem]:
    """That a file was taken for one of a tool, if this changes anything."""
    asked = {q.option for q in QUESTIONS if q.asks(items, chosen)}
    used = {key: value for key, value in free.items() if key in asked}
    if tool is None or not used or chosen.tool == tool.name:
        return
    cause = f"no field says what wrote the file: it bears the marks of {tool.title} and is read by its conventions"
    found = ", ".join(f"{key}={_shown(value)}" for key, value in used.items())
    fixes = (f"--set reader.tool={tool.name} if that is so", "--set reader.tool=none for NIR's own equations")
    yield Problem("ND166", cause, items[0].tree.path.name, found, "", fixes, "warning")


def _open(items: list[Item], questions: list[_Question], options: NirOptions, by: str) -> Iterator[Problem]:
    """One warning for each question that matters to some node."""
    for question in questions:
        met = question.asks(items, options)
        if not met:
            continue
        more = f" and {len(met) - 1} more" if len(met) > 1 else ""
        where = f"{met[0].tree.path.name} {met[0].name} ({met[0].kind}){more}"
        shown = f"{question.option}={_shown(getattr(options, question.option))}, {by}"
        fix = f"--set reader.{question.option}=... ({question.choices})"
        yield Problem("ND166", f"the file does not say {question.what}", where, shown, "", (fix,), "warning")


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
