"""Headers of numpy's arrays in files of strangers, read before anything is allocated."""

from __future__ import annotations

from io import BytesIO
from math import prod
from typing import Any
from warnings import catch_warnings, simplefilter

import numpy as np

from .errors import first_line

LONGEST = 1 << 17  # bytes of a header, and more than numpy takes


def declared(file: Any) -> tuple[np.dtype[Any], tuple[int, ...], int]:
    """Type, shape and bytes that a header declares, the file behind it; ValueError where it is none."""
    numpy: Any = np.lib.format  # untyped
    head = BytesIO(file.read(LONGEST))  # numpy would allocate whatever length the header states
    version = numpy.read_magic(head)
    read = numpy.read_array_header_1_0 if version == (1, 0) else numpy.read_array_header_2_0
    try:
        with catch_warnings():
            simplefilter("ignore")  # of headers that Python 2 wrote
            shape, _, dtype = read(head)
    except Exception as error:  # the header is Python text, and its parser raises whatever Python's own does
        raise ValueError(f"no header: {first_line(error)}") from error
    if any(size < 0 for size in shape):
        raise ValueError(f"shape {shape}")
    file.seek(head.tell())
    return dtype, tuple(shape), prod(shape) * dtype.itemsize
