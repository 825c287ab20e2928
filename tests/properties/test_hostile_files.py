"""Files that are damaged or mean harm: every reader answers with typed problems, and executes nothing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fuzz import campaign, mutators, readers, worker
from tests.fuzz.readers import READERS, FileReader

LIGHT = [name for name, reader in READERS.items() if not reader.heavy]
DAMAGED = 6  # of each reader, in the fast suite; the campaign reads thousands
#: of these samples a network or a data set comes in, whatever the others are for
ACCEPTED = ("a", "b")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seeds")
    campaign.prepare(folder, LIGHT)
    return folder


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield


def survives(reader: FileReader, files: dict[str, bytes], folder: Path) -> str:
    worker.put(files, folder)
    kind, why = worker.outcome(reader, folder)
    assert kind in ("accepted", "refused"), why
    assert not Path(readers.TRAP).exists()
    return kind


@pytest.mark.parametrize("name", LIGHT)
def test_valid_samples_come_in_and_damaged_ones_do_no_harm(name: str, seeds: Path, tmp_path: Path) -> None:
    reader = READERS[name]
    for place in sorted((seeds / name).iterdir()):
        kind = survives(reader, dict(readers.loaded(place)), tmp_path / place.name)
        assert kind == "accepted" or place.name not in ACCEPTED
    samples = reader.samples(seeds)
    for number in range(len(samples), len(samples) + DAMAGED):
        survives(reader, worker.case(reader, samples, 0, number), tmp_path / str(number))


@pytest.mark.parametrize("place", [
    pytest.param(place, id=f"{name}-{place.name}") for name in LIGHT for place in READERS[name].corpus()
])  # fmt: skip
def test_hostile_files_are_refused(place: Path, tmp_path: Path) -> None:
    kind = survives(READERS[place.parent.name], dict(readers.loaded(place)), tmp_path / "case")
    assert kind == "refused" or place.parent.name in ("txt", "config")


def test_the_corpus_is_what_its_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_hostile", readers.CORPUS / "make.py")
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    found = {str(p.relative_to(readers.CORPUS)) for p in readers.CORPUS.rglob("*") if p.is_file()}
    assert {name for name, _ in made.files()} == {
        name for name in found if not name.endswith((".py", ".pyc"))
    }


def test_cases_are_the_same_in_every_run(seeds: Path) -> None:
    for name in ("netx", "csv", "report"):
        samples = READERS[name].samples(seeds)
        first, second = (worker.case(READERS[name], samples, 3, 50) for _ in range(2))
        assert first == second and first != worker.case(READERS[name], samples, 4, 50)


BAD = {
    "raises": ("def read(folder): 1 / 0", "ZeroDivisionError"),
    "ends": ("import os\ndef read(folder): os._exit(3)", "the process ended with 3"),
    "hangs": ("import time\ndef read(folder): time.sleep(99)", "no answer after"),
    "takes all memory": ("def read(folder): bytearray(3 << 30)", "MemoryError"),
    "executes": ("def read(folder): open('EXECUTED', 'w').close()", "code was executed"),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", BAD)
def test_the_campaign_sees_every_kind_of_failure(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that is replaced in the worker by one that fails in its own way."""
    source, why = BAD[how]
    (tmp_path / "sitecustomize.py").write_text(
        f"{source}\nimport sys\nif 'tests.fuzz.worker' in sys.orig_argv:\n"
        "    from dataclasses import replace\n    from tests.fuzz import readers\n"
        "    readers.READERS['txt'] = replace(readers.READERS['txt'], read=read)\n"
    )
    monkeypatch.setattr(campaign, "ROOT_PATH", os.pathsep.join([str(tmp_path), str(readers.ROOT)]))
    monkeypatch.setattr(campaign, "START_SECONDS", 30.0)
    (result,) = campaign.run(tmp_path / "seeds", ["txt"], 1, 0, 1, tmp_path / "kept")
    assert result.counts["failed"] == 1 and why in result.failures[0]
    assert why in (tmp_path / "kept" / "txt" / "0" / "WHY.txt").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_thousand_damaged_files_do_no_harm(tmp_path: Path) -> None:
    results = campaign.run(tmp_path / "seeds", list(READERS), 2000, 0, os.cpu_count() or 1, tmp_path / "kept")
    assert not any(result.failures for result in results), campaign.table(results)
    assert all(result.counts["refused"] and result.counts["accepted"] for result in results)


def test_mutators_change_and_never_fail() -> None:
    rng = worker.Random(0)
    for content in (
        b"",
        b"{",
        b"[1]",
        b"PK",
        b"\x89HDF\r\n\x1a\n",
        b"\x93NUMPY",
        b"\x89PNG",
        b"a = 1\n",
        bytes(99),
    ):
        assert {mutators.mutate(rng, "x", content) for _ in range(40)} - {content}
