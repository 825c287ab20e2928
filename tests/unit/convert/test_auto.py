"""``--method auto`` takes the cheapest setting that keeps the answers, and says what it tried."""

from __future__ import annotations

import numpy as np
import pytest

from neurodeploy.config import BuildConfig
from neurodeploy.convert import AUTO, cheapest, named, require
from neurodeploy.convert._base import METHODS
from neurodeploy.errors import ConvertError, UsageError
from neurodeploy.inputs.samples import Synthetic
from neurodeploy.ir import interp
from tests.later import Later
from tests.networks import images, mini_snn, mini_vit

imported = Later("neurodeploy.builds.imported")
GRAPH = mini_vit(seed=5)
SAMPLES = images(GRAPH, 80, seed=3)


def offered() -> list[tuple[str, str, int]]:
    found = [(t.ratio, m.name, t.preset, t.ticks) for m in METHODS.values() for t in m.trials]
    return [(name, preset, ticks) for _, name, preset, ticks in sorted(found)]


def test_what_methods_offer_is_a_preset_of_theirs_and_costs_more_the_longer_it_runs() -> None:
    assert len(offered()) >= 6
    for method in METHODS.values():
        assert all(t.preset in method.presets and t.ticks >= 1 for t in method.trials)
        for a in method.trials:
            assert all(
                a.ratio < b.ratio
                for b in method.trials
                if (a.preset, a.ticks) < (b.preset, b.ticks) and a.preset == b.preset
            )


def test_the_first_that_is_good_enough_is_taken_and_no_other_is_made() -> None:
    chosen = cheapest(GRAPH, GRAPH, SAMPLES, 100.0)
    assert chosen.holds and len(chosen.tried) == 1 and chosen.samples == 40
    best = chosen.best
    assert (best.method, best.trial.preset, best.trial.ticks) == offered()[0]


def test_changed_answers_are_counted_on_samples_that_calibrated_nothing() -> None:
    chosen = cheapest(GRAPH, GRAPH, SAMPLES, 0.0)
    truth = interp.run(GRAPH, SAMPLES[1::2], timesteps=1).outputs[0].argmax(axis=1)
    for tried in chosen.tried:
        method = named(tried.method)
        _, options = method.configure({"preset": tried.trial.preset})
        spiking = method.rewrite(GRAPH, options, SAMPLES[0::2], tried.trial.ticks)
        answers = interp.run(spiking, SAMPLES[1::2]).outputs[-1].argmax(axis=1)
        assert tried.changed == pytest.approx(100 * (answers != truth).mean())


def test_where_none_is_enough_the_one_that_changes_least_is_taken() -> None:
    chosen = cheapest(GRAPH, GRAPH, SAMPLES, -1.0)
    assert not chosen.holds and len(chosen.tried) == len(offered())
    assert chosen.best.changed == min(tried.changed for tried in chosen.tried)


def test_read_outs_without_classes_are_compared_by_their_direction() -> None:
    chosen = cheapest(GRAPH, GRAPH, SAMPLES, -1.0, classes=False)
    truth = interp.run(GRAPH, SAMPLES[1::2], timesteps=1).outputs[0]
    first = chosen.tried[0]
    method = named(first.method)
    _, options = method.configure({"preset": first.trial.preset})
    found = interp.run(
        method.rewrite(GRAPH, options, SAMPLES[0::2], first.trial.ticks), SAMPLES[1::2]
    ).outputs[-1]
    cosines = (found * truth).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(truth, axis=1)
    assert first.changed == pytest.approx(100 * (1 - cosines.mean()))


@pytest.mark.parametrize("ticks", [1, 2])
def test_ticks_that_are_asked_for_are_kept(ticks: int) -> None:
    chosen = cheapest(GRAPH, GRAPH, SAMPLES, -1.0, ticks)
    assert {tried.trial.ticks for tried in chosen.tried} == {ticks}


def test_what_cannot_be_tried_is_refused() -> None:
    for ticks, samples in ((3, SAMPLES), (None, SAMPLES[:1])):
        with pytest.raises(ConvertError, match="ND311"):
            cheapest(GRAPH, GRAPH, samples, 1.0, ticks)
    with pytest.raises(ConvertError, match="ND304"):
        cheapest(mini_snn(), mini_snn(), SAMPLES, 1.0)
    with pytest.raises(UsageError, match="ND303"):
        require(AUTO, {"levels": 3})


def test_a_build_names_what_was_chosen_so_that_it_replays() -> None:
    found = imported.import_model(BuildConfig(model="digits-vit", method=AUTO, calib=64))
    assert found.config.method in METHODS and found.config.timesteps and "preset" in found.config.convert
    assert (
        f"{found.config.method} {found.config.convert['preset']} at T = {found.config.timesteps}"
        in found.fact
    )
    exact = BuildConfig(model="mini", method=AUTO, calib=8, max_loss=0.0)  # which no spikes are
    config, _, (warning,) = imported.settled(exact, GRAPH, GRAPH, Synthetic(GRAPH))
    assert config.method in METHODS and warning.code == "ND312" and warning.severity == "warning"


def test_a_network_that_spikes_stays_as_it_is() -> None:
    assert imported.import_model(BuildConfig(model="digits-a2os2a", method=AUTO)).config.method == "native"
    assert imported.import_model(BuildConfig(model="digits-vit-pmsm", method=AUTO)).config.method == "pmsm"
