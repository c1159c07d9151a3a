"""What vectors say without a label: against plain NumPy, and the command line's answers."""

from __future__ import annotations

import csv
import json
import pathlib

import numpy as np
import pytest

import frostbert
from frostbert import TextClassifier, vectors


@pytest.fixture(scope="module")
def table(reviews, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[str], list[str]]:
    """A file of texts, with one that is there twice but for a full stop."""
    texts, labels = reviews
    texts, labels = [*texts[::2], texts[0] + "!"], [*labels[::2], labels[0]]
    path = tmp_path_factory.mktemp("vectors") / "texts.csv"
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows(zip(texts, labels, strict=True))
    return str(path), texts, labels


@pytest.fixture(scope="module")
def rows(encoder, table) -> np.ndarray:
    return encoder.encode(table[1])


def unit(rows: np.ndarray) -> np.ndarray:
    rows = rows.astype(np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def lines(text: str) -> list[dict]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_nearest_are_those_of_numpy(rows: np.ndarray) -> None:
    found, cosines = vectors.nearest(rows[:7], rows, k=4)
    want = unit(rows[:7]) @ unit(rows).T
    assert np.array_equal(found, np.argsort(-want, axis=1, kind="stable")[:, :4])
    assert np.allclose(cosines, -np.sort(-want, axis=1)[:, :4], atol=1e-6)
    assert vectors.nearest(rows[:2], rows[:3], k=9)[0].shape == (2, 3)


def test_duplicates_suggestions_and_clusters_are_the_command_lines(model: str, cli, table, rows: np.ndarray, tmp_path: pathlib.Path) -> None:
    path, texts, _ = table
    (group,) = vectors.duplicates(rows, 0.97)
    assert group.rows == [0, len(texts) - 1] and group.similarities[0] > 0.97
    at = ["--model", model, "--device", "cpu", path]
    told = lines(cli("dedupe", *at, "--threshold", "0.97", "--json"))
    assert len(told) == 1
    assert np.isclose(told[0]["similarity"], group.similarities[0])
    found = vectors.suggest(rows, 5, seed=3)
    told = lines(cli("suggest", *at, "--count", "5", "--seed", "3", "--json"))
    assert [row["text"] for row in told] == [texts[row.row] for row in found]
    assert all(row.margin is None and row.nearest_labelled is None for row in found)
    told = lines(cli("suggest", *at, "--count", "5", "--strategy", "diverse", "--json"))
    assert [row["text"] for row in told] == [texts[row.row] for row in vectors.suggest(rows, 5, strategy="diverse")]
    groups = vectors.clusters(rows, 4, seed=1)
    cli("cluster", *at, "--count", "4", "--seed", "1", "--out", str(tmp_path / "clusters.csv"))
    with open(tmp_path / "clusters.csv", encoding="utf-8", newline="") as file:
        told = list(csv.DictReader(file))
    parts = {row["cluster"] for row in told}
    assert len(groups) == len(parts) == 4 and groups.centres.shape == (4, 384)
    for part in parts:
        assert len({int(groups.labels[at]) for at, row in enumerate(told) if row["cluster"] == part}) == 1
    assert sorted(sum(groups.rows, [])) == list(range(len(texts)))
    assert [len(of) for of in groups.rows] == sorted((len(of) for of in groups.rows), reverse=True)
    chosen = vectors.clusters(rows)
    assert len(chosen.candidates) > 2 and chosen.silhouette is not None
    dense = vectors.clusters(rows, method="hdbscan", min_size=3)
    assert dense.labels.min() == -1
    names = vectors.words(texts, groups.labels, most=3)
    assert len(names) == 4 and all(len(of) <= 3 for of in names)
    assert vectors.words(["a", "b"], [-1, -1]) == []


def test_suggestions_know_a_head_and_what_is_labelled(rows: np.ndarray) -> None:
    generator = np.random.default_rng(0)
    p = generator.random(len(rows))
    unsure = vectors.suggest(rows, 6, probabilities=np.stack([p, 1 - p], 1), strategy="margin", duplicate=1.5)
    want = np.argsort(np.abs(2 * p - 1), kind="stable")[:6]
    assert [row.row for row in unsure] == want.tolist()
    assert np.allclose([row.margin for row in unsure], np.abs(2 * p - 1)[want])
    labelled = vectors.suggest(rows, 6, labelled=rows[:50], strategy="diverse")
    assert all(row.row >= 50 and row.nearest_labelled is not None for row in labelled)


def test_a_head_tells_what_it_does_not_know_and_keeps_what_drift_needs(
    model: str, cli, table, rows: np.ndarray, tmp_path: pathlib.Path
) -> None:
    path, texts, labels = table
    fit = lambda y, **options: TextClassifier(model, device="cpu", folds=3, details=False, **options).fit(texts, y)
    classifier = fit(labels, keep_sample=40, conformal=0.9)
    classifier.save(tmp_path / "here.safetensors")
    head = str(tmp_path / "there.safetensors")
    cli("train", "--model", model, "--device", "cpu", "--folds", "3", "--no-baselines", "--test-fraction", "0", "--keep-sample", "40",
        "--conformal", "0.9", "--label-column", "label", "--out", head, path)
    assert (tmp_path / "here.safetensors").read_bytes() == (tmp_path / "there.safetensors").read_bytes()
    asked = ["A film I liked.", "SELECT id FROM users WHERE id = 7;"]
    for by in ("nearest", "mahalanobis", "energy"):
        options = ["--novel", "0.05", "--novel-by", by, "--json", *(word for text in asked for word in ("--text", text))]
        told = lines(cli("predict", "--head", head, "--device", "cpu", *options))
        answers = classifier.answers(asked, novel=0.05, novel_by=by)
        for answer, row in zip(answers, told, strict=True):
            for record in (answer, row):  # One has the digits of a float32, the other those of the same number as a float64.
                record["novelty"]["similarity"] = np.float32(record["novelty"]["similarity"])
            assert answer == {name: row[name] for name in answer}
            assert {"label", "probabilities", "set", "novelty"} <= set(answer)
    sample = classifier.sample()
    assert sample.shape == (40, 384) and fit(labels).sample() is None
    same = vectors.drift(sample, rows)
    other = vectors.drift(sample, classifier.encoder.encode([f"SELECT {at} FROM table_{at};" for at in range(30)]))
    assert not same.drifted and other.drifted and other.novel_share > 0.9 and other.auc > 0.9
    assert other.novel[0][1] == min(cosine for _, cosine in other.novel)
    paths = [f"{'long' if len(text) > 100 else 'short'}/{label}" for text, label in zip(texts, labels, strict=True)]
    tree = fit(paths, hierarchy="/", abstain_precision=0.5)
    answers = tree.answers(texts)
    assert set(tree.predict(texts)) <= set(paths)
    assert all(answer["label"] is None or answer["label"] == answer["levels"][-1]["name"] for answer in answers)
    for wrong in ({"hierarchy": "::"}, {"hierarchy": "|"}, {"conformal": 2.0}, {"abstain_precision": float("nan")}):
        with pytest.raises(frostbert.InputError):
            fit(paths, **wrong)
    with pytest.raises(frostbert.InputError, match="keep"):
        tree.answers(texts, novel=0.1)


def test_what_is_no_matrix_is_told(rows: np.ndarray) -> None:
    for wrong in (rows[0], rows[None], "rows", [["a"]], [[1.0], [2.0, 3.0]]):
        with pytest.raises((TypeError, ValueError)):
            vectors.clusters(wrong)
    with pytest.raises(frostbert.InputError, match="columns"):
        vectors.nearest(rows[:, :3], rows)
    with pytest.raises(frostbert.InputError):
        vectors.duplicates(np.zeros((3, 4)))
    with pytest.raises(frostbert.InputError, match="probabilities"):
        vectors.suggest(rows, 2, probabilities=[[0.5, 0.5]])
    with pytest.raises(frostbert.InputError):
        vectors.nearest(rows * np.nan, rows)
