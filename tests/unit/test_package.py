"""The package itself: importing it is cheap and pulls in no heavy library."""

import json
import subprocess
import sys

HEAVY = {"torch", "lava", "numba"}


def test_import_pulls_in_no_heavy_library() -> None:
    # A fresh interpreter: this one may already hold torch for other tests.
    code = "import json, sys, neurodeploy; print(json.dumps([neurodeploy.__version__, list(sys.modules)]))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    version, modules = json.loads(result.stdout)
    assert version
    assert HEAVY.isdisjoint(name.partition(".")[0] for name in modules)
