"""What all cores say in a step, in one array: a row for each element of each vector that leaves its cores.

The slots of in-axons are resolved to rows once. Row 0 is silent. A slot that several elements speak into, such as one
that takes other tokens in other turns, has a row of its own, in which they add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...array import Array
from ...image import EVERY, Export, Receiver
from .contract import exact, largest
from .kinds import Kind


@dataclass(frozen=True)
class Voice:
    """Rows that the vector of one instruction of a stack takes; ``when``: in which turn alone."""

    stack: int
    instruction: int
    when: int
    rows: slice

    def speaks(self, turn: int) -> bool:
        """Whether it does so in a turn."""
        return self.when in (EVERY, turn)


@dataclass(frozen=True, eq=False)
class Chorus:
    """Rows that add up others: row i those of ``source`` from ``starts[i]`` on; ``voices``: whose they are."""

    voices: tuple[int, ...]
    rows: slice
    source: Array
    starts: Array


@dataclass(frozen=True, eq=False)
class Outbox:
    """Who speaks, in which of ``size`` rows; ``sources``: by image, the row of each of its slots.

    Voices are numbered, after them the choruses; ``speaker``: by row the number, -1: silent.
    """

    size: int
    singles: tuple[Voice, ...]
    choruses: tuple[Chorus, ...]
    sources: tuple[Array, ...]
    speaker: Array

    def voices(self, rows: slice | Array) -> tuple[int, ...]:
        """Whom some rows belong to."""
        found = np.unique(self.speaker[rows])
        return tuple(found[found >= 0].tolist())

    @classmethod
    def of(
        cls, stacks: Sequence[Kind], exports: Sequence[Sequence[Export]], receivers: Sequence[Receiver]
    ) -> Outbox:
        """Rows for all that is exported, by image."""
        size, singles, speaker = 1, list[Voice](), [np.full(1, -1)]
        into: list[list[Array]] = [[np.zeros((2, 0), dtype=np.int64)] for _ in receivers]
        for stack, kind in enumerate(stacks):
            first: dict[tuple[int, int], int] = {}
            for core, (image, unit) in enumerate(kind.places):
                for export in (e for e in exports[image] if e.unit == unit):
                    each = kind.units[0].program[export.instruction].size
                    if (key := (export.instruction, export.when)) not in first:
                        first[key], rows = size, each * len(kind.units)
                        size += rows
                        speaker.append(np.full(rows, len(singles)))
                        singles.append(Voice(stack, *key, slice(first[key], size)))
                    for bundle in export.bundles:
                        spoken = first[key] + core * each + bundle.elements
                        into[bundle.target].append(np.stack([bundle.slots, spoken]))
        sources, choruses, known = _resolved(into, receivers, np.concatenate(speaker), size, len(singles))
        return cls(len(known), tuple(singles), choruses, sources, known)


def _resolved(
    into: list[list[Array]], receivers: Sequence[Receiver], speaker: Array, size: int, singles: int
) -> tuple[tuple[Array, ...], tuple[Chorus, ...], Array]:
    """The row of every slot; the rows in which several add up, those of the same speakers together."""
    sources, shared = [], dict[tuple[int, ...], list[tuple[Array, int, Array]]]()
    for parts, receiver in zip(into, receivers, strict=True):
        slots, rows = (both := np.concatenate(parts, axis=1))[:, np.argsort(both[0], kind="stable")]
        source = np.zeros(receiver.slots, dtype=np.int64)
        source[slots] = rows
        taken, starts, often = np.unique(slots, return_index=True, return_counts=True)
        for slot, start, count in np.stack([taken, starts, often], axis=1)[often > 1].tolist():
            several = rows[start : start + count]
            shared.setdefault(tuple(np.unique(speaker[several]).tolist()), []).append((source, slot, several))
        sources.append(source)
    choruses, every = [], [speaker]
    for voices, members in shared.items():
        for row, (source, slot, _) in enumerate(members):
            source[slot] = size + row
        parts = [several for *_, several in members]
        starts = np.cumsum([0, *(len(part) for part in parts[:-1])])
        choruses.append(Chorus(voices, slice(size, size + len(parts)), np.concatenate(parts), starts))
        every.append(np.full(len(parts), singles + len(choruses) - 1))
        size += len(parts)
    return tuple(sources), tuple(choruses), np.concatenate(every)


class Said:
    """The rows of an outbox in a run: what was said in the last step, and how large it was, by voice."""

    def __init__(self, outbox: Outbox, samples: int) -> None:
        self.outbox = outbox
        self.rows = np.zeros((outbox.size, samples), dtype=np.float32)
        self.largest = [0] * (len(outbox.singles) + len(outbox.choruses))
        self._changed: set[int] = set()

    def heard(self, voices: Sequence[int]) -> int:
        """The largest magnitude that any of them said."""
        return max((self.largest[voice] for voice in voices), default=0)

    def say(self, voice: int, vector: Array | int = 0) -> None:
        """What a voice says from now on, (elements, samples); 0: nothing."""
        spoken = 0 if isinstance(vector, int) else largest(vector)
        if spoken or self.largest[voice]:
            self._hold(spoken)
            self.rows[self.outbox.singles[voice].rows] = vector
            self.largest[voice] = spoken
            self._changed.add(voice)

    def settle(self) -> None:
        """Adds up what several said, after all have."""
        for number, chorus in enumerate(self.outbox.choruses, len(self.outbox.singles)):
            if not self._changed.isdisjoint(chorus.voices):
                self.largest[number] = sum(self.largest[voice] for voice in chorus.voices)
                self._hold(self.largest[number])
                self.rows[chorus.rows] = np.add.reduceat(self.rows[chorus.source], chorus.starts, axis=0)
        self._changed.clear()

    def _hold(self, magnitude: float) -> None:
        """Messages have 24 bits, which 32-bit floats hold; what an image says beyond is exact as well."""
        self.rows = self.rows.astype(exact(magnitude, self.rows.dtype), copy=False)
