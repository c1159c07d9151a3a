"""Estimators for scikit-learn: texts to vectors, heads over any matrix, and both in one.

>>> from sklearn.linear_model import LogisticRegression
>>> from sklearn.pipeline import make_pipeline
>>> pipeline = make_pipeline(FrostbertVectorizer(MODEL), LogisticRegression())
>>> pipeline.fit(TEXTS, LABELS).predict(["An unexpected joy."]).shape
(1,)
"""

from __future__ import annotations

import functools
import json
import math
import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

try:
    import sklearn  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("frostbert's estimators stand on scikit-learn: pip install 'scikit-learn>=1.6'", name="sklearn") from error

from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from . import _native
from ._texts import as_list
from .encoder import Encoder, _characters, _choice, _count, _flag, _located, _names, _number, _optional, _whole, defaults
from .errors import InputError
from .explanation import Explanation

__all__ = ["FrostbertVectorizer", "HeadClassifier", "HeadRegressor", "TextClassifier"]


@functools.lru_cache(maxsize=2)
def _opened(options: str) -> Encoder:
    """Encoders are shared: a grid search clones its estimator for every fit."""
    return Encoder(**json.loads(options))


def _encoder(model: Any, **options: Any) -> Encoder:
    if isinstance(model, Encoder):
        # Whether they are kept on disk and downloaded is no matter of what an open encoder computes.
        settled = {name: default for name, default in defaults().items() if name not in ("cache", "offline")}
        changed = [name for name, default in settled.items() if name in options and options[name] is not default and options[name] != default]
        if changed:
            raise InputError(
                f"{', '.join(changed)}: model is an Encoder, whose own options count; give these to it, or give its folder as model"
            )
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"model: expected a folder, a hub id or a frostbert.Encoder, found {type(model).__name__}")
    for name in ("layers", "pooling"):
        if isinstance(options.get(name), (tuple, np.ndarray)):
            options[name] = [entry.item() if isinstance(entry, np.generic) else entry for entry in options[name]]
    try:
        key = json.dumps({"model": _located(model), **options}, sort_keys=True)
    except TypeError:
        return Encoder(model, **options)  # Says which of them is wrong.
    return _opened(key)


class FrostbertVectorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Texts to embeddings. Takes a list, a NumPy array, or a column of pandas, polars or pyarrow.

    :param model: a checkpoint folder, a model of the Hugging Face hub, or an :class:`Encoder`, whose own options then count.
    :param device: ``auto``, ``cpu``, ``gpu``, ``software``, a number or part of a name.
    :param dtype: what weights are kept as: ``auto``, ``f32``, ``f16``.
    :param layers: which layers are pooled: ``last``, ``all``, a number, ``-2``, a list.
    :param pooling: ``cls``, ``mean``, ``max``, ...; several side by side; None: as the checkpoint says.
    :param layer_mix: several layers side by side (``concat``), or their ``mean``.
    :param normalize: scale to unit length.
    :param prompt: put before every text.
    :param prompt_name: the checkpoint's prompt of this name, put before every text.
    :param truncate: what happens to texts that are too long: ``warn``, ``cut``, ``error``, ``window``.
    :param max_tokens: the longest sequence; None: the checkpoint's.
    :param truncate_dim: keep only the first so many columns (Matryoshka models).
    :param cache: keep embeddings on disk, so that neither cross-validation nor the next run embeds a text twice.
    :param offline: never touch the network.

    >>> rows = FrostbertVectorizer(MODEL, layers=[4, 6]).fit_transform(["A text", "and another."])
    >>> rows.shape
    (2, 768)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Encoder = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        device: str = "auto",
        dtype: str = "auto",
        layers: Any = "last",
        pooling: Any = None,
        layer_mix: str = "concat",
        normalize: bool = False,
        prompt: str | None = None,
        prompt_name: str | None = None,
        truncate: str = "warn",
        max_tokens: int | None = None,
        truncate_dim: int | None = None,
        cache: bool = True,
        offline: bool = False,
    ) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.layers = layers
        self.pooling = pooling
        self.layer_mix = layer_mix
        self.normalize = normalize
        self.prompt = prompt
        self.prompt_name = prompt_name
        self.truncate = truncate
        self.max_tokens = max_tokens
        self.truncate_dim = truncate_dim
        self.cache = cache
        self.offline = offline

    @property
    def encoder(self) -> Encoder:
        """What embeds, opened if need be."""
        return _encoder(
            self.model, device=self.device, dtype=self.dtype, layers=self.layers, pooling=self.pooling,
            layer_mix=self.layer_mix, truncate=self.truncate, max_tokens=self.max_tokens, truncate_dim=self.truncate_dim,
            offline=self.offline, cache=self.cache,
        )

    def fit(self, X: Any, y: Any = None) -> FrostbertVectorizer:
        """Opens the encoder: there is nothing to learn."""
        _texts(X)
        self.encoder  # noqa: B018
        return self

    def transform(self, X: Any) -> np.ndarray:
        """An array ``[texts, columns]``."""
        return self._vectors(_texts(X))

    def _vectors(self, texts: list[Any]) -> np.ndarray:
        return self.encoder.encode(
            texts, prompt=self.prompt, prompt_name=self.prompt_name, normalize_embeddings=self.normalize
        )

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """:meth:`transform`."""
        if fit_params:
            raise TypeError(f"fit_transform takes no {', '.join(sorted(fit_params))}: there is nothing to learn")
        return self._vectors(_texts(X))

    def __sklearn_is_fitted__(self) -> bool:
        return True

    @property
    def _n_features_out(self) -> int:
        return self.encoder.get_embedding_dimension()

    def __getstate__(self) -> dict[str, Any]:
        return _movable(super().__getstate__())

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.requires_fit = False
        tags.transformer_tags.preserves_dtype = []
        return tags


