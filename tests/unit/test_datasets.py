"""Every format on small files made here, and each of them broken in the ways that files break."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from neurodeploy import datasets
from neurodeploy.codes import CODES
from neurodeploy.datasets._base import DATASETS
from neurodeploy.datasets._types import content_hash, stratified_indices
from neurodeploy.errors import UsageError

DIGITS_HASH = "2ea6e4358a0e1d6e4f21fc59a96417281599b4a381de13cc13e8346b0af6c5be"
GENERATOR = np.random.default_rng(7)


def images(count: int, shape: tuple[int, ...] = (4, 4)) -> np.ndarray:
    return GENERATOR.integers(0, 256, (count, *shape), dtype=np.uint8)


def arrays(**changes: object) -> dict[str, np.ndarray]:
    whole = {
        "train_x": images(6),
        "train_y": np.array([0, 1, 2, 0, 1, 2]),
        "test_x": images(3),
        "test_y": np.array([2, 1, 0]),
    }
    whole.update(changes)
    return {key: value for key, value in whole.items() if value is not None}


def write_npz(folder: Path, **changes: object) -> str:
    path = folder / "small.npz"
    np.savez(path, **arrays(**changes))
    return str(path)


def refused(spec: str, code: str, *, read: bool = False) -> UsageError:
    """Load (and decode) a broken data set: it must fail with this code, and say where."""
    with pytest.raises(UsageError) as caught:
        data = datasets.load(spec)
        if read:
            assert data.train_x is not None and data.test_x is not None
    assert {p.code for p in caught.value.problems} == {code}
    assert code in CODES and caught.value.problems[0].cause
    return caught.value


# --- digits -----------------------------------------------------------------------------------------------------


def test_digits_split_is_fixed() -> None:
    digits = datasets.load("digits")
    assert digits.hash == DIGITS_HASH
    assert digits.hash == content_hash(digits.train_x, digits.train_y, digits.test_x, digits.test_y)
    assert digits.train_x.shape == (1437, 1, 8, 8) and digits.test_x.shape == (360, 1, 8, 8)
    assert digits.train_x.dtype == np.uint8 and digits.train_x.max() == digits.levels == 16
    assert digits.class_count == 10 and digits.shape == (1, 8, 8)


def test_digits_split_is_stratified_and_disjoint() -> None:
    from sklearn.datasets import load_digits

    labels = load_digits().target
    train, test = stratified_indices(labels)
    assert not set(train) & set(test)
    assert sorted([*train, *test]) == list(range(1797))
    counts = np.bincount(labels)
    assert np.all(np.abs(np.bincount(labels[test]) - 0.2 * counts) <= 1)


@pytest.mark.parametrize("sizes", [(1,), (5,), (3, 4), (1, 1, 1), (7, 2, 11, 100)])
def test_stratified_indices_take_a_fifth_rounded_up(sizes: tuple[int, ...]) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    train, test = stratified_indices(labels)
    assert len(test) == -(-sum(sizes) // 5)
    assert np.array_equal(np.sort(np.concatenate([train, test])), np.arange(sum(sizes)))


# --- names, paths, discovery ------------------------------------------------------------------------------------


def test_load_unknown_name_offers_the_nearest() -> None:
    error = refused("digitz", "ND907")
    assert "digits" in error.problems[0].fixes[0]


@pytest.mark.parametrize("spec", ["", "a\0b", "nothing"])
def test_load_refuses_names_that_are_no_path(spec: str) -> None:
    refused(spec, "ND907")


@pytest.mark.parametrize("name", ["no.npz", "no.h5", "no/such/folder", "no.xyz"])
def test_load_missing_file(tmp_path: Path, name: str) -> None:
    refused(str(tmp_path / name), "ND920")


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.csv"])
def test_load_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    refused(str(tmp_path / name), "ND921")


@pytest.mark.parametrize("name", ["a.npz", "a.h5", "a.csv"])
def test_load_foreign_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"label,pixel\n1,2\n" * 50)
    refused(str(tmp_path / name), "ND923")


def test_load_empty_folder(tmp_path: Path) -> None:
    refused(str(tmp_path), "ND923")


def test_load_name_too_long_for_the_file_system() -> None:
    refused("a" * 5000, "ND920")


@pytest.mark.parametrize(("name", "code"), [("a.npz", "ND922"), ("a.h5", "ND923")])
def test_load_folder_named_like_a_file(tmp_path: Path, name: str, code: str) -> None:
    (tmp_path / name).mkdir()
    refused(str(tmp_path / name), code)


def test_formats_are_found_and_named() -> None:
    known = {
        "characters",
        "cifar_binary",
        "cropped",
        "digits",
        "digits_events",
        "halved",
        "hdf5_jpeg",
        "image_folder",
        "latents",
        "npz",
        "pages",
        "recordings",
        "texts",
    }
    assert set(DATASETS) == known
    assert datasets.names() == (
        "digits", "digits-events", "documentation", "documentation-pages", "latents:32", "x2:digits"
    )  # fmt: skip


def test_import_brings_numpy_only() -> None:
    heavy = "{'sklearn', 'PIL', 'h5py', 'torch', 'torchvision'}"
    code = f"import sys, neurodeploy.datasets as d; d.names(); sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- npz --------------------------------------------------------------------------------------------------------


def test_npz_round_trip(tmp_path: Path) -> None:
    source = arrays()
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **source)
    data = datasets.load(str(path))
    assert (data.name, data.shape, data.levels, data.class_count) == ("mine", (1, 4, 4), 255, 3)
    np.testing.assert_array_equal(data.train_x[:, 0], source["train_x"])
    np.testing.assert_array_equal(data.test_y, source["test_y"])
    picked, labels = data.train.take([4, 1])
    np.testing.assert_array_equal(picked[:, 0], source["train_x"][[4, 1]])
    np.testing.assert_array_equal(labels, [1, 1])


@pytest.mark.parametrize("layout", [(3, 4, 5), (4, 5, 3)])
def test_npz_puts_channels_first(tmp_path: Path, layout: tuple[int, ...]) -> None:
    data = datasets.load(write_npz(tmp_path, train_x=images(6, layout), test_x=images(3, layout)))
    assert data.shape == (3, 4, 5)


def test_npz_one_array_is_split(tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    np.savez(path, x=images(10), y=np.arange(10) % 2, levels=255, classes=np.array(["even", "odd"]))
    data = datasets.load(str(path))
    assert (len(data.train), len(data.test), data.classes) == (8, 2, ("even", "odd"))
    assert sorted(data.test_y) == [0, 1]


def test_npz_hash_follows_the_content(tmp_path: Path) -> None:
    source = arrays()
    hashes = set()
    for name, change in (("a", 0), ("b", 0), ("c", 1)):
        np.savez(tmp_path / f"{name}.npz", **{**source, "train_x": source["train_x"] ^ change})
        hashes.add(datasets.load(str(tmp_path / f"{name}.npz")).hash)
    assert len(hashes) == 2


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"train_y": np.array([0, 1, 2, 0, 1])}, "ND925"),
        ({"train_y": np.array([0, 1, 2, 0, 1, -1])}, "ND925"),
        ({"train_y": np.zeros(6)}, "ND925"),
        ({"train_y": np.zeros((6, 2), int)}, "ND925"),
        ({"test_y": np.array([0, 1, 5]), "classes": np.array(["a", "b", "c"])}, "ND925"),
        ({"train_x": images(6).astype(np.float32)}, "ND924"),
        ({"train_x": images(6).astype(np.int64) + 200}, "ND924"),
        ({"train_x": images(6).reshape(6, 16)}, "ND924"),
        ({"train_x": images(6, (5, 5))}, "ND924"),
        ({"train_x": images(6, (2, 4, 4))}, "ND924"),
        ({"train_x": images(6, (0, 4))}, "ND924"),
        ({"levels": np.array(300)}, "ND924"),
        ({"levels": np.array([1, 2])}, "ND924"),
        ({"levels": np.array("many")}, "ND924"),
        ({"train_x": np.zeros((0, 4, 4), np.uint8), "train_y": np.zeros(0, int)}, "ND921"),
        ({"test_x": np.zeros((0, 4, 4), np.uint8), "test_y": np.zeros(0, int)}, "ND921"),
        ({"test_x": None}, "ND923"),
        ({"train_x": None, "train_y": None, "test_x": None}, "ND923"),
        ({"train_x": np.array([{}, {}, {}], dtype=object)}, "ND923"),
    ],
)
def test_npz_broken_content(tmp_path: Path, changes: dict[str, object], code: str) -> None:
    refused(write_npz(tmp_path, **changes), code)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.99])
def test_npz_truncated(tmp_path: Path, share: float) -> None:
    path = Path(write_npz(tmp_path))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(str(path), "ND922")


def test_npz_flipped_byte_is_never_a_traceback(tmp_path: Path) -> None:
    path = Path(write_npz(tmp_path))
    whole = path.read_bytes()
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        try:
            datasets.load(str(path))
        except UsageError as error:
            assert error.problems[0].code.startswith("ND92")


# --- HDF5 of JPEG streams ---------------------------------------------------------------------------------------

LAYOUT = "image i of a split is the JPEG stream payload[offsets[i]:offsets[i+1]]"


def jpeg(value: int, size: tuple[int, int] = (16, 8)) -> bytes:
    import io

    out = io.BytesIO()
    Image.new("RGB", size, (value, value // 2, 10)).save(out, "JPEG", quality=95)
    return out.getvalue()


def write_h5(
    path: Path, *, header: int = 0, layout: str = LAYOUT, names: tuple[str, str] = ("payload", "offsets")
) -> str:
    """Three training and two test images of 8 rows and 16 columns; the first ``header`` bytes are shared."""
    streams = [jpeg(40 * i) for i in range(5)]
    with h5py.File(path, "w") as file:
        file.attrs.update({"layout": layout, "shape": (8, 16, 3)})
        file.attrs["classes"] = np.array(["dark", "light"], dtype=object)
        if header:
            file["start"] = np.frombuffer(streams[0][:header], np.uint8)
        for name, part in (("train", streams[:3]), ("test", streams[3:])):
            tails = [stream[header:] for stream in part]
            group = file.create_group(name)
            group[names[0]] = np.frombuffer(b"".join(tails), np.uint8)
            group[names[1]] = np.cumsum([0, *map(len, tails)])
            group["labels"] = np.arange(len(part), dtype=np.uint8) % 2
    return str(path)


def check_h5(spec: str) -> None:
    data = datasets.load(spec)
    assert (data.shape, data.levels, data.classes) == ((3, 8, 16), 255, ("dark", "light"))
    assert data.train_x.shape == (3, 3, 8, 16) and data.test_x.shape == (2, 3, 8, 16)
    np.testing.assert_allclose(data.train_x[:, 0].mean(axis=(1, 2)), [0, 40, 80], atol=3)
    np.testing.assert_allclose(data.test.take([1])[0][0, 1].mean(), 80, atol=3)


def test_hdf5_jpeg_round_trip(tmp_path: Path) -> None:
    check_h5(write_h5(tmp_path / "a.h5"))


def test_hdf5_jpeg_follows_its_layout_attribute(tmp_path: Path) -> None:
    layout = "each one is the JPEG stream start + bytes[ends[i]:ends[i+1]]"
    check_h5(write_h5(tmp_path / "a.data", header=20, layout=layout, names=("bytes", "ends")))


def _set_attribute(key: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        file.attrs[key] = value

    return change


def _set_data(key: str, value: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[key]
        if value is not None:
            file[key] = value

    return change


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (_set_attribute("layout", "pixels are stored raw"), "ND923"),
        (_set_attribute("layout", LAYOUT.replace("payload", "other")), "ND923"),
        (_set_attribute("shape", (8, 16)), "ND924"),
        (_set_attribute("shape", (8, 16, 7)), "ND924"),
        (_set_attribute("shape", "large"), "ND924"),
        (_set_attribute("shape", (16, 8, 3)), "ND924"),
        (lambda file: file.attrs.__delitem__("classes"), "ND923"),
        (_set_data("train", None), "ND923"),
        (_set_data("test/labels", None), "ND923"),
        (_set_data("train/labels", np.array([0, 1, 2])), "ND925"),
        (_set_data("train/labels", np.array([0, 1])), "ND925"),
        (_set_data("train/labels", np.zeros(3)), "ND925"),
        (_set_data("train/labels", np.zeros(0, int)), "ND921"),
        (_set_data("train/offsets", np.array([0, 9, 5, 20])), "ND922"),
        (_set_data("train/offsets", np.array([0, 5, 9, 10**9])), "ND922"),
        (_set_data("train/offsets", np.array([-5, 5, 9, 10])), "ND922"),
        (_set_data("train/offsets", np.array([0.0, 5, 9, 10])), "ND923"),
        (_set_data("train/offsets", np.array([0, 5, 9, 10])), "ND922"),
        (_set_data("train/payload", np.zeros(9)), "ND923"),
        (_set_data("train/payload", np.zeros(5000, np.uint8)), "ND922"),
    ],
)
def test_hdf5_jpeg_broken_content(tmp_path: Path, change: Callable[[h5py.File], None], code: str) -> None:
    spec = write_h5(tmp_path / "a.h5")
    with h5py.File(spec, "r+") as file:
        change(file)
    refused(spec, code, read=True)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_hdf5_jpeg_truncated(tmp_path: Path, share: float) -> None:
    path = Path(write_h5(tmp_path / "a.h5"))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    refused(str(path), "ND922")


# --- image folders ----------------------------------------------------------------------------------------------


def write_images(
    root: Path, classes: dict[str, int], size: tuple[int, int] = (6, 5), mode: str = "L"
) -> None:
    for offset, (name, count) in enumerate(classes.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            colour = 10 * offset + index
            Image.new(mode, size, colour if mode == "L" else (colour, 0, 255)).save(
                root / name / f"{index}.png"
            )


def test_image_folder_round_trip(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"cat": 3, "ant": 2})
    write_images(tmp_path / "test", {"cat": 1})
    data = datasets.load(str(tmp_path))
    assert (data.classes, data.shape) == (("ant", "cat"), (1, 5, 6))
    assert data.train_x[:, 0, 0, 0].tolist() == [10, 11, 0, 1, 2]
    assert data.train_y.tolist() == [0, 0, 1, 1, 1] and data.test_y.tolist() == [1]


def test_image_folder_without_split_is_split(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 5, "b": 10}, mode="RGB")
    data = datasets.load(str(tmp_path))
    assert data.shape == (3, 5, 6) and np.bincount(data.test_y).tolist() == [1, 2]
    assert np.all(data.test_x[:, 2] == 255)


def test_image_folder_broken_image(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 5, "b": 5})
    whole = (tmp_path / "a" / "0.png").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        for index in range(5):
            (tmp_path / "b" / f"{index}.png").write_bytes(content)
        refused(str(tmp_path), "ND922", read=True)


def test_image_folder_other_size(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 5})
    write_images(tmp_path, {"b": 5}, size=(7, 7))
    refused(str(tmp_path), "ND924", read=True)


def test_image_folder_unknown_test_class(tmp_path: Path) -> None:
    write_images(tmp_path / "train", {"a": 2})
    write_images(tmp_path / "test", {"b": 2})
    refused(str(tmp_path), "ND925")


def test_image_folder_needs_both_splits(tmp_path: Path) -> None:
    write_images(tmp_path / "test", {"a": 2})
    refused(str(tmp_path), "ND923")


def test_image_folder_with_one_image_has_nothing_to_train_on(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 1})
    refused(str(tmp_path), "ND921")


# --- CIFAR-10 folders -------------------------------------------------------------------------------------------


def write_cifar(folder: Path, label: int = 9) -> Path:
    folder.mkdir(parents=True)
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        records = images(2, (3073,))
        records[:, 0] = (0, label)
        (folder / name).write_bytes(records.tobytes())
    return folder


def test_cifar_binary_round_trip(tmp_path: Path) -> None:
    folder = write_cifar(tmp_path / "cifar-10-batches-bin")
    for spec in (folder, tmp_path):
        data = datasets.load(str(spec))
        assert data.train_x.shape == (4, 3, 32, 32) and data.train_y.tolist() == [0, 9, 0, 9]
        raw = np.fromfile(folder / "data_batch_2.bin", np.uint8)
        np.testing.assert_array_equal(data.train_x[2].ravel(), raw[1:3073])


def test_cifar_binary_broken(tmp_path: Path) -> None:
    refused(str(write_cifar(tmp_path / "label", label=10)), "ND925")
    folder = write_cifar(tmp_path / "short")
    (folder / "data_batch_2.bin").write_bytes(b"\0" * 5000)
    refused(str(folder), "ND922")
    (folder / "data_batch_2.bin").write_bytes(b"")
    refused(str(folder), "ND921")
    (folder / "data_batch_2.bin").unlink()
    (folder / "test_batch.bin").unlink()
    refused(str(folder), "ND920")


def test_cifar_pickle_is_refused_and_not_executed(tmp_path: Path) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    marker = tmp_path / "executed"
    # A pickle that would create the marker file.
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch " + str(marker).encode() + b"'\ntR.")
    error = refused(str(tmp_path), "ND928")
    assert "binary version" in error.problems[0].fixes[0] and not marker.exists()


# --- facts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [
    {}, {"levels": np.array(15), "train_x": images(6) // 17, "test_x": images(3) // 17},
    {"train_x": images(6, (4, 5, 3)), "test_x": images(3, (4, 5, 3))},
    {"train_x": None, "train_y": None, "test_x": None, "test_y": None, "images": images(9, (3, 4, 5)),
     "labels": np.arange(9) % 3},
])  # fmt: skip
def test_facts_of_an_archive_come_from_headers(
    tmp_path: Path, changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_npz(tmp_path, **changes)
    whole = datasets.load(spec)
    monkeypatch.setattr(np, "load", None)  # no array is unpacked
    assert datasets.facts(spec) == datasets.Facts(whole.shape, whole.levels, spec)


def test_facts_are_those_of_the_data(tmp_path: Path) -> None:
    write_images(tmp_path / "folder", {"cat": 3, "ant": 2})
    specs = [
        write_h5(tmp_path / "a.h5"),
        str(write_cifar(tmp_path / "cifar")),
        str(tmp_path / "folder"),
        "digits",
    ]
    for spec in specs:
        whole, facts = datasets.load(spec), datasets.facts(spec)
        assert (facts.shape, facts.levels, facts.source) == (whole.shape, whole.levels, whole.source)


@pytest.mark.parametrize("spec, code", [
    ("nothing", "ND907"), ("", "ND907"), ("no.npz", "ND920"), ("no.xyz", "ND920"), ("no.h5", "ND920"),
])  # fmt: skip
def test_facts_of_nothing_are_typed(spec: str, code: str) -> None:
    with pytest.raises(UsageError) as caught:
        datasets.facts(spec)
    assert caught.value.problems[0].code == code


@pytest.mark.parametrize("content", [b"no zip", b"PK\x03\x04 cut off"])
def test_facts_of_damaged_archives_are_typed(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UsageError, match=r"ND92[23]"):
        datasets.facts(str(tmp_path / "a.npz"))


# --- images beside their halves, and latents ---------------------------------------------------------------------


def test_halves_are_means_of_whole_images() -> None:
    found, whole = datasets.load("x2:digits"), datasets.load("digits")
    assert found.shape == (1, 4, 4) and found.hash == whole.hash and len(found.test) == 360
    picked = np.array([5, 0, 7])
    half, labels = found.test.take(picked)
    truth = found.test.truth
    assert truth is not None and np.array_equal(truth(picked), whole.test_x[picked])
    assert np.array_equal(labels, whole.test_y[picked])
    blocks = whole.test_x[picked].astype(float).reshape(3, 1, 4, 2, 4, 2).mean((3, 5))
    assert half.dtype == np.uint8 and np.array_equal(half, np.floor(blocks + 0.5))
    assert datasets.facts("x2:digits").shape == (1, 4, 4)


def test_what_cannot_be_halved_is_refused(tmp_path: Path) -> None:
    odd = write_npz(tmp_path, train_x=images(6, (4, 5, 3)), test_x=images(3, (4, 5, 3)))
    for spec, code in ((f"x2:{odd}", "ND923"), ("x2:nothing", "ND907"), ("x2:x2:x2:x2:digits", "ND923")):
        refused(spec, code)
        with pytest.raises(UsageError):
            datasets.facts(spec)


def test_patches_are_squares_of_their_images(tmp_path: Path) -> None:
    """At places that differ between images and are the same in every draw, channels and order kept."""
    whole = images(40, (6, 9, 3))
    labels = np.arange(40) % 3
    file = write_npz(tmp_path, train_x=whole, train_y=labels, test_x=whole[:9], test_y=labels[:9])
    spec = f"crop:4:{file}"
    found = datasets.load(spec)
    plain = datasets.load(file)
    assert found.shape == datasets.facts(spec).shape == (3, 4, 4) and found.hash == plain.hash
    windows = np.lib.stride_tricks.sliding_window_view(plain.train_x, (4, 4), (2, 3))  # type: ignore[call-overload]
    places = [
        {(y, x) for y in range(3) for x in range(6) if np.array_equal(windows[i, :, y, x], patch)}
        for i, patch in enumerate(found.train_x)
    ]
    assert all(places) and len(set.union(*places)) > 10
    picked, labels = found.train.take([7, 0])
    assert np.array_equal(picked, found.train_x[[7, 0]]) and np.array_equal(labels, plain.train_y[[7, 0]])


def test_patches_can_be_halved() -> None:
    found = datasets.load("x2:crop:6:digits")
    assert found.shape == (1, 3, 3) and found.test.truth is not None
    assert np.array_equal(found.test.truth(np.arange(5)), datasets.load("crop:6:digits").test_x[:5])


@pytest.mark.parametrize(
    "spec", ["crop:9:digits", "crop:0:digits", "crop:digits", "crop:4:", "crop:4:documentation"]
)
def test_what_no_patches_can_be_cut_of_is_refused(spec: str) -> None:
    refused(spec, "ND923")
    with pytest.raises(UsageError, match="ND923"):
        datasets.facts(spec)


def test_latents_are_those_of_a_seed() -> None:
    found, again = (datasets.load("latents:5") for _ in range(2))
    assert found.hash == again.hash and not found.labelled and found.shape == (5, 1, 1)
    assert (len(found.train), len(found.test)) == (2048, 360)
    pixels = np.concatenate([found.train_x, found.test_x])
    assert pixels.max() == found.levels and abs(pixels.mean() - 8) < 0.1 and abs(pixels.std() - 16 / 6) < 0.1
    for spec in ("latents:", "latents:0", "latents:4097", "latents:x"):
        refused(spec, "ND923")
