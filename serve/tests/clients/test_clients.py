"""Official clients, unchanged but for the address."""

from __future__ import annotations

import base64
import struct

import cohere
import openai
import pytest
from conftest import Server
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings


def vectors(server: Server, texts: list[str]) -> list[list[float]]:
    status, answer = server.ask("/embed", {"inputs": texts, "model": "mean"})
    assert status == 200, answer
    return answer


def single(values: list[float]) -> list[float]:
    """As 32-bit numbers, exactly: texts of them may differ."""
    return list(struct.unpack(f"<{len(values)}f", struct.pack(f"<{len(values)}f", *values)))


@pytest.fixture()
def client(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0)


def test_openai_embeddings(server: Server, client: openai.OpenAI, texts: list[str]) -> None:
    expected = vectors(server, texts)
    # Unset, the client asks for base64 and decodes it.
    answer = client.embeddings.create(model="mean", input=texts)
    assert [single(list(one.embedding)) for one in answer.data] == [single(row) for row in expected]
    assert [one.index for one in answer.data] == list(range(len(texts)))
    assert answer.model == "mean" and answer.object == "list"
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > len(texts)
    floats = client.embeddings.create(model="mean", input=texts[0], encoding_format="float")
    assert single(floats.data[0].embedding) == single(expected[0])
    coded = client.embeddings.create(model="mean", input=texts[:1], encoding_format="base64")
    raw = base64.b64decode(str(coded.data[0].embedding))
    assert list(struct.unpack(f"<{len(raw) // 4}f", raw)) == single(expected[0])
    short = client.embeddings.create(model="mean", input=texts[0], dimensions=4)
    assert len(short.data[0].embedding) == 4


def test_openai_ids(server: Server, client: openai.OpenAI) -> None:
    _, tokens = server.ask("/tokenize", {"inputs": ["the river", "a fox"], "model": "mean"})
    ids = [[token["id"] for token in one] for one in tokens]
    expected = [single(row) for row in vectors(server, ["the river", "a fox"])]
    answer = client.embeddings.create(model="mean", input=ids)
    assert [single(list(one.embedding)) for one in answer.data] == expected
    answer = client.embeddings.create(model="mean", input=ids[1])
    assert single(list(answer.data[0].embedding)) == expected[1]


def test_openai_models_and_errors(client: openai.OpenAI, guarded: Server) -> None:
    assert {model.id for model in client.models.list()} == {"mean", "cross", "tags", "words", "reviews"}
    with pytest.raises(openai.NotFoundError, match="nobody") as missing:
        client.embeddings.create(model="nobody", input="a")
    assert missing.value.code == "model_not_found"
    for wrong in ({"input": ""}, {"input": "a", "dimensions": 100_000}, {"input": [999_999]}):
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            client.embeddings.create(model="mean", **wrong)  # type: ignore[arg-type]
        assert refused.value.type == "invalid_request_error"
    stranger = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        stranger.embeddings.create(model="mean", input="a")
    known = openai.OpenAI(base_url=f"{guarded.url}/v1", api_key="s3cret", max_retries=0)
    assert len(known.embeddings.create(model="mean", input="a").data) == 1


DOCUMENTS = ["the river", "a fox runs", "unaffable kernel", "the fox"]


def ranked(server: Server) -> list[tuple[int, float]]:
    _, answer = server.ask("/rerank", {"query": "fox", "texts": DOCUMENTS, "model": "cross"})
    return [(one["index"], one["score"]) for one in answer]


def test_cohere_v2(server: Server) -> None:
    client = cohere.ClientV2(api_key="unused", base_url=server.url)
    answer = client.rerank(model="cross", query="fox", documents=DOCUMENTS)
    assert [(one.index, one.relevance_score) for one in answer.results] == ranked(server)
    assert answer.id and answer.meta and answer.meta.api_version and answer.meta.api_version.version == "2"
    best = client.rerank(model="cross", query="fox", documents=DOCUMENTS, top_n=2)
    assert [(one.index, one.relevance_score) for one in best.results] == ranked(server)[:2]
    cut = client.rerank(model="cross", query="fox", documents=DOCUMENTS, max_tokens_per_doc=1)
    assert cut.meta and cut.meta.warnings == ["4 documents were cut to max_tokens_per_doc = 1"]