def _movable(state: Any) -> dict[str, Any]:
    """A pickle is read wherever: a relative folder would be another one there."""
    state = dict(state)
    if isinstance(state.get("model"), (str, os.PathLike)):
        state["model"] = _located(state["model"])
    return state


def _texts(X: Any) -> list[Any]:
    if X is None:
        raise ValueError("expected texts, found None")
    texts = as_list(X, "X")
    if not texts:
        raise ValueError("found 0 texts (shape=(0,)) while a minimum of 1 is required.")
    return texts


class _Settings(BaseEstimator):
    """What all heads are told, and how that reaches the library."""

    kind: str
    C: float | Literal["auto"]
    standardize: bool
    calibrate: Literal["temperature", "vector"] | None
    l1_ratio: float
    n_neighbors: int
    mlp: dict[str, Any] | None
    select_by: Literal["log-loss", "accuracy"]
    folds: int
    repeats: int
    tol: float
    random_state: Any

    def _head_options(self) -> str:
        if not (self.mlp is None or isinstance(self.mlp, dict)):
            raise TypeError(f"mlp: expected a dict of options, found {self.mlp!r}")
        kinds: dict[str, Any] = {
            "linear": "linear",
            "elastic": {"elastic-net": {"l1_ratio": _number("l1_ratio", self.l1_ratio)}},
            "mlp": {"mlp": _mlp_options(self.mlp or {})},
            "centroid": "nearest-centroid",
            "neighbours": {"neighbours": {"k": _whole("n_neighbors", self.n_neighbors)}},
            "auto": "auto",
        }
        _choice("kind", self.kind, list(kinds))
        if self.mlp is not None and self.kind != "mlp":
            raise InputError(f"mlp: these options go with kind='mlp', found kind={self.kind!r}")
        unknown = set(self.mlp or {}) - _MLP
        if unknown:
            raise InputError(f"mlp: no such option: {', '.join(sorted(map(str, unknown)))}; known are {', '.join(sorted(_MLP))}")
        automatic = isinstance(self.C, str) and self.C == "auto"
        if not automatic and (isinstance(self.C, (bool, np.bool_)) or not isinstance(self.C, (int, float, np.integer, np.floating))):
            raise InputError(f"C: expected 'auto' or a number above 0, found {self.C!r}")
        if self.calibrate is not None:
            _choice("calibrate", self.calibrate, ("temperature", "vector"))
        seed = self.random_state
        if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
            seed = 0 if seed is None else check_random_state(seed).randint(2**31)
        if not 0 <= seed < 2**64:
            raise InputError(f"random_state: expected 0 or more and below 2**64, found {seed}")
        weight = getattr(self, "class_weight", None)
        if not (weight is None or isinstance(weight, dict) or (isinstance(weight, str) and weight == "balanced")):
            raise InputError(f"class_weight: expected None, 'balanced' or a dict, found {weight!r}")
        options = {
            "kind": kinds[self.kind],
            "c": "auto" if automatic else {"fixed": _number("C", self.C)},
            "select_by": _choice("select_by", self.select_by, ("log-loss", "accuracy")),
            "class_weight": "balanced" if isinstance(weight, str) else "none",
            "standardise": _flag("standardize", self.standardize),
            "cross_validate": self._measures(),
            "folds": {"folds": _whole("folds", self.folds), "repeats": _whole("repeats", self.repeats), "seed": int(seed)},
            "calibration": self.calibrate or "none",
            "tolerance": _number("tol", self.tol),
        }
        try:
            return json.dumps(options)
        except TypeError:
            raise TypeError(f"mlp: expected numbers, a list of numbers and names, found {self.mlp!r}") from None

    def _measures(self) -> bool:
        return False


_MLP = {
    "hidden", "activation", "dropout", "learning_rate", "weight_decay", "batch", "epochs", "warmup", "clip", "validation", "patience",
}


class _Head(_Settings):
    """A head over a matrix."""

    def __init__(
        self,
        kind: str = "linear",
        *,
        C: float | Literal["auto"] = 1.0,
        standardize: bool = False,
        calibrate: Literal["temperature", "vector"] | None = None,
        l1_ratio: float = 0.5,
        n_neighbors: int = 15,
        mlp: dict[str, Any] | None = None,
        select_by: Literal["log-loss", "accuracy"] = "log-loss",
        folds: int = 5,
        repeats: int = 1,
        tol: float = 1e-9,
        random_state: Any = None,
    ) -> None:
        self.kind = kind
        self.C = C
        self.standardize = standardize
        self.calibrate = calibrate
        self.l1_ratio = l1_ratio
        self.n_neighbors = n_neighbors
        self.mlp = mlp
        self.select_by = select_by
        self.folds = folds
        self.repeats = repeats
        self.tol = tol
        self.random_state = random_state

    def _fit_head(self, X: np.ndarray, targets: Any, weights: np.ndarray | None, options: str) -> None:
        given = None if weights is None else weights.tolist()
        self.head_, record = _native.NativeHead.train(X, targets, given, None, options, None)
        found = json.loads(record)
        if not found["converged"]:
            warnings.warn("the fit stopped before its optimum; try standardize=True or a smaller C", UserWarning, stacklevel=3)
        self.C_ = json.loads(self.head_.info())["record"]["c"]
        linear = self.head_.coefficients()
        if linear is not None:
            self.coef_, self.intercept_ = linear

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "head_")
        return np.ascontiguousarray(validate_data(self, X, dtype=np.float32, reset=False))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the head as the file that the command line reads. It knows no encoder: say with which its rows were made."""
        check_is_fitted(self, "head_")
        self.head_.save(os.fspath(path))


def _mlp_options(given: dict[str, Any]) -> dict[str, Any]:
    """As JSON has them: NumPy's numbers as Python's, one hidden layer as a list of one."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in given.items()}
    hidden = plain.get("hidden")
    if hidden is not None:
        layers = [hidden] if isinstance(hidden, int) else hidden
        if isinstance(layers, (str, bytes)) or not hasattr(layers, "__iter__"):
            raise InputError(f"mlp: hidden: expected the columns of each hidden layer, such as [128], found {hidden!r}")
        plain["hidden"] = [_whole("mlp: hidden", layer) for layer in layers]
    for name in ("batch", "epochs", "patience"):
        if name in plain:
            plain[name] = _whole(f"mlp: {name}", plain[name], least=0)
    for name in ("dropout", "learning_rate", "weight_decay", "warmup", "clip", "validation"):
        if name in plain:
            plain[name] = _number(f"mlp: {name}", plain[name])
    return plain


