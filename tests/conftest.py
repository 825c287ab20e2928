"""What every test shares. Helpers are imported as ``from tests.strategies import integer_graphs``."""

from __future__ import annotations

import multiprocessing
import sys

import pytest
from hypothesis import HealthCheck, settings

from tests.later import HEAVY, settle

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

#: the module of Lava that chooses for the whole process how processes start
STARTS = "lava.magma.runtime.message_infrastructure.multiprocessing"
#: the heavy libraries that collecting the tests has imported
COLLECTED = pytest.StashKey[frozenset[str]]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """For ``test_collecting_imports_no_heavy_library``."""
    session.config.stash[COLLECTED] = HEAVY & sys.modules.keys()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Function) -> None:
    """``needs(module, ...)``: skipped where one is absent. Asked as the test starts: Lava takes seconds to import."""
    for module in (module for mark in item.iter_markers("needs") for module in mark.args):
        if module.startswith("lava.") and STARTS not in sys.modules:
            # it sets how processes start, and fails where something has set it
            multiprocessing.set_start_method(None, force=True)
            pytest.importorskip(STARTS, reason=f"{module} is not installed here")
        pytest.importorskip(module, reason=f"{module} is not installed here")
    settle(item.module)
