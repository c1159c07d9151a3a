"""Embeds a table with Daft, here or on its Ray runner.

    python daft_embed.py MODEL IN.parquet OUT --device cpu

The table has a column ``text``; a vector is added as ``embedding``, null where the text is.
"""

from __future__ import annotations

import argparse

import daft
from daft import DataType, Series

from frostbert import Encoder


@daft.cls
class Embed:
    """Made once in each worker: the model is loaded there and stays on its device."""

    def __init__(self, model: str, device: str, threads: int | None) -> None:
        self.encoder = Encoder(model, device=device, threads=threads, truncate="cut")

    @daft.method.batch(return_dtype=DataType.list(DataType.float32()))
    def __call__(self, text: Series) -> list[list[float] | None]:
        texts = text.to_pylist()
        rows = iter(self.encoder.encode([text for text in texts if text is not None]))
        return [None if text is None else next(rows).tolist() for text in texts]


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("model")
    words.add_argument("table")
    words.add_argument("out")
    words.add_argument("--device", default="auto")
    words.add_argument("--threads", type=int)
    asked = words.parse_args()
    embed = Embed(asked.model, asked.device, asked.threads)
    table = daft.read_parquet(asked.table)
    table.with_column("embedding", embed(table["text"])).write_parquet(asked.out)


if __name__ == "__main__":
    main()
