"""LlamaIndex: ``FrostbertEmbedding(model=...)`` as ``Settings.embed_model`` (``pip install llama-index-core``)."""

from __future__ import annotations

import asyncio
from typing import Any

from llama_index.core.base.embeddings.base import BaseEmbedding
from pydantic import Field, PrivateAttr

from .encoder import Encoder, opened

__all__ = ["FrostbertEmbedding"]


class FrostbertEmbedding(BaseEmbedding):
    """Texts and queries with the checkpoint's own prompts. Options are those of :class:`frostbert.Encoder`."""

    normalize: bool = True
    #: What the encoder was told: it tells embeddings of different options apart where LlamaIndex caches them.
    options: dict[str, Any] = Field(default_factory=dict)
    _encoder: Encoder = PrivateAttr()

    def __init__(
        self,
        model: str | Encoder | None = None,
        normalize: bool = True,
        embed_batch_size: int = 256,
        *,
        model_name: str | None = None,
        options: dict[str, Any] | None = None,
        **more: Any,
    ) -> None:
        # `model_name` and `options` as `to_dict` writes them; what the base class knows is the base class's.
        fields = {name: more.pop(name) for name in [*more] if name in BaseEmbedding.model_fields}
        if (model is None) == (model_name is None):
            raise TypeError("model: expected a folder, a hub id or a frostbert.Encoder, once")
        given: Any = model if model is not None else model_name
        encoder = opened(given, {**(options or {}), **more})
        fields |= {"model_name": encoder.model, "normalize": normalize, "embed_batch_size": embed_batch_size}
        fields["options"] = encoder._told()
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
