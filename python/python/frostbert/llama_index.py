"""LlamaIndex: ``FrostbertEmbedding(model=...)`` as ``Settings.embed_model`` (``pip install llama-index-core``)."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import PrivateAttr

from .encoder import Encoder, opened

__all__ = ["FrostbertEmbedding"]


class FrostbertEmbedding(BaseEmbedding):
    """Texts and queries with the checkpoint's own prompts. Options are those of :class:`frostbert.Encoder`."""

    normalize: bool = True
    _encoder: Encoder = PrivateAttr()

    def __init__(self, model: str | Encoder, normalize: bool = True, embed_batch_size: int = 256, **options: Any) -> None:
        encoder = opened(model, options)
        fields: dict[str, Any] = {"model_name": encoder.model, "normalize": normalize, "embed_batch_size": embed_batch_size}
        super().__init__(**fields)
        self._encoder = encoder

    @classmethod
    def class_name(cls) -> str:
        """How LlamaIndex calls it in files."""
        return "FrostbertEmbedding"

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._encoder.encode_query(query, normalize_embeddings=self.normalize).tolist()

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_query_embedding, query)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    async def _aget_text_embedding(self, text: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, text)

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encoder.encode_document(texts, normalize_embeddings=self.normalize).tolist()

    async def _aget_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return await asyncio.to_thread(self._get_text_embeddings, texts)
