"""Which tokens an answer comes from."""

from __future__ import annotations

import html
from dataclasses import dataclass

__all__ = ["Explanation"]


@dataclass(frozen=True)
class Explanation:
    """One text's logits, taken apart into its tokens: ``logits[c] = base[c] + sum of shares[t][c]``, to rounding.

    ``exact`` says whether a share is exactly what its token adds; where embeddings are scaled to unit length it is so to
    first order only. Offsets are those of characters in ``text``; ``(0, 0)`` for special tokens.
    """

    text: str
    tokens: list[str]
    offsets: list[tuple[int, int]]
    shares: list[list[float]]
    base: list[float]
    logits: list[float]
    classes: list[str]
    label: str
    probability: float
    exact: bool
    truncated: bool

    def top(self, count: int = 5) -> list[tuple[str, float]]:
        """The tokens that say most for or against the answer, with their shares."""
        at = self.classes.index(self.label)
        shares = [(token, row[at]) for token, row in zip(self.tokens, self.shares, strict=True)]
        return sorted(shares, key=lambda share: -abs(share[1]))[:count]

    def _repr_html_(self) -> str:
        at = self.classes.index(self.label)
        largest = max((abs(row[at]) for row in self.shares), default=0.0) or 1.0

        def token(text: str, share: float) -> str:
            colour = "46,125,50" if share > 0 else "198,40,40"
            return (
                f'<span title="{share:+.4f}" style="background:rgba({colour},{abs(share) / largest:.2f});'
                f'padding:1px 3px;border-radius:3px">{html.escape(text)}</span>'
            )

        words = " ".join(token(text, row[at]) for text, row in zip(self.tokens, self.shares, strict=True))
        return (
            f"<div><b>{html.escape(self.label)}</b> {self.probability:.3f} "
            f"<small>(green speaks for it, red against it)</small><br>{words}</div>"
        )
