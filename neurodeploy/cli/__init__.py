"""The command line: parses flags, shows progress and results, turns errors into text and exit codes.

Progress and stage lines go to stderr, results to stdout. Heavy imports happen inside the commands: ``--help`` is fast.
"""

from . import build, check, run, evaluate, verify, export, report, init, lava, listings  # noqa: I001 - in the order of the help
from .app import app
from .entry import call, main

__all__ = [
    "app",
    "build",
    "call",
    "check",
    "evaluate",
    "export",
    "init",
    "lava",
    "listings",
    "main",
    "report",
    "run",
    "verify",
]