def test_cohere_v1(server: Server) -> None:
    client = cohere.Client(api_key="unused", base_url=server.url)
    answer = client.rerank(model="cross", query="fox", documents=DOCUMENTS, return_documents=True)
    assert [(one.index, one.relevance_score) for one in answer.results] == ranked(server)
    for one in answer.results:
        assert one.document and one.document.text == DOCUMENTS[one.index]
    objects = [{"text": text} for text in DOCUMENTS]
    answer = client.rerank(model="cross", query="fox", documents=objects, top_n=1)
    assert [(one.index, one.relevance_score) for one in answer.results] == ranked(server)[:1]


def test_cohere_errors(server: Server, guarded: Server) -> None:
    client = cohere.ClientV2(api_key="unused", base_url=server.url)
    with pytest.raises(cohere.NotFoundError):
        client.rerank(model="nobody", query="fox", documents=DOCUMENTS)
    with pytest.raises(cohere.UnprocessableEntityError):
        client.rerank(model="cross", query="fox", documents=DOCUMENTS, max_tokens_per_doc=0)
    with pytest.raises(cohere.UnauthorizedError):
        cohere.ClientV2(api_key="wrong", base_url=guarded.url).rerank(
            model="mean", query="fox", documents=DOCUMENTS
        )


def hub(server: Server, name: str | None = None, **more: str) -> InferenceClient:
    return InferenceClient(model=server.url if name is None else f"{server.url}/models/{name}", **more)


def test_hugging_face_vectors(server: Server) -> None:
    for client in (hub(server), hub(server, "mean")):
        found = client.feature_extraction("the river")
        assert single(found[0].tolist()) == single(vectors(server, ["the river"])[0])
        several = client.feature_extraction(["the river", "a fox"])  # type: ignore[arg-type]
        assert several.shape == (2, found.shape[1])
        raw = client.feature_extraction("the river", normalize=False, truncate=True, truncation_direction="left")
        assert abs(float((raw[0] ** 2).sum()) - 1) > 1e-3
        near = client.sentence_similarity("the river", other_sentences=["the river", "a fox"])
        assert abs(near[0] - 1) < 1e-5 and near[1] < near[0]


def test_hugging_face_labels(server: Server) -> None:
    _, expected = server.ask("/predict", {"inputs": "the fox runs", "model": "cross"})
    found = hub(server, "cross").text_classification("the fox runs")
    assert [(one.label, one.score) for one in found] == [(one["label"], one["score"]) for one in expected]
    assert len(hub(server, "cross").text_classification("the fox runs", top_k=1)) == 1
    mine = hub(server, "reviews").text_classification("the fox runs 3")
    assert (mine[0].label, {one.label for one in mine}) == ("good", {"good", "bad"})


def test_hugging_face_spans_and_masks(server: Server) -> None:
    text = "naïve the fox runs"
    spans = hub(server, "tags").token_classification(text, aggregation_strategy="none")
    assert spans and all(span.word and text[span.start : span.end] for span in spans)
    masks = hub(server, "words").fill_mask("the [MASK] runs", top_k=3)
    assert len(masks) == 3 and masks[0].score >= masks[1].score
    assert masks[0].sequence == f"the {masks[0].token_str} runs"


def test_hugging_face_errors(server: Server, guarded: Server) -> None:
    with pytest.raises(HfHubHTTPError) as missing:
        hub(server, "nobody").feature_extraction("a")
    assert missing.value.response.status_code == 404
    with pytest.raises(HfHubHTTPError) as refused:
        hub(guarded, token="wrong").feature_extraction("a")
    assert refused.value.response.status_code == 401
    assert hub(guarded, token="s3cret").feature_extraction("a").shape[0] == 1


def test_langchain_openai(server: Server, texts: list[str]) -> None:
    embeddings = OpenAIEmbeddings(
        model="mean", base_url=f"{server.url}/v1", api_key="unused", check_embedding_ctx_length=False
    )
    expected = [single(row) for row in vectors(server, texts)]
    assert [single(row) for row in embeddings.embed_documents(texts)] == expected
    assert single(embeddings.embed_query(texts[3])) == expected[3]


def test_langchain_hugging_face(server: Server, texts: list[str]) -> None:
    # It takes no address itself, but a client of Hugging Face's.
    embeddings = HuggingFaceEndpointEmbeddings(model="mean")
    embeddings.client = hub(server, "mean")
    expected = [single(row) for row in vectors(server, texts)]
    assert [single(row) for row in embeddings.embed_documents(texts)] == expected
    assert single(embeddings.embed_query(texts[3])) == expected[3]
