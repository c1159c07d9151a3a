"""The drop-ins, each against the real package."""

from __future__ import annotations

import asyncio
import importlib.util

import numpy as np
import pytest
from conftest import not_tested

from frostbert import Encoder, TextEmbedding

TEXTS = ["A fine film.", "Dull.", "Shares fell sharply."]


def needs(package: str) -> None:
    if importlib.util.find_spec(package) is None:
        not_tested(f"the drop-in for {package}: it is not installed (cargo xtask python --all installs it)")


@pytest.fixture(scope="module")
def rows(encoder: Encoder) -> np.ndarray:
    return encoder.encode(TEXTS, normalize_embeddings=True)


def test_fastembed(model: str, rows: np.ndarray) -> None:
    embedding = TextEmbedding(model, device="cpu")
    generator = embedding.embed(TEXTS, batch_size=2)
    assert np.array_equal(next(generator), rows[0]) and len(list(generator)) == 2
    assert np.array_equal(list(embedding.query_embed("Dull."))[0], rows[1])
    assert np.array_equal(np.stack(list(embedding.passage_embed(iter(TEXTS)))), rows)
    assert embedding.embedding_size == 384
    with pytest.raises(TypeError):
        list(embedding.embed([None]))


def test_langchain(model: str, rows: np.ndarray) -> None:
    needs("langchain_core")
    from langchain_core.vectorstores import InMemoryVectorStore

    from frostbert.langchain import FrostbertEmbeddings

    embeddings = FrostbertEmbeddings(model, device="cpu")
    assert np.array_equal(np.array(embeddings.embed_documents(TEXTS), np.float32), rows)
    assert np.array_equal(np.array(asyncio.run(embeddings.aembed_query(TEXTS[0])), np.float32), rows[0])
    store = InMemoryVectorStore.from_texts(TEXTS, embeddings)
    assert store.similarity_search("The stock market went down.", k=1)[0].page_content == TEXTS[2]


def test_llama_index(model: str, rows: np.ndarray) -> None:
    needs("llama_index.core")
    from llama_index.core import Document, VectorStoreIndex

    from frostbert.llama_index import FrostbertEmbedding

    embedding = FrostbertEmbedding(model, device="cpu")
    assert np.array_equal(np.array(embedding.get_text_embedding_batch(TEXTS), np.float32), rows)
    assert np.array_equal(np.array(asyncio.run(embedding.aget_query_embedding(TEXTS[0])), np.float32), rows[0])
    index = VectorStoreIndex.from_documents([Document(text=text) for text in TEXTS], embed_model=embedding)
    found = index.as_retriever(similarity_top_k=1).retrieve("The stock market went down.")
    assert found[0].text == TEXTS[2]


def test_haystack(model: str, rows: np.ndarray) -> None:
    needs("haystack")
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from frostbert.haystack import FrostbertDocumentEmbedder, FrostbertTextEmbedder

    embedder = FrostbertDocumentEmbedder(model, device="cpu")
    documents = embedder.run([Document(content=text) for text in TEXTS])["documents"]
    assert np.array_equal(np.array([document.embedding for document in documents], np.float32), rows)
    store = InMemoryDocumentStore()
    store.write_documents(documents)
    pipeline = Pipeline()
    pipeline.add_component("text", FrostbertTextEmbedder(model, device="cpu"))
    pipeline.add_component("retriever", InMemoryEmbeddingRetriever(store, top_k=1))
    pipeline.connect("text.embedding", "retriever.query_embedding")
    found = pipeline.run({"text": {"text": "The stock market went down."}})["retriever"]["documents"]
    assert found[0].content == TEXTS[2]
    assert FrostbertTextEmbedder.from_dict(FrostbertTextEmbedder(model, device="cpu").to_dict()).options == {"device": "cpu"}
    with pytest.raises(TypeError):
        embedder.run("a text")
    with pytest.raises(ValueError, match="no text"):
        embedder.run([Document(content=None)])


@pytest.mark.parametrize("package", ["bertopic", "keybert"])
def test_backends(package: str, model: str, rows: np.ndarray) -> None:
    needs(package)
    module = importlib.import_module(f"frostbert.{package}")
    backend = module.FrostbertBackend(model, device="cpu")
    assert np.array_equal(backend.embed(TEXTS), rows)
    if package == "keybert":
        from keybert import KeyBERT

        words = KeyBERT(model=backend).extract_keywords("Shares fell sharply on the stock market.", top_n=2)
        assert len(words) == 2
    else:
        from bertopic import BERTopic

        topics = BERTopic(embedding_model=backend)
        assert topics.embedding_model is backend


def test_setfit(model: str, reviews) -> None:
    from sklearn.linear_model import LogisticRegression

    from frostbert.setfit import FrostbertBody

    body = FrostbertBody(model, device="cpu")
    assert body.encode(TEXTS, device="cuda").shape == (3, 384)
    needs("setfit")
    from setfit import SetFitModel

    texts, labels = reviews
    setfit = SetFitModel(model_body=body, model_head=LogisticRegression())
    setfit.fit(texts[::5], labels[::5], num_epochs=1)
    assert len(setfit.predict(TEXTS)) == 3


def test_llama_index_tells_options_apart_and_reads_itself_again(model: str) -> None:
    pytest.importorskip("llama_index.core")
    from frostbert.llama_index import FrostbertEmbedding

    cls = FrostbertEmbedding(model, device="cpu", pooling="cls", layers=[2], num_workers=2)
    mean = FrostbertEmbedding(model, device="cpu")
    assert cls.to_dict() != mean.to_dict() and cls.num_workers == 2
    again = FrostbertEmbedding.from_dict(cls.to_dict())
    assert again.to_dict() == cls.to_dict()
    assert again.get_text_embedding("a") == cls.get_text_embedding("a") != mean.get_text_embedding("a")


def test_fastembeds_words(model: str) -> None:
    from frostbert.fastembed import TextEmbedding

    te = TextEmbedding(model, device="cpu", cache_dir=None, threads=1)
    for call in (te.embed, te.passage_embed, te.query_embed):
        assert len(list(call("hello"))) == 1
        taken = iter(str(number) for number in range(100))
        next(call(taken, batch_size=2))
        assert next(taken) == "2"  # The rest is read when it is wanted.
    assert len(list(te.embed(["a", "b"], parallel=0))) == 2
    for options in ({"cache_dir": "/tmp"}, {"providers": ["CUDAExecutionProvider"]}):
        with pytest.raises(ValueError, match=next(iter(options))):
            TextEmbedding(model, **options)
