"""SetFit with a frozen encoder: an :class:`frostbert.Encoder` has the ``encode`` that its ``model_body`` is called for.

>>> body = FrostbertBody(MODEL)
>>> body.encode(["A text"], normalize_embeddings=True, convert_to_tensor=False).shape
(1, 384)
"""

from __future__ import annotations

from typing import Any

from .encoder import Encoder

__all__ = ["FrostbertBody"]


class FrostbertBody(Encoder):
    """``SetFitModel(model_body=FrostbertBody(model), model_head=LogisticRegression())``: fit the head with
    ``model.fit(texts, labels, num_epochs=...)``; the body is never trained."""

    def encode(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """:meth:`frostbert.Encoder.encode`; SetFit names devices as torch does, and the body stays where it is."""
        kwargs.pop("device", None)
        return super().encode(inputs, *args, **kwargs)

    def to(self, *_: Any, **__: Any) -> FrostbertBody:
        """Stays on its device."""
        return self

    def eval(self) -> FrostbertBody:
        """Is never trained."""
        return self
