"""BERTopic: a backend for its embeddings."""

from __future__ import annotations

from bertopic.backend import BaseEmbedder

from ._backend import Backend

__all__ = ["FrostbertBackend"]


class FrostbertBackend(Backend, BaseEmbedder):
    """Goes to ``BERTopic(embedding_model=...)``. Options are those of :class:`frostbert.Encoder`."""
