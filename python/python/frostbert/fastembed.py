"""The interface of fastembed's ``TextEmbedding``.

>>> rows = list(TextEmbedding(MODEL).embed(["A text", "and another."]))
>>> len(rows), rows[0].shape
(2, (384,))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._texts import as_iterable, chunks
from .encoder import Encoder, _count, _whole
from .errors import InputError

__all__ = ["TextEmbedding"]


class TextEmbedding:
    """Texts in, a generator of rows out; memory stays flat."""

    def __init__(
        self,
        model_name: str = "sentence-transformers/all-MiniLM-L6-v2",
        cache_dir: str | None = None,
        threads: int | None = None,
        providers: Any = None,
        **options: Any,
    ) -> None:
        """``providers`` are onnxruntime's: here ``device`` says what computes. Downloads are kept where the hub's own tools keep them."""
        if cache_dir is not None:
            raise InputError("cache_dir: models are kept in the Hugging Face hub's cache; set HF_HOME, or give a folder as model_name")
        if providers is not None:
            raise InputError("providers: these are onnxruntime's; say device='cpu', 'gpu' or part of an adapter's name")
        options["threads"] = threads
        self.model_name = model_name
        self.encoder = Encoder(model_name, **options)

    @property
    def embedding_size(self) -> int:
        """Columns of a row."""
        return self.encoder.get_embedding_dimension()

    def embed(
        self, documents: str | Iterable[str], batch_size: int = 256, parallel: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """A row for each document; ``batch_size`` documents are embedded at a time. ``parallel`` changes nothing: every core is used."""
        _count("parallel", parallel, least=0)
        return self._rows(self.encoder.encode, documents, batch_size)

    def passage_embed(
        self, texts: str | Iterable[str], batch_size: int = 256, parallel: int | None = None
    ) -> Iterator[NDArray[np.float32]]:
        """:meth:`embed` with the checkpoint's prompt for documents, where it has one."""
        _count("parallel", parallel, least=0)
        return self._rows(self.encoder.encode_document, texts, batch_size)

    def query_embed(self, query: str | Iterable[str], batch_size: int = 256) -> Iterator[NDArray[np.float32]]:
        """:meth:`embed` with the checkpoint's prompt for queries, where it has one."""
        return self._rows(self.encoder.encode_query, query, batch_size)

    def _rows(
        self, encode: Callable[[list[Any]], Any], texts: str | Iterable[str], batch_size: int
    ) -> Iterator[NDArray[np.float32]]:
        size = _whole("batch_size", batch_size)
        given = [texts] if isinstance(texts, str) else as_iterable(texts, "documents")
        return (row for chunk in chunks(given, size) for row in encode(chunk))
