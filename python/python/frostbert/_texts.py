"""Texts in whatever container they come: the one place that knows pandas, polars, pyarrow and NumPy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

#: What makes a list of a column: of pyarrow; of NumPy and pandas; of polars.
_CONVERTERS = ("to_pylist", "tolist", "to_list")


def as_list(texts: Any, what: str = "texts") -> list[Any]:
    """The texts as a list; what stands in it is checked where it is read.

    >>> as_list(("a", "b"))
    ['a', 'b']
    """
    if isinstance(texts, list):
        return texts
    if isinstance(texts, (str, bytes, bytearray)):
        raise TypeError(f"{what}: expected a list of str, found one {type(texts).__name__}; put it into a list")
    if isinstance(texts, (Mapping, set, frozenset)):
        raise TypeError(
            f"{what}: expected texts in an order (a list, a column, an array), found a {type(texts).__name__}"
        )
    shape = getattr(texts, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        return as_list(_one_column(texts, shape, what), what)
    for method in _CONVERTERS:
        convert = getattr(texts, method, None)
        if callable(convert):
            found: Any = convert()
            return list(found)
    if isinstance(texts, Iterable):
        return list(texts)
    raise TypeError(f"{what}: expected a list of str, found {type(texts).__name__}")


def as_iterable(texts: Any, what: str) -> Iterable[Any]:
    """The texts one by one: of a table or a column those that :func:`as_list` finds, of anything else what it yields.

    >>> next(iter(as_iterable((text for text in ["a", "b"]), "texts")))
    'a'
    """
    known = hasattr(texts, "shape") or any(hasattr(texts, method) for method in _CONVERTERS)
    if known or not isinstance(texts, Iterable) or isinstance(texts, (str, bytes, bytearray, Mapping, set, frozenset)):
        return as_list(texts, what)
    return texts


def chunks(texts: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """So many texts at a time, read when they are wanted; the last list may be shorter.

    >>> [*chunks("abc", 2)]
    [['a', 'b'], ['c']]
    """
    left = iter(texts)
    while chunk := [*islice(left, size)]:
        yield chunk


def _one_column(table: Any, shape: tuple[Any, ...], what: str) -> Any:
    if len(shape) != 2 or shape[1] != 1:
        size = " by ".join(str(side) for side in shape) or "a single value"
        raise ValueError(
            f"{what}: expected one column of texts, found {size}; choose the column, or use one vectorizer a column "
            "(scikit-learn's ColumnTransformer)"
        )
    if hasattr(table, "iloc"):  # pandas
        return table.iloc[:, 0]
    if hasattr(table, "to_series"):  # polars
        return table.to_series(0)
    if hasattr(table, "column"):  # pyarrow
        return table.column(0)
    return table[:, 0]
