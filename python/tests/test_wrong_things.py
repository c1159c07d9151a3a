"""Every public function called with wrong things: each time a fitting exception, never a panic, never nonsense from within.

The functions are found by looking into the package, so that a new one cannot be forgotten: without a case here the first test fails.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from conftest import GOLDENS

import frostbert
from frostbert import Encoder, Explanation, FrostbertVectorizer, HeadClassifier, HeadRegressor, TextClassifier, TextEmbedding

MODEL = str(GOLDENS / "bert-pretraining")
TEXTS = ["a text", "and another one", "the third", "a fourth text"] * 3
LABELS = ["a", "b"] * 6
ROWS = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
MANY_ROWS = np.random.default_rng(0).normal(size=(25, 5)).astype(np.float32)

#: In the place of every argument. The first is wrong anywhere.
WRONG: list[Any] = [
    object(), None, 3, -1, 0, 2**70, 2.5, float("nan"), float("inf"), True, b"bytes", "", "no such thing", "half \ud800", [], [None], [3],
    [float("nan")], [[]], [object()], ["text", None], {"a": 1}, {1, 2}, np.zeros((2, 2)), np.array(["a", None], object), lambda: None,
]
#: What may come of it.
FITTING = (TypeError, ValueError, OSError, MemoryError, frostbert.FrostbertError)


def public() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every function and method that the package's modules call their own, by its name."""
    for module in pkgutil.iter_modules(frostbert.__path__):
        if module.name.startswith("_"):
            continue
        try:
            names = importlib.import_module(f"frostbert.{module.name}")
        except ImportError as error:
            # The framework of a drop-in; `cargo xtask python --all` has them all.
            assert error.name is not None and not error.name.startswith("frostbert")
            continue
        for name in names.__all__:
            found = getattr(names, name)
            if inspect.isclass(found) and not issubclass(found, Exception):
                for method, plain in sorted(members(found).items()):
                    yield f"{module.name}.{name}.{method}", plain
            elif not inspect.isclass(found):
                yield f"{module.name}.{name}", found


def members(found: type) -> dict[str, Callable[..., Any]]:
    """Methods that a class has from this package, and how it is made."""
    methods = {}
    for name in dir(found):
        plain = inspect.getattr_static(found, name)
        plain = plain.__func__ if isinstance(plain, (classmethod, staticmethod)) else plain
        if any(getattr(base, name, None) is getattr(found, name) for base in found.__mro__[1:] if base.__name__ in frostbert.__all__):
            continue  # Comes unchanged from a public class, which has a case for it.
        ours = inspect.isfunction(plain) and (plain.__module__ == found.__module__ or plain.__module__.startswith("frostbert._"))
        if ours and (name == "__init__" or not name.startswith("_")):
            methods[name] = plain
    return methods


PUBLIC = dict(public())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """An object of each class."""
    import os

    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("wrong"))
    encoder = Encoder(MODEL, device="cpu")
    classifier = TextClassifier(encoder, folds=2, C=1.0, cache=False).fit(TEXTS, LABELS)
    classifier.save("right.safetensors")
    yield {
        "Encoder": encoder,
        "TextEmbedding": TextEmbedding(MODEL, device="cpu"),
        "FrostbertVectorizer": FrostbertVectorizer(encoder),
        "HeadClassifier": HeadClassifier().fit(ROWS, LABELS),
        "HeadRegressor": HeadRegressor().fit(ROWS, np.arange(12.0)),
        "TextClassifier": classifier,
        "Explanation": Explanation("a", ["a"], [(0, 1)], [[1.0, 0.0]], [0.0, 0.0], [1.0, 0.0], ["x", "y"], "x", 0.7, True, False),
    }
    os.chdir(before)


