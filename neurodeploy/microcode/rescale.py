"""A change of unit on its own: :mod:`._rescale`, which other operators end with."""

from ._rescale import Rescale

MEMBER = Rescale()
