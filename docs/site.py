"""What mkdocs is told besides mkdocs.yml: pages that lie outside docs/, those made here, links between all of them.

Nothing is copied: a page is read where it lies. A link to a file that is no page becomes its name. After the build each
page is searched for what a browser would fetch from the network.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
#: page of the site -> file of the repository
OUTSIDE = {
    "index.md": "README.md", "targets.md": "hw_targets/README.md", "zoo.md": "models/README.md",
    "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md",
}  # fmt: skip
PAGES = {place: page for page, place in OUTSIDE.items()}
#: the public interface: heading -> names
INTERFACE = {
    "Verbs": [f"neurodeploy.verbs.{name}" for name in ("build", "check", "report", "targets", "models", "ops")]
    + [f"neurodeploy.builds.reuse.{name}" for name in ("run", "evaluate", "verify", "export", "crosscheck", "traced")]
    + ["neurodeploy.starting.init", "neurodeploy.schemas.schema", "neurodeploy.codes.explained",
       "neurodeploy.environment.usable", "neurodeploy.environment.public"],
    "What they return": ["neurodeploy.builds.build.Build", "neurodeploy.builds.check.Check",
                         "neurodeploy.builds.traces.LayerTrace", "neurodeploy.builds.session.Session",
                         "neurodeploy.report.plots.Plots"],
    "Data of a session": ["neurodeploy.live.named"],
    "Config": ["neurodeploy.config.BuildConfig"],
    "Artifacts and Lava": ["neurodeploy.artifact.load", "neurodeploy.artifact.Artifact", "neurodeploy.lava.network"],
    "Errors": ["neurodeploy.errors"],
}  # fmt: skip
LINK = re.compile(r"\[([^\]\n]*)\]\(([^)\s]+)\)")
ROLE = re.compile(r":(?:mod|func|class|meth|attr|data):(?=<code>)")
#: what a browser fetches by itself
FETCHED = re.compile(
    r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=[\"']?(https?://[^\"'\s>]+)", re.IGNORECASE
)
HARMLESS = re.compile(r"<link\b[^>]*rel=[\"']?(?:canonical|next|prev|alternate)")


def on_files(files: Files, config: Any) -> Files:
    """The pages outside docs/, and those that are made here."""
    for page, place in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / place)))
    for page, text in {"api.md": _api(), "examples.md": _examples()}.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links as they are in the repository become links of the site."""
    place = OUTSIDE.get(page.file.src_uri, f"docs/{page.file.src_uri}")
    folder = posixpath.dirname(place)

    def linked(found: re.Match[str]) -> str:
        target, mark, anchor = found[2].partition("#")
        if not target or "://" in target or page.file.src_uri in ("api.md", "examples.md"):
            return found[0]
        whole = posixpath.normpath(posixpath.join(folder, target))
        page_of = PAGES.get(whole, whole.removeprefix("docs/") if whole.startswith("docs/") else "")
        return f"[{found[1]}]({page_of}{mark}{anchor})" if page_of else found[1]

    return LINK.sub(linked, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Files) -> str:
    """Roles of docstrings are shown as code."""
    return ROLE.sub("", html)


def on_post_build(config: Any) -> None:
    """Nothing may be fetched from the network."""
    asked = []
    for file in Path(config["site_dir"]).rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        asked += [f"{file.name}: {m[1]}" for m in FETCHED.finditer(text) if not HARMLESS.match(m[0])]
    if asked:
        raise PluginError(f"a page asks the network: {', '.join(sorted(set(asked))[:5])}")


def _api() -> str:
    parts = [
        "# Interface of Python",
        "Every verb of the command line is a function: `neurodeploy.build(...)`.",
    ]
    for heading, names in INTERFACE.items():
        parts += [f"## {heading}", *(f"::: {name}\n    options:\n      heading_level: 3" for name in names)]
    return "\n\n".join(parts)


def _examples() -> str:
    parts = ["# Examples", "Files of the folder `examples/`; notebooks are run by the tests."]
    for file in sorted((ROOT / "examples").iterdir()):
        if file.suffix == ".ipynb":
            cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
            parts += [f"## {file.name}", *(_cell(cell) for cell in cells)]
        elif file.suffix == ".py":
            parts += [f"## {file.name}", f"```python\n{file.read_text(encoding='utf-8')}```"]
    return "\n\n".join(parts)


def _cell(cell: dict[str, Any]) -> str:
    text = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return re.sub(r"^(#+) ", r"##\1 ", text, flags=re.MULTILINE)
    return f"```python\n{text}\n```"
