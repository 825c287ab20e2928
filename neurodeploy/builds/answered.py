"""What the levels of a network answered: which classes they confuse, and the samples that they get wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ..array import Array
from ..report.inputs import Answers, Wrong

MOST_WRONG = 24  # samples that are shown
MOST_PAIRS = 1000  # (label, answer) that are counted apart, the most frequent first
SIDE, COLOURS, LETTERS = 32, 32, 200  # of a picture, of its palette, of a text
#: one for each colour of a palette
CODES = "0123456789abcdefghijklmnopqrstuv"


@dataclass(frozen=True, eq=False)
class Collected:
    """Answers that are heard batch by batch. ``text`` says what a raw input is in words, for networks of texts."""

    levels: int
    text: Callable[[Array], str] | None = None
    pairs: Counter[tuple[int, int, str]] = field(default_factory=Counter)
    wrong: list[Wrong] = field(default_factory=list)

    def hear(self, images: Array, labels: Array, answers: Mapping[str, Array], done: int = 0) -> None:
        """Raw inputs (B, ...), their labels, and predictions (T, B) by level; ``done`` samples were heard before."""
        last = {level: found[-1] for level, found in answers.items()}
        for level, found in last.items():
            self.pairs.update((int(a), int(b), level) for a, b in zip(labels, found, strict=True))
        beside = np.any([found != last["integer"] for found in last.values()], axis=0)
        for i in np.flatnonzero(beside | (last["integer"] != labels)):
            if len(self.wrong) == MOST_WRONG:
                return
            said = {level: int(found[i]) for level, found in last.items()}
            shown = (
                {"text": self.text(images[i])[:LETTERS]}
                if self.text
                else {"picture": picture(images[i], self.levels)}
            )
            self.wrong.append(Wrong(sample=done + int(i), label=int(labels[i]), said=said, **shown))

    def told(self) -> Answers:
        """All of it."""
        counts: dict[tuple[int, int], dict[str, int]] = {}
        for (label, said, level), count in self.pairs.items():
            counts.setdefault((label, said), {})[level] = count
        most = sorted(counts.items(), key=lambda item: (-max(item[1].values()), item[0]))[:MOST_PAIRS]
        return Answers(pairs=tuple((*pair, found) for pair, found in sorted(most)), wrong=tuple(self.wrong))


def picture(image: Array, levels: int) -> Mapping[str, object] | None:
    """A sample (C, Y, X), or (T, C, Y, X) as the mean of its frames, in few colours; None for what is no picture.

    ``palette`` are colours, ``codes`` row by row the place of each pixel in it, as one letter of :data:`CODES`.
    """
    from PIL import Image

    image = image.mean(axis=0) if image.ndim == 4 else image
    if image.ndim != 3 or min(image.shape[1:]) < 2:
        return None
    shown = image if len(image) == 3 else image.mean(axis=0, keepdims=True).repeat(3, axis=0)
    bright = np.clip(np.rint(shown * (255 / max(levels, 1))), 0, 255).astype(np.uint8)
    drawn = Image.fromarray(np.ascontiguousarray(bright.transpose(1, 2, 0)))
    drawn.thumbnail((SIDE, SIDE))
    coded = drawn.quantize(COLOURS, dither=Image.Dither.NONE)
    places, colours = np.asarray(coded).ravel(), np.reshape(coded.getpalette() or [], (-1, 3))
    used = {int(place): code for code, place in enumerate(np.unique(places))}
    palette = ["#" + "".join(f"{part:02x}" for part in colours[place]) for place in used]
    codes = "".join(CODES[used[int(place)]] for place in places)
    return {"width": coded.width, "height": coded.height, "palette": palette, "codes": codes}
