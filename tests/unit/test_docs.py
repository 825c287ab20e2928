"""README and docs against the program: commands parse, links resolve, names exist, generated parts are fresh."""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer

from neurodeploy import cli
from neurodeploy.cli import app
from neurodeploy.cli.entry import click_errors
from neurodeploy.codes import CODES

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
GUIDES = [*PAGES, ROOT / "hw_targets" / "README.md", ROOT / "models" / "README.md"]
PROGRAM = re.compile(r"^(?:\$ )?(?:\.venv/bin/)?neurodeploy(?=\s|$)")


def builder() -> ModuleType:
    """The module that fills the generated parts, which belongs to no package."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _blocks(text: str, *languages: str) -> Iterator[str]:
    for language, body in re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        if language in languages:
            yield body


def _prose(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _spans(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", _prose(text))


def _commands(path: Path) -> Iterator[tuple[str, bool]]:
    """(command line without the program's name, whether it has to be complete)."""
    text = path.read_text(encoding="utf-8")
    for block in _blocks(text, "sh"):
        for line in block.splitlines():
            for part in line.split(";"):
                if PROGRAM.match(part.strip()):
                    yield PROGRAM.sub("", part.strip()), True
    for span in _spans(text):
        if PROGRAM.match(span):
            yield PROGRAM.sub("", span), False


COMMANDS = [(path.name, *command) for path in GUIDES for command in _commands(path)]


def _parse(words: list[str]) -> None:
    """Parse as the program does, without running anything."""
    group = typer.main.get_command(app)
    context = group.make_context("neurodeploy", list(words))
    while hasattr(group, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        context = group.make_context(name, rest, parent=context)


def test_commands_are_found_in_the_pages() -> None:
    assert len(COMMANDS) > 30
    assert {words.split()[0] for _, words, _ in COMMANDS if words.split()} >= {
        "build",
        "check",
        "run",
        "verify",
    }


@pytest.mark.parametrize(("page", "words", "complete"), COMMANDS)
def test_command_in_the_docs_parses(page: str, words: str, complete: bool) -> None:
    try:
        _parse(shlex.split(words, comments=True))
    except (typer.Exit, click_errors.NoArgsIsHelpError):
        return  # --help, --version
    except click_errors.MissingParameter:
        assert not complete, "a command in a block of commands lacks an argument"


@pytest.mark.parametrize("words", ["bild x", "build x --tarket y", "targets shov x", "run"])
def test_wrong_command_would_be_seen(words: str) -> None:
    with pytest.raises(click_errors.ClickException):
        _parse(words.split())


@pytest.mark.parametrize("page", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_flags_named_in_the_text_exist(page: Path) -> None:
    known = {option for command in _all_commands() for p in command.params for option in p.opts} | {"--help"}
    scripts = (ROOT / "models/train.py", ROOT / "docs/build.py", *(ROOT / "benchmarks").glob("*.py"))
    others = {w for s in scripts for w in re.findall(r'"(--[a-z-]+)"', s.read_text(encoding="utf-8"))}
    named = {
        w for span in _spans(page.read_text(encoding="utf-8")) for w in re.findall(r"(?<!\S)--[a-z-]+", span)
    }
    assert named <= known | others


def _all_commands(group: Any = None) -> Iterator[Any]:
    for command in (group or typer.main.get_command(app)).commands.values():
        yield command
        if hasattr(command, "commands"):
            yield from _all_commands(command)


@pytest.mark.parametrize("page", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_resolve(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), target
        assert not anchor or anchor in _anchors(place), target


def _anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_codes_named_in_the_text_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = [
        s
        for s in _spans(text)
        if re.fullmatch(r"[a-z][\w./]*/[\w./]+\.(py|toml|md|json|txt)", s) and "NAME" not in s
    ]
    rooms = [s for s in _spans(text) if re.fullmatch(r"[a-z_]+/", s)]
    for name in [*files, *rooms]:
        assert any(
            (base / name).exists() for base in (ROOT, ROOT / "neurodeploy", ROOT / "neurodeploy/frontends")
        ) or (name.startswith("build/")), name
    assert set(re.findall(r"\bND\d{3}\b", text)) <= CODES.keys()


def test_make_targets_named_in_the_text_exist() -> None:
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in GUIDES:
        for span in [
            *_spans(page.read_text(encoding="utf-8")),
            *_blocks(page.read_text(encoding="utf-8"), "sh"),
        ]:
            for words in re.findall(r"^make ((?:[a-z-]+ ?)+)", span, re.MULTILINE):
                assert set(words.split()) <= known, (page.name, words)


def test_generated_parts_are_up_to_date() -> None:
    stale = [str(page.relative_to(ROOT)) for page in builder().stale()]
    assert not stale, f"run make docs: {', '.join(stale)} differ from the code"


@pytest.mark.parametrize("page", GUIDES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_hold_no_machine_paths(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.])/(work|tmp|root|home|usr|opt)/", text)


def test_python_in_the_pages_compiles() -> None:
    for page in PAGES:
        for block in _blocks(page.read_text(encoding="utf-8"), "python"):
            compile(block, page.name, "exec")


def test_quick_start_networks_and_target_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks and the target of the quick start, written to files and checked as a user would."""
    text = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8")
    (tmp_path / "tiny.py").write_text(next(_blocks(text, "python")), encoding="utf-8")
    (tmp_path / "half.toml").write_text(next(_blocks(text, "toml")), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for words in ("check py:tiny:ann", "check py:tiny:snn --method native", "targets validate half.toml"):
        assert cli.call(words.split()) == 0, words
