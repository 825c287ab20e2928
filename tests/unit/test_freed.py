"""When memory is given back: after work on large networks alone, and only where there is a way."""

from __future__ import annotations

from typing import Any

import pytest

from neurodeploy import freed


@pytest.mark.parametrize(("numbers", "expected"), [(freed.LARGE - 1, []), (freed.LARGE, [0])])
def test_large_networks_are_given_back(
    numbers: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Library:
        malloc_trim = staticmethod(lambda pad: asked.append(pad))

    asked: list[int] = []
    monkeypatch.setattr(freed.ctypes, "CDLL", lambda name: Library)
    freed.give_back(numbers)
    assert asked == expected


def test_another_library_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: Any) -> Any:
        raise OSError

    for library in (absent, lambda name: object()):
        monkeypatch.setattr(freed.ctypes, "CDLL", library)
        freed.give_back(freed.LARGE)
