"""A built network inside a Lava program: a source that plays samples, and a sink that keeps what comes out.

    neurodeploy build digits-a2os2a --out build/digits
    python examples/lava_program.py build/digits

Needs Python 3.10 with lava-nc 0.10.0: `make setup`, or the interpreter that `neurodeploy lava setup` names.
"""

from __future__ import annotations

import sys

import numpy as np

import neurodeploy
from neurodeploy import artifact, lava
from neurodeploy.inputs.recorded import Record

SAMPLES = 3


def main(folder: str) -> None:
    """Run some test samples of the build in Lava, and by the fast backend."""
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc.io.sink import RingBuffer as Sink
    from lava.proc.io.source import RingBuffer as Source

    saved = artifact.load(folder)
    x = Record(saved, folder).measured_on(SAMPLES)  # whole levels, (samples, *input)
    net = lava.network(saved.program)
    ticks, shape = net.period, x.shape[1:]
    steps = SAMPLES * ticks + net.depth

    frames = np.repeat(x, ticks, axis=0)  # the image of sample k at steps k * period + 1 .. (k + 1) * period
    silence = np.zeros((net.depth, *shape), frames.dtype)  # while the last sample is on its way
    source = Source(data=np.moveaxis(np.concatenate([frames, silence]), 0, -1))
    sink = Sink(shape=net.s_out.shape, buffer=steps)
    source.s_out.connect(net.s_in)
    net.s_out.connect(sink.a_in)

    lava.mend()
    net.run(RunSteps(num_steps=steps), Loihi2SimCfg(select_tag="fixed_pt"))
    seen = np.moveaxis(sink.data.get().astype(int), -1, 0)
    net.stop()

    # the read-out accumulated up to tick t of sample k leaves at step k * period + t + depth, steps counted from 1
    last = [seen[(k + 1) * ticks + net.depth - 1] for k in range(SAMPLES)]
    outputs, _ = neurodeploy.run(folder, x)
    print("answers in Lava:    ", [int(logits.argmax()) for logits in last])
    print("answers by cpu:     ", outputs[-1].reshape(SAMPLES, -1).argmax(-1).tolist())
    print("the same integers:  ", all(np.array_equal(a, b) for a, b in zip(last, outputs[-1], strict=True)))


if __name__ == "__main__":
    main(sys.argv[1])
