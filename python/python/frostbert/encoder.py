"""A frozen BERT on a device: texts in, vectors out."""

from __future__ import annotations

import functools
import json
import math
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

from . import _native
from ._texts import as_iterable, as_list, chunks
from .errors import InputError, TruncationWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    from . import _numpy as np

__all__ = ["Encoder"]

Progress = Callable[[str, int, int], None]
_PRECISIONS = ("float32", "float16", "int8", "uint8", "binary", "ubinary")
#: Threads of the CPU engine: more than any machine has, and few enough that each gets its stack.
_MOST_THREADS = 1024
#: Texts of a stream that are embedded at a time.
_STREAM_TEXTS = 4096


class Encoder:
    """A frozen BERT, ready to embed.

    :param model: a checkpoint folder (config.json, tokenizer.json, \\*.safetensors), or a model of the Hugging Face hub such as
        ``sentence-transformers/all-MiniLM-L6-v2``.
    :param device: ``auto`` (the best GPU, else the CPU engine), ``cpu``, ``gpu``, ``software``, a number or part of a name.
    :param dtype: what weights are kept as: ``auto``, ``f32``, ``f16``.
    :param layers: which layers are pooled: ``last``, ``all``, a number, ``-2``, a list.
    :param pooling: ``cls``, ``mean``, ``max``, ...; several side by side; None: as the checkpoint says.
    :param layer_mix: ``concat`` or ``mean``.
    :param max_tokens: the longest sequence; None: the checkpoint's.
    :param truncate: what happens to longer texts: ``warn`` (cut, and say so), ``cut``, ``error``, ``window`` (read in windows, of
        which one vector is made).
    :param window_overlap: tokens that neighbouring windows share; None: 64, of short sequences a quarter.
    :param truncate_dim: keep only the first so many columns (Matryoshka models).
    :param cache: keep embeddings on disk (the command line's cache) and take them from there.
    :param batch_tokens: tokens of a packed batch; None: what suits the device. It changes memory and speed, never a bit.
    :param threads: threads of the CPU engine; None: one a core.
    :param offline: never touch the network.
    :param tune: measure which tile suits each matrix of this model on this GPU, and keep that for the next time.

    Threads may share an encoder. A forked process opens the device anew when it first uses it; pickles hold the options alone.

    >>> encoder = Encoder(MODEL, device="cpu")
    >>> encoder.encode("One text gives one row.").shape
    (384,)
    >>> encoder.encode(["Two texts", "give two."], normalize_embeddings=True).shape
    (2, 384)
    """

    def __init__(
        self,
        model: str | os.PathLike[str],
        device: str = "auto",
        dtype: str = "auto",
        *,
        layers: str | int | Sequence[int] = "last",
        pooling: str | Sequence[str] | None = None,
        layer_mix: Literal["concat", "mean"] = "concat",
        max_tokens: int | None = None,
        truncate: Literal["warn", "cut", "error", "window"] = "warn",
        window_overlap: int | None = None,
        truncate_dim: int | None = None,
        cache: bool = False,
        batch_tokens: int | None = None,
        threads: int | None = None,
        offline: bool = False,
        tune: bool = False,
    ) -> None:
        if not isinstance(model, (str, os.PathLike)):
            raise TypeError(f"model: expected a folder or a hub id, found {type(model).__name__}")
        if (_count("threads", threads) or 0) > _MOST_THREADS:
            raise InputError(f"threads: expected at most {_MOST_THREADS}, found {threads}; leave it out for one a core")
        self._opening = {
            "model": _located(model),
            "device": _text("device", device),
            "dtype": _text("dtype", dtype),
            "batch_tokens": _count("batch_tokens", batch_tokens),
            "threads": _count("threads", threads),
            "offline": _flag("offline", offline),
            "tune": _flag("tune", tune),
        }
        self._options = {
            "layers": _layers(layers),
            "pooling": None if pooling is None else _names("pooling", pooling),
            "layer_mix": _choice("layer_mix", layer_mix, ("concat", "mean")),
            "max_tokens": _count("max_tokens", max_tokens),
            "truncate": _choice("truncate", truncate, ("warn", "cut", "error", "window")),
            "window_overlap": _count("window_overlap", window_overlap, least=0),
        }
        self._truncate_dim = _count("truncate_dim", truncate_dim)
        self._cache = _flag("cache", cache)
        self._start()
        self._engine()

    def _start(self) -> None:
        self._lock = threading.Lock()
        self._native: _native.NativeEncoder | None = None
        self._facts: dict[str, Any] | None = None

    def _engine(self) -> _native.NativeEncoder:
        """What computes in this process, opened if need be."""
        native = self._native
        if native is not None and native.process == os.getpid():
            return native
        if native is not None:
            # Another thread may have held the lock when this process was forked.
            self._lock = threading.Lock()
        with self._lock:
            if self._native is None or self._native.process != os.getpid():
                self._native = _native.NativeEncoder(**self._opening)
                note = self._info()["device"]["note"]
                if note and native is None:
                    warnings.warn(note, UserWarning, stacklevel=4)
            return self._native

    def __getstate__(self) -> dict[str, Any]:
        return {
            "_opening": self._opening,
            "_options": self._options,
            "_truncate_dim": self._truncate_dim,
            "_cache": self._cache,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._start()

    def __copy__(self) -> Encoder:
        return self  # Nothing in it changes.

    def __deepcopy__(self, _: Any) -> Encoder:
        return self

    def _info(self) -> dict[str, Any]:
        facts = self._facts
        if facts is None:
            native = self._native
            assert native is not None
            facts = self._facts = json.loads(native.info())
        return facts

    @property
    def info(self) -> dict[str, Any]:
        """What the checkpoint holds and what computes: sizes, heads, prompts, device."""
        self._engine()
        return self._info()

    @property
    def model(self) -> str:
        """The folder or the id that it was opened with."""
        return self._opening["model"]

    @property
    def device(self) -> dict[str, Any]:
        """What computes: ``name``, ``backend``, ``class`` (which kernels), and a ``note`` where that is not what was asked for."""
        return dict(self.info["device"])

    @property
    def prompts(self) -> dict[str, str]:
        """The checkpoint's prompts by name."""
        return dict(self.info["checkpoint"]["prompts"])

    @property
    def max_seq_length(self) -> int:
        """The longest sequence in tokens, special tokens included."""
        return self._options["max_tokens"] or int(self.info["checkpoint"]["max_tokens"])

    @property
    def similarity_fn_name(self) -> str:
        """How :meth:`similarity` compares: ``cosine`` unless the checkpoint says otherwise."""
        return self.info["similarity"] or "cosine"

    def get_embedding_dimension(self) -> int:
        """Columns of an embedding.

        >>> Encoder(MODEL).get_embedding_dimension()
        384
        """
        whole = self._engine().dim(json.dumps(self._options | {"truncate_dim": self._truncate_dim}))
        return min(whole, self._truncate_dim or whole)

    def get_sentence_embedding_dimension(self) -> int:
        """The old name of :meth:`get_embedding_dimension`."""
        return self.get_embedding_dimension()

    @overload
    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding"] = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: Literal[True] = True,
        convert_to_tensor: Literal[False] = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
    ) -> NDArray[Any]: ...
    @overload
    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
    ) -> Any: ...
    def encode(
        self,
        inputs: Any,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: Literal["sentence_embedding", "token_embeddings"] = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        pool: None = None,
        chunk_size: None = None,
    ) -> Any:
        """Embeds texts, with the arguments of sentence-transformers.

        A str gives a row, anything else an array of rows: lists, tuples, NumPy arrays, columns of pandas, polars and pyarrow,
        and pairs of str. A text has the same bits whatever stands beside it, so ``batch_size`` changes nothing: batches are
        packed by tokens (``batch_tokens`` of the constructor). ``normalize_embeddings`` scales to unit length what the checkpoint
        does not scale already. With ``convert_to_numpy=False`` rows come as a list.

        >>> encoder = Encoder(MODEL)
        >>> encoder.encode(["A text", "and another."], precision="ubinary", truncate_dim=64).shape
        (2, 8)
        """
        _choice("precision", precision, _PRECISIONS)
        _count("batch_size", batch_size)
        self._only_here(device, pool, chunk_size)
        normalize_embeddings = _flag("normalize_embeddings", normalize_embeddings)
        convert_to_tensor = _flag("convert_to_tensor", convert_to_tensor)
        convert_to_numpy = _flag("convert_to_numpy", convert_to_numpy)
        single = isinstance(inputs, str)
        texts = [inputs] if single else as_list(inputs, "inputs")
        options = self._prompted(prompt_name, prompt)
        if output_value == "token_embeddings":
            if precision != "float32" or truncate_dim is not None or normalize_embeddings:
                raise InputError("token_embeddings are as the last layer has them: without precision, truncate_dim, normalizing")
            rows = [row["hidden_states"][0] for row in self._tokens(texts, options, None, (), False)]
            return rows[0] if single else rows
        if output_value != "sentence_embedding":
            raise InputError(
                f"output_value: expected 'sentence_embedding' or 'token_embeddings', found {output_value!r}; tokens() gives all "
                "outputs of a text"
            )
        columns = _count("truncate_dim", truncate_dim) or self._truncate_dim
        if normalize_embeddings:
            # Cut first and scaled then, as the command line's --dimensions does.
            options |= {"normalize": True, "dimensions": columns}
        elif columns is not None and columns > self.info["checkpoint"]["dimensions"]:
            # More than the checkpoint itself keeps.
            options["truncate_dim"] = columns
        values = self._embed(texts, options, show_progress_bar)
        if columns is not None and columns < values.shape[1]:
            values = np.ascontiguousarray(values[:, :columns])
        rows = _quantized(values, precision)
        if convert_to_tensor:
            import torch

            rows = torch.from_numpy(rows)
        elif not convert_to_numpy:
            rows = [*rows]
        return rows[0] if single else rows

    def encode_query(self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **kwargs: Any) -> Any:
        """:meth:`encode` with the checkpoint's prompt for queries, where it has one.

        >>> Encoder(MODEL).encode_query("What is it?").shape
        (384,)
        """
        return self._encode_as(("query",), inputs, prompt_name, prompt, kwargs)

    def encode_document(self, inputs: Any, prompt_name: str | None = None, prompt: str | None = None, **kwargs: Any) -> Any:
        """:meth:`encode` with the checkpoint's prompt for documents, where it has one, be it called ``document``, ``passage`` or ``corpus``
        (sentence-transformers takes only the first name where a checkpoint does not name its prompts for both).

        >>> Encoder(MODEL).encode_document(["A text."]).shape
        (1, 384)
        """
        return self._encode_as(("document", "passage", "corpus"), inputs, prompt_name, prompt, kwargs)

    def _encode_as(
        self, names: Sequence[str], inputs: Any, prompt_name: str | None, prompt: str | None, kwargs: dict[str, Any]
    ) -> Any:
        if prompt_name is None and prompt is None:
            known = self.prompts
            prompt_name = next((name for name in names if name in known), None)
            if prompt_name is None:
                prompt = ""  # None at all, whatever the default one is: as sentence-transformers has it.
        return self.encode(inputs, prompt_name, prompt, **kwargs)

    def encode_stream(
        self, inputs: Iterable[str], *, normalize_embeddings: bool = False, prompt_name: str | None = None,
        prompt: str | None = None, chunk_texts: int = _STREAM_TEXTS,
    ) -> Iterator[NDArray[np.float32]]:
        """Embeds texts as they come: arrays of at most ``chunk_texts`` rows, in order, with flat memory.

        >>> sum(len(rows) for rows in Encoder(MODEL).encode_stream((f"Text {n}" for n in range(5)), chunk_texts=2))
        5
        """
        size = _count("chunk_texts", chunk_texts) or _STREAM_TEXTS
        texts = as_iterable(inputs, "inputs")
        self._prompted(prompt_name, prompt)
        _flag("normalize_embeddings", normalize_embeddings)

        return (
            self.encode(chunk, prompt_name, prompt, normalize_embeddings=normalize_embeddings) for chunk in chunks(texts, size)
        )

    def similarity(self, embeddings1: Any, embeddings2: Any) -> NDArray[np.float32]:
        """How alike each row of the one is to each row of the other, by :attr:`similarity_fn_name`: ``[rows 1, rows 2]``.

        >>> encoder = Encoder(MODEL)
        >>> a = encoder.encode(["A cat sat.", "Prices rose."])
        >>> bool(encoder.similarity(a, a)[0, 0] > 0.999)
        True
        """
        a, b = _rows("embeddings1", embeddings1), _rows("embeddings2", embeddings2)
        if a.shape[1] != b.shape[1]:
            raise InputError(f"similarity: expected rows of the same length, found {a.shape[1]} and {b.shape[1]} columns")
        name = self.similarity_fn_name
        if name == "cosine":
            return _unit(a) @ _unit(b).T
        if name == "dot":
            return a @ b.T
        if name == "euclidean":
            squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None, :] - 2 * a @ b.T
            return -np.sqrt(np.maximum(squares, 0))
        if name == "manhattan":
            return np.stack([-np.abs(row - b).sum(1) for row in a]) if len(a) else np.zeros((0, len(b)), np.float32)
        raise InputError(f"similarity: the checkpoint names {name!r}; known are cosine, dot, euclidean and manhattan")

    def tokens(
        self, texts: Any, *, layers: Sequence[int] | int | None = None, attentions: Sequence[int] = (), pooler_output: bool = False
    ) -> Any:
        """Outputs token by token, special tokens included: a dict a text (a str gives one) with ``tokens``, ``ids``, ``offsets``,
        ``hidden_states`` (an array ``[tokens, hidden]`` for each layer asked for, the last by default), ``attentions``
        (``[heads, tokens, tokens]``) and ``pooler_output``.

        >>> row = Encoder(MODEL).tokens("Hello world")
        >>> row["tokens"], row["hidden_states"][0].shape
        (['[CLS]', 'hello', 'world', '[SEP]'], (4, 384))
        """
        single = isinstance(texts, str)
        rows = self._tokens([texts] if single else as_list(texts), self._prompted(None, None), layers, attentions, pooler_output)
        return rows[0] if single else rows

    def _tokens(
        self, texts: list[Any], options: dict[str, Any], layers: Sequence[int] | int | None, attentions: Sequence[int], pooler: bool
    ) -> list[dict[str, Any]]:
        native = self._engine()
        last = self._info()["checkpoint"]["layers"]

        def numbers(what: str, given: Sequence[int], most: int) -> list[int]:
            found = []
            for number in given:
                if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
                    raise TypeError(f"{what}: expected whole numbers, found {number!r}")
                if not -most <= number < most:
                    raise InputError(f"{what}: expected numbers from 0 to {most - 1}, found {number}")
                found.append(int(number) % most)
            return found

        wanted = [last] if layers is None else [layers] if isinstance(layers, int) else list(layers)
        asked = numbers("layers", wanted, last + 1), numbers("attentions", list(attentions), last)
        rows = native.tokens(texts, json.dumps(options), *asked, _flag("pooler_output", pooler))
        self._warn_cut(sum(row["truncated"] for row in rows), len(rows))
        return rows

    def fill_mask(self, texts: Any, top_k: int = 5, targets: Sequence[str] = ()) -> Any:
        """Words for each ``[MASK]``: for a text a list with, for each mask, the likeliest tokens (``token``, ``id``, ``score``)."""
        single = isinstance(texts, str)
        rows = [texts] if single else as_list(texts)
        top = _count("top_k", top_k)
        found = json.loads(self._engine().fill_mask(rows, self._length(), top, _names("targets", targets)))
        masks = [row["masks"] for row in found]
        return masks[0] if single else masks

    def next_sentence(self, first: Any, second: Any) -> Any:
        """Probability that ``second`` follows ``first``: a float for two str, an array for two lists."""
        single = isinstance(first, str) and isinstance(second, str)
        pairs = _pairs([first] if single else first, [second] if single else second)
        found = [row["is_next"] for row in json.loads(self._engine().next_sentence(pairs, self._length()))]
        return found[0] if single else np.array(found, np.float32)

    def classify(self, texts: Any, show_progress_bar: bool | None = None) -> Any:
        """Labels by the head that came in the checkpoint: a dict a text with ``label``, ``score`` and ``scores`` by label."""
        single = isinstance(texts, str)
        rows = [texts] if single else as_list(texts)
        with _bar(show_progress_bar, len(rows)) as progress:
            found = json.loads(self._engine().classify(rows, self._length(), progress))
        names = found["labels"]
        answers = []
        for row in found["answers"]:
            best = int(np.argmax(row["logits"]))
            scores = dict(zip(names, row["scores"], strict=True))
            answers.append({"label": names[best], "score": row["scores"][best], "scores": scores})
        return answers[0] if single else answers

    def tag(self, texts: Any, aggregation_strategy: str = "simple", show_progress_bar: bool | None = None) -> Any:
        """Labelled spans by the head that came in the checkpoint: a list a text of dicts with ``label``, ``score``, ``start``,
        ``end`` (characters) and ``text``."""
        single = isinstance(texts, str)
        rows = [texts] if single else as_list(texts)
        with _bar(show_progress_bar, len(rows)) as progress:
            answered = self._engine().tag(rows, self._length(), _text("aggregation_strategy", aggregation_strategy), progress)
        found = []
        for text, row in zip(rows, json.loads(answered), strict=True):
            places = _characters(text)
            for entity in row["entities"]:
                entity["start"], entity["end"] = places(entity["start"]), places(entity["end"])
            found.append(row["entities"])
        return found[0] if single else found

    def rerank(self, query: str, documents: Any, top_k: int | None = None) -> list[dict[str, Any]]:
        """Documents by relevance to a query, by a cross-encoder: dicts with ``index``, ``score`` and ``logit``, the best first."""
        if not isinstance(query, str):
            raise TypeError(f"query: expected a str, found {type(query).__name__}")
        found = json.loads(self._engine().rerank(query, as_list(documents, "documents"), self._length()))
        return found[: _count("top_k", top_k)]

    def verify(self, goldens: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
        """Proof that this device computes what it should. With a golden folder (tests/fixtures/goldens): each of its tensors
        against float64 values of PyTorch. Without: this model's rows against those of the CPU engine. Dicts with ``tensor``,
        ``error``, ``allowed`` and ``holds``."""
        asked = self._opening
        if goldens is not None:
            return json.loads(_native.verify(os.fspath(goldens), asked["device"], asked["dtype"]))
        texts = ["A short one.", "Somewhat longer, with a comma and a number: 42.", "word " * 100]
        other = Encoder(self.model, device="cpu", dtype="f32", offline=True)
        other._options = self._options
        here, there = self._embed(texts, self._options, False), other._embed(texts, self._options, False)
        error = float(np.abs(here - there).max())
        size = max(1.0, float(np.abs(there).max()))
        allowed = (2e-5 if self.info["dtype"] == "f32" else 2e-3) * size
        return [{"tensor": "embeddings", "error": error, "allowed": allowed, "holds": error <= allowed}]

    def _embed(
        self, texts: list[Any], options: dict[str, Any], bar: bool | None = False, head: _native.NativeHead | None = None,
        cache: bool | None = None,
    ) -> NDArray[np.float32]:
        """Rows of texts; with a head, as the head wants them."""
        native = self._engine()
        use_cache = self._cache if cache is None else cache
        with _bar(bar, len(texts)) as progress:
            values, _, cut, report = native.embed(texts, json.dumps(options), head, use_cache, progress)
        for warning in json.loads(report)["warnings"]:
            warnings.warn(warning, UserWarning, stacklevel=3)
        self._warn_cut(int(cut.sum()), len(texts))
        return values

    def _warn_cut(self, cut: int, texts: int, stacklevel: int = 4) -> None:
        if cut and self._options["truncate"] == "warn":
            warnings.warn(
                f"{cut} of {texts} texts are longer than the model takes and were cut; truncate='window' reads them whole, "
                "truncate='cut' accepts it",
                TruncationWarning,
                stacklevel=stacklevel,
            )

    def _prompted(self, prompt_name: str | None, prompt: str | None) -> dict[str, Any]:
        options = dict(self._options)
        if prompt is not None:
            options["prompt"] = _text("prompt", prompt)
        elif prompt_name in ("query", "document") and prompt_name not in self.prompts:
            options["prompt"] = ""  # Names that sentence-transformers knows of every model.
        elif prompt_name is not None:
            options["prompt_name"] = _text("prompt_name", prompt_name)
        return options

    def _length(self) -> str:
        """The options that count where nothing is pooled."""
        return json.dumps({name: self._options[name] for name in ("max_tokens", "truncate", "window_overlap")})

    def _told(self) -> dict[str, Any]:
        """The constructor's arguments but the model, as far as they are not its defaults."""
        told = {**self._opening, **self._options, "truncate_dim": self._truncate_dim, "cache": self._cache}
        return {name: told[name] for name, default in defaults().items() if told[name] != default}

    def _only_here(self, device: str | None, pool: Any, chunk_size: Any) -> None:
        if device is not None and device not in (self._opening["device"], self.device["class"], self.device["name"]):
            raise InputError(
                f"device: this encoder is on {self._opening['device']!r}, found {device!r}; open another Encoder for that device"
            )
        if pool is not None or chunk_size is not None:
            raise InputError("pool, chunk_size: an encoder uses every core and one device by itself; leave them out")

    def __repr__(self) -> str:
        asked = self._opening
        return f"Encoder({asked['model']!r}, device={asked['device']!r}, dtype={asked['dtype']!r})"

    def _repr_html_(self) -> str:
        import html

        facts, device = self.info["checkpoint"], self.info["device"]
        rows = {
            "model": self.model,
            "family": facts["family"],
            "layers": facts["layers"],
            "embedding": f"{self.get_embedding_dimension()} columns, {', '.join(facts['pooling'])} pooling",
            "longest text": f"{self.max_seq_length} tokens",
            "device": f"{device['name']} ({device['backend']}), weights {self.info['dtype']}",
        }
        cells = "".join(f"<tr><th style='text-align:left'>{k}</th><td>{html.escape(str(v))}</td></tr>" for k, v in rows.items())
        return f"<table><caption>frostbert.Encoder</caption>{cells}</table>"


@functools.cache
def defaults() -> dict[str, Any]:
    """What an encoder is told of each option unless told otherwise."""
    import inspect

    parameters = inspect.signature(Encoder).parameters
    return {name: parameter.default for name, parameter in parameters.items() if name != "model"}


def opened(model: Any, options: Mapping[str, Any]) -> Encoder:
    """For drop-ins: an encoder as it is, or one of this model and these options."""
    if not isinstance(model, Encoder):
        return Encoder(model, **options)
    if options:
        raise InputError(f"{', '.join(sorted(options))}: these options are for opening a model; this encoder is open already")
    return model


class _bar:
    """A bar of tqdm where it is wanted and there; gives what is to be called with the progress."""

    def __init__(self, wanted: bool | None, total: int) -> None:
        self.bar: Any = None
        if not (wanted is None or isinstance(wanted, (bool, np.bool_))):
            raise TypeError(f"show_progress_bar: expected True, False or None, found {wanted!r}")
        if wanted:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, unit="text", desc="embedding")

    def __enter__(self) -> Progress | None:
        bar = self.bar
        if bar is None:
            return None

        def progress(_: str, done: int, __: int) -> None:
            bar.update(max(0, done - bar.n))

        return progress

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            if error[0] is None:
                self.bar.update(self.bar.total - self.bar.n)
            self.bar.close()


