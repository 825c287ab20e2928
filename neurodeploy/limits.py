"""Limits of what this package takes on that several rooms check."""

MOST_TOML = 1 << 22  # bytes of a config or mapping file, more than the places of any system take
MOST_TICKS = 4096  # of one inference, in a config, a data set, a file of another tool or an artifact

#: what a file of any size may unpack to, and how many times its own size a large one
UNPACKED, EXPANSION = 1 << 28, 200


def most_unpacked(size: int) -> int:
    """Bytes that a file of ``size`` bytes may become in memory; what claims more is refused before it is unpacked."""
    return max(UNPACKED, EXPANSION * size)
