"""An evaluation loop around a built network: batches of raw levels in, answers after every tick out.

    neurodeploy build digits-a2os2a --out build/digits
    python examples/evaluation_loop.py build/digits

`neurodeploy evaluate` does the same with workers; write the loop yourself where samples come from elsewhere.
"""

from __future__ import annotations

import sys

import numpy as np

import neurodeploy
from neurodeploy import datasets

BATCH, SAMPLES = 50, 200


def main(folder: str) -> None:
    """Right answers after each tick, and how early the network could have stopped."""
    data = datasets.load("digits")
    images, labels = data.test_x[:SAMPLES], data.test_y[:SAMPLES]
    right, settled = 0, []
    for start in range(0, len(images), BATCH):
        outputs, _ = neurodeploy.run(
            folder, images[start : start + BATCH]
        )  # (T, batch, classes), accumulated
        answers = outputs.reshape(*outputs.shape[:2], -1).argmax(-1)
        right = right + (answers == labels[start : start + BATCH]).sum(axis=1)
        settled += [int(np.flatnonzero(one != one[-1]).max(initial=-1)) + 2 for one in answers.T]
    for tick, count in enumerate(right, 1):
        print(f"tick {tick}: {count} of {len(images)} right")
    print(f"answers no longer change after tick {np.mean(settled):.2f} on average")
    whole = neurodeploy.evaluate(folder)
    print(f"all test images: {whole.found.correct[-1]} of {whole.found.samples}")


if __name__ == "__main__":
    main(sys.argv[1])
