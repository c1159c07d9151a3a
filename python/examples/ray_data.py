"""Embeds a table on a Ray cluster: a pool of actors, each with an encoder of its own.

    python ray_data.py MODEL IN.parquet OUT --actors 4 --device gpu

The table has a column ``text``; a vector is added as ``embedding``, null where the text is.
"""

from __future__ import annotations

import argparse

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.data import ActorPoolStrategy

from frostbert import Encoder


def vectors(encoder: Encoder, texts: pa.ChunkedArray) -> pa.Array:
    """A vector for each text, null for one that is not there."""
    rows = encoder.encode(texts.drop_null().to_pylist())
    before = pc.subtract(pc.cumulative_sum(pc.cast(texts.is_valid(), pa.int32())), 1)
    places = pc.if_else(texts.is_valid(), before, pa.scalar(None, pa.int32()))
    # Lists, not of a fixed size: pyarrow reads no Parquet in which one of those is null.
    ends = pa.array(range(0, rows.size + 1, rows.shape[1]), pa.int32())
    return pa.ListArray.from_arrays(ends, pa.array(rows.reshape(-1))).take(places)


class Embed:
    """What an actor holds: the model is loaded once and stays on its device."""

    def __init__(self, model: str, device: str, threads: int | None) -> None:
        self.encoder = Encoder(model, device=device, threads=threads, truncate="cut")

    def __call__(self, table: pa.Table) -> pa.Table:
        return table.append_column("embedding", vectors(self.encoder, table.column("text")))


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("model")
    words.add_argument("table")
    words.add_argument("out")
    words.add_argument("--actors", type=int, default=1)
    words.add_argument("--device", default="auto")
    words.add_argument("--threads", type=int)
    asked = words.parse_args()
    ray.init(log_to_driver=False)
    ray.data.read_parquet(asked.table).map_batches(
        Embed,
        fn_constructor_kwargs={"model": asked.model, "device": asked.device, "threads": asked.threads},
        batch_format="pyarrow",
        # Rows that an actor is given at once; it packs them by tokens itself.
        batch_size=4096,
        compute=ActorPoolStrategy(size=asked.actors),
        num_gpus=1 if asked.device == "gpu" else 0,
    ).write_parquet(asked.out)


if __name__ == "__main__":
    main()
