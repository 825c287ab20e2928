"""What is optional: the packages of each extra of ``pyproject.toml``, and the one answer where one is missing."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib.util import find_spec
from types import ModuleType

from .errors import EnvironmentProblem, Problem, first_line


@dataclass(frozen=True)
class Extra:
    """The packages that an extra brings, as they are imported, and what they are for."""

    packages: tuple[str, ...]
    use: str


#: extras for users, by name; those of developers stand in pyproject.toml alone
EXTRAS = {
    "fast": Extra(("numba",), "compiled kernels; without them numpy does the work"),
    "torch": Extra(("torch",), "networks in PyTorch: live modules, py: and .pt2, zoo models without a shipped graph"),
    "onnx": Extra(("onnx", "onnxruntime", "torch"), "networks in .onnx files, and their check"),
    "lava": Extra(("lava",), "the backend lava, on Python 3.10"),
    "timm": Extra(("timm", "torch"), "timm:NAME"),
    "hf": Extra(("transformers", "tokenizers", "torch"), "hf:NAME, and tokenizers of texts"),
    "torchvision": Extra(("torchvision", "torch"), "torchvision:NAME"),
    "events": Extra(("aedat",), "recordings .aedat4"),
    "cluster": Extra(("distributed",), "evaluate --scheduler"),
    "plots": Extra(("matplotlib", "pandas"), "Build.plot, and tables as frames"),
}  # fmt: skip


def command(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'neurodeploy[{extra}]'"


def absent(extra: str, package: str, found: str, need: str, *others: str) -> EnvironmentProblem:
    """The error (ND115) where ``package`` cannot be used: what ``need``s it, and what else one may do."""
    fixes = (command(extra), *others)
    return EnvironmentProblem(Problem("ND115", f"{need} need {package}", package, found, fixes=fixes))


def require(extra: str, need: str, *others: str, package: str = "") -> ModuleType:
    """The imported package of an extra, its first unless another is named; EnvironmentProblem ND115 where it is absent.

    ``need`` is what needs it, in the plural; ``others`` is what one may do instead.
    """
    package = package or EXTRAS[extra].packages[0]
    try:
        return importlib.import_module(package)
    except Exception as error:  # a broken installation raises anything
        raise absent(extra, package, first_line(error), need, *others) from error


def there(package: str) -> bool:
    """Whether a package is installed; it is not imported."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # a name that was blocked
        return False


def installed() -> dict[str, str]:
    """Every extra: "installed", or the command that brings what is missing of it."""
    return {
        name: "installed" if all(map(there, extra.packages)) else f"not installed: {command(name)}"
        for name, extra in EXTRAS.items()
    }
