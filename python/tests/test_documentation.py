"""What the documentation shows is what happens: docstrings, the tour, the notebook."""

from __future__ import annotations

import doctest
import importlib
import os
import pathlib

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODULES = ["frostbert", "frostbert.errors", "frostbert.encoder", "frostbert.sklearn", "frostbert.fastembed", "frostbert.setfit", "frostbert._texts", "frostbert.vectors"]


@pytest.fixture
def names(model: str, encoder, reviews, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    texts, labels = reviews
    monkeypatch.chdir(tmp_path)
    return {"MODEL": model, "TEXTS": texts[::5], "LABELS": labels[::5], "ROWS": encoder.encode(texts[::5]), "np": np}


@pytest.mark.parametrize("module", MODULES)
def test_docstrings(module: str, names: dict[str, object]) -> None:
    found = importlib.import_module(module)
    failed, tried = doctest.testmod(found, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert tried > 0 and failed == 0


@pytest.mark.parametrize("name", ["Encoder", "FrostbertVectorizer", "HeadClassifier", "HeadRegressor", "TextClassifier"])
def test_every_parameter_is_described(name: str) -> None:
    import inspect
    import re

    import frostbert

    described = re.findall(r":param (\w+):", getattr(frostbert, name).__doc__)
    assert sorted(described) == sorted(inspect.signature(getattr(frostbert, name)).parameters)


def test_the_tour(names: dict[str, object]) -> None:
    failed, tried = doctest.testfile(str(ROOT / "docs/python.md"), module_relative=False, globs=names)
    assert tried > 10 and failed == 0


@pytest.mark.parametrize("page", ["README.md", "python/README.md"])
def test_the_five_lines(page: str, model: str, names: dict[str, object], tmp_path: pathlib.Path) -> None:
    import pandas

    pandas.DataFrame({"text": names["TEXTS"], "label": names["LABELS"]}).to_csv(tmp_path / "reviews.csv")
    blocks = (ROOT / page).read_text(encoding="utf-8").split("```python\n")[1:]
    (code,) = (block.split("```")[0] for block in blocks)
    hub = "sentence-transformers/all-MiniLM-L6-v2"
    assert "TextClassifier" in code and hub in code
    exec(code.replace(f'"{hub}"', repr(model)), {})  # noqa: S102
    assert (tmp_path / "head.safetensors").is_file()


def test_the_notebook(model: str, reviews, tmp_path: pathlib.Path) -> None:
    import nbformat
    import pandas
    from nbconvert.preprocessors import ExecutePreprocessor

    texts, labels = reviews
    pandas.DataFrame({"text": texts, "label": ["liked" if label == "1" else "not" for label in labels]}).to_csv(tmp_path / "reviews.csv")
    notebook = nbformat.read(ROOT / "python/notebooks/classifier.ipynb", as_version=4)
    os.environ["FROSTBERT_NOTEBOOK_MODEL"] = model
    ExecutePreprocessor(timeout=300, kernel_name="python3").preprocess(notebook, {"metadata": {"path": str(tmp_path)}})
    shown = [output for cell in notebook.cells for output in cell.get("outputs", []) if "text/html" in output.get("data", {})]
    assert any("frostbert.Encoder" in output["data"]["text/html"] for output in shown)
    assert any("<iframe" in output["data"]["text/html"] for output in shown)
    assert (tmp_path / "head.safetensors").is_file()