#: Right arguments of what needs any; what is made by them is used, where it only keeps them.
RIGHT: dict[str, dict[str, Any]] = {
    "bertopic.FrostbertBackend.__init__": {"model": MODEL, "device": "cpu"},
    "bertopic.FrostbertBackend.embed": {"documents": TEXTS},
    "encoder.Encoder.__init__": {"model": MODEL, "device": "cpu"},
    "encoder.Encoder.classify": {"texts": TEXTS},
    "encoder.Encoder.encode": {"inputs": TEXTS},
    "encoder.Encoder.encode_document": {"inputs": TEXTS},
    "encoder.Encoder.encode_query": {"inputs": TEXTS},
    "encoder.Encoder.encode_stream": {"inputs": TEXTS},
    "encoder.Encoder.fill_mask": {"texts": "the [MASK]"},
    "encoder.Encoder.get_embedding_dimension": {},
    "encoder.Encoder.get_sentence_embedding_dimension": {},
    "encoder.Encoder.next_sentence": {"first": "a", "second": "b"},
    "encoder.Encoder.rerank": {"query": "a", "documents": TEXTS},
    "encoder.Encoder.similarity": {"embeddings1": ROWS, "embeddings2": ROWS},
    "encoder.Encoder.tag": {"texts": TEXTS},
    "encoder.Encoder.tokens": {"texts": TEXTS},
    "encoder.Encoder.verify": {},
    "explanation.Explanation.__init__": {},
    "explanation.Explanation.top": {},
    "fastembed.TextEmbedding.__init__": {"model_name": MODEL, "device": "cpu"},
    "fastembed.TextEmbedding.embed": {"documents": TEXTS},
    "fastembed.TextEmbedding.passage_embed": {"texts": TEXTS},
    "fastembed.TextEmbedding.query_embed": {"query": TEXTS},
    "haystack.FrostbertDocumentEmbedder.__init__": {"model": MODEL, "device": "cpu"},
    "haystack.FrostbertDocumentEmbedder.from_dict": {"data": {}},
    "haystack.FrostbertDocumentEmbedder.run": {"documents": []},
    "haystack.FrostbertDocumentEmbedder.to_dict": {},
    "haystack.FrostbertDocumentEmbedder.warm_up": {},
    "haystack.FrostbertTextEmbedder.__init__": {"model": MODEL, "device": "cpu"},
    "haystack.FrostbertTextEmbedder.from_dict": {"data": {}},
    "haystack.FrostbertTextEmbedder.run": {"text": "a"},
    "haystack.FrostbertTextEmbedder.to_dict": {},
    "haystack.FrostbertTextEmbedder.warm_up": {},
    "keybert.FrostbertBackend.__init__": {"model": MODEL, "device": "cpu"},
    "keybert.FrostbertBackend.embed": {"documents": TEXTS},
    "langchain.FrostbertEmbeddings.__init__": {"model": MODEL, "device": "cpu"},
    "langchain.FrostbertEmbeddings.embed_documents": {"texts": TEXTS},
    "langchain.FrostbertEmbeddings.embed_query": {"text": "a"},
    "llama_index.FrostbertEmbedding.__init__": {"model": MODEL, "device": "cpu"},
    "llama_index.FrostbertEmbedding.class_name": {},
    "setfit.FrostbertBody.encode": {"inputs": TEXTS},
    "setfit.FrostbertBody.eval": {},
    "setfit.FrostbertBody.to": {},
    "sklearn.FrostbertVectorizer.__init__": {"model": MODEL, "device": "cpu", "cache": False},
    "sklearn.FrostbertVectorizer.fit": {"X": TEXTS},
    "sklearn.FrostbertVectorizer.fit_transform": {"X": TEXTS},
    "sklearn.FrostbertVectorizer.transform": {"X": TEXTS},
    "sklearn.HeadClassifier.__init__": {"folds": 2},
    "sklearn.HeadClassifier.decision_function": {"X": ROWS},
    "sklearn.HeadClassifier.fit": {"X": ROWS, "y": LABELS},
    "sklearn.HeadClassifier.predict": {"X": ROWS},
    "sklearn.HeadClassifier.predict_proba": {"X": ROWS},
    "sklearn.HeadClassifier.save": {"path": "head.safetensors"},
    "sklearn.HeadRegressor.__init__": {"folds": 2},
    "sklearn.HeadRegressor.fit": {"X": ROWS, "y": np.arange(12.0)},
    "sklearn.HeadRegressor.predict": {"X": ROWS},
    "sklearn.HeadRegressor.save": {"path": "head.safetensors"},
    "sklearn.TextClassifier.__init__": {"model": MODEL, "device": "cpu", "cache": False, "details": False, "folds": 2, "C": 1.0},
    "sklearn.TextClassifier.answers": {"X": TEXTS},
    "sklearn.TextClassifier.decision_function": {"X": TEXTS},
    "sklearn.TextClassifier.evaluate": {"X": TEXTS, "y": LABELS},
    "sklearn.TextClassifier.score": {"X": TEXTS, "y": LABELS},
    "sklearn.TextClassifier.explain": {"texts": TEXTS},
    "sklearn.TextClassifier.fit": {"X": TEXTS, "y": LABELS},
    "sklearn.TextClassifier.label_issues": {},
    "sklearn.TextClassifier.load": {"path": "right.safetensors", "model": MODEL, "device": "cpu"},
    "sklearn.TextClassifier.predict": {"X": TEXTS},
    "sklearn.TextClassifier.predict_proba": {"X": TEXTS},
    "sklearn.TextClassifier.report": {},
    "sklearn.TextClassifier.sample": {},
    "sklearn.TextClassifier.save": {"path": "head.safetensors"},
    "sklearn.TextClassifier.summary": {},
    "vectors.Clusters.__init__": {},
    "vectors.Drift.__init__": {},
    "vectors.DuplicateGroup.__init__": {},
    "vectors.Suggestion.__init__": {},
    "vectors.Word.__init__": {},
    "vectors.clusters": {"rows": ROWS, "count": 2},
    "vectors.drift": {"reference": MANY_ROWS, "new": MANY_ROWS},
    "vectors.duplicates": {"rows": ROWS},
    "vectors.nearest": {"queries": ROWS, "rows": ROWS},
    "vectors.suggest": {"rows": ROWS, "count": 2},
    "vectors.words": {"texts": TEXTS, "labels": [0, 1] * 6},
}
#: Arguments that scikit-learn's conventions want and that nothing is done with, and a record that is made by us alone.
IGNORED = {("fit", "y"), ("fit_transform", "y"), ("get_feature_names_out", "input_features")}


