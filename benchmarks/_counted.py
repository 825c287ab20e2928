"""Counts of a run as small text, and what a target makes of them: the only place of the validation that asks for costs.

Time is that of the slowest core, energy that of all together. So a record keeps, as they were, the cores that could be
the slowest under some prices (no other core has as much of everything), and of all others how much they did together.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from dataclasses import replace
from typing import Any

import numpy as np

from neurodeploy import cost
from neurodeploy.ir.graph import Builder, Graph, Header
from neurodeploy.ir.nodes import Input, Output
from neurodeploy.ir.trace import EVENT_KINDS, HOST, Events, Flows, Link, Router
from neurodeploy.ir.types import Shape, Value
from neurodeploy.mapping.types import Core, Demand, Mapping
from neurodeploy.price import Range
from neurodeploy.program import Program
from neurodeploy.target import Target

Record = dict[str, Any]
NODE = "input"
HOPS = ("hops_x", "hops_y")
KINDS_OF_LINKS = ("mesh", "chip", "host")


# --- a run becomes a record --------------------------------------------------------------------------------------


def window(events: Events, steps: slice, host: bool) -> Events:
    """The events of these steps, of one node; without ``host`` nothing passes its interface."""
    counts = events.core_counts[:, :, steps]
    total = counts.sum(axis=(1, 2), dtype=np.float64).mean(axis=0)
    links, bits = (
        {link: np.asarray(load)[steps] for link, load in loads.items() if host or link.kind != "host"}
        for loads in (events.links, events.link_bits)
    )
    return replace(
        events, steps=counts.shape[2], core_counts=counts, node_counts={NODE: total}, node_core_counts={}, links=links,
        link_bits=bits, flows=Flows(),
    )  # fmt: skip


def record(mapping: Mapping, events: Events) -> Record:
    """What the cost of these events (of one sample) needs of them."""
    if events.samples != 1:
        raise ValueError("a record is of one sample")
    counts = events.core_counts[0]
    kept = kept_cores(counts, events.kinds)
    rest = np.delete(counts, kept, axis=0).sum(axis=0)
    chips = [core.chip for core in mapping.cores]
    return {
        "steps": events.steps,
        "cores_by_chip": [chips.count(chip) for chip in sorted(set(chips))],
        "cores": [{"chip": chips[i], **rows(counts[i], events.kinds)} for i in kept],
        "others": rows(rest, events.kinds),
        "links": {kind: load for kind in KINDS_OF_LINKS if (load := loads(events.links, kind))},
        "bits": {kind: load for kind in KINDS_OF_LINKS if (load := loads(events.link_bits, kind))},
    }


def rows(counts: Any, kinds: tuple[str, ...]) -> dict[str, str]:
    """Event kind -> its counts in each step, where there are any."""
    return {kind: plain(counts[:, i]) for i, kind in enumerate(kinds) if counts[:, i].any()}


def plain(numbers: Any) -> str:
    """Numbers as text."""
    return " ".join(f"{float(n):.10g}" for n in numbers)


def loads(links: MappingABC[Link, Any], kind: str) -> dict[str, Any]:
    """Links of one kind: how many, the load of the fullest in each step, and of all together."""
    found = [np.asarray(load) for link, load in links.items() if link.kind == kind]
    if not found:
        return {}
    return {"links": len(found), "most": plain(np.max(found, axis=0)), "all": plain(np.sum(found, axis=0))}


def kept_cores(counts: Any, kinds: tuple[str, ...]) -> list[int]:
    """Cores (of counts by core, step and kind) that may be the slowest in a step, or send the farthest."""
    work = [i for i, kind in enumerate(kinds) if kind not in HOPS]
    sent = counts[..., [kinds.index("packets_out")]]
    far = counts[..., [kinds.index(kind) for kind in HOPS]] / np.maximum(sent, 1)
    found: set[int] = set()
    for step in range(counts.shape[1]):
        found |= front(counts[:, step, work]) | front(far[:, step])
    return sorted(found)


def front(points: Any) -> set[int]:
    """Rows than which no other row is as large everywhere; of equal rows the first."""
    unique, first = np.unique(points, axis=0, return_index=True)
    best = [i for i, p in enumerate(unique) if (unique >= p).all(axis=1).sum() == 1]
    return {int(first[i]) for i in best}


# --- a record becomes events again -------------------------------------------------------------------------------


def events_of(found: Record) -> Events:
    """Events that cost the same."""
    kept = [table(row, found["steps"]) for row in found["cores"]]
    others = sum(found["cores_by_chip"]) - len(kept)
    mean = table(found["others"], found["steps"]) / max(others, 1)
    counts = np.stack([*kept, *[mean] * others])[None]
    links, bits = (
        {link: load for kind, row in found[key].items() for link, load in spread(kind, row).items()}
        for key in ("links", "bits")
    )
    total = counts.sum(axis=(0, 1, 2))
    return Events(1, found["steps"], counts, {NODE: total}, {}, links, bits, dict.fromkeys(links, 0))


def table(row: MappingABC[str, Any], steps: int) -> Any:
    """(steps, kinds) of the counts of a core."""
    counts = np.zeros((steps, len(EVENT_KINDS)))
    for i, kind in enumerate(EVENT_KINDS):
        if kind in row:
            counts[:, i] = numbers(row[kind])
    return counts


def numbers(text: str) -> Any:
    """The numbers of a text."""
    return np.array([float(n) for n in text.split()])


def spread(kind: str, row: MappingABC[str, Any]) -> dict[Link, Any]:
    """Links of one kind: the fullest, and all others alike."""
    most, whole = numbers(row["most"]), numbers(row["all"])
    rest = (whole - most) / max(row["links"] - 1, 1)
    return {link(kind, i): rest if i else most for i in range(row["links"])}


def link(kind: str, number: int) -> Link:
    """Some link of a kind; two of different numbers differ."""
    start = Router(0, number, 0)
    end = {"mesh": Router(0, number + 1, 0), "chip": Router(1, number, 0), "host": HOST}[kind]
    return Link(start, end)


def program_of(found: Record) -> Program:
    """A network of one node on as many cores and chips as the one that was run."""
    free = list(found["cores_by_chip"])
    names = sorted({row["chip"] for row in found["cores"]} | set(range(len(free))))[: len(free)]
    chips = [row["chip"] for row in found["cores"]]
    for chip in chips:
        free[names.index(chip)] -= 1
    chips += [chip for chip, left in zip(names, free, strict=True) for _ in range(left)]
    cores = tuple(Core(i, chip, 0, 0, (), Demand(), {}, "") for i, chip in enumerate(chips))
    return Program(_graph(found["steps"]), Mapping("", len(free), len(cores), (), cores, 0))


def _graph(ticks: int) -> Graph:
    build, value = Builder(Header(timesteps=ticks)), Value(Shape(("G",), (1,)))
    build.add(Input(name=NODE), value)
    build.add(Output(name="output", inputs=(NODE,)), value)
    return build.build()


def on_board(found: Record, chips: int) -> Record:
    """The same with an idle core on each further chip of a board whose chips all step together."""
    return {**found, "cores_by_chip": [*found["cores_by_chip"], *[1] * (chips - len(found["cores_by_chip"]))]}


# --- prices ------------------------------------------------------------------------------------------------------


def raw(program: Program, events: Events, target: Target) -> tuple[Range, Range, int]:
    """Time in ns and dynamic energy in pJ of all steps, and the chips in use."""
    found = cost.estimate(program, events, target)
    whole, static = found.energy_pj, found.parts_pj["static"]
    dynamic = Range(*(getattr(whole, k) - getattr(static, k) for k in ("low", "nominal", "high")))
    return found.timing.latency_ns, dynamic, found.chips


def predicted(found: Record, scale: MappingABC[str, Any], target: Target) -> dict[str, Range]:
    """Time, dynamic energy, total energy and power of what was measured, from the counts of a record.

    ``scale``: how many of the recorded run make up its time and its dynamic energy, the chips of the board, those that
    are powered, and their static power in W where it was measured too.
    """
    found = on_board(found, scale["board"])
    time_ns, dynamic_pj, used = raw(program_of(found), events_of(found), target)
    time, dynamic = time_ns * (scale["time"] * 1e-3), dynamic_pj * (scale["energy"] * 1e-6)
    static = Range(*[scale["static_w"]] * 3) if scale.get("static_w") else None
    if static is None:
        static = Range.of(target.costs.power_w.static_per_chip) * (scale.get("chips") or used)
    total = dynamic + static * time
    dynamic_power = Range(dynamic.low / time.high, dynamic.nominal / time.nominal, dynamic.high / time.low)
    return {
        "time_us": time, "dynamic_uj": dynamic, "total_uj": total,
        "dynamic_w": dynamic_power, "power_w": static + dynamic_power,
    }  # fmt: skip
