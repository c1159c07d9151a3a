"""The engines for more rows than one process takes, each on its local runner: the library's bits, nulls stay null."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT, not_tested

from frostbert import Encoder

ENGINES = {"ray_data": "ray", "daft_embed": "daft", "spark_arrow": "pyspark"}


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_gives_the_same_bits(name: str, golden, reviews, tmp_path: pathlib.Path) -> None:
    import importlib.util

    package = ENGINES[name]
    if importlib.util.find_spec(package) is None:
        not_tested(f"{package}: it is not installed (cargo xtask python --scale installs ray and daft)")
    texts: list[str | None] = [None if at % 7 == 3 else text for at, text in enumerate(reviews[0])]
    table = pa.table({"id": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())})
    pq.write_table(table, tmp_path / "texts.parquet", row_group_size=30)
    model = golden("sentence-mean")
    words = [sys.executable, str(ROOT / f"python/examples/{name}.py"), model, str(tmp_path / "texts.parquet")]
    environment = {**os.environ, "DO_NOT_TRACK": "1", "RAY_USAGE_STATS_ENABLED": "0", "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run(
        [*words, str(tmp_path / "out"), "--device", "cpu", "--threads", "1"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pq.read_table(tmp_path / "out").to_pylist()
    expected = Encoder(model, device="cpu", truncate="cut").encode([text for text in texts if text is not None])
    given = iter(expected)
    vectors = {row["id"]: row["embedding"] for row in rows}
    assert sorted(vectors) == list(range(len(texts)))
    for at, text in enumerate(texts):
        if text is None:
            assert vectors[at] is None
        else:
            assert np.array_equal(np.array(vectors[at], np.float32).view(np.uint32), next(given).view(np.uint32)), at
