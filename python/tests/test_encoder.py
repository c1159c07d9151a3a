"""The encoder: sentence-transformers' shapes, the command line's bits, and what goes wrong."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import pathlib
import pickle
import signal
import subprocess
import sys
import threading
import time
import warnings

import numpy as np
import pytest

import frostbert
from frostbert import Encoder

TEXTS = ["A fine film.", "Dull.", "Somewhat longer than the others, with a comma.", "🦊 ünïcode"]


def test_version_and_names() -> None:
    assert frostbert.__version__ == "0.1.0"
    for name in frostbert.__all__:
        assert getattr(frostbert, name) is not None
    with pytest.raises(AttributeError):
        frostbert.nothing  # noqa: B018


def test_shapes_are_those_of_sentence_transformers(encoder: Encoder) -> None:
    rows = encoder.encode(TEXTS)
    assert rows.shape == (4, 384) and rows.dtype == np.float32 and rows.flags.c_contiguous
    one = encoder.encode(TEXTS[0])
    assert one.shape == (384,) and np.array_equal(one, rows[0])
    assert encoder.encode([]).shape == (0, 384)
    assert isinstance(encoder.encode(TEXTS, convert_to_numpy=False), list)
    assert encoder.get_embedding_dimension() == encoder.get_sentence_embedding_dimension() == 384
    tokens = encoder.encode(TEXTS[:2], output_value="token_embeddings")
    assert [row.shape for row in tokens] == [(6, 384), (4, 384)]


def test_a_text_has_the_same_bits_alone_in_any_batch_and_any_container(encoder: Encoder) -> None:
    rows = encoder.encode(TEXTS)
    assert np.array_equal(encoder.encode(TEXTS[::-1])[::-1], rows)
    assert np.array_equal(encoder.encode(tuple(TEXTS), batch_size=1), rows)
    assert np.array_equal(encoder.encode(np.array(TEXTS)), rows)
    assert np.array_equal(encoder.encode(np.array(TEXTS, object)[:, None]), rows)
    assert np.array_equal(np.concatenate(list(encoder.encode_stream(iter(TEXTS), chunk_texts=3))), rows)


def test_columns_of_tables(encoder: Encoder) -> None:
    rows = encoder.encode(TEXTS)
    pandas, polars, pyarrow = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    frame = pandas.DataFrame({"text": TEXTS}, index=[7, 3, 9, 1])
    for column in (frame["text"], frame, polars.Series(TEXTS), polars.DataFrame({"text": TEXTS}), pyarrow.array(TEXTS), pyarrow.table({"text": TEXTS})):
        assert np.array_equal(np.concatenate(list(encoder.encode_stream(column, chunk_texts=3))), rows)
    for column in (frame["text"], frame, polars.Series(TEXTS), polars.DataFrame({"text": TEXTS}), pyarrow.array(TEXTS),
                   pyarrow.chunked_array([TEXTS[:1], TEXTS[1:]]), pyarrow.table({"text": TEXTS})):
        assert np.array_equal(encoder.encode(column), rows), type(column)
    with pytest.raises(ValueError, match="one column"):
        encoder.encode(pandas.DataFrame({"a": TEXTS, "b": TEXTS}))


def test_results_are_the_command_lines(encoder: Encoder, model: str, cli, tmp_path: pathlib.Path) -> None:
    texts = tmp_path / "texts.csv"
    texts.write_text("text\n" + "\n".join(f'"{text}"' for text in TEXTS), encoding="utf-8")
    for options, arguments in (
        ({}, {}),
        ({"layers": [2, 5], "pooling": ["cls", "max"], "max_tokens": 8, "truncate": "cut"}, {}),
        ({"layers": "-2", "layer_mix": "mean"}, {"truncate_dim": 64, "normalize_embeddings": True}),
    ):
        words = []
        for name, value in (options | arguments).items():
            name = {"truncate_dim": "dimensions", "normalize_embeddings": "normalize"}.get(name, name)
            words.append("--" + name.replace("_", "-"))
            if value is not True:
                words[-1] += "=" + (",".join(map(str, value)) if isinstance(value, list) else str(value))
        out = tmp_path / "rows.npy"
        out.unlink(missing_ok=True)
        cli("embed", "--model", model, "--device", "cpu", str(texts), "--out", str(out), *words)
        there = np.load(out)
        here = Encoder(model, device="cpu", **options).encode(TEXTS, **arguments)
        assert here.tobytes() == there.tobytes(), (options, arguments)


def test_precisions(encoder: Encoder) -> None:
    rows = encoder.encode(TEXTS)
    assert np.array_equal(encoder.encode(TEXTS, precision="float16"), rows.astype(np.float16))
    bits = encoder.encode(TEXTS, precision="ubinary")
    assert bits.dtype == np.uint8 and np.array_equal(bits, np.packbits(rows > 0, axis=1))
    signed = encoder.encode(TEXTS, precision="binary")
    assert signed.dtype == np.int8 and np.array_equal(signed.astype(int) + 128, bits)
    low, high = rows.min(0), rows.max(0)
    steps = (high - low) / 255
    expected = np.floor((rows - low) / steps).clip(0, 255)
    assert np.array_equal(encoder.encode(TEXTS, precision="uint8"), expected.astype(np.uint8))
    assert np.array_equal(encoder.encode(TEXTS, precision="int8"), (expected - 128).astype(np.int8))
    for precision in ("int8", "uint8"):
        assert encoder.encode([], precision=precision).shape == (0, 384)
        for one in (TEXTS[0], TEXTS[:1]):
            with pytest.raises(ValueError, match="one text has none"):
                encoder.encode(one, precision=precision)


def test_truncate_dim_and_normalizing(encoder: Encoder, golden) -> None:
    rows = encoder.encode(TEXTS)
    cut = encoder.encode(TEXTS, truncate_dim=10)
    assert np.array_equal(cut, rows[:, :10]), "cut after the model, as sentence-transformers does"
    scaled = encoder.encode(TEXTS, truncate_dim=10, normalize_embeddings=True)
    np.testing.assert_allclose(scaled, cut / np.linalg.norm(cut, axis=1, keepdims=True), atol=1e-6)
    small = Encoder(encoder.model, device="cpu", truncate_dim=10)
    assert small.get_embedding_dimension() == 10 and np.array_equal(small.encode(TEXTS), cut)


def test_prompts(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="has no prompt 'none'|has no prompt \"none\""):
        encoder.encode(TEXTS, prompt_name="none")
    prompted = encoder.encode("film", prompt="query: ")
    assert np.array_equal(prompted, encoder.encode("query: film"))
    assert np.array_equal(encoder.encode_query(TEXTS), encoder.encode(TEXTS))
    assert np.array_equal(encoder.encode_document(TEXTS[0]), encoder.encode(TEXTS[0]))


def test_similarity(encoder: Encoder) -> None:
    rows = encoder.encode(["A cat sat down.", "A kitten was sitting.", "Share prices rose."])
    table = encoder.similarity(rows, rows)
    assert table.shape == (3, 3) and table[0, 1] > table[0, 2]
    np.testing.assert_allclose(np.diag(table), 1, atol=1e-6)
    with pytest.raises(ValueError, match="columns"):
        encoder.similarity(rows, rows[:, :3])


def test_tokens(encoder: Encoder) -> None:
    row = encoder.tokens("Hello world", layers=[0, -1], attentions=[5])
    assert row["tokens"] == ["[CLS]", "hello", "world", "[SEP]"]
    assert [state.shape for state in row["hidden_states"]] == [(4, 384)] * 2
    assert row["attentions"][0].shape == (12, 4, 4)
    np.testing.assert_allclose(row["attentions"][0].sum(-1), 1, atol=1e-5)
    mean = row["hidden_states"][1].mean(0)
    np.testing.assert_allclose(mean / np.linalg.norm(mean), encoder.encode("Hello world"), atol=1e-5)
    with pytest.raises(ValueError, match="0 to 6"):
        encoder.tokens("x", layers=[7])


def test_pretrained_heads(golden) -> None:
    both = Encoder(golden("bert-pretraining"), device="cpu")
    masks = both.fill_mask("the [MASK] of", top_k=3)
    assert len(masks) == 1 and len(masks[0]) == 3 and masks[0][0]["score"] >= masks[0][1]["score"]
    assert 0 <= both.next_sentence("a b", "c d") <= 1
    assert both.next_sentence(["a", "b"], ["c", "d"]).shape == (2,)
    with pytest.raises(frostbert.ModelError, match="no sequence classification head"):
        both.classify("x")
    single = Encoder(golden("bert-sequence-single-label"), device="cpu")
    answer = single.classify("a text")
    assert answer["score"] == max(answer["scores"].values()) and abs(sum(answer["scores"].values()) - 1) < 1e-5
    ranked = single.rerank("a query", ["one text", "another", "a third"], top_k=2)
    assert len(ranked) == 2 and ranked[0]["logit"] >= ranked[1]["logit"]
    text = "über all das hinaus"
    for entity in Encoder(golden("bert-token-classification"), device="cpu").tag(text, "none"):
        assert text[entity["start"] : entity["end"]] == entity["text"]


def test_verify(encoder: Encoder, golden) -> None:
    assert all(row["holds"] for row in encoder.verify())
    compared = encoder.verify(golden("bert-act-relu"))
    assert compared and all(row["holds"] for row in compared)


def test_the_software_adapter_agrees(model: str) -> None:
    from conftest import not_tested

    try:
        software = Encoder(model, device="software")
    except frostbert.DeviceError as error:
        not_tested(f"the encoder on a software adapter: {error}")
    assert software.device["backend"] != "cpu"
    assert all(row["holds"] for row in software.verify())


def test_cut_texts_are_said_to_be_cut(encoder: Encoder) -> None:
    long = "word " * 1000
    with pytest.warns(frostbert.TruncationWarning, match="1 of 2 texts"):
        encoder.encode([long, "short"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Encoder(encoder.model, device="cpu", truncate="cut").encode(long)
    with pytest.raises(ValueError, match="tokens"):
        Encoder(encoder.model, device="cpu", truncate="error").encode(["short", long])
    windows = Encoder(encoder.model, device="cpu", truncate="window").encode(long)
    assert windows.shape == (384,)


def test_pickles_and_copies_hold_options_alone(encoder: Encoder) -> None:
    other = Encoder(encoder.model, device="cpu", layers=[3])
    rows = other.encode(TEXTS)
    bytes_ = pickle.dumps(other)
    assert len(bytes_) < 2000
    assert np.array_equal(pickle.loads(bytes_).encode(TEXTS), rows)
    assert copy.deepcopy(other) is other


def test_threads_share_an_encoder(encoder: Encoder) -> None:
    rows, found = encoder.encode(TEXTS), [None] * 4

    def run(at: int) -> None:
        found[at] = encoder.encode(TEXTS)

    threads = [threading.Thread(target=run, args=(at,)) for at in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(each, rows) for each in found)


def test_the_gil_is_given_up(encoder: Encoder) -> None:
    ticks, done = [], threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = len(ticks)
    encoder.encode([f"A text of some words, number {n}." for n in range(400)])
    counted = len(ticks) - start
    done.set()
    thread.join()
    assert counted > 5


def _child(encoder: Encoder, queue) -> None:
    queue.put(encoder.encode(TEXTS))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_other_processes_open_the_device_anew(encoder: Encoder, method: str) -> None:
    rows = encoder.encode(TEXTS)
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    child = context.Process(target=_child, args=(encoder, queue))
    child.start()
    found = queue.get(timeout=120)
    child.join(timeout=60)
    assert child.exitcode == 0
    assert np.array_equal(found, rows)
    assert np.array_equal(encoder.encode(TEXTS), rows), "the parent's works on"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_stops_within_a_batch(model: str) -> None:
    code = f"""
