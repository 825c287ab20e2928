"""Limits of what this package takes on that several rooms check."""

MOST_TICKS = 4096  # of one inference, in a config, a data set, a file of another tool or an artifact
