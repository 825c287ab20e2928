"""The shape of the package: what neither ruff nor the import contracts can say."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

import neurodeploy
from tests.conftest import COLLECTED

PACKAGE = Path(neurodeploy.__file__).parent


def trees(folder: Path) -> Iterator[tuple[str, ast.Module]]:
    """Every file below a folder of the package, by its path in the package."""
    for path in sorted(folder.rglob("*.py")):
        yield str(path.relative_to(PACKAGE)), ast.parse(path.read_text(encoding="utf-8"))


def test_no_module_reaches_itself_by_imports() -> None:
    """Those inside functions count, those for type checkers do not; nor do a package's own of the public verbs."""
    graph = grimp.build_graph("neurodeploy", exclude_type_checking_imports=True)
    graph.remove_import(importer="neurodeploy", imported="neurodeploy.verbs")
    arrows = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(arrows) > 300
    try:
        TopologicalSorter(arrows).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_package_imports_itself_relatively() -> None:
    absolute = [
        f"{path}:{node.lineno}"
        for path, tree in trees(PACKAGE)
        for node in ast.walk(tree)
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").startswith("neurodeploy")
        )
        or (isinstance(node, ast.Import) and any(a.name.startswith("neurodeploy") for a in node.names))
    ]
    assert not absolute


def test_stages_say_in_types_what_they_read() -> None:
    """No ``Any`` in a signature of ``builds/``."""
    vague = [
        f"{path}:{node.lineno} {node.name}"
        for path, tree in trees(PACKAGE / "builds")
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for hint in (node.args, node.returns)
        if hint is not None and any(isinstance(n, ast.Name) and n.id == "Any" for n in ast.walk(hint))
    ]
    assert not vague


def test_collecting_imports_no_heavy_library(pytestconfig: pytest.Config) -> None:
    """Of the files collected in this run. A suite that imports torch before it starts reads a gigabyte first."""
    assert not pytestconfig.stash[COLLECTED]
