"""LangChain: ``FrostbertEmbeddings(model)`` wherever an ``Embeddings`` goes (``pip install langchain-core``)."""

from __future__ import annotations

from typing import Any

from langchain_core.embeddings import Embeddings

from .encoder import Encoder, _flag, opened

__all__ = ["FrostbertEmbeddings"]


class FrostbertEmbeddings(Embeddings):
    """Documents and queries with the checkpoint's own prompts. Options are those of :class:`frostbert.Encoder`."""

    def __init__(self, model: str | Encoder, normalize: bool = True, **options: Any) -> None:
        self.encoder = opened(model, options)
        self.normalize = _flag("normalize", normalize)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """A row for each text."""
        return self.encoder.encode_document(texts, normalize_embeddings=self.normalize).tolist()

    def embed_query(self, text: str) -> list[float]:
        """One row."""
        return self.encoder.encode_query(text, normalize_embeddings=self.normalize).tolist()
