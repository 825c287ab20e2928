"""Files of a build change places together; what was left half done is completed or refused, never read."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from neurodeploy import artifact, publishing, verbs
from neurodeploy.errors import EnvironmentProblem, NeurodeployError, Problem, UsageError
from neurodeploy.publishing import JOURNAL, LOCK, NAMES
from tests.unprivileged import unprivileged


def finished(place: Path, text: str, *names: str) -> Path:
    """A scratch folder with these files of a build."""
    place.mkdir(parents=True)
    for name in names:
        (place / name).write_text(text)
    return place


def texts(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


def test_a_new_folder_appears_whole(tmp_path: Path) -> None:
    names = publishing.publish(
        finished(tmp_path / "made", "new", "build.toml", "build.log"), tmp_path / "out"
    )
    assert names == ("build.log", "build.toml")
    assert texts(tmp_path / "out") == dict.fromkeys(names, "new")


def test_files_of_a_fuller_build_go_and_all_others_stay(tmp_path: Path) -> None:
    out = finished(tmp_path / "out", "old", *publishing.FILES, "notes.txt", ".hidden")
    (out / "mine").mkdir()
    inode = out.stat().st_ino
    publishing.publish(finished(tmp_path / "made", "new", "build.toml"), out)
    assert {p.name for p in out.iterdir()} == {"build.toml", "notes.txt", ".hidden", "mine"}
    assert (out / "build.toml").read_text() == "new" and out.stat().st_ino == inode


def test_a_folder_with_the_name_of_a_file_is_refused_before_anything_moves(tmp_path: Path) -> None:
    out = finished(tmp_path / "out", "old", "build.toml")
    (out / "report.json").mkdir()
    with pytest.raises(UsageError, match=r"ND902(.|\n)*report.json"):
        publishing.publish(finished(tmp_path / "made", "new", "build.toml", "report.json"), out)
    assert (out / "build.toml").read_text() == "old" and not (out / LOCK).exists()


def unfinished(
    out: Path, done: int, names: tuple[str, ...] = ("build.log", "build.toml", "repro.json")
) -> None:
    """A folder whose publisher was killed after it had moved ``done`` files."""
    finished(out, "old", *publishing.FILES)
    journal = finished(out / JOURNAL, "new", *names[done:])
    (journal / NAMES).write_text(json.dumps(names))
    for name in names[:done]:
        (out / name).write_text("new")
    (out / LOCK).touch()  # it lies there, and nobody holds it


@pytest.mark.parametrize("done", range(4))
def test_whoever_looks_into_a_folder_completes_it(done: int, tmp_path: Path) -> None:
    unfinished(tmp_path / "out", done)
    with pytest.raises(NeurodeployError):  # these files are no artifact
        artifact.load(tmp_path / "out" / "program.h5")
    assert texts(tmp_path / "out") == dict.fromkeys(("build.log", "build.toml", "repro.json"), "new")


def test_a_report_that_is_drawn_again_completes_it_too(tmp_path: Path) -> None:
    unfinished(tmp_path / "out", 1)
    with pytest.raises(NeurodeployError, match="ND810"):  # the new build has none
        verbs.report(tmp_path / "out")
    assert set(texts(tmp_path / "out")) == {"build.log", "build.toml", "repro.json"}


@pytest.mark.parametrize("names", ["{", "[" * 100_000, "\xff"])
def test_a_damaged_journal_is_refused(names: str, tmp_path: Path) -> None:
    unfinished(tmp_path / "out", 1)
    (tmp_path / "out" / JOURNAL / NAMES).write_text(names, encoding="latin-1")
    before = {p.name for p in (tmp_path / "out").rglob("*")} - {LOCK}
    with pytest.raises(EnvironmentProblem, match="ND970"):
        artifact.load(tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").rglob("*")} == before


def test_a_journal_elsewhere_is_refused(tmp_path: Path) -> None:
    """A folder that comes from somebody else must not reach files outside of it."""
    secret = finished(tmp_path / "secret", "secret", "report.json", NAMES)
    (secret / NAMES).write_text('["report.json"]')
    out = finished(tmp_path / "out", "old", "program.h5")
    (out / JOURNAL).symlink_to(secret)
    with pytest.raises(EnvironmentProblem, match="ND970"):
        artifact.load(out)
    assert (secret / "report.json").exists()


def test_names_that_are_no_files_of_a_build_are_not_moved(tmp_path: Path) -> None:
    out = finished(tmp_path / "out", "old", "build.toml", "notes.txt")
    journal = finished(out / JOURNAL, "new", "notes.txt", "build.toml")
    (journal / NAMES).write_text('["notes.txt", "build.toml", "../x", 3]')
    publishing.settle(out)
    assert texts(out) == {"build.toml": "new", "notes.txt": "old"}


def test_a_folder_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    unfinished(tmp_path / "out", 1)
    (tmp_path / "out" / LOCK).unlink()
    (tmp_path / "out").chmod(0o500)
    with unprivileged(), pytest.raises(EnvironmentProblem, match="ND970"):
        artifact.load(tmp_path / "out")


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    out = finished(tmp_path / "out", "old", "build.toml")
    ready, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        with publishing.locked(out):
            os.write(told, b".")
            signal.pause()
    os.read(ready, 1)
    done: list[float] = []

    def publish() -> None:
        publishing.publish(finished(tmp_path / "made", "new", "build.toml"), out)
        done.append(time.monotonic())

    thread = threading.Thread(target=publish)
    thread.start()
    time.sleep(0.2)
    assert not done and (out / "build.toml").read_text() == "old"
    killed = time.monotonic()
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    thread.join(10)
    assert done and done[0] > killed
    assert texts(out) == {"build.toml": "new"}


def test_many_publishers_at_once(tmp_path: Path) -> None:
    """Threads and readers of one process: in the end the folder is of one of them."""
    out, names = finished(tmp_path / "out", "old", *publishing.FILES), publishing.FILES
    made = [finished(tmp_path / f"made{n}", str(n), *names[: 3 + n % 7]) for n in range(24)]
    threads = [threading.Thread(target=publishing.publish, args=(one, out)) for one in made]
    threads += [threading.Thread(target=publishing.settle, args=(out,)) for _ in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = texts(out)
    [last] = set(found.values())
    assert set(found) == set(names[: 3 + int(last) % 7])


def test_who_reads_while_files_change_places_reads_again(tmp_path: Path) -> None:
    out = finished(tmp_path / "out", "old", "build.toml", "repro.json")
    calls: list[str] = []

    def read() -> set[str]:
        first = (out / "build.toml").read_text()
        if not calls:
            publishing.publish(finished(tmp_path / "made", "new", "build.toml", "repro.json"), out)
        calls.append(first)
        if first != (out / "repro.json").read_text():
            raise UsageError(Problem("ND963", "of two builds"))
        return {first}

    assert publishing.steadily(out, read) == {"new"} and calls == ["old", "new"]
    (out / "repro.json").write_text("edited")
    with pytest.raises(UsageError, match="ND963"):
        publishing.steadily(out, read)
