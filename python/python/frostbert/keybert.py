"""KeyBERT: a backend for its embeddings."""

from __future__ import annotations

from keybert.backend import BaseEmbedder

from ._backend import Backend

__all__ = ["FrostbertBackend"]


class FrostbertBackend(Backend, BaseEmbedder):
    """Goes to ``KeyBERT(model=...)``. Options are those of :class:`frostbert.Encoder`."""