def _weighted(X: np.ndarray, y: np.ndarray, sample_weight: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows of weight zero are left out: that is what the weight means."""
    if sample_weight is None:
        return X, y, None
    weights = np.asarray(_check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True))
    kept = weights > 0
    if kept.all():
        return X, y, weights
    return np.ascontiguousarray(X[kept]), y[kept], weights[kept]


class HeadClassifier(ClassifierMixin, _Head):
    """The project's heads over any matrix: logistic regression to its optimum, elastic net, MLP, nearest centroid, neighbours.

    :param kind: ``linear`` (to its optimum), ``elastic``, ``mlp``, ``centroid``, ``neighbours``, or ``auto`` (whichever cross-validates best).
    :param C: inverse strength of the penalty, as in scikit-learn; ``auto``: by cross-validation.
    :param class_weight: ``balanced``: every class counts as much as any other, or weights by class.
    :param standardize: learn on columns of mean 0 and deviation 1; what is kept takes the columns as they are.
    :param calibrate: ``temperature`` or ``vector``, on out-of-fold predictions.
    :param l1_ratio: share of the absolute values in the penalty of ``elastic``.
    :param n_neighbors: rows that ``neighbours`` asks.
    :param mlp: how ``kind="mlp"`` learns: ``hidden`` (columns of each hidden layer), ``activation``, ``dropout``, ``learning_rate``,
        ``weight_decay``, ``batch`` (rows of a step), ``epochs``, ``warmup`` (share of the steps), ``clip`` (longest gradient),
        ``validation`` (share of the rows on which the loss is watched), ``patience`` (epochs without a lower one).
    :param select_by: what ``auto`` goes by: ``log-loss`` or ``accuracy``.
    :param folds: parts of the cross-validation.
    :param repeats: how often it is repeated with other parts.
    :param tol: the largest distance of the coefficients to their optimum.
    :param random_state: decides folds, and where an MLP starts: a number, a RandomState, or None for 0.

    >>> HeadClassifier(C="auto", folds=3).fit(ROWS, LABELS).predict(ROWS[:2]).shape
    (2,)
    """

    def __init__(
        self,
        kind: str = "linear",
        *,
        C: float | Literal["auto"] = 1.0,
        class_weight: Literal["balanced"] | dict[Any, float] | None = None,
        standardize: bool = False,
        calibrate: Literal["temperature", "vector"] | None = None,
        l1_ratio: float = 0.5,
        n_neighbors: int = 15,
        mlp: dict[str, Any] | None = None,
        select_by: Literal["log-loss", "accuracy"] = "log-loss",
        folds: int = 5,
        repeats: int = 1,
        tol: float = 1e-9,
        random_state: Any = None,
    ) -> None:
        super().__init__(
            kind, C=C, standardize=standardize, calibrate=calibrate, l1_ratio=l1_ratio, n_neighbors=n_neighbors, mlp=mlp,
            select_by=select_by, folds=folds, repeats=repeats, tol=tol, random_state=random_state,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HeadClassifier:
        """Trains the head."""
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        X, y, weights = _weighted(X, y, sample_weight)
        if isinstance(self.class_weight, dict):
            of_class = compute_sample_weight(self.class_weight, y)
            X, y, weights = _weighted(X, y, of_class if weights is None else of_class * weights)
        self.classes_, labels = np.unique(y, return_inverse=True)
        names = [str(name) for name in self.classes_]
        if len(set(names)) < len(names):
            raise InputError(f"labels of different types have the same name: {names}; use labels of one type")
        if len(names) < 2:
            raise InputError(f"expected labels of at least two classes, found one class: {', '.join(names)}")
        self._fit_head(np.ascontiguousarray(X), ("encoded", labels.astype(np.uint32).tolist(), names), weights, self._head_options())
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``[rows, classes]``, in the order of ``classes_``."""
        return self._of_head(X, "predict_proba")

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits: of two classes the second one's, ``[rows]``; else ``[rows, classes]``."""
        logits = self._of_head(X, "logits")
        return logits[:, 1] if len(self.classes_) == 2 else logits

    def _of_head(self, X: Any, what: str) -> np.ndarray:
        rows = self._rows(X)
        return getattr(self.head_, what)(rows)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row."""
        logits = self._of_head(X, "logits")
        return self.classes_[logits.argmax(axis=1)]


class HeadRegressor(RegressorMixin, _Head):
    """Ridge regression to its optimum, elastic net, MLP or neighbours over any matrix; ``C`` is ``1 / alpha``.

    :param kind: ``linear`` (to its optimum), ``elastic``, ``mlp``, ``neighbours``, or ``auto`` (whichever cross-validates best).
    :param C: inverse strength of the penalty, as in scikit-learn; ``auto``: by cross-validation.
    :param standardize: learn on columns of mean 0 and deviation 1; what is kept takes the columns as they are.
    :param calibrate: ``temperature`` scales predictions, ``vector`` scales and shifts them, by the least squared error out of fold.
    :param l1_ratio: share of the absolute values in the penalty of ``elastic``.
    :param n_neighbors: rows that ``neighbours`` asks.
    :param mlp: how ``kind="mlp"`` learns: ``hidden`` (columns of each hidden layer), ``activation``, ``dropout``, ``learning_rate``,
        ``weight_decay``, ``batch`` (rows of a step), ``epochs``, ``warmup`` (share of the steps), ``clip`` (longest gradient),
        ``validation`` (share of the rows on which the loss is watched), ``patience`` (epochs without a lower one).
    :param select_by: what ``auto`` goes by: ``log-loss`` or ``accuracy``.
    :param folds: parts of the cross-validation.
    :param repeats: how often it is repeated with other parts.
    :param tol: the largest distance of the coefficients to their optimum.
    :param random_state: decides folds, and where an MLP starts: a number, a RandomState, or None for 0.

    >>> HeadRegressor(C=10.0).fit(ROWS, [len(text) for text in TEXTS]).predict(ROWS[:1]).shape
    (1,)
    """

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> HeadRegressor:
        """Trains the head."""
        X, y = validate_data(self, X, y, dtype=np.float32, y_numeric=True)
        X, y, weights = _weighted(X, np.asarray(y, np.float64), sample_weight)
        self._fit_head(np.ascontiguousarray(X), ("values", y.tolist(), "value"), weights, self._head_options())
        if hasattr(self, "coef_"):
            self.coef_, self.intercept_ = self.coef_[0], self.intercept_[0]
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The value of each row."""
        rows = self._rows(X)
        return self.head_.predict_proba(rows)[:, 0]


def _missing(label: Any) -> bool:
    if isinstance(label, str):
        return False
    return label is None or (isinstance(label, (float, np.floating)) and bool(np.isnan(label))) or str(label) in ("<NA>", "NaT")


def _name(label: Any, row: int, known: dict[str, Any]) -> str:
    """A label as files name it; `known` keeps which label each name stands for."""
    if _missing(label):
        raise InputError(f"y: row {row} has no label ({label!r}); fill it, or leave the row out")
    if isinstance(label, (float, np.floating)) and not float(label).is_integer():
        raise InputError(
            f"y: expected classes, found {label!r} in row {row}; for numbers use FrostbertVectorizer with HeadRegressor"
        )
    label = label.item() if isinstance(label, np.generic) else label
    if type(label) is not type(first := next(iter(known.values()), label)):
        raise InputError(f"y: {first!r} and {label!r} (row {row}) are of different types; use labels of one type")
    name = str(label)
    if name.endswith("\0"):
        raise InputError(f"y: the label {name!r} (row {row}) ends in NUL, which NumPy's strings cannot hold; take it off")
    known.setdefault(name, label)
    return name


def _parted(texts: list[Any], y: Any) -> tuple[list[Any], list[Any], list[Any]]:
    """Texts that have a label, their labels, and the other texts."""
    sides = getattr(y, "shape", None)
    if isinstance(sides, tuple) and len(sides) == 2 and sides[1] != 1:
        raise InputError("describe: classes are described, one a text; an indicator matrix does not go with that")
    labels = [None] * len(texts) if y is None else as_list(y, "y")
    if len(labels) != len(texts):
        raise InputError(f"y: expected a label, or None, for each of {len(texts)} texts, found {len(labels)}")
    known = [at for at, label in enumerate(labels) if not _missing(label)]
    unlabelled = [text for text, label in zip(texts, labels, strict=True) if _missing(label)]
    found: list[Any] = [labels[at] for at in known]
    # pandas keeps whole numbers as fractions where some are missing.
    whole = [int(label) for label in found if isinstance(label, float) and label.is_integer()]
    if unlabelled and len(whole) == len(found):
        found = [*whole]
    return [texts[at] for at in known], found, unlabelled


def _group_numbers(groups: Any, texts: int) -> list[int]:
    given = as_list(groups, "groups")
    if len(given) != texts:
        raise InputError(f"groups: expected one for each of {texts} texts, found {len(given)}")
    row = next((row for row, group in enumerate(given) if _missing(group)), None)
    if row is not None:
        raise InputError(f"groups: row {row} has none ({given[row]!r}); give each text one")
    try:
        return np.unique(given, return_inverse=True)[1].tolist()
    except TypeError:
        raise InputError("groups: expected names or numbers of one type") from None


class TextClassifier(ClassifierMixin, _Settings):
    """Texts to classes: the command line's ``frostbert train`` and ``predict`` as an estimator. With the same data, options and
    seed it is the same head, bit for bit, in the same file.

    Labels are classes (one a text), or any number a text: a list of lists, or an indicator matrix with ``label_names``.

    :param model: a checkpoint folder, a model of the Hugging Face hub, or an :class:`Encoder`, whose own options then count.
    :param device: ``auto``, ``cpu``, ``gpu``, ``software``, a number or part of a name.
    :param dtype: what weights are kept as: ``auto``, ``f32``, ``f16``.
    :param layers: which layers are pooled: ``last``, ``all``, a number, ``-2``, a list; ``auto``: by cross-validation.
    :param pooling: ``cls``, ``mean``, ``max``, ...; several side by side; None: as the checkpoint says.
    :param layer_mix: several layers side by side (``concat``), or their ``mean``.
    :param normalize: scale to unit length; None: as the checkpoint says.
    :param truncate: what happens to texts that are too long: ``warn``, ``cut``, ``error``, ``window``.
    :param max_tokens: the longest sequence; None: the checkpoint's.
    :param kind: ``linear`` (to its optimum), ``elastic``, ``mlp``, ``centroid``, ``neighbours``, or ``auto`` (whichever cross-validates best).
    :param C: inverse strength of the penalty, as in scikit-learn; ``auto``: by cross-validation.
    :param class_weight: ``balanced``: every class counts as much as any other.
    :param standardize: learn on columns of mean 0 and deviation 1; what is kept takes the columns as they are.
    :param calibrate: ``temperature`` or ``vector``, on out-of-fold predictions.
    :param l1_ratio: share of the absolute values in the penalty of ``elastic``.
    :param n_neighbors: rows that ``neighbours`` asks.
    :param mlp: how ``kind="mlp"`` learns: ``hidden`` (columns of each hidden layer), ``activation``, ``dropout``, ``learning_rate``,
        ``weight_decay``, ``batch`` (rows of a step), ``epochs``, ``warmup`` (share of the steps), ``clip`` (longest gradient),
        ``validation`` (share of the rows on which the loss is watched), ``patience`` (epochs without a lower one).
    :param select_by: what ``auto`` goes by: ``log-loss`` or ``accuracy``.
    :param folds: parts of the cross-validation.
    :param repeats: how often it is repeated with other parts.
    :param tol: the largest distance of the coefficients to their optimum.
    :param random_state: decides folds, and where an MLP starts: a number, a RandomState, or None for 0.
    :param test_fraction: share of the texts that is held out and measured on.
    :param details: baselines, layers, explained mistakes and likely label errors for the report: it takes longer.
    :param label_names: names of an indicator matrix's columns.
    :param describe: start from words: what the texts of each class are like, ``{"good": "A film I liked.", "bad": ["A dull film.", ...]}``.
        Labels may then be missing (None), or all of them (``y=None``): ``frostbert train --describe``.
    :param keep_sample: keep at most so many of the embeddings in the head, so that :meth:`answers` says how strange a text is, and
        :meth:`sample` gives :func:`frostbert.vectors.drift` what it was trained on.
    :param abstain_precision: leave undecided what is less sure than is right at this rate: ``frostbert train --abstain-precision``.
    :param conformal: sets of classes that hold the right one at this rate: ``frostbert train --conformal``.
    :param hierarchy: labels are paths with this character between their parts: ``frostbert train --hierarchy``. :meth:`predict` gives
        whole paths, :meth:`answers` the part that is sure enough.
    :param cache: keep embeddings on disk, so that neither another setting nor the next run embeds a text twice.
    :param offline: never touch the network.
    :param show_progress_bar: by tqdm, where there is one; None: no.

    >>> classifier = TextClassifier(MODEL, folds=3).fit(TEXTS, LABELS)
    >>> classifier.predict(["An unexpected joy."]).shape
    (1,)
    >>> classifier.save("head.safetensors")
    >>> TextClassifier.load("head.safetensors").predict_proba(["A bore."]).shape
    (1, 2)
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Encoder = "sentence-transformers/all-MiniLM-L6-v2",
        *,
        device: str = "auto",
        dtype: str = "auto",
        layers: Any = "last",
        pooling: Any = None,
        layer_mix: str = "concat",
        normalize: bool | None = None,
        truncate: str = "warn",
        max_tokens: int | None = None,
        kind: str = "linear",
        C: float | Literal["auto"] = "auto",
        class_weight: Literal["balanced"] | None = None,
        standardize: bool = False,
        calibrate: Literal["temperature", "vector"] | None = None,
        l1_ratio: float = 0.5,
        n_neighbors: int = 15,
        mlp: dict[str, Any] | None = None,
        select_by: Literal["log-loss", "accuracy"] = "log-loss",
        folds: int = 5,
        repeats: int = 1,
        tol: float = 1e-5,
        random_state: Any = 0,
        test_fraction: float = 0.0,
        details: bool = True,
        label_names: Sequence[str] | None = None,
        describe: Mapping[str, str | Sequence[str]] | None = None,
        keep_sample: int | None = None,
        abstain_precision: float | None = None,
        conformal: float | None = None,
        hierarchy: str | None = None,
        cache: bool = True,
        offline: bool = False,
        show_progress_bar: bool | None = None,
    ) -> None:
        self.model = model
        self.device = device
        self.dtype = dtype
        self.layers = layers
        self.pooling = pooling
        self.layer_mix = layer_mix
        self.normalize = normalize
        self.truncate = truncate
        self.max_tokens = max_tokens
        self.kind = kind
        self.C = C
        self.class_weight = class_weight
        self.standardize = standardize
        self.calibrate = calibrate
        self.l1_ratio = l1_ratio
        self.n_neighbors = n_neighbors
        self.mlp = mlp
        self.select_by = select_by
        self.folds = folds
        self.repeats = repeats
        self.tol = tol
        self.random_state = random_state
        self.test_fraction = test_fraction
        self.details = details
        self.label_names = label_names
        self.describe = describe
        self.keep_sample = keep_sample
        self.abstain_precision = abstain_precision
        self.conformal = conformal
        self.hierarchy = hierarchy
        self.cache = cache
        self.offline = offline
        self.show_progress_bar = show_progress_bar

    def _measures(self) -> bool:
        return True

    @property
    def encoder(self) -> Encoder:
        """What embeds, opened if need be."""
        layers = "last" if isinstance(self.layers, str) and self.layers == "auto" else self.layers
        return _encoder(
            self.model, device=self.device, dtype=self.dtype, layers=layers, pooling=self.pooling, layer_mix=self.layer_mix,
            truncate=self.truncate, max_tokens=self.max_tokens, offline=self.offline, cache=self.cache,
        )

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, groups: Any = None) -> TextClassifier:
        """Embeds the texts, trains a head, cross-validates and measures it. Rows of one group never part in a split."""
        texts = _texts(X)
        described = self._described()
        unlabelled: list[Any] = []
        if described:
            if sample_weight is not None or groups is not None:
                raise InputError("describe: weights and groups of rows do not go with descriptions of classes; leave one of them out")
            texts, y, unlabelled = _parted(texts, y)
        targets, classes, indicator = self._targets(y, len(texts))
        classes = {str(label): label for label in self.describe or ()} | classes
        options = self._head_options()
        if isinstance(self.class_weight, dict):
            raise InputError("class_weight: a TextClassifier takes None or 'balanced'; give weights as sample_weight")
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, np.zeros((len(texts), 1)), dtype=float)
        encoder = self.encoder
        embed = dict(encoder._options) | {"normalize": self.normalize}
        choose = isinstance(self.layers, str) and self.layers == "auto"
        if choose:
            embed["layers"] = "all"
        settings = {
            "name": "texts",
            "location": encoder.model,
            "embed": json.dumps(embed),
            "head": json.loads(options),
            "choose_layers": choose,
            "hold_out": _number("test_fraction", self.test_fraction),
            "baselines": _flag("details", self.details),
            "details": _flag("details", self.details),
            "cache": _flag("cache", self.cache),
            "describe": described,
            "keep_sample": None if self.keep_sample is None else _whole("keep_sample", self.keep_sample),
            "abstain_precision": _optional("abstain_precision", self.abstain_precision),
            "conformal": _optional("conformal", self.conformal),
            "hierarchy": self._separator(),
        }
        numbers = None if groups is None else _group_numbers(groups, len(texts))
        from .encoder import _bar

        with _bar(self.show_progress_bar, len(texts)) as bar:
            watch = None if bar is None else lambda stage, done, total: bar(stage, done, total) if stage == "embedding" else None
            self._trained, told = _native.train(
                encoder._engine(), texts, targets, unlabelled, None if weights is None else weights.tolist(), numbers, json.dumps(settings), watch
            )
        for warning in [*told, *self._trained.warnings()]:
            warnings.warn(warning, UserWarning, stacklevel=2)
        self.head_ = self._trained.head()
        self.record_ = json.loads(self._trained.record())
        encoder._warn_cut(self.record_["embedding"].get("truncated") or 0, len(texts), stacklevel=3)
        self._encoder_used = encoder
        self._learn_names(classes, indicator)
        self.n_features_in_ = 1
        return self

    def _described(self) -> list[tuple[str, str]]:
        if self.describe is None:
            return []
        if not isinstance(self.describe, Mapping) or not self.describe:
            raise TypeError(f"describe: expected a dict of labels and texts, found {self.describe!r}")
        found = []
        for label, given in self.describe.items():
            several = [given] if isinstance(given, str) else list(given) if isinstance(given, (list, tuple)) else []
            if not several or not all(isinstance(text, str) and text.strip() for text in several):
                raise TypeError(f"describe: expected a text or a list of texts for {label!r}, found {given!r}")
            found += [(str(label), text) for text in several]
        return found

    def _separator(self) -> str | None:
        if self.hierarchy is None:
            return None
        if not isinstance(self.hierarchy, str) or len(self.hierarchy) != 1:
            raise InputError(f"hierarchy: expected the one character between the parts of a label, such as '/', found {self.hierarchy!r}")
        return self.hierarchy

    def _targets(self, y: Any, rows: int) -> tuple[Any, dict[str, Any], list[str] | None]:
        """The library's targets, which label each name stands for, and the columns of an indicator matrix."""
        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        if self.label_names is not None:
            _names("label_names", self.label_names)
        sides: Any = getattr(y, "shape", None)
        table = isinstance(sides, tuple) and len(sides) == 2
        indicator: list[str] | None = None
        if table and sides[1] != 1:
            marks = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
            given = self.label_names if self.label_names is not None else getattr(y, "columns", range(marks.shape[1]))
            names = [str(name) for name in given]
            if len(names) != marks.shape[1] or not np.isin(marks, [0, 1]).all():
                raise InputError("y: an indicator matrix holds 0 and 1, and has a column for each of label_names")
            if len(set(names)) < len(names):
                raise InputError(f"y: columns of an indicator matrix need names of their own, found {', '.join(names)}")
            labels = as_list([[names[at] for at in np.flatnonzero(row)] for row in marks])
            kind, indicator = "labels", names
        elif table:
            labels, kind = list(column_or_1d(np.asarray(y))), "classes"
        else:
            labels = as_list(y, "y")
            kind = "labels" if labels and isinstance(labels[0], (list, tuple, set, frozenset)) else "classes"
        if len(labels) != rows:
            raise InputError(f"y: expected a label for each of {rows} texts, found {len(labels)}")
        if kind == "labels":
            if not all(isinstance(row, (list, tuple, set, frozenset)) for row in labels):
                raise InputError("y: expected a list of labels for each text, found some rows without")
            known: dict[str, Any] = {}
            rows_of_names = [sorted({_name(label, row, known) for label in given}) for row, given in enumerate(labels)]
            return ("labels", rows_of_names), known, indicator
        known = {}
        return ("classes", [_name(label, row, known) for row, label in enumerate(labels)]), known, indicator

    def _learn_names(self, known: dict[str, Any], indicator: list[str] | None) -> None:
        facts = json.loads(self.head_.info())
        self.C_ = facts["record"]["c"]
        self._problem = facts["problem"]
        names: list[str] = facts["names"]
        self._names, self._indicator = names, indicator
        # Of each class its column among the head's outputs; -1 for a label that no row had.
        if self._problem == "single-label":
            self.classes_ = np.unique(np.array([known.get(name, name) for name in names]))
            self._columns = [names.index(str(label)) for label in self.classes_.tolist()]
        elif indicator is not None:
            self.classes_ = np.array(indicator)
            self._columns = [names.index(name) if name in names else -1 for name in indicator]
        else:
            self.classes_, self._columns = np.array([known.get(name, name) for name in names]), [*range(len(names))]

    def _arranged(self, values: np.ndarray, missing: float) -> np.ndarray:
        """The head's outputs in the order of ``classes_``."""
        found = np.full((len(values), len(self._columns)), missing, values.dtype)
        for at, column in enumerate(self._columns):
            if column >= 0:
                found[:, at] = values[:, column]
        return found

    def _rows(self, X: Any) -> np.ndarray:
        check_is_fitted(self, "head_")
        encoder = self._encoder_used
        return encoder._embed(
            _texts(X), {"truncate": encoder._options["truncate"]}, self.show_progress_bar, self.head_, _flag("cache", self.cache)
        )

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``[texts, classes]``, in the order of ``classes_``; of an indicator matrix those of its columns."""
        rows = self._rows(X)
        return self._arranged(self.head_.predict_proba(rows), 0.0)

    def decision_function(self, X: Any) -> np.ndarray:
        """Calibrated logits: of two classes the second one's, ``[texts]``; else ``[texts, classes]``."""
        rows = self._rows(X)
        logits = self._arranged(self.head_.logits(rows), math.log(np.finfo(float).tiny))
        return logits[:, 1] - logits[:, 0] if self._problem == "single-label" and len(self.classes_) == 2 else logits

    def predict(self, X: Any) -> Any:
        """The likeliest class of each text; of several labels, those above their threshold, as they were given to :meth:`fit`: a list for each
        text, or an indicator matrix.
        """
        rows = self._rows(X)
        probabilities = self.head_.predict_proba(rows)
        if self._problem == "single-label":
            return self.classes_[self._arranged(probabilities, 0.0).argmax(axis=1)]
        if self._problem == "regression":
            return probabilities[:, 0]
        over = probabilities > np.array(json.loads(self.head_.info())["thresholds"])
        if self._indicator is None:
            names = self.classes_.tolist()
            return [[names[at] for at in np.flatnonzero(row)] for row in over]
        # A column of which no row had any is none of the head's.
        return self._arranged(over.astype(np.int64), 0)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Share of texts that are answered right: of several labels, all of them. Of a regression R²."""
        from sklearn.metrics import accuracy_score, r2_score

        predicted = self.predict(X)
        if self._problem == "regression":
            return float(r2_score(as_list(y, "y"), predicted, sample_weight=sample_weight))
        if self._problem == "single-label":
            return float(accuracy_score(y, predicted, sample_weight=sample_weight))
        found = predicted if isinstance(predicted, list) else self._labels_of(predicted)
        given = self._label_sets(y, len(found))
        right = [{str(label) for label in row} == set(names) for row, names in zip(found, given, strict=True)]
        return float(np.average(right, weights=sample_weight))

    def _labels_of(self, marks: np.ndarray) -> list[list[str]]:
        names = [str(name) for name in self.classes_]
        return [[names[at] for at in np.flatnonzero(row)] for row in marks]

    def _label_sets(self, y: Any, rows: int) -> list[list[str]]:
        """The names of each row's labels."""
        targets, _, _ = self._targets(y, rows)
        if targets[0] != "labels":
            raise InputError("y: this head gives any number of labels; expected a list of labels for each text, or an indicator matrix")
        return targets[1]

    def answers(
        self,
        X: Any,
        *,
        abstain: float | None = None,
        novel: float | None = None,
        novel_by: Literal["nearest", "mahalanobis", "energy"] = "nearest",
    ) -> list[dict[str, Any]]:
        """All that the head says of each text, as ``frostbert predict --json`` does: ``label`` (its name in the file; None where that is left undecided),
        ``labels`` or ``value``, ``probabilities`` by label, and, of heads that have them, ``set`` (``conformal``), ``levels`` (``hierarchy``) and
        ``novelty`` (``keep_sample``). Undecided is what is less sure than ``abstain`` (by default as the head was trained), and what is by ``novel_by``
        as strange as the share ``novel`` of the training texts.

        >>> TextClassifier(MODEL, folds=3).fit(TEXTS, LABELS).answers(["A bore."], abstain=1.0)[0]["label"] is None
        True
        """
        rows = self._rows(X)
        given = (_optional("abstain", abstain), _optional("novel", novel))
        return json.loads(self.head_.answers(rows, *given, _choice("novel_by", novel_by, ("nearest", "mahalanobis", "energy"))))

    def sample(self) -> np.ndarray | None:
        """The embeddings that the head keeps of those it was trained on, ``[rows, columns]``; None unless it was told to (``keep_sample``)."""
        check_is_fitted(self, "head_")
        return self.head_.sample()

    def evaluate(self, X: Any, y: Any) -> dict[str, Any]:
        """Measures on labelled texts: accuracy, F1, log loss, calibration error, ..."""
        check_is_fitted(self, "head_")
        texts = _texts(X)
        places = {name: at for at, name in enumerate(self._names)}

        def place(name: str) -> int:
            if name not in places:
                raise InputError(f"the label {name!r} is not one that the head was trained on; it knows {', '.join(self._names)}")
            return places[name]

        targets: Any
        if self._problem == "regression":
            values = [_number(f"y: row {row}", value) for row, value in enumerate(as_list(y, "y"))]
            if len(values) != len(texts):
                raise InputError(f"y: expected a number for each of {len(texts)} texts, found {len(values)}")
            targets = ("values", values, self._names[0])
        elif self._problem == "multi-label":
            targets = ("marked", [[place(name) for name in row] for row in self._label_sets(y, len(texts))], self._names)
        else:
            given, _, _ = self._targets(y, len(texts))
            if given[0] != "classes":
                raise InputError("y: this head gives one class a text, found lists of labels")
            targets = ("encoded", [place(name) for name in given[1]], self._names)
        return json.loads(self.head_.evaluate(self._rows(texts), targets))

    def explain(self, texts: Any) -> Any:
        """What each token adds to the answer's logit (linear heads over mean pooling): an :class:`Explanation`, or a list of them."""
        check_is_fitted(self, "head_")
        single = isinstance(texts, str)
        rows = [texts] if single else _texts(texts)
        answers = self.head_.predict_proba(self._rows(rows))
        found = []
        for text, row, p in zip(rows, json.loads(self._encoder_used._engine().explain(rows, self.head_)), answers, strict=True):
            places = _characters(text if isinstance(text, str) else "")
            best = int(p.argmax())
            offsets = [(places(start), places(end)) for start, end in row.pop("offsets")]
            found.append(
                Explanation(
                    text=text, offsets=offsets, classes=self._names, label=self._names[best], probability=float(p[best]), **row
                )
            )
        return found[0] if single else found

    def report(self, path: str | os.PathLike[str] | None = None) -> str | None:
        """Writes all that training found out as one HTML page that needs no network; without a path, gives the page."""
        trained = self._training()
        head_file = getattr(self, "_saved", "head.safetensors")
        if path is None:
            return trained.html(head_file)
        trained.write_report(os.fspath(path), head_file)
        return None

    def summary(self, width: int = 100) -> str:
        """The measures as tables of text."""
        return self._training().text(_whole("width", width))

    def label_issues(self) -> str:
        """Rows whose label is likely wrong, by out-of-fold predictions, as CSV."""
        return self._training().label_issues()

    def _training(self) -> Any:
        check_is_fitted(self, "head_")
        trained = getattr(self, "_trained", None)
        if trained is None:
            raise InputError("the training's record is kept by the object that was fitted: it is not in pickles nor in head files")
        return trained

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the head: the file that the command line, the page and Rust read."""
        check_is_fitted(self, "head_")
        self.head_.save(os.fspath(path))
        self._saved = os.fspath(path)

    @classmethod
    def load(cls, path: str | os.PathLike[str], model: Any = None, **options: Any) -> TextClassifier:
        """Reads a head of any front end. ``model`` says where its encoder is now; without, where it was at training. Classes are
        strings, as in the file."""
        head = _native.NativeHead.load(os.fspath(path))
        facts = json.loads(head.info())
        where = model if model is not None else facts["record"]["model_location"]
        if where is None:
            raise InputError(f"{os.fspath(path)} does not say where its encoder is; name it with model")
        settled: list[str] = [name for name in ("layers", "pooling", "layer_mix", "normalize", "max_tokens") if name in options]
        if options.get("truncate") == "window":
            settled.append("truncate='window'")
        if settled:
            raise InputError(f"{', '.join(settled)}: how texts are embedded stands in the head's file; leave it out, or train again")
        loaded = cls(where, **options)
        loaded.head_ = head
        loaded._saved = os.fspath(path)
        loaded._encoder_used = loaded.encoder
        loaded._learn_names({}, None)
        loaded.n_features_in_ = 1
        # Says now if the encoder is another than the head's.
        loaded._encoder_used._embed([""], {}, False, head, False)
        return loaded

    def __getstate__(self) -> dict[str, Any]:
        state = _movable(super().__getstate__())
        state.pop("_trained", None)
        return state

    @property
    def _repr_html_(self) -> Any:
        return self._shown

    def _shown(self) -> str:
        import html

        if not hasattr(self, "head_"):
            return f"<pre>{html.escape(repr(self))}</pre>"

        if not hasattr(self, "_trained"):
            return f"<pre>{html.escape(repr(self))}</pre>"
        return (
            f'<iframe srcdoc="{html.escape(self.report() or "", quote=True)}" style="width:100%;height:600px;border:1px solid #ccc" '
            'sandbox="allow-scripts"></iframe>'
        )

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        return {"text/plain": repr(self), "text/html": self._shown()}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.classifier_tags.multi_label = True
        return tags
