"""The estimators: scikit-learn's own checks, and the command line's head bit for bit."""

from __future__ import annotations

import json
import pathlib
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import frostbert
from frostbert import Encoder, FrostbertVectorizer, HeadClassifier, HeadRegressor, TextClassifier


@parametrize_with_checks([
    HeadClassifier(), HeadClassifier(class_weight="balanced"), HeadRegressor(),
    HeadClassifier(standardize=True), HeadClassifier(standardize=True, class_weight="balanced"), HeadRegressor(standardize=True),
])
def test_scikit_learns_checks(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def rows(encoder: Encoder, reviews) -> tuple[np.ndarray, np.ndarray]:
    texts, labels = reviews
    return encoder.encode(texts), np.array(labels)


@pytest.mark.parametrize("C", [0.1, 1.0, 30.0])
def test_the_optimum_is_that_of_scikit_learn(rows, C: float) -> None:
    X, y = rows
    ours, theirs = HeadClassifier(C=C).fit(X, y), LogisticRegression(C=C, tol=1e-10, max_iter=10_000).fit(X.astype(float), y)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-4 * np.abs(theirs.coef_).max())
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-4)
    numbers = np.arange(len(y), dtype=float)
    ridge = Ridge(alpha=1 / C).fit(X.astype(float), numbers)
    np.testing.assert_allclose(HeadRegressor(C=C).fit(X, numbers).predict(X), ridge.predict(X), rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("kind", ["linear", "elastic", "mlp", "centroid", "neighbours", "auto"])
def test_every_kind_learns_and_pickles(rows, kind: str, tmp_path: pathlib.Path) -> None:
    X, y = rows
    head = HeadClassifier(kind, C="auto" if kind == "auto" else 1.0, mlp={"epochs": 40, "hidden": [16]} if kind == "mlp" else None).fit(X, y)
    assert head.score(X, y) > (0.5 if kind == "mlp" else 0.6)
    assert np.array_equal(pickle.loads(pickle.dumps(head)).predict_proba(X), head.predict_proba(X))
    head.save(tmp_path / "head.safetensors")


def test_wrong_options_are_told(rows) -> None:
    X, y = rows
    for options in (
        {"kind": "forest"}, {"C": -1}, {"C": "much"}, {"C": True}, {"calibrate": "isotonic"}, {"mlp": {"epochs": 3}},
        {"kind": "mlp", "mlp": {"depth": 3}}, {"kind": "elastic", "l1_ratio": 2}, {"kind": "neighbours", "n_neighbors": 0},
        {"class_weight": "heavy"}, {"select_by": "luck"}, {"tol": 0}, {"C": "auto", "folds": 1}, {"C": float("nan")},
    ):
        with pytest.raises(ValueError):
            HeadClassifier(**options).fit(X, y)
    for wrong in (np.full(len(y), "a"), [None] * len(y), y[:-1], np.linspace(0, 1, len(y)), np.where(np.arange(len(y)) % 2, np.nan, 1.0)):
        with pytest.raises((ValueError, TypeError)):
            HeadClassifier().fit(X, wrong)
    with pytest.raises(ValueError):
        HeadClassifier().fit(X[:4], np.array([1, "1", 1, "1"], object))


def test_the_vectorizer_takes_every_container_and_keeps_bits(model: str, reviews) -> None:
    import pandas
    import polars
    import pyarrow

    texts, _ = reviews
    texts = texts[:6]
    vectorizer = FrostbertVectorizer(model, device="cpu")
    rows = vectorizer.fit_transform(texts)
    assert rows.dtype == np.float32 and rows.shape == (6, 384)
    for column in (tuple(texts), np.array(texts), np.array(texts, object), np.array(texts, object)[:, None], pandas.Series(texts),
                   pandas.DataFrame({"t": texts}), polars.Series(texts), polars.DataFrame({"t": texts}), pyarrow.array(texts)):
        assert np.array_equal(vectorizer.transform(column), rows), type(column)
    assert np.array_equal(vectorizer.transform(texts[::-1])[::-1], rows), "whatever the order"
    assert np.array_equal(np.vstack([vectorizer.transform([text]) for text in texts]), rows), "whatever the batch"
    assert np.array_equal(vectorizer.fit(texts).fit(texts[:1]).transform(texts), rows), "fitting learns nothing"
    again = pickle.loads(pickle.dumps(clone(vectorizer).set_params(layers=[3])))
    assert again.get_params()["layers"] == [3] and not np.array_equal(again.transform(texts), rows)
    for wrong in (None, "one text", [], [None], [3], {"a": 1}, np.zeros((3, 2))):
        with pytest.raises((ValueError, TypeError)):
            vectorizer.transform(wrong)
        with pytest.raises((ValueError, TypeError)):
            vectorizer.fit(wrong) if wrong not in ([None], [3]) else vectorizer.fit_transform(wrong)


def test_set_output_and_column_transformer(model: str, reviews) -> None:
    import pandas

    texts, labels = reviews
    frame = pandas.DataFrame({"text": texts, "length": [float(len(text)) for text in texts]})
    vectorizer = FrostbertVectorizer(model, device="cpu", truncate_dim=8)
    named = vectorizer.set_output(transform="pandas").fit_transform(frame["text"])
    assert list(named.columns[:2]) == ["frostbertvectorizer0", "frostbertvectorizer1"] and named.shape == (200, 8)
    polars = clone(vectorizer).set_output(transform="polars").fit_transform(texts)
    assert polars.shape == (200, 8) and type(polars).__module__.startswith("polars")
    columns = ColumnTransformer([("text", clone(vectorizer).set_output(transform="default"), "text"), ("rest", "passthrough", ["length"])])
    assert make_pipeline(columns, HeadClassifier()).fit(frame, labels).predict(frame).shape == (200,)


def test_cross_validation_never_embeds_a_text_twice(model: str, reviews, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = reviews
    texts = [f"{text} (for the grid)" for text in texts]
    computed = []
    embed = Encoder._embed

    def counted(self, texts, options, *rest, **named):
        native = self._engine()
        computed.append(json.loads(native.embed(texts, json.dumps(options), None, True, None)[3]))
        return embed(self, texts, options, *rest, **named)

    monkeypatch.setattr(Encoder, "_embed", counted)
    pipeline = make_pipeline(FrostbertVectorizer(model, device="cpu"), HeadClassifier())
    search = GridSearchCV(pipeline, {"headclassifier__C": [0.1, 1.0]}, cv=3).fit(texts, labels)
    assert search.best_score_ > 0.6
    read = sum(report["from_cache"] for report in computed)
    assert read >= len(texts) * 5
    tokens = [report["tokens"] for report in computed]
    first = [report for report in computed if report["tokens"]]
    assert len(first) == 2, f"two passes bring all of three folds into the cache, {tokens}"


def test_joblib_processes(model: str, reviews) -> None:
    texts, labels = reviews
    scores = cross_val_score(TextClassifier(model, device="cpu", details=False, C=1.0), texts[::4], labels[::4], cv=2, n_jobs=2)
    assert scores.shape == (2,) and np.isfinite(scores).all()


@pytest.fixture(scope="module")
def classifier(model: str, reviews) -> TextClassifier:
    texts, labels = reviews
    return TextClassifier(model, device="cpu", folds=3, random_state=7).fit(texts, labels)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, []),
        ({"calibrate": "temperature", "folds": 3, "test_fraction": 0.25, "random_state": 5, "class_weight": "balanced"},
         ["--calibrate", "temperature", "--folds", "3", "--test-fraction", "0.25", "--seed", "5", "--class-weight", "balanced"]),
        ({"kind": "mlp", "mlp": {"epochs": 2, "hidden": [8]}, "folds": 2}, ["--head", "mlp", "--epochs", "2", "--hidden", "8", "--folds", "2"]),
        ({"layers": "auto", "folds": 2, "C": 1.0}, ["--layers", "auto", "--folds", "2", "--c", "1"]),
        ({"layers": [4, 6], "pooling": ["cls", "mean"], "normalize": True}, ["--layers", "4,6", "--pooling", "cls,mean", "--normalize"]),
    ],
)
def test_a_head_is_the_command_lines_bit_for_bit(
    model: str, reviews, cli, tmp_path: pathlib.Path, options: dict, words: list[str]
) -> None:
    import pandas

    texts, labels = (rows[::2] for rows in reviews)
    pandas.DataFrame({"text": texts, "label": labels}).to_csv(tmp_path / "reviews.csv", index=False)
    if "--test-fraction" not in words:
        words = [*words, "--test-fraction", "0"]
    cli("train", "--model", model, "--device", "cpu", str(tmp_path / "reviews.csv"), "--text-column", "text", "--label-column", "label",
        "--out", str(tmp_path / "there.safetensors"), "--no-baselines", *words)
    TextClassifier(model, device="cpu", details=False, **options).fit(texts, [int(label) for label in labels]).save(tmp_path / "here.safetensors")
    assert (tmp_path / "here.safetensors").read_bytes() == (tmp_path / "there.safetensors").read_bytes()