def test_every_public_function_is_here() -> None:
    assert len(PUBLIC) > 40
    missing = set(PUBLIC) - set(RIGHT)
    assert not missing, f"new functions: give right arguments for them in RIGHT: {sorted(missing)}"
    modules = {name.split(".")[0] for name in PUBLIC}
    gone = {name for name in RIGHT if name.split(".")[0] in modules} - set(PUBLIC)
    assert not gone, f"no such functions: {sorted(gone)}"


def call(name: str, made: dict[str, Any], arguments: dict[str, Any]) -> Any:
    """Calls it, and what it made where making only keeps what is given."""
    if name.count(".") == 1:
        return PUBLIC[name](**arguments)
    module, owner, method = name.split(".")
    kind = getattr(importlib.import_module(f"frostbert.{module}"), owner)
    if method != "__init__":
        if owner not in made:
            made[owner] = kind(MODEL, device="cpu")
        found = getattr(made[owner], method)(**arguments)
        return list(found) if inspect.isgenerator(found) else found
    new = kind(**arguments)
    if module == "sklearn":
        rows = ROWS if owner.startswith("Head") else TEXTS
        fitted = new.fit(rows, np.arange(12.0) if owner == "HeadRegressor" else LABELS)
        return (fitted.transform if hasattr(fitted, "transform") else fitted.predict)(rows)
    if module == "haystack":
        new.warm_up()
    return new


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_wrong_things(name: str, made: dict[str, Any]) -> None:
    if name == "explanation.Explanation.__init__" or (name.startswith("vectors.") and name.endswith("__init__")):
        return  # A record of what was found.
    right = RIGHT[name]
    method = name.split(".")[-1]
    troubles = []
    for parameter in list(inspect.signature(PUBLIC[name]).parameters.values()):
        if parameter.name in ("self", "cls") or parameter.kind is parameter.VAR_POSITIONAL:
            continue
        unknown = parameter.kind is parameter.VAR_KEYWORD
        given = "no_such_option" if unknown else parameter.name
        for wrong in WRONG:
            if unknown and method == "to":
                continue  # torch's arguments, which say where to
            try:
                call(name, made, right | {given: wrong})
            except FITTING as error:
                if not str(error) or "defect of frostbert" in str(error):
                    troubles.append(f"{given}={wrong!r}: {type(error).__name__}({error})")
            except BaseException as error:  # noqa: BLE001 - a panic is no Exception
                if given == "convert_to_tensor" and wrong is True and isinstance(error, ImportError):
                    continue  # There is no torch.
                if type(error).__name__ == "DeserializationError":
                    continue  # Haystack's own.
                troubles.append(f"{given}={wrong!r}: {type(error).__mro__[:2]} {error}")
            else:
                if wrong is WRONG[0] and (method, given) not in IGNORED or unknown:
                    troubles.append(f"{given}={wrong!r} was taken")
    assert not troubles, "\n".join(troubles)
    if method != "from_dict" and not name.startswith(("encoder.Encoder.classify", "encoder.Encoder.rerank", "encoder.Encoder.tag")):
        call(name, made, right)  # What was not wrong works on.
