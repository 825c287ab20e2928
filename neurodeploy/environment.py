"""What is usable here: versions, backends, formats and libraries with the reason why not, folders."""

from __future__ import annotations

import os
import platform
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import numpy as np

from . import __version__, extras, target
from .backends._base import BACKENDS
from .builds.provenance import versions
from .files import cache_folder
from .formats._base import FORMATS
from .frontends.libraries._base import LIBRARIES
from .registry import version
from .rooms import broken, distributions


def usable() -> dict[str, Any]:
    """Versions, backends and exporters or why not, formats that are read, folders; nothing heavy is loaded."""
    return {
        "neurodeploy": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "libraries": versions(),
        "extras": extras.installed(),
        "networks": {name: library.installed() for name, library in LIBRARIES.items()},
        "lava": _lava(),
        "backends": {name: member.available() for name, member in BACKENDS.items()},
        "formats": {f.suffix: f.title for f in FORMATS.values() if f.reader is not None},
        "exporters": {n: f.writer.available() for n, f in FORMATS.items() if f.writer is not None},
        "broken": [asdict(problem) for problem in broken()],
        "targets": target.names(),
        "cache": str(cache_folder()),
    }


def public() -> dict[str, str]:
    """What an issue should say of a machine: versions and what the processor knows; no path and no name."""
    broken_in = Counter(problem.cause.partition(" of ")[2].partition(" ")[0] for problem in broken())
    return {
        "neurodeploy": __version__,
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "platform": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver()) or 'libc unknown'}",
        "cores": str(os.cpu_count()),
        "instructions": ", ".join(_instructions()) or "unknown",
        **{name: found for name in distributions() if (found := version(name))},
        "extras": ", ".join(name for name, state in extras.installed().items() if state == "installed"),
        "backends": ", ".join(name for name, member in BACKENDS.items() if not member.available()),
        "broken members": ", ".join(f"{count} of {room}" for room, count in broken_in.items()) or "none",
    }


def _instructions() -> list[str]:
    """Sets of instructions that numpy finds in this processor."""
    show: Callable[..., Any] = np.show_config
    try:
        told = show(mode="dicts")
    except TypeError:  # numpy before 1.25
        return []
    extensions = told.get("SIMD Extensions", {})
    return [*extensions.get("baseline", ()), *extensions.get("found", ())]


def _lava() -> str:
    """Whether Lava is here, without importing it; whether its backend can be used stands among the backends."""
    found = version("lava-nc")
    return f"{found} is installed" if found else "is installed" if find_spec("lava") else "not installed"
