"""BERTopic: a backend for its embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
from bertopic.backend import BaseEmbedder
from numpy.typing import NDArray

from .encoder import Encoder

__all__ = ["FrostbertBackend"]


class FrostbertBackend(BaseEmbedder):
    """Goes to ``BERTopic(embedding_model=...)``. Options are those of :class:`frostbert.Encoder`."""

    def __init__(self, model: str | Encoder, **options: Any) -> None:
        super().__init__()
        self.embedding_model = model if isinstance(model, Encoder) else Encoder(model, **options)

    def embed(self, documents: Any, verbose: bool = False) -> NDArray[np.float32]:
        """A row for each document."""
        return self.embedding_model.encode(list(documents), show_progress_bar=verbose)
