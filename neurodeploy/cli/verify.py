"""The command ``verify``."""

from __future__ import annotations

from .. import errors, verbs
from .app import app
from .bar import Bar
from .flags import Backends, BuildData, Compared, Folder, Granularity, Quiet, Shape, TimeBudget, Verbose
from .processes import description, shares
from .screen import Format, Silent, screen


@app.command()
def verify(
    folder: Folder,
    backend: Backends = None,
    samples: Compared = None,
    time_budget: TimeBudget = None,
    data: BuildData = "",
    granularity: Granularity = "",
    form: Shape = Format.auto,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Compare every backend with the interpreter, integer by integer."""
    screen.configure(form, quiet, verbose)
    seconds: dict[str, float] = {} if time_budget is None else {"time_budget": time_budget}
    with Bar(lines=True) as bar:
        result = verbs.verify(
            folder, tuple(backend or ()), samples, data, granularity, heard=bar.advance, **seconds
        )
    described = {
        name: found
        for name in result.backends[1:]  # behind the interpreter
        if (found := verbs.described(folder, name, granularity)) is not None
    }
    label = verbs.label(folder) if described else ""
    if screen.json:
        whole = {
            name: getattr(result, name)
            for name in ("equal", "samples", "backends", "nodes", "cut", "sampled")
        }
        whole["divergence"] = str(result.divergence or "")
        screen.data(whole | {n: {**description(d), "measured_on": label} for n, d in described.items()})
        if not result.equal:
            raise Silent(errors.EXIT_VERIFY)
    else:
        screen.out(str(result))
        for found in described.values():
            rows = [(r.layer, str(r), round(r.events), round(r.stock_events), r.reason) for r in found.rows]
            events = f"events per tick ({label})" if label else "events per tick"
            columns = ("layer", f"{found.title} processes", events, "on stock", "own because of")
            screen.table(columns, rows)
            screen.out(shares(found))
        result.require()