def test_text_classifier(classifier: TextClassifier, reviews, cli, tmp_path: pathlib.Path) -> None:
    texts, labels = reviews
    assert list(classifier.classes_) == ["0", "1"] and classifier.score(texts, labels) > 0.7
    p = classifier.predict_proba(texts[:9])
    assert p.shape == (9, 2)
    np.testing.assert_allclose(p.sum(1), 1)
    assert np.array_equal(classifier.decision_function(texts[:9]) > 0, classifier.predict(texts[:9]) == "1")
    measured = classifier.evaluate(texts, labels)
    assert abs(json.dumps(measured).count("accuracy")) > 0
    explained = classifier.explain("An unexpected joy.")
    total = np.array(explained.base) + np.array(explained.shares).sum(0)
    np.testing.assert_allclose(total, explained.logits, atol=1e-6)
    assert explained.tokens[0] == "[CLS]" and len(explained.top(2)) == 2 and "joy" in explained._repr_html_()
    head = tmp_path / "head.safetensors"
    classifier.save(head)
    loaded = TextClassifier.load(head, device="cpu")
    assert np.array_equal(loaded.predict_proba(texts[:9]), p)
    assert np.array_equal(pickle.loads(pickle.dumps(classifier)).predict_proba(texts[:9]), p)
    there = cli("predict", "--head", str(head), "--device", "cpu", "--text", texts[0], "--json")
    assert json.loads(there)["probabilities"] == dict(zip(["0", "1"], p[0].tolist(), strict=True))
    classifier.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>") and page == classifier.report()
    assert "<iframe" in classifier._repr_mimebundle_()["text/html"]
    assert "accuracy" in classifier.summary().lower() and classifier.label_issues().startswith("row,label")
    with pytest.raises(ValueError, match="not in pickles"):
        loaded.report()


