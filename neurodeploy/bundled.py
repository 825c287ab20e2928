"""Where the folders that ship beside the package lie: ``models/`` and ``hw_targets/``."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def path(name: str) -> Path:
    """The folder ``name`` of the installed copy (``neurodeploy/_bundled``) or else of the checkout.

    The installed copy is asked first: next to an installed package lies ``site-packages``, where a folder
    called ``models`` may belong to somebody else. A checkout never has ``_bundled``.
    """
    installed = _PACKAGE / "_bundled" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name
