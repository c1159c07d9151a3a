"""Haystack: components for texts and for documents (``pip install haystack-ai``)."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from haystack import Document, component, default_from_dict, default_to_dict

from .encoder import Encoder, _flag
from .errors import InputError

__all__ = ["FrostbertDocumentEmbedder", "FrostbertTextEmbedder"]


class _Embedder:
    def __init__(self, model: str | os.PathLike[str], normalize: bool = True, **options: Any) -> None:
        # As pipelines' files hold it.
        self.model = os.fspath(model)
        self.normalize = _flag("normalize", normalize)
        self.options = options
        self._encoder: Encoder | None = None

    def warm_up(self) -> None:
        """Opens the encoder."""
        if self._encoder is None:
            self._encoder = Encoder(self.model, **self.options)

    @property
    def encoder(self) -> Encoder:
        """What embeds, opened if need be."""
        self.warm_up()
        assert self._encoder is not None
        return self._encoder

    def to_dict(self) -> dict[str, Any]:
        """For a pipeline's file."""
        return default_to_dict(self, model=self.model, normalize=self.normalize, **self.options)

    @property
    def _meta(self) -> dict[str, Any]:
        return {"model": self.model, "device": self.encoder.device["name"]}


def _saved(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TypeError(f"data: expected the dict that to_dict gives, found {type(data).__name__}")
    return data


@component
class FrostbertTextEmbedder(_Embedder):
    """A text (a query) to its embedding. Options are those of :class:`frostbert.Encoder`."""

    def __init__(self, model: str | os.PathLike[str], normalize: bool = True, **options: Any) -> None:
        _Embedder.__init__(self, model, normalize, **options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """From a pipeline's file."""
        return default_from_dict(cls, _saved(data))

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """The embedding, and what made it."""
        if not isinstance(text, str):
            raise TypeError(f"text: expected a str, found {type(text).__name__}; documents go to FrostbertDocumentEmbedder")
        return {"embedding": self.encoder.encode_query(text, normalize_embeddings=self.normalize).tolist(), "meta": self._meta}


@component
class FrostbertDocumentEmbedder(_Embedder):
    """Documents to documents with embeddings. Options are those of :class:`frostbert.Encoder`."""

    def __init__(self, model: str | os.PathLike[str], normalize: bool = True, **options: Any) -> None:
        _Embedder.__init__(self, model, normalize, **options)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Any:
        """From a pipeline's file."""
        return default_from_dict(cls, _saved(data))

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """The documents, each with its embedding, and what made them."""
        if not isinstance(documents, list) or not all(isinstance(document, Document) for document in documents):
            raise TypeError("documents: expected a list of haystack.Document; a text goes to FrostbertTextEmbedder")
        empty = next((document.id for document in documents if document.content is None), None)
        if empty is not None:
            raise InputError(f"documents: {empty} has no text to embed")
        rows = self.encoder.encode_document([document.content for document in documents], normalize_embeddings=self.normalize)
        found = [replace(document, embedding=row.tolist()) for document, row in zip(documents, rows, strict=True)]
        return {"documents": found, "meta": self._meta}
