"""The catalogue behind ``neurodeploy explain CODE``: one entry per error or warning code.

Ranges: ND1xx import, 2xx graph, 3xx convert, 4xx quantize, 5xx mapping, 6xx simulate and verify, 7xx backend,
8xx cost and report, 9xx environment, usage and data.
"""

from __future__ import annotations

#: code -> (title, explanation of what it means, why it matters and what to do)
CODES: dict[str, tuple[str, str]] = {
    # --- 1xx import -------------------------------------------------------------------------------------------
    # --- 2xx graph --------------------------------------------------------------------------------------------
    # --- 3xx convert ------------------------------------------------------------------------------------------
    # --- 4xx quantize -----------------------------------------------------------------------------------------
    # --- 5xx mapping ------------------------------------------------------------------------------------------
    # --- 6xx simulate and verify ------------------------------------------------------------------------------
    # --- 7xx backend ------------------------------------------------------------------------------------------
    # --- 8xx cost and report ----------------------------------------------------------------------------------
    # --- 9xx environment, usage, data -------------------------------------------------------------------------
    # targets
    "ND910": (
        "unknown target",
        "No target file of this name was found in the folders that are searched: those given on the command line, "
        "./hw_targets, the folders in NEURODEPLOY_TARGETS, and the targets that come with the package. "
        "'neurodeploy targets list' shows every name that can be used. A path that ends in .toml is read as it is. "
        "The same code is given for the target that an 'extends' line names.",
    ),
    "ND911": (
        "unknown key in a target file",
        "The schema of target files is closed: a key it does not know would be silently ignored, and the limit or "
        "coefficient it was meant to set would keep its old value. The nearest known keys are offered. Every key is "
        "explained in hw_targets/README.md. 'name', 'file' and 'sha256' come from the file itself and cannot be set.",
    ),
    "ND912": (
        "wrong unit in a target file",
        "Each key has one unit (picojoules, nanoseconds, watts, 64-bit words, bits ...). The unit is written beside "
        "the number so that a figure copied from a paper cannot slip in at the wrong scale. Convert the number and "
        "write the unit that the message asks for.",
    ),
    "ND913": (
        "range out of order in a target file",
        "A cost is a range and must satisfy low <= nominal <= high; a list of codes must be ascending without "
        "repetition. Estimates are reported as nominal [low .. high], which would be meaningless otherwise. "
        "Where only one figure is known, write it three times and say so in the source.",
    ),
    "ND914": (
        "missing entry or source in a target file",
        "Every number needs a source, and a target that prices work needs every cost: a coefficient left out would "
        "count as free. Add the entry; if nobody has published the number, derive it, mark it assumed = true and "
        "give it a wide range. A target that prices nothing says why in costs.unpriced.",
    ),
    "ND915": (
        "targets extend each other in a circle",
        "A target may extend another one, which may extend a third, but the chain has to end in a file without "
        "'extends'. The message shows the chain. Remove the line that closes the circle.",
    ),
    "ND916": (
        "target file cannot be used",
        "The file is missing, empty, cut off, not UTF-8 text or not TOML, or it may not be read. Where the TOML "
        "parser stopped, its line and column are in the message; the mistake is there or just before.",
    ),
    "ND917": (
        "unusable value in a target file",
        "The value has the wrong type or lies outside its range: limits are whole numbers from zero up or the word "
        "\"unlimited\", costs are finite numbers from zero up, flags are true or false, and 'kind' and 'grade' "
        "are one of a few words. Numbers are written without quotes; nan and inf are refused.",
    ),
    "ND918": (
        "assumed range is too narrow",
        "A coefficient that nobody has published is a guess, and its range has to show it: an entry with "
        "assumed = true needs low <= nominal / 3 and high >= 3 x nominal. Widen the range, or give a public source "
        "and drop the mark.",
    ),
    "ND919": (
        "impossible number of cores or chips",
        "More cores per chip than the mesh has places (routers_x * routers_y * cores_per_router), or more chips "
        "than limits.chips allows. Correct the mesh, or ask for fewer chips.",
    ),
}
