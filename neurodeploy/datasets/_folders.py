"""Folders with one subfolder of files per class, or ``train`` and ``test`` folders that each hold those."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import _checks

PARTS = ("train", "test")


@dataclass(frozen=True)
class Folders:
    """Files and labels of the training and the test folder; without these all files are of the first kind.

    Classes are the names of the training folder's subfolders, sorted as texts.
    """

    classes: tuple[str, ...]
    files: list[Path]
    labels: list[int]
    test_files: list[Path]
    test_labels: list[int]

    @property
    def every(self) -> list[Path]:
        """All files."""
        return self.files + self.test_files


def accepts(spec: str, suffixes: Collection[str]) -> bool:
    """Whether it is a folder with such a file two levels down, or three below train or test."""
    folder = Path(spec)
    return folder.is_dir() and any(classes(root, suffixes) for root in (*parts(folder), folder))


def survey(spec: str, suffixes: Collection[str], title: str) -> Folders:
    """All files by class; UsageError ND923 for one of train and test without the other, ND925 for an unknown class."""
    folder = Path(spec)
    both = parts(folder)
    split = all(classes(part, suffixes) for part in both)
    root = both[0] if split else folder
    names = classes(root, suffixes)
    if not names:
        raise _checks.foreign(spec, "only one of train and test", title, "add the other folder")
    held = _labelled(root, names, suffixes)
    tested = _labelled(both[1], names, suffixes) if split else ([], [])
    return Folders(names, *held, *tested)


def parts(folder: Path) -> tuple[Path, Path]:
    """The folders of training and of test samples, whose names may be in capitals."""
    inside = {path.name.lower(): path for path in sorted(folder.iterdir())} if folder.is_dir() else {}
    train, test = (inside.get(part, folder / part) for part in PARTS)
    return train, test


def held(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Such files of one folder by name; none where there is no such folder."""
    inside = folder.iterdir() if folder.is_dir() else ()
    return sorted(p for p in inside if p.suffix.lower() in suffixes and p.is_file())


def classes(root: Path, suffixes: Collection[str]) -> tuple[str, ...]:
    """Names of the subfolders that hold such files."""
    if not root.is_dir():
        return ()
    return tuple(sorted(p.name for p in root.iterdir() if p.is_dir() and held(p, suffixes)))


def _labelled(root: Path, names: Sequence[str], suffixes: Collection[str]) -> tuple[list[Path], list[int]]:
    extra = set(classes(root, suffixes)) - set(names)
    if extra:
        found, limit = sorted(extra)[0], ", ".join(names)
        cause = "a test class is not among the training classes"
        raise _checks.refuse("ND925", cause, str(root), found, limit)
    files = [(path, label) for label, name in enumerate(names) for path in held(root / name, suffixes)]
    for path, _ in files:
        _checks.require_text(str(path.relative_to(root)), str(root))
    return [path for path, _ in files], [label for _, label in files]


def digest(folder: Path, paths: Sequence[Path], more: str = "") -> str:
    """SHA-256 over relative names and bytes."""
    found = hashlib.sha256(more.encode())
    for path in paths:
        found.update(f"{path.relative_to(folder).as_posix()}\0".encode())
        found.update(hashlib.sha256(path.read_bytes()).digest())
    return found.hexdigest()
