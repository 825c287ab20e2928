"""What is usable here: versions, backends, formats and libraries with the reason why not, folders."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

from . import __version__, target
from .backends._base import BACKENDS
from .builds.provenance import versions
from .files import cache_folder
from .formats._base import FORMATS
from .frontends.libraries._base import LIBRARIES
from .registry import version
from .rooms import broken


def usable() -> dict[str, Any]:
    """Versions, backends and exporters or why not, formats that are read, folders; nothing heavy is loaded."""
    return {
        "neurodeploy": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "libraries": versions(),
        "networks": {name: library.installed() for name, library in LIBRARIES.items()},
        "lava": _lava(),
        "backends": {name: member.available() for name, member in BACKENDS.items()},
        "formats": {f.suffix: f.title for f in FORMATS.values() if f.reader is not None},
        "exporters": {n: f.writer.available() for n, f in FORMATS.items() if f.writer is not None},
        "broken": [asdict(problem) for problem in broken()],
        "targets": target.names(),
        "cache": str(cache_folder()),
    }


def _lava() -> str:
    """Whether Lava is here, without importing it; whether its backend can be used stands among the backends."""
    found = version("lava-nc")
    return f"{found} is installed" if found else "is installed" if find_spec("lava") else "not installed"
