"""What embeddings say without a label: what to label next, near duplicates, groups and their names, nearest texts, drift.

Every function takes embeddings as :meth:`Encoder.encode` gives them, ``[rows, columns]``, compares by cosine, and gives the command line's
answers (``frostbert suggest``, ``dedupe``, ``cluster``, ``search``, ``drift``) for the same rows and seed.

>>> from frostbert import vectors
>>> [group.rows for group in vectors.duplicates([[1.0, 0.0], [0.0, 1.0], [2.0, 0.01]], threshold=0.99)]
[[0, 2]]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from . import _native
from ._texts import as_list
from .encoder import _choice, _number, _whole
from .errors import InputError

__all__ = [
    "Clusters",
    "Drift",
    "DuplicateGroup",
    "Suggestion",
    "Word",
    "clusters",
    "drift",
    "duplicates",
    "nearest",
    "suggest",
    "words",
]


@dataclass(frozen=True)
class Suggestion:
    """A row to label. ``margin`` is the difference of its two largest probabilities, ``nearest_labelled`` its largest cosine with a labelled row."""

    row: int
    margin: float | None
    nearest_labelled: float | None


@dataclass(frozen=True)
class DuplicateGroup:
    """Rows that are nearly the same, the first one being the one to keep, and for each of the others its cosine with one of the group."""

    rows: list[int]
    similarities: list[float]


@dataclass(frozen=True)
class Clusters:
    """Rows by cluster, the largest first. ``labels`` has each row's cluster, -1 for none; ``rows`` each cluster's rows, the most typical first;
    ``cohesion`` their mean cosine with the centre; ``candidates`` the numbers of clusters that were tried, where none was given."""

    labels: np.ndarray
    centres: np.ndarray
    rows: list[list[int]]
    cohesion: list[float]
    silhouette: float | None
    candidates: list[dict[str, Any]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Word:
    """A word that tells a cluster apart: its class-based TF-IDF, and which share of the cluster's texts, and of the others, have it."""

    word: str
    score: float
    share: float
    elsewhere: float


@dataclass(frozen=True)
class Drift:
    """Whether new rows look different: the AUC of a classifier that tries to tell them apart and the kernel mean discrepancy, each with its p-value;
    ``novel`` are new rows that are like none before, with the cosine of the nearest."""

    compared: list[int]
    auc: float
    auc_p: float
    mmd: float
    mmd_p: float
    drifted: bool
    novel_below: float
    novel_share: float
    novel: list[tuple[int, float]]


