"""Every reader of files: valid samples to damage, and how a command reads them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests import event_files, onnx_files
from tests.fuzz.mutators import Sample
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, weights, write_net

ROOT = Path(__file__).parents[2]
CORPUS = ROOT / "tests" / "data" / "hostile"
#: made in the working folder by whatever a file executes
TRAP = "EXECUTED"
TICKS = 3


@dataclass(frozen=True)
class FileReader:
    """``write(folder)`` makes valid samples, one in each subfolder; ``read(folder)`` is what a command does with one.

    ``seal`` mends what would otherwise refuse every change, such as a hash; ``heavy`` readers import torch.
    """

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]
    seal: Callable[[dict[str, bytes]], dict[str, bytes]] = dict
    heavy: bool = False

    def samples(self, folder: Path) -> list[Sample]:
        """Those that lie in a folder, and the hostile ones of the corpus."""
        return [loaded(place) for place in (*sorted((folder / self.name).iterdir()), *self.corpus())]

    def corpus(self) -> list[Path]:
        """The folders of its hostile samples."""
        return sorted((CORPUS / self.name).glob("*"))


def loaded(place: Path) -> Sample:
    """The files below a folder."""
    return {str(p.relative_to(place)): p.read_bytes() for p in sorted(place.rglob("*")) if p.is_file()}


# --- whole networks ----------------------------------------------------------------------------------------------


def write_netx(folder: Path) -> None:
    """Small files that hold every kind of layer and neuron."""
    rng = np.random.default_rng(7)
    both = {"real": weights(rng, 5, 4), "imag": weights(rng, 5, 4)}
    nets: list[list[dict[str, Any]]] = [
        [
            {"type": "input", "shape": np.array([2, 6, 6]), "neuron": CUBA, "weight": 64, "bias": 0},
            conv(weights(rng, 3, 2, 3, 3), (3, 4, 4), bias=np.array([1, 2, 3])),
            FLATTEN,
            dense(weights(rng, 5, 48), delay=np.arange(5)),
            dense(weights(rng, 2, 5), None),
        ],
        [
            {**dense(weights(rng, 4, 6)), "type": "dense_rec", "weight_rec": weights(rng, 4, 4)},
            {"type": "dense", "shape": np.array([5]), "weight": both, "neuron": RF},
            dense(weights(rng, 4, 5), SDNN),
            dense(weights(rng, 3, 4), {**SDNN, "sigma_output": True}),
        ],
    ]
    for name, net in zip("ab", nets, strict=True):
        (folder / name).mkdir()
        write_net(folder / name / "net.net", net, {"tSample": TICKS})


def read_netx(folder: Path) -> object:
    """As ``check`` does."""
    from neurodeploy.formats.netx import MEMBER, READER

    return READER.load(folder / "net.net", MEMBER.configure({}), None)


def write_nir(folder: Path) -> None:
    """A convolutional network with pools, and one with a loop, delays and a subgraph; a third as we write them."""
    import nir

    from neurodeploy.calibrate import measure
    from neurodeploy.convert.native import MEMBER as NATIVE
    from neurodeploy.formats.nir import MEMBER, READER, WRITER
    from neurodeploy.program import Program
    from neurodeploy.quantize import quantize

    paths = [folder / name / "net.nir" for name in "abc"]
    for path in paths:
        path.parent.mkdir()
    for path, graph in zip(paths, _nir_networks(nir), strict=False):
        nir.write(path, graph)
    spiking = NATIVE.rewrite(READER.load(paths[1], MEMBER.configure({}), TICKS), None, np.zeros(0), TICKS)
    x = np.random.default_rng(1).integers(0, 2, (4, TICKS, 6))
    WRITER.write(Program(quantize(spiking, measure(spiking, x))), paths[2])


def _nir_networks(nir: Any) -> Iterator[Any]:
    """Every kind of node once, but for those that differ from another by name alone."""
    rng, dt = np.random.default_rng(0), 1e-4
    lif = lambda *sizes: nir.LIF(*(np.full(sizes, v) for v in (1e-3, 9.0, 0.0, 1.0)))
    yield nir.NIRGraph.from_list(
        nir.Input(np.array([2, 6, 6])), nir.Conv2d((6, 6), rng.normal(size=(3, 2, 3, 3)), 1, 1, 1, 1, np.zeros(3)),
        lif(3, 6, 6), nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten(np.array([3, 3, 3]), 0, -1), nir.Affine(rng.normal(size=(4, 27)), rng.normal(size=4)),
        nir.CubaLI(*(np.full(4, v) for v in (3e-4, 1e-3, 1.0, 0.0))), nir.Output(np.array([4])),
    )  # fmt: skip
    inner = nir.NIRGraph(
        {"input": nir.Input(np.array([5])), "lif": lif(5), "rec": nir.Linear(rng.normal(size=(5, 5))),
         "wait": nir.Delay(np.full(5, 2 * dt)), "output": nir.Output(np.array([5]))},
        [("input", "lif"), ("lif", "wait"), ("wait", "rec"), ("rec", "lif"), ("lif", "output")], type_check=False,
    )  # fmt: skip
    yield nir.NIRGraph(
        {"input": nir.Input(np.array([6])), "w": nir.Linear(rng.normal(size=(5, 6))), "sub": inner,
         "scale": nir.Scale(np.arange(1.0, 6.0)), "t": nir.Threshold(np.ones(5)), "output": nir.Output(np.array([5]))},
        [("input", "w"), ("w", "sub"), ("sub", "scale"), ("scale", "t"), ("t", "output"), ("sub", "output")],
        type_check=False,
    )  # fmt: skip


def read_nir(folder: Path) -> object:
    """As ``check`` does."""
    from neurodeploy.formats.nir import MEMBER, READER

    return READER.load(folder / "net.nir", MEMBER.configure({}), TICKS)


def write_pt2(folder: Path) -> None:
    """An exported program."""
    from tests import hostile, later

    later.settle(hostile)
    (folder / "a").mkdir()
    hostile.exported(folder / "a" / "net.pt2")


def read_pt2(folder: Path) -> object:
    """Until torch has the program."""
    from neurodeploy.frontends import pt2

    return pt2.load(folder / "net.pt2")


def write_onnx(folder: Path) -> None:
    """A perceptron, and a convolution whose numbers lie beside the file."""
    import onnx

    for name in "ab":
        (folder / name).mkdir()
    onnx_files.perceptron(folder / "a" / "net.onnx")
    rng = np.random.default_rng(0)
    weights = {"w": rng.normal(size=(2, 1, 3, 3)).astype(np.float32), "n": np.array([0, -1])}
    nodes = [
        ("Conv", ("x", "w"), ("c",), {"pads": [1, 1, 1, 1]}),
        ("MaxPool", ("c",), ("m",), {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Shape", ("m",), ("s",), {}),
        ("Reshape", ("m", "n"), ("y",), {}),
    ]
    model = onnx_files.model(nodes, {"x": (np.float32, ("batch", 1, 4, 4))}, constants=weights)
    kept = {"save_as_external_data": True, "location": "net.onnx.data", "size_threshold": 0}
    onnx.save(model, str(folder / "b" / "net.onnx"), **kept)


def read_onnx(folder: Path) -> object:
    """Until torch has the program."""
    from neurodeploy.frontends.onnx import network, read

    file = read.load(folder / "net.onnx")
    return network.program(file, network.sized(file, None, (), "net.onnx"), "net.onnx")


# --- build folders -----------------------------------------------------------------------------------------------

PARTS = ("program.h5", "report.json", "build.toml", "repro.json")


def build(folder: Path) -> Path:
    """A whole build of a small network, without page and tables."""
    import neurodeploy

    rng = np.random.default_rng(3)
    net = write_net(
        folder / "net.net", [dense(weights(rng, 4, 6)), dense(weights(rng, 3, 4))], {"tSample": TICKS}
    )
    neurodeploy.build(str(net), out=str(folder / "build"), calib=4, eval=4, verify=2)
    return folder / "build"


def write_parts(*names: str) -> Callable[[Path], None]:
    """Some files of a build, taken from the folder of all samples."""

    def write(folder: Path) -> None:
        made = folder.parent / "build"
        if not made.exists():
            build(folder.parent)
        (folder / "a").mkdir()
        for name in names:
            (folder / "a" / name).write_bytes((made / name).read_bytes())

    return write


def read_program(folder: Path) -> object:
    """As ``run`` does."""
    from neurodeploy.builds import parts

    return parts.opened(folder)


def seal(file: h5py.File) -> None:
    """Make the hash of an artifact right again: what remains is what a reader must find by itself."""
    from neurodeploy.ir import codec, store

    held = {place[1:]: np.asarray(dataset[()]) for place, dataset in store._walk(Path("seal"), file)}
    arrays = {name.split("/")[1]: array for name, array in held.items() if name.startswith("arrays/")}
    moved = {old: codec.address(np.ascontiguousarray(array)) for old, array in arrays.items()}
    stated = json.loads(held["header"].tobytes())["sections"]
    texts = {name: array.tobytes() for name, array in held.items() if "/" not in name and name != "header"}
    for old, new in moved.items():
        texts = {name: text.replace(old.encode(), new.encode()) for name, text in texts.items()}
        if old != new:
            file.move(f"arrays/{old}", f"arrays/{new}")
    for name, text in texts.items():
        del file[name]
        file[name] = np.frombuffer(text, dtype=np.uint8)
        stated[name] = hashlib.sha256(text).hexdigest()
    del file["header"]
    header = {
        "format": store.FORMAT,
        "schema": store.SCHEMA,
        "sections": stated,
        "sha256": store.whole(stated),
    }
    store._write_text(file, "header", header)


def sealed(sample: dict[str, bytes]) -> dict[str, bytes]:
    """A program, or a state, whose header states the hash of what it now holds."""
    name = "state.h5" if "state.h5" in sample else "program.h5"
    buffer = io.BytesIO(sample.get(name, b""))
    try:
        with h5py.File(buffer, "r+") as file:
            seal(file)
    except Exception:  # too damaged to be sealed: it is read as it is
        return sample
    return {**sample, name: buffer.getvalue()}


def read_report(folder: Path) -> object:
    """As ``report`` does."""
    from neurodeploy import verbs

    return verbs.report(folder)


def read_config(folder: Path) -> object:
    """As ``build --config`` does, and written again."""
    from neurodeploy import config

    found = config.resolve(file=folder / "build.toml")
    return config.dump(found), found.digest(), found.folder


def read_mapping(folder: Path) -> object:
    """As ``build --mapping`` does, until the network is known."""
    from neurodeploy.mapping import given

    return given.read(folder / "mapping.toml").sha256


def write_targets(folder: Path) -> None:
    """A whole target, and one that extends another."""
    for name, text in (
        ("a", (ROOT / "hw_targets" / "loihi1.toml").read_text()),
        ("b", 'extends = "loihi-sim"\ntitle = "mine"\nkind = "simulated"\nchips = 2\n'
              "[limits]\nneurons_per_core = { value = 100, unit = \"neurons\", source = \"me\" }\n"),
    ):  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "target.toml").write_text(text)


def read_target(folder: Path) -> object:
    """As ``targets validate`` does."""
    from neurodeploy import target

    return target.load(folder / "target.toml").rows()


# --- data --------------------------------------------------------------------------------------------------------


def write_npz(folder: Path) -> None:
    """Images in both layouts, and frames."""
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (12, 5, 4), dtype=np.uint8)
    names = np.arange(12) % 3
    split = {"train_x": levels[:8], "train_y": names[:8], "test_x": levels[8:], "test_y": names[8:] % 2}
    frames = {
        "x": rng.integers(0, 2, (9, 3, 4), dtype=np.uint8),
        "y": np.arange(9) % 3,
        "levels": 1,
        "ticks": 3,
    }
    for name, arrays in (("a", {**split, "classes": np.array(["a", "b", "c"])}), ("b", frames)):
        (folder / name).mkdir()
        np.savez(folder / name / "data.npz", **arrays)


def write_npy(folder: Path) -> None:
    """Inputs of ``run``."""
    for name, array in (
        ("a", np.arange(24).reshape(4, 6)),
        ("b", np.asfortranarray(np.eye(3, dtype=np.uint8))),
    ):
        (folder / name).mkdir()
        np.save(folder / name / "x.npy", array)


def read_npy(folder: Path) -> object:
    """As ``run --input`` does."""
    from neurodeploy.inputs.arrays import read_array

    return read_array(folder / "x.npy")


def write_texts(name: str, content: str) -> Callable[[Path], None]:
    """A file of texts."""

    def write(folder: Path) -> None:
        (folder / "a").mkdir()
        (folder / "a" / name).write_text(content, encoding="utf-8")

    return write


TXT = "".join(
    f"the {word} text, é and 日本\n" for word in ("first", "second", "third", "fourth", "fifth", "last")
)
CSV = "text,label\n" + "".join(f'"a text, {i}",{i % 2}\n' for i in range(8))
JSONL = "".join(json.dumps({"text": f"text {i} \u00e9", "label": i % 2}) + "\n" for i in range(8))


def write_images(folder: Path) -> None:
    """PNG and JPEG images of several modes."""
    from PIL import Image

    modes = {"a": ("L", "png"), "b": ("RGB", "jpg"), "c": ("I;16", "png"), "d": ("P", "png"), "e": ("RGBA", "png"),
             "f": ("CMYK", "jpg")}  # fmt: skip
    rng = np.random.default_rng(0)
    for name, (mode, suffix) in modes.items():
        for kind in ("0", "1"):
            (folder / name / "data" / kind).mkdir(parents=True)
            for index in range(3):
                image = Image.fromarray(rng.integers(0, 256, (6, 5, 3), dtype=np.uint8))
                image = Image.new(mode, (5, 6), 300) if mode == "I;16" else image.convert(mode)
                image.save(folder / name / "data" / kind / f"{index}.{suffix}")


def write_hdf5_jpeg(folder: Path) -> None:
    """Three training and two test images, as streams."""
    from PIL import Image

    streams = []
    for shade in range(5):
        stream = io.BytesIO()
        Image.new("RGB", (16, 8), (40 * shade, 20, 10)).save(stream, "JPEG")
        streams.append(stream.getvalue())
    (folder / "a").mkdir()
    with h5py.File(folder / "a" / "data.h5", "w") as file:
        file.attrs["layout"] = "image i of a split is the JPEG stream payload[offsets[i]:offsets[i+1]]"
        file.attrs["shape"], file.attrs["classes"] = (8, 16, 3), np.array(["dark", "light"], dtype=object)
        for name, part in (("train", streams[:3]), ("test", streams[3:])):
            group = file.create_group(name)
            group["payload"] = np.frombuffer(b"".join(part), np.uint8)
            group["offsets"] = np.cumsum([0, *map(len, part)])
            group["labels"] = np.arange(len(part), dtype=np.uint8) % 2


def write_events(folder: Path) -> None:
    """A folder of recordings for every format and variant: three of each of two classes."""
    kinds: dict[str, tuple[str, Callable[[Path, np.ndarray], object]]] = {
        "a": (".bin", event_files.nmnist), "b": (".dat", event_files.dat), "c": (".raw", event_files.evt2),
        "d": (".raw", lambda path, events: event_files.evt3(path, events, vectors=True)),
        "e": (".npz", event_files.npz), "f": (".h5", event_files.grouped_h5), "g": (".aedat4", event_files.aedat4),
        "h": (".hdf5", lambda path, events: event_files.tonic_h5(path, events, 1)),
    }  # fmt: skip
    for name, (suffix, write) in kinds.items():
        for label in "01":
            place = folder / name / "data" / label
            place.mkdir(parents=True)
            for index in range(3):
                write(place / f"{index}{suffix}", event_files.drawn(index, 20))


def read_events(folder: Path) -> object:
    """As ``build`` does, by the sizes that files say, and by one that the user says."""
    from neurodeploy import datasets
    from neurodeploy.errors import UsageError

    spec, found = str(folder / "data"), []
    for options in ({}, {"size": event_files.SIZE, "by": "count", "levels": 9, "downscale": 3}):
        try:
            datasets.facts(spec, options)
            data = datasets.load(spec, options)
            found.append((data.train.images, data.test.images))
        except UsageError:
            if options:
                raise
    return found


def write_cifar(folder: Path) -> None:
    """Two records in each of three batches."""
    place = folder / "a" / "cifar-10-batches-bin"
    place.mkdir(parents=True)
    for name in ("data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"):
        records = np.arange(2 * 3073).reshape(2, 3073).astype(np.uint8)
        records[:, 0] = (0, 9)
        (place / name).write_bytes(records.tobytes())


def read_data(name: str) -> Callable[[Path], object]:
    """As ``check`` and ``build`` do, every image decoded."""

    def read(folder: Path) -> object:
        from neurodeploy import datasets

        spec = str(folder / name)
        datasets.facts(spec)
        found = datasets.load(spec)
        return found.train.images, found.test.images

    return read


def read_characters(folder: Path) -> object:
    """As ``build`` does, all windows of both splits."""
    from neurodeploy import datasets

    found = datasets.load(f"characters:{folder / 'data.text'}")
    return found.train.images, found.test.images


def write_state(folder: Path) -> None:
    """Where two streams are, with a sum that is read out and without."""
    from neurodeploy.ir import lasting, store

    rng = np.random.default_rng(0)
    for name, total in (("a", None), ("b", rng.integers(-9, 9, (2, 5)))):
        states = {"s.v": rng.integers(-(1 << 22), 1 << 22, (2, 30)), "t.u": rng.integers(0, 9, (2, 3))}
        (folder / name).mkdir()
        store.write(folder / name / "state.h5", {"standing": lasting.Standing("0" * 64, 7, states, total)})


def read_state(folder: Path) -> object:
    """As ``run --state`` does, up to the network that it belongs to."""
    from neurodeploy.builds import session

    return session.load(folder / "state.h5")


# --- parts of library models -------------------------------------------------------------------------------------


def write_tokenizer(folder: Path) -> None:
    """Whole words, framed."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    table = {token: i for i, token in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "text"))}
    made = Tokenizer(models.WordLevel(table, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    made.enable_padding()
    (folder / "a").mkdir()
    made.save(str(folder / "a" / "tokenizer.json"))


def read_tokenizer(folder: Path) -> object:
    """As a build of a text model does."""
    from neurodeploy.inputs import texts

    return texts.load(str(folder / "tokenizer.json")).encode(["a text", "", "é" * 99], 8)


def write_weights(folder: Path) -> None:
    """The same tensors in every file that is read."""
    import torch
    from safetensors.torch import save_file

    tensors = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.zeros(2, dtype=torch.float16)}
    for name in ("a", "b", "c"):
        (folder / name).mkdir()
    save_file(tensors, folder / "a" / "w.safetensors")
    torch.save(tensors, folder / "b" / "w.pt")
    with h5py.File(folder / "c" / "w.h5", "w") as file:
        for name, tensor in tensors.items():
            file[name] = tensor.numpy()


def read_weights(folder: Path) -> object:
    """As a build of a library model does."""
    from neurodeploy.frontends.libraries import _weights

    return [_weights.read(path) for path in sorted(folder.glob("w.*"))]


def write_hf(folder: Path) -> None:
    """Folders of Hugging Face: a network of texts and one of images, whose processor is described."""
    import transformers

    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    text = transformers.BertConfig(vocab_size=20, max_position_embeddings=32, **sizes)
    image = transformers.ViTConfig(image_size=16, patch_size=8, num_labels=3, **sizes)
    transformers.BertModel(text).save_pretrained(folder / "a")
    transformers.ViTForImageClassification(image).save_pretrained(folder / "b")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / "b")


