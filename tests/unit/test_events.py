"""Recordings of events as frames: every format against what was written, frames against SpikingJelly's, edges."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neurodeploy import datasets, guarded
from neurodeploy.datasets import _events
from neurodeploy.datasets._digits import images
from neurodeploy.datasets._events import EventOptions, binned, made, unwrapped
from neurodeploy.datasets.recordings._base import RECORDINGS
from neurodeploy.errors import EnvironmentProblem, UsageError
from tests import event_files as files

Writer = Callable[[Path, np.ndarray], Path]
EVENTS = files.drawn()
LONG = files.drawn(seed=1, last_us=40_000_000)  # turns of 23 and of 24 bits


def code(call: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    with pytest.raises((UsageError, EnvironmentProblem)) as found:
        call(*arguments, **options)
    return found.value.problems[0].code


def read(path: Path) -> _events.Events:
    return next(r for r in RECORDINGS.values() if path.suffix in r.suffixes).read(str(path))


def same(found: _events.Events, events: np.ndarray) -> bool:
    return all(np.array_equal(np.asarray(getattr(found, name)), events[name]) for name in "txyp")


# --- formats -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "name"),
    [(files.nmnist, "a.bin"), (files.dat, "a.dat"), (files.evt2, "a.raw"), (files.evt3, "a.raw"),
     (files.npz, "a.npz"), (files.grouped_h5, "a.h5"),
     pytest.param(files.aedat4, "a.aedat4", marks=pytest.mark.needs("aedat"))],
)  # fmt: skip
def test_formats_give_the_events_that_were_written(write: Writer, name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name, EVENTS)
    assert same(read(path), EVENTS)
    size = next(r for r in RECORDINGS.values() if path.suffix in r.suffixes).size(str(path))
    assert size in (None, files.SIZE)


@pytest.mark.parametrize("write", [files.evt2, files.evt3, files.dat])
def test_time_goes_on_where_a_counter_turns(write: Writer, tmp_path: Path) -> None:
    assert same(read(write(tmp_path / ("a.dat" if write is files.dat else "a.raw"), LONG)), LONG)


def test_counters_of_23_and_32_bits_turn(tmp_path: Path) -> None:
    turned = LONG[np.diff(LONG["t"], prepend=0) < 1 << 22]
    t = read(files.nmnist(tmp_path / "a.bin", turned)).t
    assert np.array_equal(np.diff(t), np.diff(turned["t"])) and t[-1] - t[0] > 1 << 24
    assert unwrapped(np.array([(1 << 32) - 1, 0, 5], np.uint32), 32).tolist() == [
        (1 << 32) - 1,
        1 << 32,
        (1 << 32) + 5,
    ]


def test_nmnist_row_240_moves_time(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes((3, 5, 0x80, 0, 7)) + bytes((0, 240, 0, 0, 0)) + bytes((4, 6, 0, 1, 0)))
    found = read(path)
    assert (found.t.tolist(), found.x.tolist(), found.y.tolist()) == ([7, 256 + 8192], [3, 4], [5, 6])
    assert found.p.tolist() == [True, False]


def test_vectors_of_evt3_are_events_of_neighbours(tmp_path: Path) -> None:
    assert same(read(files.evt3(tmp_path / "a.raw", EVENTS, vectors=True)), EVENTS)
    words = [8 << 12 | 1, 6 << 12 | 5, 9, 3 << 12 | 1 << 11 | 2, 4 << 12 | 0b100000000101, 5 << 12 | 0b11]
    words += [8 << 12 | 1, 2 << 12 | 30, 8 << 12 | 2, 2 << 12 | 31]  # the same high part again, then another
    path = tmp_path / "b.raw"
    path.write_bytes(files.EVT3.encode() + np.array(words, "<u2").tobytes())
    found = read(path)
    assert found.x.tolist() == [2, 4, 13, 14, 15, 30, 31] and set(found.y.tolist()) == {9}
    assert found.t.tolist() == [4101] * 6 + [8192] and found.p.tolist() == [True] * 5 + [False] * 2


def test_events_before_the_first_time_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(
        files.EVT2.encode() + np.array([1 << 28, 8 << 28 | 1, 1 << 28 | 3 << 11], "<u4").tobytes()
    )
    assert (read(path).t.tolist(), read(path).x.tolist()) == ([64], [3])
    path.write_bytes(files.EVT3.encode() + np.array([9, 2 << 12, 4 << 12 | 1], "<u2").tobytes())
    assert code(read, path) == "ND921"


@pytest.mark.needs("expelliarmus")
@pytest.mark.parametrize("encoding", ["dat", "evt2", "evt3"])
def test_prophesee_files_read_as_another_library_reads_them(encoding: str, tmp_path: Path) -> None:
    from expelliarmus import Wizard

    path, ours = (
        tmp_path / ("a.dat" if encoding == "dat" else "a.raw"),
        EVENTS.astype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "u1")]),
    )
    if encoding != "evt3":
        Wizard(encoding=encoding).save(fpath=path, arr=ours)  # of evt3 it writes no high parts of time
    else:
        files.evt3(path, EVENTS, "% Date 2020-01-01 00:00:00\n% evt 3.0\n", vectors=True)
    theirs, found = Wizard(encoding=encoding, fpath=path).read(), read(path)
    # nor does it count time as published: a low part that steps back is 4096 us to it, whatever the high part says
    for name in "xyp" if encoding == "evt3" else "txyp":
        assert np.array_equal(np.asarray(getattr(found, name)), theirs[name])


def test_damaged_and_foreign_recordings_are_refused(tmp_path: Path) -> None:
    cases = {
        "odd.bin": (b"\0" * 7, "ND922"),
        "empty.bin": (b"", "ND921"),
        "odd.dat": (b"% Version 2\n\x0c\x08\0\0\0", "ND922"),
        "none.dat": (b"% Version 2\n", "ND923"),
        "old.dat": (b"% Version 1\n\x0c\x08" + b"\0" * 8, "ND923"),
        "trigger.dat": (b"% Version 2\n\x0e\x08" + b"\0" * 8, "ND923"),
        "endless.dat": (b"% " * 70_000, "ND923"),
        "unnamed.raw": (b"% Date today\n" + b"\0" * 8, "ND923"),
        "vector.raw": (b"% evt 2.1\n" + b"\0" * 8, "ND923"),
        "big.raw": (b"% evt 3.0\n% endianness big\n% end\n" + b"\0" * 8, "ND923"),
        "odd.raw": (b"% evt 3.0\n% end\n\0", "ND922"),
        "nothing.raw": (b"% evt 3.0\n% end\n", "ND921"),
        "text.npz": (b"no archive", "ND923"),
    }
    for name, (content, expected) in cases.items():
        (tmp_path / name).write_bytes(content)
        assert code(read, tmp_path / name) == expected, name
    np.savez(tmp_path / "frames.npz", frames=np.zeros((4, 2, 3, 3)))
    assert code(read, tmp_path / "frames.npz") == "ND923"
    np.savez(tmp_path / "objects.npz", **{name: np.array([None]) for name in "txyp"})
    assert code(read, tmp_path / "objects.npz") == "ND923"


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(EnvironmentProblem) as found:
        RECORDINGS["aedat4"].read("a.aedat4")
    assert (
        found.value.problems[0].code == "ND115" and "neurodeploy[events]" in found.value.problems[0].fixes[0]
    )


# --- columns and frames ------------------------------------------------------------------------------------------


def test_events_out_of_order_are_sorted_and_equal_times_keep_their_order() -> None:
    found = made(([5, 3, 5, 1], [0, 1, 2, 3], [0, 0, 0, 0], [-1, 1, 1, -1]), "here")
    assert (found.t.tolist(), found.x.tolist()) == ([1, 3, 5, 5], [3, 1, 0, 2])
    assert found.p.tolist() == [False, True, False, True]


@pytest.mark.parametrize(
    "columns",
    [([], [], [], []), ([1], [1, 2], [1], [1]), ([1.5], [1], [1], [1]), ([1], [-1], [1], [1]),
     ([1], [1], [1 << 14], [1]), ([1], [1], [1], [2]), ([1, 2], [1, 1], [1, 1], [-1, 0]), ([[1]], [1], [1], [1]),
     ([-1 << 62], [1], [1], [1])],
)  # fmt: skip
def test_columns_that_are_no_events_are_refused(columns: Any) -> None:
    empty = not np.size(columns[0])
    assert code(made, [np.array(c, None if np.size(c) else int) for c in columns], "here") == (
        "ND921" if empty else "ND924"
    )


@pytest.mark.needs("spikingjelly")
@pytest.mark.parametrize(("by", "theirs"), [("time", "time"), ("count", "number")])
@pytest.mark.parametrize("ticks", [1, 4, 7])
def test_frames_are_those_of_spikingjelly(by: str, theirs: str, ticks: int) -> None:
    from spikingjelly.datasets import integrate_events_by_fixed_frames_number

    held = {name: EVENTS[name].astype(np.int64) for name in "txyp"}
    wanted = integrate_events_by_fixed_frames_number(held, theirs, ticks, *files.SIZE)
    events = made([EVENTS[name] for name in "txyp"], "here")
    found = binned(events, files.SIZE, EventOptions(ticks=ticks, by=by, levels=255), "here")
    assert np.array_equal(found, wanted) and found.sum() == len(EVENTS)
    assert np.array_equal(binned(events, files.SIZE, EventOptions(ticks=ticks, by=by), "here"), wanted > 0)


def test_crop_and_downscale_keep_what_lies_inside() -> None:
    events = made([EVENTS[name] for name in "txyp"], "here")
    options = EventOptions(crop=(2, 3, 30, 25), downscale=4, levels=255, ticks=1)
    found = binned(events, files.SIZE, options, "here")[0]
    whole = binned(events, files.SIZE, EventOptions(levels=255, ticks=1), "here")[0]
    cut = whole[:, 2:32, 3:28][:, :28, :24].reshape(2, 7, 4, 6, 4).sum((2, 4))
    assert np.array_equal(found, cut) and found.shape == _events.frame_shape(files.SIZE, options, "")[:3]


@pytest.mark.parametrize("by", ["time", "count"])
def test_edges_of_frames(by: str) -> None:
    one = made(([7], [2], [1], [1]), "here")
    found = binned(one, (3, 3), EventOptions(ticks=4, by=by), "here")
    assert found.sum() == 1 and found[0, 1, 1, 2] == 1
    few = made((np.arange(6), np.zeros(6, int), np.zeros(6, int), np.zeros(6, int)), "here")
    counts = binned(few, (1, 1), EventOptions(ticks=4, by=by, levels=255), "here")[:, 0, 0, 0]
    assert counts.tolist() == [1, 1, 1, 3]  # what does not divide goes to the last frame
    many = made((np.zeros(9, int), *[np.zeros(9, int)] * 3), "here")
    assert binned(many, (1, 1), EventOptions(ticks=2, levels=5), "here").max() == 5
    assert code(binned, one, (1, 3), EventOptions(), "here") == "ND924"
    for crop in ((0, 0, 4, 3), (-1, 0, 2, 2), (0, 0, 0, 1)):
        assert code(binned, one, (3, 3), EventOptions(crop=crop), "here") == "ND924"
    assert code(binned, one, (3, 3), EventOptions(downscale=4), "here") == "ND924"
    for size in ((1 << 40, 1 << 40), (0, 3), (-3, 3)):
        assert code(_events.frame_shape, size, EventOptions(), "here") == "ND924"


# --- folders -----------------------------------------------------------------------------------------------------


def folder(root: Path, parts: Sequence[str] = ("Train", "Test"), counts: Sequence[int] = (3, 2)) -> Path:
    for part, count in zip(parts, counts, strict=True):
        for label in "01":
            (root / part / label).mkdir(parents=True)
            for index in range(count):
                files.nmnist(root / part / label / f"{index}.bin", files.drawn(seed=10 * int(label) + index))
    return root


def test_folders_of_classes_below_train_and_test(tmp_path: Path) -> None:
    root = folder(tmp_path / "n")
    spec, options = str(root), {"ticks": 3, "downscale": 2, "levels": 255}
    data, told = datasets.load(spec, options), datasets.facts(spec, options)
    assert (data.shape, data.ticks, data.levels, data.classes) == ((2, 17, 17), 3, 255, ("0", "1"))
    assert (told.shape, told.ticks, told.levels, told.told) == (data.shape, 3, 255, data.told)
    assert data.train_y.tolist() == [0, 0, 0, 1, 1, 1] and len(data.test) == 4
    events = made([files.drawn(seed=11)[name] for name in "txyp"], "here")
    assert np.array_equal(data.test_x[3], binned(events, files.SIZE, EventOptions(**options), "here"))
    assert "34 x 34 pixels, 3 frames of equal time, 2 x 2 pixels as one" in data.told
    assert (
        datasets.load(spec, {**options, "by": "count"}).hash != data.hash == datasets.load(spec, options).hash
    )


def test_folders_without_a_test_part_are_split(tmp_path: Path) -> None:
    data = datasets.load(str(folder(tmp_path / "n", ("Train",), (5,)) / "Train"), {})
    assert (len(data.train), len(data.test)) == (8, 2) and sorted(data.test_y) == [0, 1]


def test_files_with_labels_need_no_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        for index in range(4):
            files.tonic_h5(tmp_path / part / f"{index}_0.hdf5", files.drawn(index), index % 2)
    assert code(datasets.facts, str(tmp_path), {}) == "ND924"  # files do not say how large the sensor is
    data = datasets.load(str(tmp_path), {"size": [34, 34]})
    assert data.train_y.tolist() == [0, 1, 0, 1] and data.classes == ("0", "1")
    assert data.train_x.sum() == data.test_x.sum() > 0
    files.grouped_h5(tmp_path / "train" / "z.h5", EVENTS)
    assert code(datasets.load, str(tmp_path), {"size": [34, 34]}) == "ND925"


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path / "n")
    assert code(lambda: datasets.load(str(root), {"size": [20, 34]}).train_x) == "ND924"
    for label in "01":
        for index, width in enumerate((34, 35)):
            (tmp_path / "d" / label).mkdir(parents=True, exist_ok=True)
            path = tmp_path / "d" / label / f"{index}.dat"
            files.dat(path, EVENTS, f"% Version 2\n% Width {width}\n% Height 34\n")
    assert code(datasets.facts, str(tmp_path / "d"), {}) == "ND924"
    assert datasets.facts(str(tmp_path / "d"), {"size": [34, 35]}).shape == (2, 34, 35)


def test_options_are_checked(tmp_path: Path) -> None:
    root = str(folder(tmp_path / "n", ("Train",), (1,)))
    for options in ({"ticks": 0}, {"by": "events"}, {"tikcs": 3}, {"levels": 256}, {"size": [3]}):
        assert code(datasets.facts, root, options) == "ND904"
    assert code(datasets.load, "digits", {"ticks": 4}) == "ND904"
    assert datasets.takes_options(root) and not datasets.takes_options("digits")


def test_recordings_are_read_in_a_copy_of_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that ends its process, asks for too much or raises what it likes ends in a typed error."""
    root = str(folder(tmp_path / "n"))
    data, nmnist = datasets.load(root, {}), RECORDINGS["nmnist"]
    for read_ in (lambda path: guarded.os._exit(9), lambda path: bytearray(1 << 34), lambda path: 1 / 0):
        monkeypatch.setitem(RECORDINGS.members, "nmnist", dataclasses.replace(nmnist, read=read_))
        assert code(lambda: data.test.take([0])) == "ND922"


