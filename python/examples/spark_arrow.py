"""Embeds a table with Spark: record batches go to Python workers and back as Arrow.

    python spark_arrow.py MODEL IN.parquet OUT --device cpu

The table has a column ``text``; a vector is added as ``embedding``, null where the text is. Spark needs Java.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pyarrow as pa
from pyspark.sql import SparkSession
from pyspark.sql.types import ArrayType, FloatType, StructField, StructType

from frostbert import Encoder


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("model")
    words.add_argument("table")
    words.add_argument("out")
    words.add_argument("--device", default="auto")
    words.add_argument("--threads", type=int)
    asked = words.parse_args()

    def embed(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        # Once for each partition, which takes less than a second: make partitions of tens of thousands of texts.
        encoder = Encoder(asked.model, device=asked.device, threads=asked.threads, truncate="cut")
        for batch in batches:
            texts = batch.column("text").to_pylist()
            rows = iter(encoder.encode([text for text in texts if text is not None]))
            column = pa.array([None if text is None else next(rows) for text in texts], pa.list_(pa.float32()))
            yield pa.RecordBatch.from_arrays([*batch.columns, column], names=[*batch.schema.names, "embedding"])

    spark = SparkSession.builder.appName("frostbert").getOrCreate()
    table = spark.read.parquet(asked.table)
    schema = StructType([*table.schema.fields, StructField("embedding", ArrayType(FloatType()))])
    table.mapInArrow(embed, schema).write.parquet(asked.out)
    spark.stop()


if __name__ == "__main__":
    main()
