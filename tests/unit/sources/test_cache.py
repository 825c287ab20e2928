"""The cache of source graphs: nothing that takes part in making a graph may change without changing its key."""

import ast
import shutil
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

import neurodeploy
from neurodeploy.frontends import _torch
from neurodeploy.sources import cache

PACKAGE = Path(neurodeploy.__file__).parent
#: where the making of a graph begins, in the package
STARTS = (
    "sources/resolve.py",
    "sources/cache.py",
    "frontends",
    "passes",
    "formats/netx/read.py",
    "formats/nir/read.py",
)
#: what a reader of graphs imports to check or to store them, and what makes no difference to a graph
CHECKS = ("artifact.py", "calibrate.py", "codes.py", "config.py", "counted.py", "image", "mapping", "target.py",
          "target_schema.py", "sources/defaults.py", "__init__.py", "freed.py", "program.py", "evidence.py",
          "formats/nir/replay.py")  # fmt: skip


def modules(place: Path) -> Iterator[Path]:
    yield from (place.rglob("*.py") if place.is_dir() else [place])


def imported(file: Path) -> Iterator[Path]:
    """Files of the package that a file imports when it runs."""
    tree = ast.parse(file.read_text())
    for branch in [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)
    ]:
        branch.body = [ast.Pass()]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = file.parents[node.level - 1] / Path(*(node.module or "").split("."))
            names = [base / alias.name for alias in node.names] + [base]
            for name in names:
                yield from (p for p in (name.with_suffix(".py"), name / "__init__.py") if p.is_file())


def reached() -> set[Path]:
    """All files that the making of a graph imports, however deep, and the members of rooms that it asks."""
    todo = [file for start in STARTS for file in modules(PACKAGE / start)]
    todo += [file for room in ("neurons", "microcode") for file in modules(PACKAGE / room)]
    found: set[Path] = set()
    while todo:
        file = todo.pop()
        if file not in found:
            found.add(file)
            todo += [] if listed(file, CHECKS) else imported(file)
    return found


def listed(file: Path, places: tuple[str, ...]) -> bool:
    name = file.relative_to(PACKAGE).as_posix()
    return any(name == place or name.startswith(f"{place}/") for place in places)


def test_the_key_covers_everything_that_the_making_reaches() -> None:
    found = reached()
    missed = [str(f.relative_to(PACKAGE)) for f in found if not listed(f, cache.REACHED + CHECKS)]
    assert not missed, "add them to REACHED, or say in CHECKS why a graph cannot depend on them"
    assert PACKAGE / "ir/shapes.py" in found and PACKAGE / "neurons/lif.py" in found


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("copy") / "neurodeploy"
    shutil.copytree(PACKAGE, place, ignore=shutil.ignore_patterns("__pycache__", "_bundled", "report"))
    return place


@pytest.mark.parametrize("room", cache.REACHED)
def test_an_edit_in_any_room_makes_another_key(copy: Path, room: str) -> None:
    before = cache.makers(copy)
    file = max(modules(copy / room), key=lambda p: p.stat().st_size)
    text = file.read_text()
    try:
        file.write_text(text + "\n# edited\n")
        assert cache.makers(copy) != before
    finally:
        file.write_text(text)
    assert cache.makers(copy) == before


def test_an_edit_elsewhere_does_not(copy: Path) -> None:
    before = cache.makers(copy)
    (copy / "verbs.py").write_text("# empty\n")
    (copy / "cost" / "energy.py").write_text("# empty\n")
    assert cache.makers(copy) == before


@pytest.mark.parametrize("room", ["neurons", "ir"])
def test_a_new_file_makes_another_key(copy: Path, room: str) -> None:
    before = cache.makers(copy)
    added = copy / room / "added.py"
    added.write_text("")
    assert cache.makers(copy) != before
    added.unlink()


def test_the_versions_of_libraries_are_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = cache._made_by.__wrapped__()
    monkeypatch.setattr(cache, "version", lambda name: "0.0")
    assert cache._made_by.__wrapped__() != before


def test_the_graphs_of_an_import_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that keeps an error keeps all frames that were active then, with all that they hold."""

    class Graph:
        pass

    def imported() -> tuple[ModuleNotFoundError, weakref.ref]:
        graph = Graph()
        try:
            raise ModuleNotFoundError("No module named 'pynvml'")
        except ModuleNotFoundError as error:
            return error, weakref.ref(graph)

    error, graph = imported()
    torch = SimpleNamespace(cuda=SimpleNamespace(_PYNVML_ERR=error))
    monkeypatch.setitem(sys.modules, "torch", torch)
    assert graph() is not None
    _torch.let_go()
    assert graph() is None