def _located(model: str | os.PathLike[str]) -> str:
    """A hub id, or a folder wherever Python runs later: a relative name may be another one then."""
    location = os.fspath(model)
    return os.path.abspath(location) if os.path.isdir(location) else location


def _quantized(values: NDArray[np.float32], precision: str) -> Any:
    if precision == "float32":
        return values
    if precision == "float16":
        return values.astype(np.float16)
    if precision in ("int8", "uint8"):
        if not len(values):
            return values.astype(precision)
        if len(values) == 1:
            raise InputError(
                f"precision: the range of {precision} is that of the texts given together, and one text has none; give several "
                "at once, or take float32, float16 or ubinary"
            )
        found = _native.quantize(values, "int8", None)
        return found if precision == "int8" else (found.astype(np.int16) + 128).astype(np.uint8)
    bits = _native.quantize(values, "ubinary", None)
    return bits if precision == "ubinary" else (bits.astype(np.int16) - 128).astype(np.int8)


def _characters(text: str) -> Callable[[int], int]:
    if text.isascii():
        return lambda byte: byte
    encoded = text.encode()
    return lambda byte: len(encoded[:byte].decode(errors="ignore"))


def _pairs(first: Any, second: Any) -> list[tuple[Any, Any]]:
    a, b = as_list(first, "first"), as_list(second, "second")
    if len(a) != len(b):
        raise InputError(f"expected as many first as second texts, found {len(a)} and {len(b)}")
    return list(zip(a, b, strict=True))


