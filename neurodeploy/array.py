"""The type of an array of any element type; what its axes and elements mean stands in each docstring."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
