"""Text of others as it may be shown: no control code of a terminal, nothing that turns or hides what is around it."""

from __future__ import annotations


def visible(text: str, kept: str = "\n") -> str:
    """Whatever cannot be printed as an escape such as ``\\x1b``, bytes of names that are not UTF-8 among it.

    ``kept`` stays as it is: line breaks where a text has lines, nothing where it is one name.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return (
        character.encode("unicode_escape").decode("ascii")
        if code < 256 or code > 0xFFFF
        else f"\\u{code:04x}"
    )
