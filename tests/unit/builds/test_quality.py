"""Which losses are warned of, and what is offered against them."""

import pytest

from neurodeploy.builds import quality
from neurodeploy.config import BuildConfig
from neurodeploy.convert import named
from neurodeploy.ir.nodes import Synapse
from neurodeploy.report.inputs import Accuracy
from tests.networks import images, mini_vit

CONFIG = BuildConfig(model="m", method="ecmt", timesteps=2)


def accuracy(source: float | None, spiking: float | None, integer: float) -> Accuracy:
    return Accuracy(samples=100, source=source, spiking=spiking, integer=integer)


@pytest.mark.parametrize(
    ("levels", "codes"),
    [
        ((0.95, 0.90, 0.90), []),  # 5 points are not more than 5
        ((0.95, 0.89, 0.89), ["ND680"]),
        ((0.95, 0.95, 0.89), ["ND681"]),
        ((0.95, 0.92, 0.89), ["ND681"]),  # neither step alone, both together
        ((0.95, 0.80, 0.70), ["ND680", "ND681"]),
        ((0.95, 0.80, 0.79), ["ND680"]),
        ((0.80, 0.95, 0.89), ["ND681"]),
        ((0.80, 0.90, 0.95), []),
        ((None, None, 0.1), []),
    ],
)
def test_a_loss_is_said_once_at_the_level_that_lost(
    levels: tuple[float, float, float], codes: list[str]
) -> None:
    assert [p.code for p in quality.drops(accuracy(*levels), CONFIG)] == codes


def test_what_is_offered_is_of_the_method_and_of_the_config() -> None:
    (lost,) = quality.drops(accuracy(0.95, 0.6, 0.6), CONFIG)
    assert lost.severity == "warning" and lost.fixes == ("more ticks: --timesteps 4",)
    assert lost.found == "60.0 % of 100 after 95.0 %"
    (coarse,) = quality.drops(
        accuracy(0.95, 0.6, 0.6), CONFIG.model_copy(update={"convert": {"preset": "released"}})
    )
    assert "--set convert.preset=faithful" in coarse.fixes[1]
    (native,) = quality.drops(accuracy(0.95, 0.6, 0.6), CONFIG.model_copy(update={"method": "native"}))
    assert native.fixes == ()
    narrow = CONFIG.model_copy(update={"weight_bits": 3, "calib": 100})
    (integer,) = quality.drops(accuracy(0.95, 0.95, 0.6), narrow)
    wider, together = "wider weights: --weight-bits 8", "weights rounded together: --set rounding=calibrated"
    assert integer.fixes == (wider, together, "calibrate on more samples: --calib 200")
    (rounded,) = quality.drops(
        accuracy(0.95, 0.95, 0.6), narrow.model_copy(update={"rounding": "calibrated"})
    )
    assert rounded.fixes == (wider, "calibrate on more samples: --calib 200")


@pytest.mark.parametrize(
    ("spiking", "integer", "said"), [(0.96, 0.96, ""), (0.9, 0.5, "spiking"), (0.99, 0.94, "integer")]
)
def test_read_outs_that_turn_away_are_said_for_the_first_level(
    spiking: float, integer: float, said: str
) -> None:
    cosines = {"spiking": spiking, "integer": integer}
    assert [p.code for p in quality.apart(cosines, CONFIG)] == ["ND682"] * bool(said)
    assert all(said in p.cause for p in quality.apart(cosines, CONFIG))


def test_noise_counts_at_the_layer_that_is_read() -> None:
    graph = mini_vit()
    method = named("pmsm")
    spiking = method.rewrite(graph, method.configure({})[1], images(graph, 16), 1)
    read = spiking.of(Synapse)[-1].name
    levels = {"patch": 40.0, "b0.q": 9.0, read: 14.9}
    (noisy,) = quality.noisy(spiking, levels, CONFIG)
    assert noisy.found == "14.9 dB" and read in noisy.where and "b0.q" in noisy.where
    assert list(quality.noisy(spiking, levels | {read: 15.0}, CONFIG)) == []
    assert list(quality.noisy(spiking, {}, CONFIG)) == []