def _rows(what: str, values: Any) -> NDArray[np.float32]:
    try:
        rows = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what}: expected rows of numbers: {error}") from None
    if rows.ndim == 1:
        rows = rows[None, :]
    if rows.ndim != 2:
        raise InputError(f"{what}: expected one row or an array of rows, found {rows.ndim} dimensions")
    return rows


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{what}: expected a str, found {type(value).__name__}")
    return value


def _flag(what: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what}: expected True or False, found {value!r}")
    return bool(value)


def _number(what: str, value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{what}: expected a number, found {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(f"{what}: {value} is out of range") from None
    if not math.isfinite(number):
        raise InputError(f"{what}: expected a finite number, found {number}")
    return number


def _count(what: str, value: Any, least: int = 1) -> Any:
    """A whole number, or None where that is given."""
    if value is None:
        return None
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{what}: expected a whole number, found {value!r}")
    if value < least or value > 2**31:
        raise InputError(f"{what}: expected {least} or more, found {value}")
    return int(value)


def _whole(what: str, value: Any, least: int = 1) -> int:
    if value is None:
        raise TypeError(f"{what}: expected a whole number, found None")
    return int(_count(what, value, least))


def _optional(what: str, value: Any) -> float | None:
    return None if value is None else _number(what, value)


def _choice(what: str, value: Any, known: Sequence[str]) -> str:
    if _text(what, value) not in known:
        raise InputError(f"{what}: expected one of {', '.join(known)}, found {value!r}")
    return value


def _names(what: str, value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, Iterable):
        raise TypeError(f"{what}: expected a str or a list of str, found {value!r}")
    return [_text(what, name) for name in value]


def _layers(value: Any) -> str:
    """Layers as the command line writes them."""
    if isinstance(value, str):
        return value
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(int(value))
    given: Any = value
    try:
        numbers = list(given)
    except TypeError:
        raise TypeError(f"layers: expected 'last', 'all', a number or a list of numbers, found {value!r}") from None
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise TypeError(f"layers: expected whole numbers, found {number!r}")
    return ",".join(str(int(number)) for number in numbers)