def nearest(queries: Any, rows: Any, k: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` rows nearest to each query, nearest first: their numbers and their cosines, both ``[queries, k]``.

    >>> nearest([[1.0, 0.2]], [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], k=2)[0]
    array([[1, 2]])
    """
    return _native.nearest_rows(_matrix("queries", queries), _matrix("rows", rows), _whole("k", k))


def duplicates(rows: Any, threshold: float = 0.95) -> list[DuplicateGroup]:
    """Groups of rows whose cosine is at least ``threshold``, directly or by way of others. Every pair is compared."""
    found = json.loads(_native.duplicate_rows(_matrix("rows", rows), _number("threshold", threshold)))
    return [DuplicateGroup(**group) for group in found]


def suggest(
    rows: Any,
    count: int,
    *,
    labelled: Any = None,
    probabilities: Any = None,
    strategy: Literal["mixed", "margin", "entropy", "diverse", "typical"] = "mixed",
    duplicate: float = 0.97,
    seed: int = 0,
) -> list[Suggestion]:
    """Which of the rows to label next, the most useful first; fewer than ``count`` where the rest are near duplicates.

    ``labelled`` are the embeddings of what has a label, ``probabilities`` what a head says of ``rows``, ``[rows, classes]``. Without them texts that
    stand for many others come first.

    >>> [found.row for found in suggest([[1.0, 0.0], [1.0, 0.01], [0.0, 1.0]], 1, labelled=[[1.0, 0.0]])]
    [2]
    """
    known = None if probabilities is None else np.ascontiguousarray(_table("probabilities", probabilities, np.float64))
    pool = _matrix("rows", rows)
    if known is not None and len(known) != len(pool):
        raise InputError(f"probabilities: expected a row for each of {len(pool)} rows, found {len(known)}")
    found = _native.suggest_rows(
        pool,
        None if labelled is None else _matrix("labelled", labelled),
        known,
        _whole("count", count),
        _choice("strategy", strategy, ("mixed", "margin", "entropy", "diverse", "typical")),
        _number("duplicate", duplicate),
        _whole("seed", seed, 0),
    )
    return [Suggestion(**row) for row in json.loads(found)]


def clusters(
    rows: Any,
    count: int | None = None,
    *,
    method: Literal["kmeans", "hdbscan"] = "kmeans",
    min_size: int = 10,
    min_samples: int | None = None,
    seed: int = 0,
) -> Clusters:
    """Groups of rows: by spherical k-means (``count`` by the silhouette if there is none), or by HDBSCAN (at most 20,000 rows).

    >>> clusters([[1.0, 0.0], [0.0, 2.0], [3.0, 0.1], [0.1, 1.0]], 2).labels
    array([0, 1, 0, 1])
    """
    labels, centres, facts = _native.cluster_rows(
        _matrix("rows", rows),
        _choice("method", method, ("kmeans", "hdbscan")),
        None if count is None else _whole("count", count),
        _whole("min_size", min_size),
        None if min_samples is None else _whole("min_samples", min_samples),
        _whole("seed", seed, 0),
    )
    return Clusters(labels, centres, **json.loads(facts))


def words(texts: Any, labels: Sequence[int] | np.ndarray, most: int = 5) -> list[list[Word]]:
    """Up to ``most`` words for each cluster that tell it from the others, the best first; ``labels`` are those of :class:`Clusters`.

    >>> found = words(["a red apple", "red apples", "blue sky", "the blue sea"], [0, 0, 1, 1], most=1)
    >>> [word.word for (word,) in found]
    ['red', 'blue']
    """
    given = as_list(texts)
    for at, text in enumerate(given):
        if not isinstance(text, str):
            raise TypeError(f"text {at}: expected a str, found {type(text).__name__}")
    numbers = [_whole("labels", label, 0) if label != -1 else None for label in as_list(labels, "labels")]
    count = max((number for number in numbers if number is not None), default=-1) + 1
    if count > len(given):
        raise InputError(f"labels: expected numbers of clusters, from 0 and less than {len(given)} texts, found {count - 1}")
    found = json.loads(_native.cluster_words(given, numbers, count, _whole("most", most)))
    return [[Word(**word) for word in of_cluster] for of_cluster in found]


def drift(reference: Any, new: Any, *, alpha: float = 0.01, rows: int = 1000, seed: int = 0) -> Drift:
    """Whether ``new`` rows look different from a ``reference`` (:meth:`TextClassifier.sample`, say), with false alarms at the rate ``alpha``; at most
    ``rows`` of each are compared."""
    found = _native.drift_of_rows(
        _matrix("reference", reference), _matrix("new", new), _number("alpha", alpha), _whole("rows", rows), _whole("seed", seed, 0)
    )
    facts = json.loads(found)
    facts["novel"] = [(row, cosine) for row, cosine in facts["novel"]]
    return Drift(**facts)


def _matrix(name: str, rows: Any) -> np.ndarray:
    return np.ascontiguousarray(_table(name, rows, np.float32))


def _table(name: str, rows: Any, dtype: Any) -> np.ndarray:
    try:
        table = np.asarray(rows, dtype)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name}: expected a matrix of numbers, found {type(rows).__name__}: {error}") from error
    if table.ndim != 2:
        raise InputError(f"{name}: expected a matrix [rows, columns], found {table.ndim} dimensions")
    return table
