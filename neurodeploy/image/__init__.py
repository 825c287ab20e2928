"""The memory image of a core: what would be loaded, how it is made from a mapping, checked, stored and read.

This is the room's door; its other files are its own. An image is a header, units (programs of instructions), and
tables. Each part of it has a file that declares its tables and holds what writes, reads and checks them:
``synapses`` (weights, bit by bit), ``arrivals`` (axons, what messages feed), ``departures`` (what is sent where) and
``programs`` (operations). ``encoder`` makes images of a mapping, ``records`` makes plain data of an image and back.

* :func:`encode` gives a mapping its images. :func:`to_arrays` and :func:`from_arrays` (checked) are the plain data of
  one, :func:`pack` and :func:`unpack` those of all.
* :func:`lone` makes the image of a single core, without those of any other, and a host that speaks for all of them.
* :class:`CoreImage` is what a core is loaded with, :data:`TABLES` its tables.
* :func:`receiver`, :func:`exports`, :func:`places`, :func:`origins`, :func:`addresses_read` and :func:`weights_of` are
  what a run or an exporter reads from images: weight matrices by target, routes resolved.
* :func:`mixed` is the order in which the messages of a population leave its core.
* :func:`unpacked` are the marks of which elements a product uses.
* :func:`stored` says how the weights of a layer are kept.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .arrivals import Delivery, Receiver, addresses_read, receiver
from .departures import EVERY, Export, exports, mixed, origins, places
from .packed import pack, unpack
from .programs import unpacked
from .records import TABLES, from_arrays, to_arrays
from .synapses import weights_of
from .types import HOST, Alone, CoreImage, Images, Instruction, Unit
from .words import stored

if TYPE_CHECKING:
    from ..ir.graph import Graph
    from ..mapping.types import Mapping
    from ..target import Target
    from .single import Lone

__all__ = [
    "EVERY", "HOST", "TABLES", "Alone", "CoreImage", "Delivery", "Export", "Images", "Instruction", "Receiver", "Unit",
    "addresses_read", "encode", "exports", "from_arrays", "lone", "mixed", "origins", "pack", "places",
    "receiver", "stored", "to_arrays", "unpack", "unpacked", "weights_of",
]  # fmt: skip


def encode(graph: Graph, mapping: Mapping, target: Target) -> Mapping:
    """The mapping with one image per core in the order of ``cores``, and the host's last, each made when asked for.

    Raises MappingError: ND583 an element that is read lives on no core, ND584 the graph is not balanced, ND585
    something has no encoding.
    """
    from .encoder import images  # what reads images must not load what the graph means

    return replace(mapping, images=images(graph, mapping, target))


def lone(graph: Graph, mapping: Mapping, target: Target) -> Lone:
    """Encodes cores of a mapping one by one; errors as those of :func:`encode`, for the core that is asked for."""
    from .single import Lone

    return Lone(graph, mapping, target)
