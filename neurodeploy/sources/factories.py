"""Python files read, and not run: what they define, what of it builds a network, and whose line an error comes from."""

from __future__ import annotations

import ast
import sys
import traceback
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path

from ..errors import ImportModelError, Problem, nearest

MOST_FILES = 2000  # of a folder that are looked at
_NN = "nn."
LIMIT = "a function without arguments that returns a torch module"


def require(text: str) -> None:
    """ImportModelError ND111 where a ``py:`` model's module is not on the path, or its file defines no such factory.

    Of a file that may define more than it says, such as one with ``from x import *``, nothing is claimed, nor of a
    module that is imported already.
    """
    module, _, factory = text.removeprefix("py:").partition(":")
    if not text.startswith("py:") or not module or not factory or module in sys.modules:
        return
    file = _file(module)
    if file is None:
        near = nearest(module, _modules())
        fixes = tuple(f"use py:{name}:{factory}" for name in near)
        raise _refused(f"no module {module!r} in this folder or on the path", text, fixes)
    names = defined(file) if file.suffix == ".py" else None
    if names is not None and factory not in names:
        fixes = tuple(f"use py:{module}:{name}" for name in nearest(factory, names))
        raise _refused(f"{file.name} defines no {factory!r}", text, fixes)


def _refused(cause: str, text: str, fixes: tuple[str, ...]) -> ImportModelError:
    return ImportModelError(Problem("ND111", cause, text, text, LIMIT, fixes))


def _file(module: str) -> Path | None:
    """The file of a module, found without importing the packages that it lies in; an empty path for what has none."""
    places: list[str] | None = (
        None if "" in sys.path else ["", *sys.path]
    )  # a console script does not search it
    for part in module.split("."):
        if part in sys.builtin_module_names:
            return Path()
        spec = PathFinder.find_spec(part, places)
        if spec is None:
            return None
        places = list(spec.submodule_search_locations or ())
    return Path(spec.origin) if spec is not None and spec.origin else Path()


def _modules() -> list[str]:
    """Modules of the working folder, and of the packages in it."""
    found = [path for pattern in ("*.py", "*/*.py") for path in sorted(Path(".").glob(pattern))][:MOST_FILES]
    return [".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in found]


def defined(file: Path) -> set[str] | None:
    """Names that a file defines at its top level; None where it cannot be told without running it."""
    tree = _parsed(file)
    return None if tree is None else _names(tree.body)


def _names(body: list[ast.stmt]) -> set[str] | None:
    found: set[str] = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {(name.asname or name.name).partition(".")[0] for name in node.names}
        else:  # whatever a statement binds anywhere inside of it
            inside = [*ast.walk(node)]
            uses = [part for part in inside if isinstance(part, ast.Name)]
            if {part.id for part in uses} & {"globals", "vars", "setattr", "exec"}:
                return None
            found |= {part.id for part in uses if isinstance(part.ctx, ast.Store)}
            found |= {part.name for part in inside if isinstance(part, (ast.FunctionDef, ast.ClassDef))}
            nested = (part for part in inside if isinstance(part, (ast.Import, ast.ImportFrom)))
            found |= {(name.asname or name.name).partition(".")[0] for part in nested for name in part.names}
    return None if found & {"*", "__getattr__"} else found


def candidates(file: Path) -> Iterator[str]:
    """Functions that take nothing and say that they return a module, or return one of the file's, and its modules."""
    tree = _parsed(file)
    body = tree.body if tree is not None else []
    classes = [node for node in body if isinstance(node, ast.ClassDef)]
    modules = {node.name: node for node in classes if any(map(_is_module, node.bases))}
    for node in body:
        if isinstance(node, ast.FunctionDef) and not _wants(node.args) and not node.name.startswith("_"):
            said = node.returns is not None and _is_module(node.returns)
            made = {*_returned(node)}
            if said or made & modules.keys() or any(name.startswith(_NN) for name in made):
                yield node.name
    for name, module in modules.items():
        starts = [
            part for part in module.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"
        ]
        if all(_wants(part.args) <= 1 for part in starts):  # itself
            yield name


def _parsed(file: Path) -> ast.Module | None:
    try:
        return ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, RecursionError, OSError):
        return None


def _returned(function: ast.FunctionDef) -> Iterator[str]:
    """Names of what a function returns a call of, at once or by a variable; those of torch begin with ``nn.``."""
    parts = [*ast.walk(function)]
    assigned = {
        target.id: part.value
        for part in parts
        if isinstance(part, ast.Assign)
        for target in part.targets
        if isinstance(target, ast.Name)
    }
    for value in (part.value for part in parts if isinstance(part, ast.Return) and part.value):
        names = {part.id for part in ast.walk(value) if isinstance(part, ast.Name)}
        made = [value, *(assigned[name] for name in sorted(names & assigned.keys()))]  # net.eval() says net
        calls = (part.func for one in made for part in ast.walk(one) if isinstance(part, ast.Call))
        for called in calls:
            if isinstance(called, ast.Name):
                yield called.id
            elif isinstance(called, ast.Attribute) and _last(called.value) == "nn":
                yield _NN + called.attr


def _is_module(node: ast.expr) -> bool:
    return _last(node) in ("Module", "Sequential")


def _last(node: ast.expr) -> str:
    """``Module`` of ``Module`` and of ``torch.nn.Module``."""
    return node.attr if isinstance(node, ast.Attribute) else str(getattr(node, "id", ""))


def _wants(args: ast.arguments) -> int:
    """How many arguments have to be given."""
    keywords = sum(default is None for default in args.kw_defaults)
    return len(args.posonlyargs) + len(args.args) - len(args.defaults) + keywords


def place_of(error: BaseException) -> str:
    """``file:line`` of the user's own code that an error comes from; empty where there is none.

    That is the last line outside of this package, of installed libraries and of Python itself; of a file that cannot be
    parsed the line that is wrong.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{_shown(error.filename)}:{error.lineno}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _own(frame.filename)]
    return f"{_shown(own[-1].filename)}:{own[-1].lineno}" if own else ""


def _own(file: str) -> bool:
    place = Path(file)
    if file.startswith("<") or Path(__file__).parents[1] in place.parents:
        return False
    return "site-packages" not in place.parts and Path(traceback.__file__).parent not in place.parents


def _shown(file: str) -> str:
    """As the user would write it."""
    place = Path(file)
    return str(place.relative_to(Path.cwd())) if place.is_absolute() and Path.cwd() in place.parents else file