import frostbert, sys
encoder = frostbert.Encoder({model!r}, device="cpu", batch_tokens=512)
encoder.encode("warm")
print("ready", flush=True)
try:
    encoder.encode(["many words in a text of its own " * 10 + str(n) for n in range(100_000)])
except KeyboardInterrupt:
    print("stopped", flush=True)
    assert encoder.encode("goes on").shape == (384,)
    sys.exit(7)
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None and child.stdout.readline() == "ready\n"
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert (child.returncode, out) == (7, "stopped\n")


def test_progress_is_told_and_may_fail(encoder: Encoder) -> None:
    pytest.importorskip("tqdm")
    assert encoder.encode(TEXTS, show_progress_bar=True).shape == (4, 384)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    native = encoder._engine()
    with pytest.raises(ZeroDivisionError):
        native.embed(TEXTS, "{}", None, False, fail)
    assert encoder.encode(TEXTS).shape == (4, 384)


def test_the_cache_keeps_rows(model: str) -> None:
    cached = Encoder(model, device="cpu", cache=True)
    texts = [f"kept text {n}" for n in range(5)]
    rows = cached.encode(texts)
    _, _, _, report = cached._engine().embed(texts, json.dumps(cached._options), None, True, None)
    assert json.loads(report)["from_cache"] == 5 and json.loads(report)["tokens"] == 0
    assert np.array_equal(cached.encode(texts), rows)


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        (None, TypeError, "expected a list of str, found NoneType"),
        (3, TypeError, "found int"),
        (b"bytes", TypeError, "found one bytes"),
        ({"a": 1}, TypeError, "found a dict"),
        ({"a"}, TypeError, "found a set"),
        (["a", None], TypeError, "text 1: expected a str, or a pair of str, found NoneType"),
        (["a", float("nan")], TypeError, "text 1.*missing value"),
        (["a", 3], TypeError, "text 1"),
        (["a", ("b", "c", "d")], TypeError, "text 1"),
        (["a", ("b", None)], TypeError, "text 1"),
        (["half a pair \ud800"], ValueError, "surrogate"),
        (np.zeros((2, 2)), ValueError, "one column"),
        (np.zeros(2), TypeError, "text 0"),
    ],
)
def test_inputs_that_are_no_texts(encoder: Encoder, inputs: object, error: type, words: str) -> None:
    for call in (encoder.encode, encoder.tokens, encoder.encode_query, encoder.classify, encoder.tag, encoder.fill_mask):
        with pytest.raises(error, match=words):
            call(inputs)
    with pytest.raises((error, TypeError)):
        list(encoder.encode_stream(inputs))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"precision": "int4"}, ValueError), ({"precision": None}, TypeError), ({"batch_size": 0}, ValueError),
        ({"batch_size": "32"}, TypeError), ({"prompt": 3}, TypeError), ({"prompt_name": 3}, TypeError),
        ({"truncate_dim": 0}, ValueError), ({"truncate_dim": 1.5}, TypeError), ({"truncate_dim": True}, TypeError),
        ({"output_value": "logits"}, ValueError), ({"output_value": None}, ValueError), ({"device": "tpu"}, ValueError),
        ({"pool": object()}, ValueError), ({"chunk_size": 3}, ValueError), ({"show_progress_bar": "yes"}, TypeError),
        ({"output_value": "token_embeddings", "precision": "int8"}, ValueError), ({"nonsense": 1}, TypeError),
    ],
)
def test_arguments_out_of_range(encoder: Encoder, arguments: dict, error: type) -> None:
    with pytest.raises(error):
        encoder.encode(["a"], **arguments)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"device": "quantum annealer"}, frostbert.FrostbertError), ({"device": 3}, TypeError), ({"dtype": "f64"}, ValueError),
        ({"layers": "first"}, ValueError), ({"layers": [3, 2]}, ValueError), ({"layers": 99}, ValueError),
        ({"layers": 1.5}, TypeError), ({"layers": [True]}, TypeError), ({"pooling": "median"}, ValueError),
        ({"pooling": 3}, TypeError), ({"layer_mix": "sum"}, ValueError), ({"max_tokens": 0}, ValueError),
        ({"max_tokens": 10**6}, ValueError), ({"truncate": "no"}, ValueError), ({"threads": 0}, ValueError),
        ({"batch_tokens": -1}, ValueError), ({"offline": "yes"}, TypeError), ({"cache": 1}, TypeError), ({"window_overlap": -1}, ValueError),
    ],
)
def test_options_out_of_range(model: str, arguments: dict, error: type) -> None:
    with pytest.raises(error):
        Encoder(model, **({"device": "cpu"} | arguments)).encode(["a"])


