"""Frozen values to JSON and named arrays, and back: exact, closed to unknown classes, checked against annotations.

JSON holds numbers, strings, booleans and null as themselves, a tuple as an array, a mapping with string keys as an
object. Everything else is an object whose only ``$`` key says what it is: ``$l`` list, ``$m`` mapping as pairs,
``$s`` numpy scalar, ``$i`` small array, ``$a`` array kept as a dataset, ``$c`` dataclass. A dataset is named by the
hash of what it holds: equal arrays are one, and the hash of a text stands for all that it refers to.
"""

from __future__ import annotations

import hashlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from ..array import Array, narrow

Json = dict[str, Any]

STORED = ("u1", "i1", "u2", "i2", "u4", "i4")
INLINE = 16  # arrays up to this many elements stand in the JSON text
DTYPES = frozenset(np.dtype(t).str for t in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"))


class CodecError(ValueError):
    """Something that cannot be stored or must not be trusted; ``place`` is its path inside the section."""

    def __init__(self, place: str, found: str, limit: str = "") -> None:
        super().__init__(f"{place}: {found}" + (f" (expected {limit})" if limit else ""))
        self.place, self.found, self.limit = place, found, limit


# --- writing -----------------------------------------------------------------------------------------------------


def encode(value: Any) -> tuple[Any, dict[str, Array]]:
    """(JSON-able text, arrays by address) of a value; CodecError for a type that is not on the list."""
    arrays: dict[str, Array] = {}
    return _encode(value, "", arrays), arrays


def _encode(item: Any, place: str, arrays: dict[str, Array]) -> Any:
    if item is None or type(item) in (bool, int, float, str):
        return item
    if isinstance(item, np.ndarray):
        return _encode_array(item, place, arrays)
    if isinstance(item, np.generic):
        return {"$s": [_dtype(item.dtype, place), item.item()]}
    if isinstance(item, Mapping):
        return _encode_mapping(item, place, arrays)
    if isinstance(item, (tuple, list)):
        parts = [_encode(part, f"{place}/{i}", arrays) for i, part in enumerate(item)]
        return parts if isinstance(item, tuple) else {"$l": parts}
    if is_dataclass(item) and not isinstance(item, type):
        body = {f.name: _encode(getattr(item, f.name), f"{place}/{f.name}", arrays) for f in fields(item)}
        return {"$c": type(item).__name__, **body}
    raise CodecError(place, f"a {type(item).__name__} cannot be stored")


def _encode_mapping(item: Mapping[Any, Any], place: str, arrays: dict[str, Array]) -> Any:
    if all(isinstance(k, str) and not k.startswith("$") for k in item):
        return {k: _encode(v, f"{place}/{_escape(k)}", arrays) for k, v in item.items()}
    keys = [_encode(k, f"{place}/k{i}", arrays) for i, k in enumerate(item)]
    values = [_encode(v, f"{place}/{i}", arrays) for i, v in enumerate(item.values())]
    return {"$m": [[k, v] for k, v in zip(keys, values, strict=True)]}


def _encode_array(item: Array, place: str, arrays: dict[str, Array]) -> Any:
    dtype = _dtype(item.dtype, place)
    if item.size <= INLINE and (dtype[1] != "f" or np.isfinite(item).all()):
        return {"$i": [dtype, list(item.shape), item.ravel().tolist()]}
    stored = np.ascontiguousarray(_narrow(item)).reshape(item.shape)  # the original type is noted beside
    key = address(stored)
    arrays[key] = stored
    return {"$a": [dtype, key]}


def address(array: Array) -> str:
    """SHA-256 of type, shape and bytes of a contiguous array."""
    digest = hashlib.sha256(f"<{array.dtype.str} {array.shape}>".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _narrow(array: Array) -> Array:
    """The array in the narrowest type that holds it to the last bit."""
    if array.dtype.kind == "b":
        return array.view(np.uint8)
    if array.dtype != np.float64:
        return narrow(array, STORED)
    with np.errstate(over="ignore"):
        single = array.astype(np.float32)
    same = np.array_equal(single.astype(np.float64).view(np.uint64), array.view(np.uint64))
    return single if same else array


def _dtype(dtype: np.dtype[Any], place: str) -> str:
    text = dtype.newbyteorder("<").str
    if text not in DTYPES:
        raise CodecError(place, f"an array of {dtype} cannot be stored", "integers, floats or booleans")
    return text


def _escape(key: str) -> str:
    """A name of a group: no slash, never empty, never a dot alone."""
    text = key.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    return text if text.strip(".") else f"%{text}"


# --- reading -----------------------------------------------------------------------------------------------------


def decode(text: Any, array: Callable[[str], Array], classes: Mapping[str, type]) -> Any:
    """The value behind a text; ``array`` looks up datasets, ``classes`` are the dataclasses that may occur."""
    return _Reader(array, classes).item(text, "")


class _Reader:
    """Turns text back into values and refuses whatever the writer cannot have written."""

    def __init__(self, array: Callable[[str], Array], classes: Mapping[str, type]) -> None:
        self.array, self.classes = array, classes

    def item(self, text: Any, place: str) -> Any:
        """The value of one piece of JSON."""
        if isinstance(text, list):
            return tuple(self.item(part, f"{place}/{i}") for i, part in enumerate(text))
        if not isinstance(text, dict):
            return text
        tags = [k for k in text if k.startswith("$")]
        if not tags:
            return {k: self.item(v, f"{place}/{k}") for k, v in text.items()}
        rule = getattr(self, f"_{tags[0][1:]}", None) if tags[0] in _TAGS else None
        if rule is None or (len(text) > 1 and tags[0] != "$c"):
            raise CodecError(place, f"unknown tag {tags[0]!r}", ", ".join(_TAGS))
        try:
            return rule(text, place)
        except CodecError:
            raise
        except (TypeError, ValueError, OverflowError, KeyError) as error:
            raise CodecError(place, str(error)[:200] or type(error).__name__) from error

    def _l(self, text: Json, place: str) -> list[Any]:
        return list(self.item(text["$l"], place))

    def _m(self, text: Json, place: str) -> dict[Any, Any]:
        return {self.item(k, place): self.item(v, place) for k, v in text["$m"]}

    def _s(self, text: Json, place: str) -> np.generic:
        dtype, value = text["$s"]
        scalar: np.generic = _plain(dtype).type(value)
        return scalar

    def _i(self, text: Json, place: str) -> Array:
        dtype, shape, values = text["$i"]
        if len(values) > INLINE:
            raise CodecError(place, f"{len(values)} values", f"at most {INLINE}")
        return np.array(values, dtype=_plain(dtype)).reshape([int(s) for s in shape])

    def _a(self, text: Json, place: str) -> Array:
        dtype, key = text["$a"]
        stored = self.array(str(key))
        if np.dtype(dtype).kind != "f" and stored.dtype.kind == "f":
            raise CodecError(place, f"{stored.dtype} in dataset {key}", dtype)
        widened = stored.astype(_plain(dtype), copy=False)
        if widened is not stored and not np.array_equal(widened, stored, equal_nan=stored.dtype.kind == "f"):
            raise CodecError(place, f"values of dataset {key} do not fit", dtype)
        return widened

    def _c(self, text: Json, place: str) -> Any:
        name = text["$c"]
        cls = self.classes.get(name) if isinstance(name, str) else None
        if cls is None:
            raise CodecError(place, f"unknown kind {name!r}", ", ".join(sorted(self.classes)))
        hints, required = _schema(cls)
        body = {k: v for k, v in text.items() if k != "$c"}
        wrong = sorted((set(body) - set(hints)) | (required - set(body)))
        if wrong:
            found = f"{name} with a field too many or too few: {', '.join(wrong)}"
            raise CodecError(f"{place}/{wrong[0]}", found, ", ".join(sorted(hints)))
        values = {k: self.item(v, f"{place}/{k}") for k, v in body.items()}
        for key, value in values.items():
            if not fits(value, hints[key]):
                found = f"{type(value).__name__} {str(value)[:60]!r}"
                raise CodecError(f"{place}/{key}", found, str(hints[key]))
        return cls(**values)


_TAGS = ("$l", "$m", "$s", "$i", "$a", "$c")


def _plain(dtype: Any) -> np.dtype[Any]:
    if dtype not in DTYPES:
        raise CodecError("", f"array type {str(dtype)[:40]!r}", ", ".join(sorted(DTYPES)))
    return np.dtype(dtype)


@cache
def _schema(cls: type) -> tuple[dict[str, Any], set[str]]:
    """Annotations of a dataclass's fields, and the names of those without a default."""
    hints = get_type_hints(cls)
    specs = [f for f in fields(cls) if f.init]
    required = {f.name for f in specs if f.default is MISSING and f.default_factory is MISSING}
    return {f.name: hints[f.name] for f in specs}, required


def fits(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type; knows the annotations that frozen values use."""
    origin = get_origin(hint)
    if origin is None:
        return hint is Any or _is_a(value, hint)
    return _GENERIC.get(origin, _mapping_fits)(value, get_args(hint))


Args = tuple[Any, ...]


def _one_fits(value: Any, args: Args) -> bool:
    return any(fits(value, a) for a in args)


def _tuple_fits(value: Any, args: Args) -> bool:
    if not isinstance(value, tuple):
        return False
    if len(args) == 2 and args[1] is Ellipsis:
        return all(fits(v, args[0]) for v in value)
    return len(value) == len(args) and all(fits(v, a) for v, a in zip(value, args, strict=True))


def _mapping_fits(value: Any, args: Args) -> bool:
    return isinstance(value, Mapping) and all(fits(k, args[0]) and fits(v, args[1]) for k, v in value.items())


#: what an annotation with arguments asks of a value; all others are mappings
_GENERIC: dict[Any, Callable[[Any, Args], bool]] = {
    Union: _one_fits,
    types.UnionType: _one_fits,
    Literal: lambda value, args: value in args,
    tuple: _tuple_fits,
    Sequence: lambda value, args: _tuple_fits(value, (args[0], Ellipsis)),
    list: lambda value, args: isinstance(value, list) and all(fits(v, args[0]) for v in value),
    np.ndarray: lambda value, args: isinstance(value, np.ndarray),
}


def _is_a(value: Any, hint: Any) -> bool:
    if hint is int:
        return isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    return isinstance(value, hint)
