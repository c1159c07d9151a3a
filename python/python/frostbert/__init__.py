"""BERT embeddings on any GPU, and classifiers of your own on top: no torch, no CUDA, no conversion.

>>> import frostbert
>>> encoder = frostbert.Encoder(MODEL)  # a folder, or "sentence-transformers/all-MiniLM-L6-v2"
>>> encoder.encode(["A fine film.", "A dull one."]).shape
(2, 384)

Everything else is loaded when it is first used: importing this costs milliseconds.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from ._native import version as _version

if TYPE_CHECKING:
    from .encoder import Encoder
    from .errors import (
        DeviceError,
        FileError,
        FrostbertError,
        InputError,
        LimitError,
        ModelError,
        TruncationWarning,
    )
    from .explanation import Explanation
    from .fastembed import TextEmbedding
    from .sklearn import FrostbertVectorizer, HeadClassifier, HeadRegressor, TextClassifier

__version__ = _version()

_PLACES = {
    "Encoder": "encoder",
    "DeviceError": "errors",
    "FileError": "errors",
    "FrostbertError": "errors",
    "InputError": "errors",
    "LimitError": "errors",
    "ModelError": "errors",
    "TruncationWarning": "errors",
    "Explanation": "explanation",
    "FrostbertVectorizer": "sklearn",
    "HeadClassifier": "sklearn",
    "HeadRegressor": "sklearn",
    "TextClassifier": "sklearn",
    "TextEmbedding": "fastembed",
}

__all__ = [
    "DeviceError",
    "Encoder",
    "Explanation",
    "FileError",
    "FrostbertError",
    "FrostbertVectorizer",
    "HeadClassifier",
    "HeadRegressor",
    "InputError",
    "LimitError",
    "ModelError",
    "TextClassifier",
    "TextEmbedding",
    "TruncationWarning",
    "__version__",
]


# What stands on scikit-learn is there where that is: `from frostbert import *` and help() look at every name.
if not TYPE_CHECKING and importlib.util.find_spec("sklearn") is None:
    __all__.remove("FrostbertVectorizer")
    __all__.remove("HeadClassifier")
    __all__.remove("HeadRegressor")
    __all__.remove("TextClassifier")


def __getattr__(name: str) -> Any:
    if name == "vectors":
        return importlib.import_module(".vectors", __name__)
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"module 'frostbert' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{place}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "vectors"])
