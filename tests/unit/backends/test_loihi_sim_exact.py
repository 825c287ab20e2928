"""Matrix products of the simulated cores are those of whole numbers, whatever type they are calculated in."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.backends.loihi_sim.contract import Contraction, exact
from neurodeploy.backends.loihi_sim.outbox import Chorus, Outbox, Said, Voice
from neurodeploy.backends.loihi_sim.stacks import Delivered
from neurodeploy.image import EVERY
from neurodeploy.ir.equation import Equation

RNG = np.random.default_rng(5)
#: on either side of what 32-bit and 64-bit floats hold
MAGNITUDES = (1, 2**10, 2**12, 2**23, 2**24 + 1, 2**26 + 1, 2**30 + 1)


def numbers(magnitude: int, *shape: int) -> np.ndarray:
    """Whole numbers up to a magnitude, both ends among them."""
    x = RNG.integers(-magnitude, magnitude + 1, shape)
    x.flat[0], x.flat[-1] = magnitude, -magnitude
    return x


@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_products_of_streams_are_exact(magnitude: int) -> None:
    a, b = numbers(magnitude, 2, 3 * 4, 5), numbers(magnitude, 2, 4 * 6, 5)  # cores, elements, samples
    found = Contraction.of(Equation.parse("ij,jk->ik"), (3, 4), (4, 6), [None, None])
    wanted = np.einsum(
        "cijs,cjks->ciks", a.reshape(2, 3, 4, 5).astype(object), b.reshape(2, 4, 6, 5).astype(object)
    )
    assert (found.apply(a, b) == wanted.reshape(-1, 5)).all()
    met = np.einsum("cijs,cjks->cs", (a != 0).reshape(2, 3, 4, 5) * 1, (b != 0).reshape(2, 4, 6, 5) * 1)
    assert (found.pairs(a, b) == met).all()


@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("weight", (1, 127, 2**24 + 1))
def test_synaptic_sums_are_exact(magnitude: int, weight: int) -> None:
    outbox = Outbox(13, (Voice(0, 0, EVERY, slice(1, 13)),), (), (), np.array([-1] + 12 * [0]))
    said, x, weights = Said(outbox, 7), numbers(magnitude, 12, 7), numbers(weight, 2, 3, 4)
    said.say(0, x)
    source = RNG.permutation(np.arange(1, 13))[:8].reshape(2, 1, 4)  # connections, targets, rows
    reach = float(np.abs(weights).sum(axis=2).max())
    link = Delivered(
        source.ravel(), (2, 1, 4), weights[:, None].astype(exact(reach)), slice(0, 6), True, reach, 0, (0,)
    )
    wanted = [
        w.astype(object) @ x[rows[0] - 1].astype(object) for w, rows in zip(weights, source, strict=True)
    ]
    assert (link.sums(said.rows, said.heard((0,))) == np.concatenate(wanted)).all()


@pytest.mark.parametrize("magnitude", (*MAGNITUDES, 2**53 + 1))
def test_what_several_say_into_one_slot_adds_up(magnitude: int) -> None:
    voices = (Voice(0, 0, EVERY, slice(1, 3)), Voice(1, 0, EVERY, slice(3, 5)))
    chorus = Chorus((0, 1), slice(5, 7), np.array([1, 3, 2, 4]), np.array([0, 2]))
    said = Said(Outbox(7, voices, (chorus,), (), np.array([-1, 0, 0, 1, 1, 2, 2])), 3)
    x, y = numbers(magnitude, 2, 3), numbers(magnitude, 2, 3)
    for first, second in ((x, y), (x, None), (None, y), (None, None)):
        for voice, vector in enumerate((first, second)):
            said.say(voice, 0 if vector is None else vector)
        said.settle()
        wanted = (0 * x if first is None else first) + (0 * y if second is None else second)
        assert (said.rows[5:7].astype(np.int64) == wanted).all()
        assert said.heard((2,)) >= np.abs(wanted).max()
