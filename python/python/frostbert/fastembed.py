"""The interface of fastembed's ``TextEmbedding``.

>>> rows = list(TextEmbedding(MODEL).embed(["A text", "and another."]))
>>> len(rows), rows[0].shape
(2, (384,))
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .encoder import Encoder

__all__ = ["TextEmbedding"]


class TextEmbedding:
    """Texts in, a generator of rows out; memory stays flat."""

    def __init__(self, model_name: str = "sentence-transformers/all-MiniLM-L6-v2", **options: Any) -> None:
        self.model_name = model_name
        self.encoder = Encoder(model_name, **options)

    @property
    def embedding_size(self) -> int:
        """Columns of a row."""
        return self.encoder.get_embedding_dimension()

    def embed(self, documents: str | Iterable[str], batch_size: int = 256) -> Iterator[NDArray[np.float32]]:
        """A row for each document; ``batch_size`` documents are embedded at a time."""
        texts = [documents] if isinstance(documents, str) else documents
        for rows in self.encoder.encode_stream(texts, chunk_texts=batch_size):
            yield from rows

    def passage_embed(self, texts: Iterable[str], batch_size: int = 256) -> Iterator[NDArray[np.float32]]:
        """:meth:`embed` with the checkpoint's prompt for documents, where it has one."""
        yield from self.encoder.encode_document(list(texts), batch_size=batch_size)

    def query_embed(self, query: str | Iterable[str]) -> Iterator[NDArray[np.float32]]:
        """:meth:`embed` with the checkpoint's prompt for queries, where it has one."""
        yield from self.encoder.encode_query([query] if isinstance(query, str) else list(query))
