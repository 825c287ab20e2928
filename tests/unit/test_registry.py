"""Members that are broken in every way: by file and by entry point, each named, none in the way of another."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from neurodeploy import cli, registry
from neurodeploy.backends._base import BACKENDS
from neurodeploy.convert._base import METHODS
from neurodeploy.errors import EnvironmentProblem, UsageError
from neurodeploy.ir.micro_op import MICROCODE
from neurodeploy.ir.neuron_model import NEURONS
from neurodeploy.rooms import ROOMS, distributions
from neurodeploy.rooms import broken as everything_broken
from tests import rooms

BACKEND = """
from neurodeploy.backends._base import Backend

class Toy(Backend):
    name = "toy"
    available = lambda self: ""
    run = lambda self, program, x, record=(): None

MEMBER = Toy()
"""
#: way of being broken -> (file that is broken so, what the problem says)
BROKEN = {
    "nothing": ("x = 1\n", "binds no MEMBER"),
    "another type": ("MEMBER = 3\n", "is no Backend"),
    "syntax": ("def\n", "cannot be imported"),
    "raises": ("raise RuntimeError('no licence')\n", "cannot be imported"),
    "a library is missing": ("import a_library_of_nobody\n", "cannot be imported"),
    "a method is missing": (BACKEND.replace("run =", "ran ="), "cannot be imported"),
    "an attribute is missing": (BACKEND.replace("name =", "title ="), "is incomplete"),
    "a name that is none": (BACKEND.replace('"toy"', "7"), "has no name"),
    "the name of another": (BACKEND.replace('"toy"', '"cpu"'), "has the name of"),
}
broken = pytest.mark.parametrize(("text", "cause"), BROKEN.values(), ids=BROKEN)
WHOLE = set(BACKENDS)
#: makes a text a member, and says where it is
Install = Callable[[str], str]


@pytest.fixture(params=["file", "entry point"])
def install(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Install]:
    """A function that makes a text the member ``toy``, by file or by entry point; returns where it is."""
    with ExitStack() as stack:

        def file(text: str) -> str:
            stack.enter_context(rooms.member(BACKENDS, tmp_path, toy=text))
            return str(tmp_path / "toy.py")

        def entry_point(text: str) -> str:
            (tmp_path / "toy_package.py").write_text(text)
            info = tmp_path / "toy_package-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-package\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text("[neurodeploy.backends]\ntoy = toy_package:MEMBER\n")
            monkeypatch.syspath_prepend(str(tmp_path))
            stack.callback(sys.modules.pop, "toy_package", None)
            stack.callback(rooms.forget, BACKENDS)
            rooms.forget(BACKENDS)
            return "entry point toy = toy_package:MEMBER of toy-package"

        yield file if request.param == "file" else entry_point


@broken
def test_a_broken_member_is_named_and_spoils_no_other(install: Install, text: str, cause: str) -> None:
    where = install(text)
    assert set(BACKENDS) == WHOLE
    (problem,) = BACKENDS.problems
    assert (problem.code, problem.where, problem.severity) == ("ND930", where, "warning")
    entry_point = where.startswith("entry point")  # to load one that binds nothing fails as an import does
    assert ("cannot be imported" if entry_point and cause == "binds no MEMBER" else cause) in problem.cause


@broken
def test_asking_for_a_broken_member_says_what_is_wrong_with_it(
    install: Install, text: str, cause: str
) -> None:
    where = install(text)
    with pytest.raises(EnvironmentProblem) as caught:
        BACKENDS.named("toy", "ND702", "backend")
    (problem,) = caught.value.problems
    assert (problem.code, problem.where, problem.severity) == ("ND930", where, "error")
    with pytest.raises(UsageError, match="ND702"):
        BACKENDS.named("toyy", "ND702", "backend")


def test_the_missing_piece_is_named(tmp_path: Path) -> None:
    pieces = {"a method is missing": "run", "an attribute is missing": "name", "another type": "int"}
    for way, piece in pieces.items():
        with rooms.member(BACKENDS, tmp_path, toy=BROKEN[way][0]):
            assert piece in BACKENDS.problems[0].found


def test_the_first_of_two_members_of_one_name_stays(install: Install) -> None:
    before = BACKENDS["cpu"]
    where = install(BROKEN["the name of another"][0])
    assert BACKENDS["cpu"] is before
    (problem,) = BACKENDS.problems
    assert problem.cause.endswith("cpu.py") and problem.where == where


def test_a_whole_member_is_found(install: Install) -> None:
    install(BACKEND)
    assert set(BACKENDS) == {*WHOLE, "toy"} and not BACKENDS.problems


def test_a_member_may_be_a_folder_and_helpers_are_none(tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "__init__.py").write_text("raise RuntimeError")
    with rooms.member(BACKENDS, tmp_path, _helper="raise RuntimeError"):
        (problem,) = BACKENDS.problems
    assert problem.where == str(tmp_path / "toy" / "__init__.py")


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.path)
def test_every_room_names_its_broken_members(room: registry.Room, tmp_path: Path) -> None:
    names = set(room)
    assert names and not room.problems and all(room[name].name == name for name in names)
    with rooms.member(room, tmp_path, toy="MEMBER = 3"):
        assert set(room) == names and [p.where for p in room.problems] == [str(tmp_path / "toy.py")]
        assert everything_broken() == room.problems
    assert not room.problems


@pytest.mark.parametrize("command", [["ops"], ["ops", "--format", "json"], ["check", "digits-vit"]])
def test_commands_name_broken_members_and_work(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.call(command) == 0
    alone = capsys.readouterr()
    with rooms.member(NEURONS, tmp_path, toy="def"):
        assert cli.call(command) == 0
    with_toy = capsys.readouterr()
    assert with_toy.out == alone.out and "ND930" not in alone.err
    assert "ND930" in with_toy.err and str(tmp_path / "toy.py") in with_toy.err


def test_a_command_that_asks_for_a_broken_member_fails_with_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with rooms.member(METHODS, tmp_path, toy="def"):
        assert cli.call(["check", "digits-vit", "--method", "toy"]) == 2
    assert "error: ND930" in capsys.readouterr().err


def test_doctor_lists_broken_members_of_all_rooms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with rooms.member(MICROCODE, tmp_path, toy="def"):
        assert cli.call(["doctor"]) == 0
        assert str(tmp_path / "toy.py") in capsys.readouterr().out
        assert cli.call(["doctor", "--format", "json"]) == 0
        (problem,) = json.loads(capsys.readouterr().out)["broken"]
    assert problem["code"] == "ND930" and problem["where"] == str(tmp_path / "toy.py")


def test_members_name_the_packages_that_change_numbers(tmp_path: Path) -> None:
    known = distributions()
    assert {"numpy", "torch", "numba", "lava-nc", "timm", "transformers"} <= set(known)
    assert len(set(known)) == len(known)
    toy = BACKEND.replace("    name", '    distributions = ("toylib",)\n    name')
    with rooms.member(BACKENDS, tmp_path, toy=toy):
        assert set(distributions()) == {*known, "toylib"}