# --- digits as events --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> datasets.DataSet:
    return datasets.load("digits-events")


def test_digits_as_events_are_what_they_were(digits: datasets.DataSet) -> None:
    assert digits.hash == "21254f6e03115bf36e12a5da9cc898dcecb9560d20d241e60b2ca06b00164453"
    assert (digits.shape, digits.ticks, digits.levels) == ((2, 8, 8), 4, 1)
    assert (len(digits.train), len(digits.test)) == (5748, 360)
    plain = datasets.load("digits")
    assert np.array_equal(digits.train_y[::4], plain.train_y) and np.array_equal(digits.test_y, plain.test_y)
    assert 0.2 < digits.test_x.mean() < 0.3


def test_digits_as_events_follow_their_definition() -> None:
    """One recording again, pixel by pixel, in floats: without the noise no event is more or less, or elsewhere."""
    from neurodeploy.datasets import digits_events as made_of

    picture = images()[2][:1]
    starts = np.random.Generator(np.random.PCG64([0, 1])).integers(-3, 4, (1, 2))[0] / 16
    thresholds = 0.6 * np.random.Generator(np.random.PCG64(0)).normal(1.0, 0.05, (2, 8, 8))
    corner, events = starts - 0.75, 0
    along = [(0, k) for k in range(17)] + [(k, 16) for k in range(1, 17)]
    along += [(16, 16 - k) for k in range(1, 17)] + [(16 - k, 0) for k in range(1, 17)]
    padded = np.pad(picture[0, 0].astype(float), 4)
    memory = None
    for step in along:
        place = corner + np.array([np.floor(24 * s / 16) for s in step]) / 16
        seen = np.array(
            [[_between(padded, y + place[0] + 4, x + place[1] + 4) for x in range(8)] for y in range(8)]
        )
        level = np.log(seen + 2)
        memory = level.copy() if memory is None else memory
        for sign, limits in ((1, thresholds[0]), (-1, thresholds[1])):
            count = np.floor(np.maximum(sign * (level - memory), 0) / limits + 1e-4)
            memory += sign * count * limits
            events += int(count.sum())
    found = len(made_of.recordings(picture, 1)[0])
    noise = 65 * 64 * made_of.NOISE
    assert abs(found - events - noise) < 4 * np.sqrt(noise) + 1 and events > 80


def _between(picture: np.ndarray, y: float, x: float) -> float:
    top, left = int(np.floor(y)), int(np.floor(x))
    part = picture[top : top + 2, left : left + 2]
    return float(np.array([1 - (y - top), y - top]) @ part @ np.array([1 - (x - left), x - left]))


def test_digits_as_events_read_from_files_are_the_same(digits: datasets.DataSet, tmp_path: Path) -> None:
    """What the simulated camera sends, written as SpikingJelly does and read again."""
    from neurodeploy.datasets import digits_events as made_of

    _, _, pictures, labels = images()
    for index, events in enumerate(made_of.recordings(pictures, 1)[:12]):
        place = tmp_path / str(labels[index])
        place.mkdir(exist_ok=True)
        np.savez(place / f"{index:02}.npz", t=events.t, x=events.x, y=events.y, p=events.p)
    (tmp_path / "train").mkdir()
    order = np.argsort(labels[:12], kind="stable")
    from neurodeploy.datasets import recordings

    held = recordings._survey(str(tmp_path)).files
    found = recordings._frames(held, np.arange(12), (8, 8), EventOptions(), (2, 8, 8))
    assert np.array_equal(found, digits.test_x[order])