def test_models_that_are_not_there(tmp_path: pathlib.Path, model: str) -> None:
    with pytest.raises(frostbert.ModelError):
        Encoder(str(tmp_path / "nothing"))
    with pytest.raises(OSError):
        Encoder(tmp_path)
    with pytest.raises(frostbert.FrostbertError, match="offline|network|cache"):
        Encoder("someone/some-model", offline=True)
    for wrong in (None, 3, b"folder"):
        with pytest.raises(TypeError):
            Encoder(wrong)  # type: ignore[arg-type]
    for name in ("config.json", "tokenizer.json"):
        (tmp_path / name).write_bytes((pathlib.Path(model) / name).read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(frostbert.ModelError, match="safetensors"):
        Encoder(tmp_path, device="cpu").encode("x")


def test_heads_that_are_not_there_and_wrong_arguments(encoder: Encoder) -> None:
    for call in (
        lambda: encoder.classify(["x"]), lambda: encoder.tag(["x"]), lambda: encoder.fill_mask("a [MASK]"),
        lambda: encoder.next_sentence("a", "b"), lambda: encoder.rerank("a", ["b"]), lambda: encoder.next_sentence(["a"], []),
        lambda: encoder.tag(["x"], "best"), lambda: encoder.tokens("x", attentions=[6]), lambda: encoder.verify("/no/such/folder"),
    ):
        with pytest.raises(frostbert.FrostbertError):
            call()
    for call in (
        lambda: encoder.rerank(3, ["b"]), lambda: encoder.rerank("a", [None]), lambda: encoder.rerank("a", "b"),
        lambda: encoder.tokens("x", layers=["last"]), lambda: encoder.tokens("x", pooler_output="yes"),
        lambda: encoder.similarity("a", "b"), lambda: encoder.fill_mask("x", top_k="3"), lambda: encoder.fill_mask("x", targets=[3]),
        lambda: encoder.next_sentence(1, 2), lambda: encoder.verify(3),
    ):
        with pytest.raises(TypeError):
            call()


def test_repr(encoder: Encoder) -> None:
    assert "MiniLM" in repr(encoder)
    assert "384 columns" in encoder._repr_html_() and "CPU engine" in encoder._repr_html_()


def test_import_is_quick_and_light() -> None:
    code = "import sys; from frostbert import Encoder; print(sorted(name for name in ('numpy', 'sklearn', 'torch', 'pandas') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_command_line_comes_along(cli) -> None:
    assert cli("--version").strip() == f"frostbert {frostbert.__version__}"
    wrong = subprocess.run([sys.executable, "-m", "frostbert", "nonsense"], capture_output=True, check=False)
    assert wrong.returncode == 2


def test_prompts_that_every_model_has(encoder: Encoder) -> None:
    rows = encoder.encode(TEXTS)
    for name in ("query", "document"):
        assert np.array_equal(encoder.encode(TEXTS, prompt_name=name), rows)


def test_a_relative_folder_stays_the_same_one(model: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model").symlink_to(model, target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    encoder = Encoder("model", device="cpu", cache=True)
    monkeypatch.chdir(pathlib.Path.home())
    assert encoder.encode(["read after another folder became the current one"]).shape == (1, 384)
    assert encoder.verify()


def test_a_checkpoints_own_truncate_dim() -> None:
    folder = pathlib.Path(__file__).resolve().parents[2] / "tests/fixtures/cases/truncate_dim/model"
    encoder = frostbert.Encoder(folder, device="cpu")
    own = encoder.encode(["the film was fine"])
    assert own.shape == (1, 8) and np.linalg.norm(own) < 0.99
    unit = encoder.encode(["the film was fine"], normalize_embeddings=True)
    assert np.allclose(unit, own / np.linalg.norm(own), atol=1e-6)
    assert encoder.encode("the film was fine", truncate_dim=12).shape == (12,)
    assert np.array_equal(encoder.encode("the film was fine", truncate_dim=12)[:8], own[0])
    wide = frostbert.Encoder(folder, device="cpu", truncate_dim=12)
    assert wide.get_embedding_dimension() == wide.encode("a").shape[0] == 12
    assert np.allclose(np.linalg.norm(wide.encode("a", normalize_embeddings=True)), 1, atol=1e-6)
    assert encoder.encode("a", device="cpu").shape == (8,)
