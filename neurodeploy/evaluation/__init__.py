"""How many samples of a data set a network answers right: batch by batch, here, in processes, or on a cluster.

Samples do not influence each other, so that a data set is a stream of batches and what they come to is a sum: the same
one however many workers there are, and whichever of them is lost on the way.
"""

from __future__ import annotations

from .pictures import pictured
from .stream import Progress, evaluate
from .tally import LEVELS, Tally, answers, predictions
from .workers import Work, workers

__all__ = ["LEVELS", "Progress", "Tally", "Work", "answers", "evaluate", "pictured", "predictions", "workers"]
