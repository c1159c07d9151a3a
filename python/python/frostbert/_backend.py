"""What BERTopic's and KeyBERT's backends have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ._texts import as_list
from .encoder import Encoder, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Backend:
    """The part of a ``BaseEmbedder`` that embeds. Options are those of :class:`frostbert.Encoder`."""

    def __init__(self, model: str | Encoder, **options: Any) -> None:
        super().__init__()
        self.embedding_model = opened(model, options)

    def embed(self, documents: Any, verbose: bool = False) -> NDArray[np.float32]:
        """A row for each document."""
        return self.embedding_model.encode(as_list(documents, "documents"), show_progress_bar=verbose)
