"""What every test shares. Helpers are imported as ``from tests.strategies import integer_graphs``."""

from hypothesis import HealthCheck, settings

# A first call may compile a kernel, so no deadline; the same examples on every machine, so a failure is reproducible.
settings.register_profile(
    "neurodeploy",
    deadline=None,
    derandomize=True,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.load_profile("neurodeploy")
