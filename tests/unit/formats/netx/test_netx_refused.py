"""Bad .net files and bad options: typed problems that name group and dataset, all at once."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from neurodeploy.codes import CODES
from neurodeploy.errors import GraphError, ImportModelError, NeurodeployError, Problem, UsageError
from neurodeploy.formats._hdf5 import read as _hdf5
from neurodeploy.formats.netx import MEMBER as NETX
from neurodeploy.formats.netx import READER
from neurodeploy.ir.graph import Graph
from tests.netx_files import CUBA, FLATTEN, RF, SDNN, conv, dense, weights, write_net

RNG = np.random.default_rng(1)


def net() -> list[dict[str, Any]]:
    """Convolution, flatten, dense, dense: a valid file."""
    return [
        {"type": "input", "shape": np.array([2, 6, 6])},
        conv(weights(RNG, 3, 2, 3, 3), (3, 4, 4), bias=np.array([1, 2, 3])),
        FLATTEN,
        dense(weights(RNG, 5, 48)),
        dense(weights(RNG, 2, 5)),
    ]


def problems(path: Path, **options: Any) -> list[Problem]:
    with pytest.raises(NeurodeployError) as caught:
        READER.load(path, NETX.configure(options), 4)
    assert all(p.code in CODES for p in caught.value.problems)
    return list(caught.value.problems)


def changed(tmp_path: Path, change: Callable[[h5py.File], None]) -> list[Problem]:
    path = write_net(tmp_path / "a.net", net())
    with h5py.File(path, "r+") as file:
        change(file)
    return problems(path)


def replaced(place: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[place]
        if value is not None:
            file[place] = value

    return change


def nan(file: h5py.File) -> None:
    file["layer/1/weight"][0, 0, 0, 0] = np.nan


def huge(file: h5py.File) -> None:
    del file["layer/3/weight"]
    file.create_dataset("layer/3/weight", shape=(1 << 30, 1 << 20), dtype="f4")


def huge_chunked(file: h5py.File) -> None:
    del file["layer/3/weight"]
    file.create_dataset(
        "layer/3/weight", shape=(1 << 25, 1 << 20), dtype="f4", chunks=(1024, 1024), compression="gzip"
    )


def external(file: h5py.File) -> None:
    del file["layer/3"]
    file["layer/3"] = h5py.ExternalLink("/etc/passwd", "/layer/3")


def soft(file: h5py.File) -> None:
    del file["layer/3/weight"]
    file["layer/3/weight"] = h5py.SoftLink("/layer/4/weight")


def outside(file: h5py.File) -> None:
    del file["layer/3/weight"]
    file.create_dataset("layer/3/weight", shape=(5, 48), dtype="f4", external=[("/etc/passwd", 0, 960)])


def virtual(file: h5py.File) -> None:
    del file["layer/3/weight"]
    layout = h5py.VirtualLayout(shape=(5, 48), dtype="f4")
    layout[:2] = h5py.VirtualSource("other.h5", "x", shape=(2, 48))
    file.create_virtual_dataset("layer/3/weight", layout)


def circle(file: h5py.File) -> None:
    file["layer/3/again"] = file["layer"]


def no_flatten(file: h5py.File) -> None:
    del file["layer/2"]
    file.move("layer/3", "layer/2")
    file.move("layer/4", "layer/3")


def middle_input(file: h5py.File) -> None:
    replaced("layer/2/type", b"input")(file)
    file.copy("layer/3/neuron", "layer/2/neuron")


FILES: dict[str, tuple[Callable[[h5py.File], None], str, str]] = {
    "no layers": (lambda f: f.move("layer", "layers"), "ND121", "/layer"),
    "a layer is missing": (lambda f: f.move("layer/1", "layer/9"), "ND122", "/layer/1"),
    "no type": (replaced("layer/3/type", None), "ND122", "/layer/3/type"),
    "type of numbers": (replaced("layer/3/type", 3), "ND124", "/layer/3/type"),
    "no weights": (replaced("layer/3/weight", None), "ND122", "/layer/3/weight"),
    "weights are a group": (replaced("layer/3/weight", None), "ND122", "/layer/3/weight"),
    "no decay": (replaced("layer/4/neuron/iDecay", None), "ND122", "/layer/4/neuron/iDecay"),
    "text for a number": (replaced("layer/4/neuron/iDecay", "fast"), "ND122", "/layer/4/neuron/iDecay"),
    "compound type": (
        replaced("layer/3/weight", np.zeros(3, [("a", "i4"), ("b", "f4")])),
        "ND123",
        "/layer/3/weight",
    ),
    "complex type": (replaced("layer/3/weight", np.zeros((5, 48), complex)), "ND123", "/layer/3/weight"),
    "NaN": (nan, "ND124", "/layer/1/weight"),
    "fractions": (replaced("layer/3/weight", np.full((5, 48), 0.5)), "ND124", "/layer/3/weight"),
    "nine bits": (replaced("layer/3/weight", np.full((5, 48), 300)), "ND124", "/layer/3/weight"),
    "kernel of nine bits": (
        replaced("layer/1/weight", np.full((3, 2, 3, 3), -258)),
        "ND124",
        "/layer/1/weight",
    ),
    "weights that Lava rounds": (replaced("layer/3/weight", -np.eye(5, 48)), "ND124", "/layer/3/weight"),
    "infinite threshold": (replaced("layer/3/neuron/vThMant", np.inf), "ND124", "/layer/3/neuron/vThMant"),
    "threshold of 19 bits": (replaced("layer/3/neuron/vThMant", 1 << 18), "ND124", "/layer/3/neuron/vThMant"),
    "decay of 13 bits": (replaced("layer/3/neuron/vDecay", 5000), "ND124", "/layer/3/neuron/vDecay"),
    "bias of 17 bits": (replaced("layer/1/bias", np.array([1, 40_000, 2])), "ND124", "/layer/1/bias"),
    "empty weights": (replaced("layer/3/weight", np.zeros((0, 48))), "ND126", "/layer/3/weight"),
    "other size": (replaced("layer/3/weight", np.ones((5, 47))), "ND126", "/layer/3/weight"),
    "other rows": (replaced("layer/3/weight", np.ones((6, 48))), "ND126", "/layer/3/weight"),
    "other shape": (replaced("layer/1/shape", np.array([3, 4, 5])), "ND126", "/layer/1/shape"),
    "shape of two": (replaced("layer/1/shape", np.array([3, 4])), "ND126", "/layer/1/shape"),
    "shape of 2^40": (
        replaced("layer/1/shape", np.array([1 << 20, 1 << 10, 1 << 10])),
        "ND126",
        "/layer/1/shape",
    ),
    "kernel of three axes": (replaced("layer/1/weight", np.ones((3, 2, 3))), "ND126", "/layer/1/weight"),
    "kernel too large": (replaced("layer/1/dilation", np.array([60_000, 60_000])), "ND126", "/layer/1/shape"),
    "groups that do not divide": (replaced("layer/1/groups", 5), "ND126", "/layer/1/shape"),
    "stride of zero": (replaced("layer/1/stride", 0), "ND124", "/layer/1/stride"),
    "three strides": (replaced("layer/1/stride", np.ones(3)), "ND126", "/layer/1/stride"),
    "bias of another length": (replaced("layer/1/bias", np.arange(4)), "ND126", "/layer/1/bias"),
    "no flatten": (no_flatten, "ND126", "/layer/2/type"),
    "an input in the middle": (middle_input, "ND125", "/layer/2/neuron"),
    "huge and empty": (huge, "ND123", "/layer/3/weight"),
    "huge and compressed": (huge_chunked, "ND123", "/layer/3/weight"),
    "external link": (external, "ND123", "/layer/3"),
    "soft link": (soft, "ND123", "/layer/3/weight"),
    "data in another file": (outside, "ND123", "/layer/3/weight"),
    "virtual data": (virtual, "ND123", "/layer/3/weight"),
    "groups in a circle": (circle, "ND123", "/layer/3/again"),
    "unknown layer": (replaced("layer/3/type", b"densest"), "ND125", "/layer/3/type"),
    "unpooling": (replaced("layer/3/type", b"unpool"), "ND125", "/layer/3/type"),
    "ALIF": (replaced("layer/3/neuron/type", "ALIF"), "ND125", "/layer/3/neuron/type"),
    "adaptive RF": (replaced("layer/3/neuron/type", "ADRF_IZ"), "ND125", "/layer/3/neuron/type"),
    "RF with real weights": (replaced("layer/4/neuron/type", "RF"), "ND122", "/layer/4/neuron/sinDecay"),
    "no ticks": (lambda f: f.__setitem__("simulation/tSample", -1), "ND124", "/simulation/tSample"),
}


@pytest.mark.parametrize("name", FILES)
def test_each_kind_of_damage_is_named_with_its_place(tmp_path: Path, name: str) -> None:
    change, code, place = FILES[name]
    if name == "weights are a group":
        change = lambda f: f.__delitem__("layer/3/weight") or f.create_group("layer/3/weight")
    if name == "no ticks":
        path = write_net(tmp_path / "a.net", net(), {"tSample": -1})
        with pytest.raises(ImportModelError) as caught:
            READER.load(path, NETX.configure({}), None)
        found = list(caught.value.problems)
    else:
        found = changed(tmp_path, change)
    assert (code, f"a.net {place}") in {(p.code, p.where) for p in found}, [str(p) for p in found]
    assert len(found) <= 3


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    layers = net()
    layers[1]["weight"] = np.full((3, 2, 3, 3), 0.25)
    layers[3]["neuron"] = {**CUBA, "iDecay": -1, "vThMant": np.nan}
    layers[4]["type"] = "convT"
    found = problems(write_net(tmp_path / "a.net", layers))
    places = {p.where.split("/layer/")[1] for p in found}
    assert places == {"1/weight", "3/neuron/iDecay", "3/neuron/vThMant", "4/type"}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
def test_a_file_cut_short(tmp_path: Path, share: float) -> None:
    path = write_net(tmp_path / "a.net", net())
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    assert problems(path)[0].code == "ND121"


@pytest.mark.parametrize("content", [b"not HDF5 at all", b"PK\x03\x04" * 50, bytes(10_000)])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.net").write_bytes(content)
    assert [p.code for p in problems(tmp_path / "a.net")] == ["ND121"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize(("fate", "text"), [("crash", "signal 11"), ("hang", "come to an end")])
def test_a_file_that_crashes_or_hangs_the_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str, text: str
) -> None:
    original, path = _hdf5.h5py.File, write_net(tmp_path / "a.net", net())
    parent = os.getpid()

    def opened(*args: Any, **kwargs: Any) -> Any:
        if os.getpid() != parent:
            os.kill(os.getpid(), signal.SIGSEGV) if fate == "crash" else time.sleep(60)
        return original(*args, **kwargs)

    monkeypatch.setattr(_hdf5.h5py, "File", opened)
    monkeypatch.setattr(_hdf5, "TRIAL_SECONDS", 0.5)
    (found,) = problems(path)
    assert found.code == "ND121" and text in found.found


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NeurodeployError):
        READER.load(tmp_path / "none.net", NETX.configure({}), 4)


def test_huge_declared_sizes_take_no_memory(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", net())
    with h5py.File(path, "r+") as file:
        huge(file)
        file.create_dataset(
            "layer/4/delay", shape=(1 << 28,), dtype="i8", chunks=(1 << 16,), compression="gzip"
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert {p.code for p in problems(path)} == {"ND123"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10  # KiB


def test_messages_of_width_zero_into_a_synapse(tmp_path: Path) -> None:
    layers = [dense(weights(RNG, 5, 4), {**SDNN, "messageBits": 0}), dense(weights(RNG, 2, 5), SDNN)]
    assert problems(write_net(tmp_path / "a.net", layers), input_message_bits=8)[0].code == "ND125"
    last = READER.load(
        write_net(tmp_path / "b.net", layers[:1]), NETX.configure({"input_message_bits": 8}), 4
    )
    assert isinstance(last, Graph)


def test_weights_and_neurons_that_netx_cannot_join(tmp_path: Path) -> None:
    both = {"real": weights(RNG, 3, 4), "imag": weights(RNG, 3, 4)}
    layers = [{**dense(weights(RNG, 3, 4)), "weight": both}]
    assert problems(write_net(tmp_path / "a.net", layers))[0].code == "ND125"
    assert problems(write_net(tmp_path / "b.net", [dense(weights(RNG, 3, 4), RF)]))[0].code == "ND125"
    graded = {**dense(weights(RNG, 3, 4), SDNN), "type": "dense_rec", "weight_rec": weights(RNG, 3, 3)}
    assert problems(write_net(tmp_path / "c.net", [graded]))[0].code == "ND125"


def test_a_refused_layer_makes_the_next_one_look_no_worse(tmp_path: Path) -> None:
    layers = [dense(weights(RNG, 6, 4)), dense(-np.eye(5, 6)), dense(weights(RNG, 2, 5))]
    found = problems(write_net(tmp_path / "a.net", layers))
    assert [(p.code, p.where) for p in found] == [("ND124", "a.net /layer/1/weight")]


def test_a_bias_on_a_sigma_neuron(tmp_path: Path) -> None:
    layer = dense(weights(RNG, 3, 4), {**SDNN, "sigma_output": True}, bias=np.array([0, 1, 0]))
    assert problems(write_net(tmp_path / "a.net", [layer]))[0].code == "ND125"


@pytest.mark.parametrize(
    ("delay", "code"),
    [
        (-1, "ND124"),
        (np.nan, "ND124"),
        (np.arange(4), "ND126"),
        (np.ones((3, 6)), "ND126"),
        (np.ones((5, 3, 1)), "ND126"),
    ],
)
def test_delays_that_fit_nothing(tmp_path: Path, delay: Any, code: str) -> None:
    assert problems(write_net(tmp_path / "a.net", [dense(weights(RNG, 5, 3), delay=delay)]))[0].code == code


def test_a_convolution_without_a_known_input(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", net()[1:])
    (found,) = problems(path)
    assert found.code == "ND126" and "input_shape" in found.fixes[0]
    assert READER.load(path, NETX.configure({"input_shape": [6, 6, 2]}), 4).shape("input") == (2, 6, 6)


@pytest.mark.parametrize(
    "options",
    [
        {"skip_layer": 1},
        {"skip_layers": -1},
        {"reset_interval": 0},
        {"spike_exp": "six"},
        {"input_shape": [1, 2, 3, 4]},
    ],
)
def test_wrong_options(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        NETX.configure(options)
    (found,) = caught.value.problems
    assert found.code == "ND120" and found.where.startswith(f"reader.{next(iter(options))}")


@pytest.mark.parametrize("options", [{"input_range": (0, 9)}, {"input_range": (1, 0)}])
def test_ranges_that_contradict_the_file(tmp_path: Path, options: dict[str, Any]) -> None:
    assert [p.code for p in problems(write_net(tmp_path / "a.net", net()), **options)] == ["ND120"]


def test_skipping_every_layer(tmp_path: Path) -> None:
    assert problems(write_net(tmp_path / "a.net", net()), skip_layers=9)[0].code == "ND126"


def test_sums_of_a_convolution_that_lava_would_wrap(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", net())
    with pytest.raises(GraphError) as caught:
        READER.load(path, NETX.configure({"input_message_bits": 16}), 4)
    (found,) = caught.value.problems
    assert (
        found.code == "ND224"
        and found.where == "layer1.synapse from layer/1"
        and "input_range" in found.fixes[0]
    )
    small = {"input_message_bits": 16, "input_range": (-255, 255)}
    assert READER.load(path, NETX.configure(small), 4).values["input"].interval.hi == 255


def test_arguments_that_an_exporter_left_in_the_file(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", net())
    with h5py.File(path, "r+") as file:
        file["arguments/reset_interval"] = 0
        file["arguments/skip"] = 1
    assert {(p.code, p.where) for p in problems(path)} == {
        ("ND124", "a.net /arguments/reset_interval"),
        ("ND124", "a.net /arguments/skip"),
    }