def read_hf(folder: Path) -> object:
    """Until torch runs the network."""
    from neurodeploy.frontends.libraries.huggingface import MEMBER

    return MEMBER.build(str(folder), MEMBER.configure({}))


READERS = {
    reader.name: reader
    for reader in (
        FileReader("netx", write_netx, read_netx),
        FileReader("nir", write_nir, read_nir),
        FileReader("program", write_parts("program.h5"), read_program, sealed),
        FileReader("report", write_parts("report.json"), read_report),
        FileReader("folder", write_parts(*PARTS), read_program, sealed),
        FileReader("config", write_parts("build.toml"), read_config),
        FileReader("mapping", write_parts("mapping.toml"), read_mapping),
        FileReader("target", write_targets, read_target),
        FileReader("npz", write_npz, read_data("data.npz")),
        FileReader("npy", write_npy, read_npy),
        FileReader("txt", write_texts("data.txt", TXT), read_data("data.txt")),
        FileReader("csv", write_texts("data.csv", CSV), read_data("data.csv")),
        FileReader("jsonl", write_texts("data.jsonl", JSONL), read_data("data.jsonl")),
        FileReader("characters", write_texts("data.text", 900 * TXT), read_characters),
        FileReader("state", write_state, read_state, sealed),
        FileReader("images", write_images, read_data("data")),
        FileReader("hdf5_jpeg", write_hdf5_jpeg, read_data("data.h5")),
        FileReader("events", write_events, read_events),
        FileReader("cifar", write_cifar, read_data("cifar-10-batches-bin")),
        FileReader("tokenizer", write_tokenizer, read_tokenizer),
        FileReader("weights", write_weights, read_weights, heavy=True),
        FileReader("hf", write_hf, read_hf, heavy=True),
        FileReader("pt2", write_pt2, read_pt2, heavy=True),
        FileReader("onnx", write_onnx, read_onnx, heavy=True),
    )
}