def test_labels_of_every_kind(model: str, reviews) -> None:
    import pandas

    texts, labels = reviews
    texts, labels = texts[::4], labels[::4]
    fit = lambda y, **options: TextClassifier(model, device="cpu", folds=2, C=1.0, details=False, **options).fit(texts, y)
    assert fit([int(label) for label in labels]).predict(texts[:2]).dtype.kind == "i"
    assert fit([label == "1" for label in labels]).classes_.dtype == bool
    assert fit(pandas.Series(labels, dtype="category")).predict(texts[:1])[0] in ("0", "1")
    numbered = fit([["10", "9", "2"][at % 3] for at in range(len(texts))])
    assert list(numbered.classes_) == ["10", "2", "9"]
    assert np.array_equal(numbered.classes_[numbered.predict_proba(texts).argmax(1)], numbered.predict(texts))
    many = fit([["long"] * (len(text) > 100) + ["good"] * (label == "1") for text, label in zip(texts, labels, strict=True)])
    assert set(sum(many.predict(texts), [])) <= {"long", "good"} and many.predict_proba(texts).shape == (len(texts), 2)
    marks = np.array([[len(text) > 100, label == "1"] for text, label in zip(texts, labels, strict=True)], int)
    indicator = fit(marks, label_names=["long", "good"])
    assert np.array_equal(indicator.predict_proba(texts), many.predict_proba(texts)[:, ::-1])
    assert list(indicator.classes_) == ["long", "good"] and list(many.classes_) == ["good", "long"]
    assert many.score(texts, many.predict(texts)) == indicator.score(texts, indicator.predict(texts)) == 1.0
    assert many.score(texts[:1], [["elsewhere"]]) == 0.0
    # One label a row tells nothing of the others, and all are measured.
    assert many.evaluate(texts[:1], [["good"]])["rows"] == indicator.evaluate(texts[:1], marks[:1])["rows"] == 1
    for wrong in (None, labels[:-1], [None] * len(labels), [float("nan")] * len(labels), ["a"] * len(labels),
                  [0.5] * len(labels), [1, "1"] * (len(labels) // 2), marks + 1):
        with pytest.raises(ValueError):
            fit(wrong)
    with pytest.raises(ValueError, match="groups"):
        TextClassifier(model, device="cpu").fit(texts, labels, groups=[1])
    for weights in ([1.0], np.full(len(labels), np.nan), -np.ones(len(labels))):
        with pytest.raises(ValueError):
            TextClassifier(model, device="cpu").fit(texts, labels, sample_weight=weights)


def test_a_classifier_starts_from_words(model: str, reviews, cli, tmp_path: pathlib.Path) -> None:
    import pandas

    texts, labels = (rows[::4] for rows in reviews)
    words = {"0": "A terrible, boring film.", "1": ["A wonderful film.", "I liked it."]}
    described = lambda **options: TextClassifier(model, device="cpu", folds=3, details=False, describe=words, **options)
    nothing = described().fit(texts)
    assert list(nothing.classes_) == ["0", "1"] and nothing.predict_proba(texts).shape == (len(texts), 2)
    some = [label if at % 2 else None for at, label in enumerate(labels)]
    partly = described(keep_sample=25).fit(texts, some)
    assert partly.record_["words"]["unlabelled"] == some.count(None)
    partly.save(tmp_path / "here.safetensors")
    pandas.DataFrame({"text": texts, "label": some}).to_csv(tmp_path / "some.csv", index=False)
    cli("train", "--model", model, "--device", "cpu", "--folds", "3", "--no-baselines", "--keep-sample", "25",
        "--describe", f"0={words['0']}", "--describe", f"1={words['1'][0]}", "--describe", f"1={words['1'][1]}",
        "--label-column", "label", "--out", str(tmp_path / "there.safetensors"), str(tmp_path / "some.csv"))
    assert (tmp_path / "here.safetensors").read_bytes() == (tmp_path / "there.safetensors").read_bytes()
    with pytest.raises(frostbert.InputError, match="do not go with descriptions"):
        described().fit(texts, labels, sample_weight=np.ones(len(texts)))
    for wrong in ({}, {"a": ""}, {"a": 3}, "a"):
        with pytest.raises(TypeError, match="describe"):
            TextClassifier(model, device="cpu", describe=wrong).fit(texts)
    with pytest.raises(frostbert.InputError, match="two classes"):
        TextClassifier(model, device="cpu", describe={"a": "A film."}).fit(texts)


def test_what_is_not_fitted_or_not_there(model: str, tmp_path: pathlib.Path, classifier: TextClassifier) -> None:
    from sklearn.exceptions import NotFittedError

    for call in ("predict", "predict_proba", "explain", "report", "save", "summary"):
        with pytest.raises(NotFittedError):
            getattr(TextClassifier(model), call)(["x"])
    with pytest.raises(frostbert.ModelError):
        TextClassifier.load(tmp_path / "nothing.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    with pytest.raises(frostbert.FrostbertError):
        TextClassifier.load(tmp_path / "damaged.safetensors")
    classifier.save(tmp_path / "head.safetensors")
    golden = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/goldens/bert-act-relu"
    with pytest.raises(ValueError, match="layer 6"):
        TextClassifier.load(tmp_path / "head.safetensors", model=golden, device="cpu")
    with pytest.raises(TypeError):
        TextClassifier(3).fit(["a", "b"], [0, 1])
    with pytest.raises(frostbert.FrostbertError):
        classifier.save(tmp_path / "no" / "folder" / "head.safetensors")


def test_what_training_has_to_say_is_said(model: str) -> None:
    texts = [f"word {at} " * 200 for at in range(20)]
    with pytest.warns() as said:
        TextClassifier(model, device="cpu", folds=2).fit(texts, [0, 1] * 10)
    kinds = {warning.category for warning in said}
    assert frostbert.TruncationWarning in kinds, kinds
    assert any("fewer than 20" in str(warning.message) for warning in said)
    assert {warning.filename for warning in said} == {__file__}


def test_an_indicator_matrix_comes_back_as_one(model: str) -> None:
    from sklearn.metrics import f1_score

    texts = ["a fine film", "a dull and long one", "a fine and long film", "a dull one"] * 6
    marks = np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 6)
    classifier = TextClassifier(model, device="cpu", label_names=["good", "long"], folds=2)
    with pytest.warns(UserWarning):
        found = classifier.fit(texts, marks).predict(texts)
    assert found.shape == marks.shape and found.dtype.kind == "i"
    assert f1_score(marks, found, average="micro") > 0.8
    assert 0.0 <= classifier.score(texts, marks) <= 1.0
    polars = pytest.importorskip("polars")
    with pytest.warns(UserWarning):
        table = TextClassifier(model, device="cpu", folds=2).fit(texts, polars.DataFrame({"good": marks[:, 0], "long": marks[:, 1]}))
    assert np.array_equal(table.predict(texts), found)


@pytest.mark.parametrize("labels", [[0, 1.0], [True, 2], ["a", 1]])
def test_labels_are_of_one_type(model: str, labels: list[object]) -> None:
    with pytest.raises(ValueError, match="different types"):
        TextClassifier(model, device="cpu").fit(["a", "b"] * 10, labels * 10)


def test_texts_that_come_once(model: str) -> None:
    texts = ["a text", "and another."]
    rows = FrostbertVectorizer(model, device="cpu").fit_transform(text for text in texts)
    assert np.array_equal(rows, FrostbertVectorizer(model, device="cpu").fit_transform(texts))


def test_columns_of_several_labels_are_those_of_y(model: str, reviews) -> None:
    import pandas
    from scipy.sparse import csr_array
    from sklearn.metrics import roc_auc_score
    texts, labels = (rows[::4] for rows in reviews)
    liked = np.array([label == "1" for label in labels], int)
    y = pandas.DataFrame({"z": liked, "a": 1 - liked, "never": 0 * liked})
    classifier = lambda: TextClassifier(model, device="cpu", folds=2, C=1.0, details=False)
    found = classifier().fit(texts, y)
    assert list(found.classes_) == ["z", "a", "never"]
    p = found.predict_proba(texts)
    assert p.shape == (len(texts), 3) and not p[:, 2].any() and not found.predict(texts)[:, 2].any()
    assert roc_auc_score(y[["z", "a"]], p[:, :2]) > 0.9
    assert np.array_equal(found.decision_function(texts)[:, :2] > 0, p[:, :2] > 0.5)
    assert cross_val_score(classifier(), np.array(texts), y[["z", "a"]], cv=KFold(2, shuffle=True, random_state=0), scoring="roc_auc").min() > 0.6
    sparse = csr_array(y.to_numpy())
    assert np.array_equal(classifier().fit(texts, sparse).predict(texts), classifier().fit(texts, y.to_numpy()).predict(texts))
    with pytest.raises(ValueError, match="names of their own"):
        classifier().fit(texts, pandas.DataFrame(y.to_numpy(), columns=["a", "a", "b"]))


def test_labels_in_lists(model: str, reviews) -> None:
    texts, labels = (rows[::4] for rows in reviews)
    classifier = lambda: TextClassifier(model, device="cpu", folds=2, C=1.0, details=False)
    sets = [[7] * (len(text) > 100) + [int(label)] for text, label in zip(texts, labels, strict=True)]
    numbers = classifier().fit(texts, sets)
    assert set(sum(numbers.predict(texts), [])) <= {0, 1, 7} and numbers.classes_.dtype.kind == "i"
    assert numbers.evaluate(texts, sets)["rows"] == len(texts)
    for wrong in ([[None, "a"]], [["a", float("nan")]], [["a", 1]], [["a\0"]]):
        with pytest.raises(frostbert.InputError, match="row 0"):
            classifier().fit(texts[:1] * len(texts), wrong * len(texts))
    with pytest.raises(frostbert.InputError, match="any number of labels"):
        numbers.evaluate(texts[:1], [7])
    # A word is a label, whatever it is.
    assert list(classifier().fit(texts, ["NaT" if label == "1" else "<NA>" for label in labels]).classes_) == ["<NA>", "NaT"]


def test_data_frames_keep_their_rows(model: str) -> None:
    import pandas
    from sklearn.preprocessing import StandardScaler

    encoder = frostbert.Encoder(model, device="cpu")
    frame = pandas.DataFrame({"t": ["a", "b", "c"], "n": [1.0, 2.0, 3.0]}, index=[17, 6, 13])
    vectorizer = FrostbertVectorizer(encoder).set_output(transform="pandas")
    assert list(vectorizer.fit_transform(frame["t"]).index) == list(vectorizer.transform(frame["t"]).index) == [17, 6, 13]
    both = ColumnTransformer([("t", FrostbertVectorizer(encoder), "t"), ("n", StandardScaler(), ["n"])])
    assert both.set_output(transform="pandas").fit_transform(frame).shape == (3, 385)
    other = FrostbertVectorizer(model, device="cpu", truncate_dim=5).set_output(transform="pandas")
    assert other.transform(["a"]).shape == (1, 5)
    assert other.set_params(truncate_dim=7).transform(["a"]).shape == (1, 7)


def test_an_encoders_own_options_count_and_others_are_refused(model: str, reviews, tmp_path: pathlib.Path) -> None:
    texts, labels = (rows[::4] for rows in reviews)
    encoder = frostbert.Encoder(model, device="cpu", truncate="error")
    for options in ({"layers": [2]}, {"pooling": "cls"}, {"max_tokens": 9}, {"device": "gpu"}):
        with pytest.raises(frostbert.InputError, match=next(iter(options))):
            FrostbertVectorizer(encoder, **options).transform(["a"])
        with pytest.raises(frostbert.InputError, match=next(iter(options))):
            TextClassifier(encoder, **options).fit(texts, labels)
    fitted = TextClassifier(encoder, folds=2, C=1.0, details=False).fit(texts, labels)
    long = "word " * 1000
    with pytest.raises(frostbert.InputError, match="tokens"):
        fitted.predict([long])
    fitted.save(tmp_path / "head.safetensors")
    load = lambda **options: TextClassifier.load(tmp_path / "head.safetensors", device="cpu", **options)
    with pytest.raises(frostbert.InputError, match="tokens"):
        load(truncate="error").predict([long])
    with pytest.warns(frostbert.TruncationWarning):
        warned = load().predict_proba([long])
    assert np.array_equal(load(truncate="cut").predict_proba([long]), warned)
    for options in ({"layers": [2]}, {"max_tokens": 9}, {"normalize": True}, {"truncate": "window"}):
        with pytest.raises(frostbert.InputError, match="head's file"):
            load(**options)


def test_coefficients_are_those_of_the_answers() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 5)).astype(np.float32)
    for y in (X[:, 0] + rng.normal(size=90) > 0, (X[:, 0] * 2).round().clip(-1, 1)):
        for calibrate in (None, "temperature", "vector"):
            head = HeadClassifier(calibrate=calibrate, folds=3).fit(X, y)
            expected = X @ head.coef_.T + head.intercept_
            found = head.decision_function(X)
            # Of several classes one row of logits is as good as the same row shifted.
            shift = 0 if found.ndim == 1 else (found - expected).mean(1, keepdims=True)
            assert np.allclose(expected.reshape(found.shape) + shift, found, atol=1e-5)
    for calibrate in (None, "temperature", "vector"):
        head = HeadRegressor(calibrate=calibrate, C=0.01, folds=3).fit(X, X[:, 0])
        assert np.allclose(X @ head.coef_ + head.intercept_, head.predict(X), atol=1e-5)


def test_options_that_are_none_are_said_in_pythons_words() -> None:
    X, y = np.eye(6, dtype=np.float32), [0, 1] * 3
    for options in ({"C": np.inf}, {"tol": np.nan}, {"kind": "elastic", "l1_ratio": np.nan}):
        with pytest.raises(frostbert.InputError, match="finite"):
            HeadClassifier(**options).fit(X, y)
    assert HeadClassifier("mlp", mlp={"hidden": 4, "batch": np.int64(2), "epochs": 1}).fit(X, y).predict(X).shape == (6,)
    for mlp in ({"hidden": "many"}, {"hidden": [10**9]}, {"hidden": [20_000]}, {"epochs": 0}, {"dropout": np.inf}):
        with pytest.raises(frostbert.InputError, match="MLP|mlp"):
            HeadClassifier("mlp", mlp=mlp).fit(X, y)


def test_a_pickle_finds_its_folder_again(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    golden = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/goldens/sentence-mean"
    shutil.copytree(golden, tmp_path / "here")
    monkeypatch.chdir(tmp_path)
    kept = pickle.dumps(FrostbertVectorizer("here", device="cpu"))
    monkeypatch.chdir("/")
    assert len(pickle.loads(kept).transform(["the fox"])) == 1
