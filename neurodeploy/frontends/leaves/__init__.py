"""Neurons of source libraries, one file for each (see ``_base.py``)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ._base import LEAVES, Block, Leaf

#: what a class may say anew without computing anything else: how it is made, and what Python says about it
_HARMLESS = frozenset({"__init__", "__doc__", "__module__", "__qualname__", "__annotations__", "extra_repr"})


def leaf_of(module: Any) -> Leaf | None:
    """What a module is if it is a neuron of a known class, or of one that derives from it and only is made differently.

    None for any other, and for one of a known class that is to be run as any other. One whose methods are its own may
    fire differently: :func:`derives` says from which it comes.
    """
    name = _named(_computing(type(module)))
    read = _classes().get(name)
    return read(module) if read else _refused().get(name)


def derives(module: Any) -> str:
    """The known neuron class that the class of a module overrides in part; empty if there is none."""
    names = [_named(cls) for cls in type(module).__mro__]
    known = leaf_of(module) or _named(_computing(type(module))) in _classes()
    return "" if known else next((name for name in names if name in _classes()), "")


def block_of(module: Any) -> Callable[[Any], Block] | None:
    """How a module is read that is a layer with its neurons of a known library; None for any other."""
    return _blocks().get(_named(_computing(type(module))))


def constructed(make: Callable[[], Any]) -> Any:
    """The network that ``make`` builds, also where its neurons ask for a backend that this machine lacks.

    Which backend computes a neuron says nothing about what it computes: all are set to the one that every machine has.
    """
    while True:
        checks = _backend_checks()
        try:
            with _passing(checks):
                network = make()
        except Exception:
            if _backend_checks() == checks:
                raise
        else:
            break  # else it has imported the library whose check refused it
    for module in network.modules() if hasattr(network, "modules") else ():
        if hasattr(module, "backend") and (every := _every_machine(type(module))):
            module.backend = every
    return network


def _backend_checks() -> list[tuple[Any, str]]:
    """The functions of imported libraries that refuse a backend, as a module and a name in it."""
    split = [name.rpartition(".") for library in LEAVES.values() for name in library.backend_checks]
    found = [(sys.modules.get(module), name) for module, _, name in split]
    return [(module, name) for module, name in found if hasattr(module, name)]


@contextmanager
def _passing(checks: list[tuple[Any, str]]) -> Iterator[None]:
    kept = [getattr(module, name) for module, name in checks]
    try:
        for module, name in checks:
            setattr(module, name, lambda *_: None)
        yield
    finally:
        for (module, name), check in zip(checks, kept, strict=True):
            setattr(module, name, check)


def _every_machine(cls: type) -> str:
    """The backend to which a module of a source library is set; empty for a class that chooses none."""
    packages = {base.__module__.partition(".")[0] for base in cls.__mro__}
    return next((lib.every_machine for lib in LEAVES.values() if lib.name in packages), "")


def _classes() -> dict[str, Any]:
    return {name: read for library in LEAVES.values() for name, read in library.classes.items()}


def _refused() -> dict[str, Leaf]:
    return {name: leaf for library in LEAVES.values() for name, leaf in library.refused.items()}


def _blocks() -> dict[str, Any]:
    return {name: read for library in LEAVES.values() for name, read in library.blocks.items()}


def _named(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _computing(cls: type) -> type:
    """The class that says what a module computes: its own, or the nearest base to which nothing but making is added."""
    known = _classes().keys() | _refused().keys() | _blocks().keys()
    while _named(cls) not in known and len(cls.__bases__) == 1 and vars(cls).keys() <= _HARMLESS:
        (cls,) = cls.__bases__
    return cls
