"""Raw inputs on which a graph and its module are compared: corners of what is admissible, noise, and the user's own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...array import Array
from ...inputs.samples import hidden, tokens
from ...ir.graph import Graph
from ...ir.interp import input_shape

#: samples of a comparison, and of one whose pass costs more than :data:`DEAR` multiply-accumulates
MANY, FEW, DEAR = 10, 2, 1e9
#: texts are filled up from these shares of their length on
FILLED = (0.5, 0.1, 0.9)


def samples(graph: Graph, bounds: tuple[int, int], given: Array | None, few: bool) -> Array:
    """Raw inputs (B, *input), or token ids (B, N): a few of the user's, then noise and corners in turn."""
    count = FEW if few else MANY
    own = [] if given is None else list(given[: 1 if few else 3])
    made = _texts(graph) if tokens(graph) else _frames(input_shape(graph), *bounds)
    drawn = [*own, *(next(made) for _ in range(count - len(own)))]
    return np.stack(drawn)


def _frames(shape: tuple[int, ...], low: int, high: int) -> Iterator[Array]:
    """Noise, the largest, a checkerboard, single hot elements, the lowest; for ever."""
    generator = np.random.default_rng(0)
    board = np.indices(shape).sum(0) % 2
    while True:
        yield generator.integers(low, high + 1, shape)
        yield np.full(shape, high)
        yield np.where(board == 0, low, high)
        hot = np.full(shape, low)
        hot.flat[generator.integers(hot.size)] = high
        yield hot
        yield np.where(generator.random(shape) < 0.2, high, low)
        yield np.full(shape, low)


def _texts(graph: Graph) -> Iterator[Array]:
    """Ids at random, texts that are filled up with ids that the network hides, and special ids; for ever.

    The first id of a text is one that is seen: what attends to nothing at all is no text.
    """
    length, vocabulary = tokens(graph) or (0, 0)
    generator, unseen = np.random.default_rng(0), hidden(graph)
    seen = np.setdiff1d(np.arange(vocabulary), unseen)
    special = np.array(sorted({*unseen, *range(min(6, vocabulary)), vocabulary - 1}))

    def drawn() -> Array:
        text = generator.integers(0, vocabulary, length)
        text[0] = generator.choice(seen if len(seen) else special)
        return text

    turn = 0
    while True:
        yield drawn()
        for share in FILLED if unseen else ():
            text = drawn()
            text[max(1, round(share * length)) :] = unseen[turn % len(unseen)]
            yield text
        text = drawn()
        places = 1 + generator.permutation(length - 1)[: len(special)]
        text[places] = generator.permutation(special)[: len(places)]
        yield text
        turn += 1
