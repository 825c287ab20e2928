"""Which Python runs Lava: the one that is named, this one, or an environment of its own beside the cache.

Lava 0.10.0 runs on Python 3.10 alone. The watched process of a run (``child.py``) is started by any interpreter that
has it, and reads this package's own code from a link in the folder of the run. This file needs no Lava.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ...errors import BackendError, Problem, first_line
from ...files import cache_folder, typed

__all__ = ["VARIABLE", "here", "interpreter", "missing", "setup"]

PYTHON = (3, 10)
#: names an interpreter that has Lava
VARIABLE = "NEURODEPLOY_LAVA_PYTHON"
#: what such an environment holds, with hashes; made by ``make lock``
LOCK = Path(__file__).parent / "requirements.txt"
#: where `make setup` puts uv in a checkout
CHECKOUT_UV = Path(__file__).resolve().parents[3] / ".tools" / "uv" / "bin" / "uv"
PROBE = "import sys, lava.magma, lava.proc, h5py, scipy, pydantic; print(*sys.version_info[:2])"
PROBE_LIMIT_S, SETUP_LIMIT_S = 60.0, 1800.0
MOST_SAID = 400  # letters of what a tool said


def here() -> str:
    """Empty where this process itself can import Lava, else why it cannot."""
    if sys.version_info[:2] != PYTHON:
        return f"Lava 0.10.0 needs Python 3.10 and this is Python {sys.version_info.major}.{sys.version_info.minor}"
    if find_spec("lava") is None or find_spec("lava.magma") is None:
        return "lava-nc 0.10.0 is not installed"
    return ""


def interpreter() -> str:
    """The Python that runs Lava: the named one, this one, or that of :func:`setup`; empty where there is none."""
    if named := os.environ.get(VARIABLE, ""):
        return named
    if not here():
        return sys.executable
    made = folder() / "bin" / "python"
    return str(made) if (folder() / "ready").is_file() and made.is_file() else ""


def missing() -> str:
    """Empty where Lava can be run, else what is missing and what helps."""
    found = interpreter()
    if found == sys.executable:
        return ""
    if found:
        said = probed(found)
        return f"{found} cannot run Lava: {said}" if said else ""
    helps = (
        f"`neurodeploy lava setup` makes an environment that has it, or {VARIABLE} names a Python that does"
    )
    return f"{here()}; {helps}"


@cache
def probed(python: str) -> str:
    """Why an interpreter cannot run Lava; empty where it can."""
    try:
        done = subprocess.run(
            [python, "-c", PROBE], capture_output=True, text=True, timeout=PROBE_LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return first_line(error)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1][:MOST_SAID]
    version = " ".join(map(str, PYTHON))
    return "" if done.stdout.strip() == version else f"it is Python {done.stdout.strip().replace(' ', '.')}"


def folder() -> Path:
    """Where :func:`setup` puts the environment; another set of packages has another one."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    return cache_folder() / f"lava-{digest}"


def setup(force: bool = False) -> Path:
    """Make an environment of Python 3.10 with Lava beside the cache, by uv; returns its interpreter.

    Nothing is done where it is there already, unless ``force``. BackendError ND745 where uv is absent or fails.
    """
    place = folder()
    made = place / "bin" / "python"
    if (place / "ready").is_file() and not force and not probed(str(made)):
        return made
    uv = _uv()
    with typed(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
    _call([uv, "venv", "--quiet", "--python", "3.10", str(place)])
    _call([uv, "pip", "sync", "--quiet", "--python", str(made), "--require-hashes", str(LOCK)])
    probed.cache_clear()
    if said := probed(str(made)):
        raise _failed("the environment was made, but cannot run Lava", str(made), said)
    with typed(place):
        (place / "ready").touch()
    return made


def linked(place: Path) -> None:
    """A folder whose one entry is this package, which an interpreter with other packages can be given."""
    place.mkdir()
    (place / "neurodeploy").symlink_to(Path(__file__).resolve().parents[2], target_is_directory=True)


def _uv() -> str:
    """The one on the path, that of the interpreter, or the one that ``make setup`` put into a checkout."""
    if found := shutil.which("uv"):
        return found
    if CHECKOUT_UV.is_file():
        return str(CHECKOUT_UV)
    if find_spec("uv") is not None:
        from uv import find_uv_bin

        return str(find_uv_bin())
    raise _failed(
        "uv, which makes the environment, is not here",
        "uv",
        "neither on the path nor in this environment",
        "pip install uv",
    )


def _call(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SETUP_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _failed("the environment for Lava cannot be made", command[0], first_line(error)) from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-MOST_SAID:] or f"it ended with {done.returncode}"
        raise _failed("the environment for Lava cannot be made", " ".join(command[:3]), said)


def _failed(cause: str, where: str, found: str, *fixes: str) -> BackendError:
    more = f"name a Python 3.10 that has lava-nc 0.10.0: {VARIABLE}=ENV/bin/python"
    return BackendError(Problem("ND745", cause, where, found, fixes=(*fixes, more)))
