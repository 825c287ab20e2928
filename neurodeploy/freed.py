"""Memory that large networks have let go is given back to the operating system, between one stage and the next.

glibc keeps blocks of less than 32 MiB that were freed, for later blocks of their size; weights of networks are such
blocks. Copies that lie in circles of Python objects wait for its collector.
"""

from __future__ import annotations

import ctypes
import gc

#: numbers from which on what is kept matters beside what takes the time of looking for it, tenths of a second
LARGE = 100_000_000


def give_back(numbers: int) -> None:
    """Give back what was freed of networks of so many weights; of few, and without glibc, nothing happens."""
    if numbers < LARGE:
        return
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # another library
        return
