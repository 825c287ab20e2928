"""A module and data in memory: the same network and samples as by their files, replayed without the session."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import neurodeploy
from neurodeploy import cli, datasets, files, handed, live
from neurodeploy.array import Array
from neurodeploy.builds.build import Build
from neurodeploy.config import resolve as config
from neurodeploy.errors import UsageError
from neurodeploy.ir import interp
from neurodeploy.live import network, samples
from neurodeploy.report import data
from neurodeploy.simulate import kernels
from neurodeploy.sources import cache
from tests import fake_build
from tests.later import Later
from tests.networks import mini_snn

torch = Later("torch")
FEW: dict[str, Any] = {"timesteps": 2, "calib": 8, "verify": 2, "eval": 8}


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(kernels.cache_folder()))  # compiled once for all
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def levels(count: int = 24, channels: int = 2) -> tuple[Any, Array]:
    """Samples of 0 .. 255 and their labels, every class in both parts."""
    drawn = np.random.default_rng(3)
    x = drawn.integers(0, 256, (count, channels, 4, 4)).astype(np.uint8)
    x[0, :, 0, :2] = 0, 255
    return x, np.arange(count) % 3


def module(channels: int = 2) -> Any:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, 3, 3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(12, 8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 3),
    ).eval()


def loaded(spec: str) -> Array:
    found = datasets.load(spec)
    whole = np.concatenate([found.train_x, found.test_x])
    return np.sort(whole.reshape(len(whole), -1), axis=0)


def column(table: Any, name: str) -> list[Any]:
    """Of a frame of pandas, or of a list of rows."""
    return [*table[name]] if hasattr(table, "columns") else [row[name] for row in table]


def codes(error: pytest.ExceptionInfo[UsageError]) -> set[str]:
    return {problem.code for problem in error.value.problems}


# --- samples -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    ticks=st.lists(st.integers(0, 255), min_size=2, max_size=40),
    step=st.floats(1e-4, 1e3),
    low=st.floats(-1e3, 1e3),
    precise=st.booleans(),
)
def test_floats_on_a_grid_are_its_levels(ticks: list[int], step: float, low: float, precise: bool) -> None:
    x: Any = (np.array(ticks).reshape(-1, 1) * step + low).astype(np.float64 if precise else np.float32)
    rounding = 4 * np.finfo(x.dtype).eps * (abs(low) + 255 * step)  # of the numbers themselves
    found: Any = samples._levels(x)
    assert found.off <= samples.NEAR or rounding > samples.NEAR * step / 4, "a grid that can be told is found"
    near = 0.01 * step if found.off <= samples.NEAR else 0.51 * found.scale
    assert np.abs(found.of(x) * found.scale + found.offset - x).max() <= near + 255 * rounding


def test_channels_that_were_normalised_apart_have_a_grid_each() -> None:
    x, _ = levels()
    means, widths = np.array([0.48, 0.41]).reshape(1, 2, 1, 1), np.array([0.27, 0.3]).reshape(1, 2, 1, 1)
    shown = ((x / 255 - means) / widths).astype(np.float32)
    found = samples._levels(shown)
    assert np.array_equal(found.of(shown), x) and found.off < samples.NEAR
    np.testing.assert_allclose(found.scale, 1 / 255 / widths.ravel(), rtol=1e-4)
    with pytest.raises(UsageError, match="ND951"):
        found.flags()


def test_other_floats_are_the_nearest_of_256_levels_and_say_so() -> None:
    x = np.random.default_rng(0).normal(size=(400, 5))
    kept = samples.kept((x, np.arange(400) % 2))
    assert kept.levels is not None
    back = datasets.load(kept.spec)
    assert [p.code for p in back.warnings] == ["ND953"] and "256 levels" in back.warnings[0].found
    step = (x.max() - x.min()) / 255
    assert np.abs(kept.levels.of(x) * kept.levels.scale + kept.levels.offset - x).max() <= step * 0.5001


def test_what_exceeds_the_training_samples_is_clipped_and_counted() -> None:
    x = np.linspace(0, 1, 256).reshape(-1, 1)
    kept = samples.kept(((x, np.zeros(256, int)), (np.array([[-0.5], [0.5], [2.0]]), np.zeros(3, int))))
    found = datasets.load(kept.spec)
    assert found.test_x.ravel().tolist() == [0, 128, 255]
    assert [p.found for p in found.warnings] == ["2 numbers beyond the ends of the levels became these"]


def test_every_kind_of_data_holds_the_same_samples() -> None:
    x, y = levels()
    tensors = torch.tensor(x), torch.tensor(y)
    data = torch.utils.data.TensorDataset(*tensors)
    pairs = [(np.moveaxis(one, 0, 0), int(label)) for one, label in zip(x, y, strict=True)]

    class Own:
        def __len__(self) -> int:
            return len(pairs)

        def __getitem__(self, i: int) -> tuple[Array, int]:
            return pairs[i]

    specs = {
        samples.kept(one).spec
        for one in ((x, y), tensors, [x, y.tolist()], data, torch.utils.data.DataLoader(data, 7), Own())
    }
    assert len(specs) == 1, "one content, one name"
    both = {samples.kept(one).spec for one in (((x, y), data), {"train": (x, y), "test": data}, (x, y, x, y))}
    assert len(both) == 1
    found = datasets.load(both.pop())
    assert np.array_equal(found.train_x, x) and np.array_equal(found.test_y, y) and found.levels == 255


def test_texts_are_a_file_of_texts() -> None:
    found = datasets.load(samples.kept((["a b", "c", "d", "e"], [0, 1, 0, 1])).spec)
    assert found.texts and found.labelled and len(found.train) + len(found.test) == 4
    assert not datasets.load(samples.kept(["a b", "c", "d"]).spec).labelled


@pytest.mark.parametrize(
    "bad",
    [
        (levels()[0], levels()[1][:-1]), (levels()[0],), {"validation": levels()}, (np.array([[np.nan]]), [0]),
        (np.array([[300]]), [0]), (np.array([["a"]]), [0]), (levels()[0], np.zeros(24)), 3, [], (["a", "b"], [0]),
    ],
    ids=range(10),
)  # fmt: skip
def test_what_is_no_data_is_refused(bad: Any) -> None:
    with pytest.raises(UsageError) as caught:
        neurodeploy.check("digits-vit", data=bad)
    assert codes(caught) == {"ND951"}


# --- modules -----------------------------------------------------------------------------------------------------


def test_a_build_of_objects_replays_without_the_session(tmp_path: Path) -> None:
    x, y = levels()
    net = module()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    built = neurodeploy.build(net, data=((x / 255 - 0.5).astype(np.float32), y), out="first", **FEW)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert built.report["import_check"]["outputs_compared"] > 0 and not built.warnings
    assert "Sequential on loihi-sim, fits" in repr(built) and "srcdoc" in (built._repr_html_() or "")
    assert column(built.cores, "core") == [*range(len(built.cores))]
    seen = built.trace("0", x[:3])
    assert seen.source is not None and seen.integer.shape == (2, 3, 3, 2, 2)
    floats = net[0](torch.tensor((x[:3] / 255 - 0.5).astype(np.float32))).detach().numpy()
    np.testing.assert_allclose(seen.source[0], floats, atol=1e-5)
    np.testing.assert_allclose(seen.integer[0], floats, atol=0.05 * np.abs(floats).max())
    assert built.trace("0").integer.shape[1] == 5 and "integer (" in repr(seen)
    with pytest.raises(UsageError) as caught:
        built.trace("00")
    assert codes(caught) == {"ND905"}
    shutil.rmtree(files.cache_folder() / "handed")
    assert cli.call(["build", "--config", "first/build.toml", "--out", "elsewhere/second", "-q"]) == 0
    assert (tmp_path / "first/program.h5").read_bytes() == (
        tmp_path / "elsewhere/second/program.h5"
    ).read_bytes()
    reports = [
        json.loads((tmp_path / at / "report.json").read_text()) for at in ("first", "elsewhere/second")
    ]
    assert {**reports[0], "stages": 0} == {**reports[1], "stages": 0}
    shutil.rmtree(files.cache_folder() / "handed")
    assert neurodeploy.verify(built, ("cpu",), 2).equal
    # floats become the levels that the network was built on, whatever ends they have themselves
    answers = neurodeploy.evaluate(built, ((x[:9] / 255 - 0.5)[:, :, :, :], y[:9]), split="train")
    assert answers.found.samples > 0


def test_levels_are_what_the_module_sees() -> None:
    """The float read-out of the stored graph on stored levels is the module's on the user's own floats."""
    x, y = levels()
    floats = ((x / 255 - 0.4) / np.array([0.2, 0.7]).reshape(1, 2, 1, 1)).astype(np.float32)
    kept = samples.kept((floats, y))
    net = module()
    name = network.kept(net, config({"data": kept.spec}), kept.levels)
    graph = cache.load(config({"model": name, "data": kept.spec}), datasets.load(kept.spec)).graph
    assert kept.levels is not None
    out = interp.run(graph, kept.levels.of(floats)).outputs[-1]
    np.testing.assert_allclose(out, net(torch.tensor(floats)).detach().numpy(), atol=1e-5)


def test_a_changed_copy_is_not_taken(tmp_path: Path) -> None:
    spec = samples.kept(levels()).spec
    handed.give(tmp_path, [spec, "digits"])
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["data.npz"]
    handed.place(spec).unlink()
    copy = tmp_path / "data.npz"
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    handed.take(tmp_path, [spec])
    with pytest.raises(UsageError) as caught:
        datasets.load(spec)
    assert codes(caught) == {"ND952"}
    for wrong in (
        "handed:",
        "handed:x-12.npz",
        "handed:../../x-" + "0" * 32 + ".npz",
        "handed:a-" + "0" * 32 + ".pt",
    ):
        with pytest.raises(UsageError) as caught:
            handed.place(wrong)
        assert codes(caught) == {"ND952"}


def test_a_function_is_no_module() -> None:
    with pytest.raises(UsageError) as caught:
        neurodeploy.check(lambda x: x, data=levels())
    assert codes(caught) == {"ND951"}


def test_floats_for_a_network_of_unknown_levels_are_refused() -> None:
    x, y = levels()
    assert (
        live.data_spec((x, y), mini_snn()).startswith("handed:")
        and live.data_spec("a.npz", mini_snn()) == "a.npz"
    )
    with pytest.raises(UsageError) as caught:
        live.data_spec((x / 255, y), mini_snn())
    assert codes(caught) == {"ND951"}


@pytest.mark.needs("pandas")
def test_tables_are_frames_where_pandas_is_there() -> None:
    import pandas

    built = Build(Path("nowhere"), data.build(fake_build.inputs("native")))
    assert isinstance(built.layers, pandas.DataFrame) and len(built.cores) == len(built.report["cores"])
    assert [*built.layers["name"]] == [row["name"] for row in built.report["layers"]]
    assert built.links["packets"].sum() == sum(row["packets"] for row in built.report["links"])


def test_tables_are_rows_where_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    built = Build(Path("nowhere"), data.build(fake_build.inputs("native")))
    assert built.layers == built.report["layers"]
