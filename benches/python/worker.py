"""One contestant in its own process: reads commands, one JSON a line, and answers each with one line. See run.py."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
import time

import numpy as np


def opened(name: str, model: str):
    """What turns a list of texts into rows."""
    if name == "frostbert":
        from frostbert import Encoder

        encoder = Encoder(model, device="cpu", truncate="cut")
        return encoder.encode
    if name == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        encoder = SentenceTransformer(model, device="cpu")
        return lambda texts: encoder.encode(texts, show_progress_bar=False)
    if name == "fastembed":
        from fastembed import TextEmbedding
        from fastembed.common.model_description import ModelSource, PoolingType

        TextEmbedding.add_custom_model(
            model="local", pooling=PoolingType.MEAN, normalization=True, sources=ModelSource(hf="local/local"), dim=384,
            model_file="model.onnx",
        )
        encoder = TextEmbedding("local", specific_model_path=model)
        # Its own batches of 256 pad short texts to the longest; 32 is what sentence-transformers takes, and no slower here.
        return lambda texts: np.stack(list(encoder.embed(texts, batch_size=32)))
    from model2vec import StaticModel

    encoder = StaticModel.from_pretrained(model)
    return encoder.encode


def installed(package: str) -> tuple[float, int]:
    """Megabytes of files that a package and all it needs put on disk, and how many packages that is."""
    seen: set[str] = set()
    size = 0
    waiting = [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in seen:
            continue
        try:
            found = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        seen.add(name)
        for file in found.files or []:
            path = file.locate()
            if "__pycache__" not in str(path) and os.path.isfile(path):
                size += os.path.getsize(path)
        for needed in found.requires or []:
            if "extra ==" not in needed:
                waiting.append(re.split(r"[ ;<>=!~\[(]", needed, maxsplit=1)[0])
    return size / 1e6, len(seen)


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    with open("/proc/self/status", encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def main() -> None:
    name, model, package = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # What packages print does not mix with the answers.
    encode = opened(name, model)
    texts: dict[str, list[str]] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "texts":
            texts[asked["name"]] = asked["texts"]
            answer: object = len(asked["texts"])
        elif asked["do"] == "encode":
            start = time.perf_counter()
            rows = encode(texts[asked["name"]])
            answer = time.perf_counter() - start
            if "save" in asked:
                np.save(asked["save"], np.asarray(rows, np.float32))
        elif asked["do"] == "peak":
            answer = peak()
        else:
            answer = installed(package)
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
