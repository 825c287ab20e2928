"""Every block of Python in README and docs is run, behind what its page takes for granted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIGITS = "import numpy as np\nnp.save('x.npy', np.zeros((3, 1, 8, 8), np.int64))\n"
OWN = """
import numpy as np, torch, neurodeploy
from torch import nn
torch.manual_seed(0)
from neurodeploy.sources import zoo
lif = zoo.submodule("spiking").BinaryLif()
net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), lif, nn.Flatten(), nn.Linear(144, 3)).eval()
rng = np.random.default_rng(0)
x, y = rng.integers(0, 17, (60, 1, 8, 8)), rng.integers(0, 3, 60)
more_x, more_y = x[:10], y[:10]
"""
STREAM = """
import numpy as np, neurodeploy
neurodeploy.build("documentation-rwkv", "loihi-sim", eval=4, verify=2, calib=16)
frames = np.zeros((1, 64, 96), np.int64)
frames[..., 5] = 1
"""
IDS = "import torch\nids, pad = torch.tensor([[1, 2, 0, 0]]), 0\nx = torch.rand(1, 4, 3)\n"
#: page -> for each of its blocks: what runs before it, a package without which it cannot run, or the test that runs it
BEFORE: dict[str, list[str]] = {
    "README.md": [DIGITS, OWN],
    "docs/extending.md": [""],
    "docs/formats.md": ["needs sanafe"],
    "docs/lava.md": ["tests/end_to_end/test_examples.py"],
    "docs/quickstart.md": ["", ""],
    "docs/spiking-models.md": [STREAM],
    "docs/transformers.md": [IDS],
}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def test_every_block_is_run() -> None:
    found = {str(page.relative_to(ROOT)): len(blocks(page)) for page in PAGES if blocks(page)}
    assert found == {page: len(before) for page, before in BEFORE.items()}


CASES = [
    (page, n)
    for page, texts in BEFORE.items()
    for n, text in enumerate(texts)
    if not text.startswith("tests/")
]


@pytest.mark.slow
@pytest.mark.parametrize("page, number", CASES)
def test_a_block_runs(page: str, number: int, tmp_path: Path) -> None:
    before = BEFORE[page][number]
    if before.startswith("needs "):
        pytest.importorskip(before.removeprefix("needs "))
        before = ""
    code = before + "\n" + blocks(ROOT / page)[number]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
