"""Recordings of events, written byte by byte from the published layouts of their formats."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np

EVENT = np.dtype([("t", "<i8"), ("x", "<i2"), ("y", "<i2"), ("p", "?")])
#: rows and columns of the sensor
SIZE = (34, 34)


def drawn(
    seed: int = 0, count: int = 200, last_us: int = 300_000, size: tuple[int, int] = SIZE
) -> np.ndarray:
    """Records in order of time."""
    rng = np.random.default_rng(seed)
    found = np.zeros(count, EVENT)
    found["t"] = np.sort(rng.integers(4096, last_us, count))
    found["y"], found["x"] = (rng.integers(0, side, count) for side in size)
    found["p"] = rng.integers(0, 2, count)
    return found


def nmnist(path: Path, events: np.ndarray) -> Path:
    """Five bytes for each event."""
    words = events["x"].astype(np.int64) << 32 | events["y"].astype(np.int64) << 24
    words |= events["p"].astype(np.int64) << 23 | events["t"] & (1 << 23) - 1
    path.write_bytes(b"".join(int(word).to_bytes(5, "big") for word in words))
    return path


def dat(path: Path, events: np.ndarray, head: str = "% Version 2\n% Width 34\n% Height 34\n") -> Path:
    """A head, type and size, eight bytes for each event."""
    body = b"".join(
        struct.pack("<II", int(e["t"]) & 0xFFFFFFFF, int(e["x"]) | int(e["y"]) << 14 | int(e["p"]) << 28)
        for e in events
    )
    path.write_bytes(head.encode() + bytes((12, 8)) + body)
    return path


EVT2 = "% evt 2.0\n% geometry 34x34\n% end\n"
EVT3 = "% format EVT3;height=34;width=34\n% endianness little\n% end\n"


def evt2(path: Path, events: np.ndarray, head: str = EVT2) -> Path:
    """A word of time whenever its high part changes, and one for each event."""
    words, high = [0xA << 28], -1
    for e in events:
        t, x, y = int(e["t"]), int(e["x"]), int(e["y"])
        if t >> 6 != high:
            high = t >> 6
            words.append(8 << 28 | high & (1 << 28) - 1)
        words.append(int(e["p"]) << 28 | (t & 63) << 22 | x << 11 | y)
    path.write_bytes(head.encode() + np.array(words, "<u4").tobytes())
    return path


def evt3(path: Path, events: np.ndarray, head: str = EVT3, vectors: bool = False) -> Path:
    """Words of time and row before each event; ``vectors``: an event is the one bit of a vector of 12 or of 8."""
    words, high = [0xA << 12] * (head == EVT3), None  # a trigger, which another library does not know
    for index, e in enumerate(events):
        t, x, y, p = (int(e[name]) for name in "txyp")
        if t >> 12 != high:
            words += [
                8 << 12 | step & 0xFFF
                for step in range((t >> 12) if high is None else high + 1, (t >> 12) + 1)
            ]
            high = t >> 12
        words += [6 << 12 | t & 0xFFF, y]
        if vectors:
            # 12 empty pixels, then the event in the vector behind them
            words += [3 << 12 | p << 11 | max(0, x - 13), 4 << 12]
            bit = x - max(0, x - 13) - 12
            if bit < 0:
                words[-1:] = [(4 << 12) | 1 << x]
            else:
                words.append((5 << 12 if index % 2 else 4 << 12) | 1 << bit)
        else:
            words.append(2 << 12 | p << 11 | x)
    path.write_bytes(head.encode() + np.array(words, "<u2").tobytes())
    return path


def npz(path: Path, events: np.ndarray) -> Path:
    """As SpikingJelly's data sets do."""
    np.savez(path, t=events["t"], x=events["x"], y=events["y"], p=events["p"].astype(np.int64))
    return path


def tonic_h5(path: Path, events: np.ndarray, label: int) -> Path:
    """As tonic's cache on disk does."""
    with h5py.File(path, "w") as file:
        file.create_dataset("data/0", data=events, compression="lzf")
        file.create_dataset("target/0", data=label)
    return path


def grouped_h5(path: Path, events: np.ndarray) -> Path:
    """A group of columns."""
    with h5py.File(path, "w") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", data=events[name], compression="gzip")
    return path


_INFO = """<dv version="2.0"><node name="outInfo" path="/mainloop/Recorder/outInfo/"><node name="0" path="/0/">
<attr key="compression" type="string">NONE</attr><attr key="typeIdentifier" type="string">EVTS</attr>
<node name="info" path="/0/info/"><attr key="sizeX" type="int">34</attr><attr key="sizeY" type="int">34</attr></node>
</node></node></dv>"""


def aedat4(path: Path, events: np.ndarray, packet: int = 64) -> Path:
    """Uncompressed flat buffers: a header with one stream, and packets of events."""
    info = _INFO.encode()
    head = struct.pack("<I4sHHHHH2x", 20, b"IOHE", 10, 20, 4, 8, 16)
    head += struct.pack("<iiqI", 12, 0, -1, 4) + struct.pack("<I", len(info)) + info + b"\0"
    content = b"#!AER-DAT4.0\r\n" + struct.pack("<I", len(head)) + head
    for start in range(0, len(events), packet):
        part = events[start : start + packet]
        body = struct.pack("<I4sHHH2x", 16, b"EVTS", 6, 8, 4) + struct.pack("<iI4xI", 8, 8, len(part))
        body += b"".join(struct.pack("<qhh?3x", *(e[name] for name in "txyp")) for e in part)
        body = struct.pack("<I", len(body)) + body
        content += struct.pack("<ii", 0, len(body)) + body
    path.write_bytes(content)
    return path
