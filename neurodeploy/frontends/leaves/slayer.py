"""Blocks and neurons of lava-dl's slayer, none of which is read as live code.

They take (B, C, T) or (B, C, Y, X, T), time last, and quantise weights, decays and thresholds themselves as they run.
What they export is those integers, which :mod:`neurodeploy.formats.netx` reads as Lava runs them.
"""

from __future__ import annotations

from itertools import product

from ._base import Leaf, SourceLibrary

_FAMILIES = ("adrf", "adrf_iz", "alif", "cuba", "rf", "rf_iz", "sigma_delta")
_BLOCKS = (
    "Affine", "Average", "Conv", "ConvT", "Dense", "Flatten", "Input", "KWTA", "Output", "Pool", "Recurrent",
    "TimeDecimation", "Unpool",
)  # fmt: skip
_REFUSAL = Leaf(
    problem="a network of slayer runs over its last axis and quantises itself: its export is read, not its code",
    fixes=(
        "call the network once, and block.export_hdf5(file.create_group(f'layer/{i}')) for each block i of it, with "
        "file = h5py.File('network.net', 'w')",
        "then neurodeploy build network.net",
    ),
)

MEMBER = SourceLibrary(
    "slayer",
    {},
    {
        f"lava.lib.dl.slayer.{name}": _REFUSAL
        for name in (
            *(f"block.{family}.{block}" for family, block in product(_FAMILIES, _BLOCKS)),
            *(f"neuron.{family}.Neuron" for family in _FAMILIES),
        )
    },
)
