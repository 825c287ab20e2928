"""neurodeploy: spiking transformers onto neuromorphic cores, bit for bit, with every number traceable.

Every verb of the command line is a function here, imported when it is first used: ``neurodeploy.build("digits-vit")``.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

#: verbs that are attributes of the package. ``report`` and ``crosscheck`` are modules of their own: their verbs are
#: ``neurodeploy.verbs.report`` and ``neurodeploy.verbs.crosscheck``.
VERBS = (
    "build",
    "check",
    "run",
    "evaluate",
    "verify",
    "export",
    "targets",
    "models",
    "ops",
    "explain",
    "doctor",
    "init",
    "schema",
    "Session",
)


def __getattr__(name: str) -> Any:
    if name not in VERBS:
        raise AttributeError(f"module 'neurodeploy' has no attribute {name!r}")
    from . import verbs

    return getattr(verbs, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *VERBS])
