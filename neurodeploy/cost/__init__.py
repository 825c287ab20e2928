"""Counts x coefficients = estimate: energy, time, and what the same network would cost as an ANN or in a paper."""

from .ann import AnnBaseline, ann_baseline
from .assess import Assessment, assess
from .audit import Purity, purity, silicon
from .counts import Counts, count, dense_macs, disagreements
from .counts import names as names_to_record
from .estimate import estimate
from .paper import PaperEnergy, paper_energy
from .types import Definition, Estimate, Term, Timing

__all__ = [
    "AnnBaseline", "Assessment", "Counts", "Definition", "Estimate", "PaperEnergy", "Purity", "Term", "Timing",
    "ann_baseline", "assess", "count", "dense_macs", "disagreements", "estimate", "names_to_record", "paper_energy",
    "purity", "silicon",
]  # fmt: skip
