//! The routes over small checkpoints: answers, errors in each dialect, limits, fairness, and what is replaced while it is used.

// wgpu's types, which an encoder holds, are deep.
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used)] // Tests may.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use frostbert::{Device, EmbedOptions, Encoder, Text};
use frostbert_serve::{App, Config, ModelSpec};
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tower::ServiceExt;

fn golden(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/goldens")
        .join(name)
        .display()
        .to_string()
}

fn model(name: &str) -> ModelSpec {
    ModelSpec { name: name.to_owned(), location: golden(name) }
}

fn config(models: &[&str]) -> Config {
    Config {
        models: models.iter().map(|name| model(name)).collect(),
        device: Device::Cpu,
        ..Config::default()
    }
}

fn app(models: &[&str]) -> App {
    App::open(config(models)).unwrap()
}

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&self.body)))
    }
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, headers) = (response.status(), response.headers().clone());
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    Answer { status, headers, body }
}

fn request(path: &str, body: &Value) -> Request<Body> {
    let builder = Request::post(path).header("content-type", "application/json");
    builder.body(Body::from(body.to_string())).unwrap()
}

async fn post(router: &Router, path: &str, body: Value) -> Answer {
    send(router, request(path, &body)).await
}

async fn get(router: &Router, path: &str) -> Answer {
    send(router, Request::get(path).body(Body::empty()).unwrap()).await
}

fn rows(value: &Value) -> Vec<Vec<f32>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn encoder(name: &str) -> Encoder {
    Encoder::load(golden(name)).device(Device::Cpu).build().unwrap()
}

/// Words that the small vocabularies know and do not know.
fn text(seed: u64) -> String {
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let words = ["the", "river", "fox", "kernel", "naïve", "界", "a", "unaffable", "runs", ","];
    let count = random.random_range(1..60);
    (0..count).map(|_| words[random.random_range(0..words.len())]).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_a_busy_server_are_those_of_the_library_bit_for_bit() {
    let router = app(&["sentence-mean"]).router();
    let encoder = encoder("sentence-mean");
    let mut tasks = Vec::new();
    for client in 0..24u64 {
        let texts: Vec<String> = (0..1 + client % 7 * 5).map(|at| text(client * 100 + at)).collect();
        let (router, direction) = (router.clone(), if client % 5 == 0 { "Left" } else { "Right" });
        tasks.push(tokio::spawn(async move {
            let answer =
                post(&router, "/embed", json!({ "inputs": texts, "truncation_direction": direction })).await;
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            (texts, direction, rows(&answer.json()))
        }));
    }
    for task in tasks {
        let (texts, direction, found) = task.await.unwrap();
        let side = match direction {
            "Left" => frostbert::text::TruncationSide::Left,
            _ => frostbert::text::TruncationSide::Right,
        };
        let options =
            EmbedOptions { normalize: Some(true), truncation_side: Some(side), ..EmbedOptions::default() };
        let expected = encoder.embed(&texts, &options).unwrap();
        for (found, expected) in found.iter().zip(expected.rows()) {
            let bits = |row: &[f32]| row.iter().map(|value| value.to_bits()).collect::<Vec<u32>>();
            assert_eq!(bits(found), bits(expected));
        }
        assert_eq!(found.len(), texts.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn left_truncation_keeps_the_end() {
    let encoder = encoder("sentence-mean");
    let long = (0..200).map(|at| if at < 150 { "fox" } else { "river" }).collect::<Vec<_>>().join(" ");
    let side =
        |side| EmbedOptions { truncation_side: Some(side), max_tokens: Some(12), ..EmbedOptions::default() };
    use frostbert::text::TruncationSide::{Left, Right};
    let ids = |options: &EmbedOptions| encoder.encode([long.as_str()], options).unwrap()[0].ids.clone();
    let short = |word: &str| {
        encoder.encode([[word; 10].join(" ").as_str()], &EmbedOptions::default()).unwrap()[0].ids.clone()
    };
    assert_eq!(ids(&side(Left)), short("river"));
    assert_eq!(ids(&side(Right)), short("fox"));
    let recipe = encoder.recipe(&side(Left)).unwrap();
    assert_ne!(recipe, encoder.recipe(&side(Right)).unwrap());
    assert_eq!(encoder.recipe(&recipe.options()).unwrap(), recipe);
}

#[tokio::test(flavor = "multi_thread")]
async fn openai_answers_in_floats_and_base64() {
    let router = app(&["sentence-mean"]).router();
    let floats =
        post(&router, "/v1/embeddings", json!({ "input": ["a fox", "the river"], "model": "sentence-mean" }))
            .await;
    let floats = floats.json();
    assert_eq!(floats["object"], "list");
    assert_eq!(floats["data"][1]["index"], 1);
    assert!(floats["usage"]["prompt_tokens"].as_u64().unwrap() >= 4);
    let coded = post(&router, "/v1/embeddings", json!({ "input": ["a fox"], "encoding_format": "base64" }))
        .await
        .json();
    use base64::Engine;
    let coded = coded["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(coded).unwrap();
    let values: Vec<f32> =
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    assert_eq!(values, serde_json::from_value::<Vec<f32>>(floats["data"][0]["embedding"].clone()).unwrap());
    // Ids are those of the tokenizer, and others are refused.
    let tokens = post(&router, "/tokenize", json!({ "inputs": "the river", "add_special_tokens": false }))
        .await
        .json();
    let ids: Vec<u64> =
        tokens[0].as_array().unwrap().iter().map(|token| token["id"].as_u64().unwrap()).collect();
    let by_ids = post(&router, "/v1/embeddings", json!({ "input": ids })).await.json();
    assert_eq!(by_ids["data"][0]["embedding"], floats["data"][1]["embedding"]);
    let wrong = post(&router, "/v1/embeddings", json!({ "input": [99999] })).await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.json()["error"]["message"].as_str().unwrap().contains("check_embedding_ctx_length"));
    let cut = post(&router, "/v1/embeddings", json!({ "input": "a fox", "dimensions": 4 })).await.json();
    assert_eq!(cut["data"][0]["embedding"].as_array().unwrap().len(), 4);
    for wrong in [
        json!({ "input": "" }),
        json!({ "input": "a", "dimensions": 0 }),
        json!({ "input": "a", "dimensions": 9999 }),
    ] {
        assert_eq!(post(&router, "/v1/embeddings", wrong).await.status, 422);
    }
    let missing = post(&router, "/v1/embeddings", json!({ "input": "a", "model": "nobody" })).await;
    assert_eq!(
        (missing.status.as_u16(), missing.json()["error"]["code"].clone()),
        (404, json!("model_not_found"))
    );
    let models = get(&router, "/v1/models").await.json();
    assert_eq!(models["data"][0]["id"], "sentence-mean");
}

#[tokio::test(flavor = "multi_thread")]
async fn classifiers_rerankers_taggers_and_masks_answer_as_the_library_does() {
    let names = [
        "bert-sequence-multi-label",
        "bert-sequence-single-label",
        "bert-token-classification",
        "bert-pretraining",
    ];
    let router = app(&names).router();
    let options = EmbedOptions::default();
    for name in &names[..2] {
        let expected = encoder(name).classify(["the fox runs"], &options).unwrap();
        let answer =
            post(&router, "/predict", json!({ "inputs": "the fox runs", "model": name })).await.json();
        let mut scores: Vec<f32> = expected[0].scores.clone();
        scores.sort_by(|a, b| b.total_cmp(a));
        let found: Vec<f32> = answer
            .as_array()
            .unwrap()
            .iter()
            .map(|one| serde_json::from_value(one["score"].clone()).unwrap())
            .collect();
        assert_eq!(found, scores, "{name}");
    }
    // Of several labels each has a score of its own: a softmax would be wrong.
    let pair = post(&router, "/predict", json!({ "inputs": [["a", "b"], ["c"]] })).await.json();
    assert_eq!(pair.as_array().unwrap().len(), 2);
    let documents = ["the river", "a fox", "the fox runs", "a fox"];
    let expected = encoder(names[1]).rerank("fox", &documents, &options).unwrap();
    let tei = post(
        &router,
        "/rerank",
        json!({ "query": "fox", "texts": documents, "model": names[1], "return_text": true }),
    )
    .await
    .json();
    let cohere = post(
        &router,
        "/v2/rerank",
        json!({ "query": "fox", "documents": documents, "model": names[1], "top_n": 2 }),
    )
    .await
    .json();
    let jina = post(&router, "/v1/rerank", json!({ "query": "fox", "documents": [{ "text": "the river" }, "a fox"], "model": names[1], "return_documents": true })).await.json();
    for (at, ranked) in expected.iter().enumerate() {
        assert_eq!(tei[at]["index"], ranked.index);
        assert_eq!(
            serde_json::from_value::<f32>(tei[at]["score"].clone()).unwrap().to_bits(),
            ranked.score.to_bits()
        );
        assert_eq!(tei[at]["text"], documents[ranked.index]);
    }
    assert_eq!(cohere["results"].as_array().unwrap().len(), 2);
    assert_eq!(cohere["results"][0]["index"], expected[0].index);
    assert!(
        jina["results"][0]["document"]["text"].is_string()
            && jina["usage"]["total_tokens"].as_u64().unwrap() > 0
    );
    let tagged = encoder(names[2]).tag(&["the fox runs"], frostbert::Aggregation::None, &options).unwrap();
    let found =
        post(&router, "/tag", json!({ "inputs": "the fox runs", "model": names[2], "aggregation": "none" }))
            .await
            .json();
    assert_eq!(found["results"][0]["entities"], serde_json::to_value(&tagged[0].entities).unwrap());
    let expected = encoder(names[3]).fill_mask("the [MASK] runs", 3, &[], &options).unwrap();
    let found =
        post(&router, "/fill_mask", json!({ "inputs": "the [MASK] runs", "model": names[3], "top_k": 3 }))
            .await
            .json();
    assert_eq!(found["results"][0], serde_json::to_value(&expected).unwrap());
    let hub = post(
        &router,
        "/models/bert-pretraining",
        json!({ "inputs": "the [MASK] runs", "parameters": { "top_k": 2 } }),
    )
    .await
    .json();
    assert_eq!(hub[0]["token"], expected.masks[0][0].id);
    // Sparse vectors against their definition.
    let texts = ["the fox runs", "a river"];
    let found = post(&router, "/embed_sparse", json!({ "inputs": texts, "model": names[3] })).await.json();
    let splade = encoder(names[3]);
    let logits = splade.masked_lm_logits(texts, &options, |encoding| (0..encoding.len()).collect()).unwrap();
    let vocab = splade.config().vocab;
    for (found, logits) in found.as_array().unwrap().iter().zip(&logits) {
        let best = |id: usize| logits.chunks_exact(vocab).map(|row| f64::from(row[id])).fold(0.0, f64::max);
        let expected: Vec<(usize, f32)> = (0..vocab)
            .map(|id| (id, (1.0 + best(id)).ln() as f32))
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, (id, weight)) in found.iter().zip(expected) {
            assert_eq!(found["index"], id);
            assert!((found["value"].as_f64().unwrap() - f64::from(weight)).abs() < 1e-6);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_routes_of_tei() {
    let router = app(&["sentence-mean", "bert-sequence-single-label"]).router();
    let info = get(&router, "/info").await.json();
    assert_eq!(info["model_type"]["embedding"]["pooling"], "mean");
    let all = post(&router, "/embed_all", json!({ "inputs": "the fox" })).await.json();
    let tokens = post(&router, "/tokenize", json!({ "inputs": "the fox" })).await.json();
    assert_eq!(all[0].as_array().unwrap().len(), tokens[0].as_array().unwrap().len());
    assert_eq!(tokens[0][0]["special"], true);
    assert_eq!(tokens[0][1]["text"], "the");
    assert_eq!((tokens[0][1]["start"].clone(), tokens[0][1]["stop"].clone()), (json!(0), json!(3)));
    let ids: Vec<u64> =
        tokens[0].as_array().unwrap().iter().map(|token| token["id"].as_u64().unwrap()).collect();
    assert_eq!(post(&router, "/decode", json!({ "ids": ids })).await.json(), json!(["the fox"]));
    let same = post(
        &router,
        "/similarity",
        json!({ "inputs": { "source_sentence": "the fox", "sentences": ["the fox", "a river"] } }),
    )
    .await
    .json();
    assert!((same[0].as_f64().unwrap() - 1.0).abs() < 1e-5);
    let long = "fox ".repeat(3000);
    let cut = post(&router, "/embed", json!({ "inputs": long })).await;
    assert_eq!((cut.status.as_u16(), cut.headers["x-truncated"].to_str().unwrap()), (200, "1"));
    let refused = post(&router, "/embed", json!({ "inputs": ["short", long], "truncate": false })).await;
    assert_eq!((refused.status.as_u16(), refused.json()["error_type"].clone()), (422, json!("Validation")));
    assert_eq!(post(&router, "/rerank", json!({ "query": "a", "texts": ["b"] })).await.status, 424);
    for path in ["/", "/docs", "/health", "/ping", "/metrics", "/status"] {
        assert_eq!(get(&router, path).await.status, 200, "{path}");
    }
    let metrics = String::from_utf8(get(&router, "/metrics").await.body).unwrap();
    for name in [
        "te_request_count{method=\"single\"}",
        "te_embed_success",
        "te_batch_next_tokens_bucket",
        "te_request_failure{err=\"validation\"}",
        "te_queue_size{model=\"sentence-mean\"}",
        "frostbert_truncated_total 1",
    ] {
        assert!(metrics.contains(name), "{name} is not in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_every_answer_is_as_described() {
    let names =
        ["sentence-mean", "bert-sequence-single-label", "bert-token-classification", "bert-pretraining"];
    let router = app(&names).router();
    let api = get(&router, "/api-doc/openapi.json").await.json();
    let mut routes = 0;
    for (path, methods) in api["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            routes += 1;
            let real = path.replace("{name}", "sentence-mean");
            let content = operation["responses"]["200"]["content"].as_object();
            if path.starts_with("/admin") {
                assert_eq!(post(&router, &real, json!({})).await.status, 403, "{path}");
                assert!(content.is_some_and(|content| !fields(content).is_empty()), "{path}");
                continue;
            }
            let (answer, body) = if method == "get" {
                (get(&router, &real).await, Value::Null)
            } else {
                let body = example_of(&router, path, operation, &names).await;
                (post(&router, &real, body.clone()).await, body)
            };
            assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
            if method == "post" {
                let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
                assert!(schema["properties"]["model"].is_object() || path == "/models/{name}", "{path}");
                check(schema, &body, path).unwrap_or_else(|wrong| panic!("request to {path}: {wrong}"));
            }
            let Some(content) = content else {
                assert!(answer.body.is_empty(), "{method} {path} is not described");
                continue;
            };
            let (kind, described) = content.iter().next().unwrap();
            assert_eq!(answer.headers["content-type"], kind.as_str(), "{path}");
            if kind == "application/json" {
                check(&described["schema"], &answer.json(), path)
                    .unwrap_or_else(|wrong| panic!("answer of {method} {path}: {wrong}"));
            }
        }
    }
    assert!(routes > 25, "{routes}");
    // The check itself sees what is wrong.
    let schema = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } });
    for wrong in [json!({}), json!({ "a": "1" }), json!({ "a": 1, "b": 1 }), json!([1]), json!({ "a": 1.5 })]
    {
        assert!(check(&schema, &wrong, "").is_err(), "{wrong}");
    }
    assert!(check(&schema, &json!({ "a": 1 }), "").is_ok());
}

fn fields(content: &serde_json::Map<String, Value>) -> Vec<String> {
    content
        .values()
        .flat_map(|one| one["schema"]["properties"].as_object().unwrap().keys().cloned())
        .collect()
}

/// A route's example, to a model that can answer it.
async fn example_of(router: &Router, path: &str, operation: &Value, names: &[&str; 4]) -> Value {
    let mut body = operation["requestBody"]["content"]["application/json"]["example"].clone();
    let model = match path {
        "/predict" | "/classify" | "/rerank" | "/v1/rerank" | "/v2/rerank" | "/v1/classify" => names[1],
        "/tag" => names[2],
        "/fill_mask" | "/embed_sparse" => names[3],
        _ => names[0],
    };
    body["model"] = json!(model);
    if path == "/v1/classify" {
        for what in ["abstain", "novel", "novel_by"] {
            body.as_object_mut().unwrap().remove(what);
        }
    }
    if path == "/decode" {
        let tokens = post(router, "/tokenize", json!({ "inputs": "the fox", "model": model })).await.json();
        body["ids"] = tokens[0].as_array().unwrap().iter().map(|token| token["id"].clone()).collect();
    }
    body
}

/// Holds a value against a schema, more strictly than JSON Schema does: fields that are not described are wrong.
fn check(schema: &Value, value: &Value, place: &str) -> Result<(), String> {
    let wrong = |what: &str| Err(format!("{place}: {what}: {value} is not {schema}"));
    if let Some(options) = schema["anyOf"].as_array() {
        let fits = options.iter().any(|option| check(option, value, place).is_ok());
        return if fits { Ok(()) } else { wrong("none of these") };
    }
    if schema["const"].is_string() && schema["const"] != *value {
        return wrong("another word");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return wrong("none of the words");
    }
    let fits = match schema["type"].as_str() {
        None => return Ok(()),
        Some("null") => value.is_null(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_u64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_boolean(),
        Some("array") => {
            for (at, item) in value.as_array().into_iter().flatten().enumerate() {
                check(&schema["items"], item, &format!("{place}[{at}]"))?;
            }
            value.is_array()
        }
        Some("object") => {
            let Some(object) = value.as_object() else { return wrong("no object") };
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            if let Some(missing) =
                required.iter().find(|name| !object.contains_key(name.as_str().unwrap_or_default()))
            {
                return wrong(&format!("{missing} is missing"));
            }
            for (name, value) in object {
                let schema = [&schema["properties"][name], &schema["additionalProperties"]];
                let Some(schema) = schema.into_iter().find(|schema| schema.is_object()) else {
                    return wrong(&format!("{name} is not described"));
                };
                check(schema, value, &format!("{place}.{name}"))?;
            }
            true
        }
        Some(other) => return wrong(other),
    };
    if fits { Ok(()) } else { wrong("another type") }
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_are_cut_to_the_tokens_allowed() {
    let router = app(&["bert-sequence-single-label"]).router();
    let long = ["the river fox runs a kernel", "fox", "the river"];
    let short = ["the river", "fox", "the river"];
    for path in ["/v1/rerank", "/v2/rerank"] {
        let cut =
            post(&router, path, json!({ "query": "fox", "documents": long, "max_tokens_per_doc": 2 })).await;
        assert_eq!(cut.headers["x-truncated"], "1");
        let (cut, plain) =
            (cut.json(), post(&router, path, json!({ "query": "fox", "documents": short })).await.json());
        assert_eq!(cut["results"], plain["results"]);
        assert!(cut["meta"]["warnings"][0].as_str().unwrap().contains("1 documents"), "{cut}");
        let whole =
            post(&router, path, json!({ "query": "fox", "documents": long, "max_tokens_per_doc": 60 })).await;
        assert_eq!(whole.headers["x-truncated"], "0");
        assert_ne!(whole.json()["results"], cut["results"]);
        assert!(plain["meta"]["warnings"].is_null());
    }
    for wrong in [json!({ "max_tokens_per_doc": 0 }), json!({ "rank_fields": ["title"] })] {
        let mut body = json!({ "query": "fox", "documents": long });
        body.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        assert_eq!(post(&router, "/v1/rerank", body).await.status, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_progress_take_so_much_memory_and_so_much_time_at_most() {
    let config = Config {
        payload_limit: 64 << 10,
        payload_budget: 64 << 10,
        read_timeout: Duration::from_millis(300),
        ..config(&["sentence-mean"])
    };
    let router = App::open(config).unwrap().router();
    // Two that send 40 kB and then nothing: the second finds no room, and the first runs out of time.
    let stuck = || {
        let start = Body::new(Stuck(Some(vec![b' '; 40 << 10])));
        Request::post("/embed").header("content-type", "application/json").body(start).unwrap()
    };
    let (first, second) = tokio::join!(send(&router, stuck()), send(&router, stuck()));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [408, 429]);
    assert_eq!(post(&router, "/embed", json!({ "inputs": "a" })).await.status, 200, "the room is free again");
}

/// A body that brings so much and never ends.
struct Stuck(Option<Vec<u8>>);

impl axum::body::HttpBody for Stuck {
    type Data = axum::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        match self.0.take() {
            Some(bytes) => std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(bytes.into())))),
            None => std::task::Poll::Pending,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_their_status_and_shape() {
    let limited = Config { payload_limit: 4096, ..config(&["sentence-mean"]) };
    let router = App::open(limited).unwrap().router();
    let raw = |path: &str, kind: Option<&str>, body: &str| {
        let mut builder = Request::post(path);
        if let Some(kind) = kind {
            builder = builder.header("content-type", kind);
        }
        builder.body(Body::from(body.to_owned())).unwrap()
    };
    let json_kind = Some("application/json");
    let large = format!("{{\"inputs\":\"{}\"}}", "x".repeat(5000));
    let deep = format!("{{\"inputs\":{}", "[".repeat(1000));
    for (path, kind, body, status) in [
        ("/embed", json_kind, "{", 400),
        ("/embed", json_kind, "", 400),
        ("/embed", json_kind, &deep[..], 400),
        ("/embed", None, "{}", 415),
        ("/embed", Some("text/plain"), "{}", 415),
        ("/embed", json_kind, "{}", 422),
        ("/embed", json_kind, "{\"inputs\":null}", 422),
        ("/embed", json_kind, "{\"inputs\":[]}", 400),
        ("/embed", json_kind, "{\"inputs\":\"a\",\"dimensions\":NaN}", 400),
        ("/embed", json_kind, &large[..], 413),
        ("/tag", json_kind, "{\"inputs\":\"a\",\"colour\":1}", 422),
        ("/nowhere", json_kind, "{}", 404),
    ] {
        let answer = send(&router, raw(path, kind, body)).await;
        assert_eq!(
            answer.status.as_u16(),
            status,
            "{path} {body:.40}: {}",
            String::from_utf8_lossy(&answer.body)
        );
        let said = answer.json();
        assert!(said["error"].is_string() && said["error_type"].is_string(), "{said}");
    }
    assert_eq!(get(&router, "/embed").await.status, 405);
    let openai = send(&router, raw("/v1/embeddings", json_kind, "{}")).await.json();
    assert!(openai["error"]["message"].is_string() && openai["error"]["type"].is_string());
    let cohere = send(&router, raw("/v2/rerank", json_kind, "{}")).await.json();
    assert!(cohere["message"].is_string() && cohere["id"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_in_paths_may_have_any_letters() {
    let mut config = config(&["sentence-mean"]);
    config.models[0].name = "modèle déjà vu".into();
    let router = App::open(config).unwrap().router();
    let whole = post(&router, "/embed", json!({ "inputs": "the fox" })).await;
    let path = "/models/mod%C3%A8le%20d%C3%A9j%C3%A0%20vu";
    let named = post(&router, path, json!({ "inputs": "the fox" })).await;
    assert_eq!(named.json(), whole.json());
    let nested = axum::Router::new().nest("/teams/{team}", router);
    let named = post(&nested, &format!("/teams/a{path}"), json!({ "inputs": "the fox" })).await;
    assert_eq!(named.json(), whole.json());
    assert_eq!(post(&nested, "/teams/a/models/other", json!({ "inputs": "the fox" })).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_fit_into_memory_is_refused() {
    let router = app(&["bert-sequence-single-label", "bert-pretraining"]).router();
    let query = "fox ".repeat(25_000);
    let pairs = json!({ "query": query, "texts": vec!["a"; 2000] });
    let cohere =
        json!({ "query": query, "documents": vec!["a"; 2000], "model": "bert-sequence-single-label" });
    for (path, body) in [("/rerank", &pairs), ("/", &pairs), ("/v1/rerank", &cohere), ("/v2/rerank", &cohere)]
    {
        let answer = post(&router, path, body.clone()).await;
        assert_eq!(answer.status, 413, "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
    let masks =
        json!({ "inputs": vec!["[MASK] ".repeat(20); 10], "top_k": 1000, "model": "bert-pretraining" });
    assert_eq!(post(&router, "/fill_mask", masks).await.status, 413);
    let masks = json!({ "inputs": vec!["[MASK] ".repeat(20); 10], "top_k": 5, "model": "bert-pretraining" });
    assert_eq!(post(&router, "/fill_mask", masks).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn hugging_faces_tasks_do_what_they_are_told_or_say_that_they_do_not() {
    let router = app(&["sentence-mean", "bert-sequence-single-label", "bert-pretraining"]).router();
    let ask = |body: Value| post(&router, "/", body);
    // `model` names what answers.
    assert_eq!(rows(&ask(json!({ "inputs": ["the fox"] })).await.json()).len(), 1);
    let labels = ask(json!({ "inputs": "the fox", "model": "bert-sequence-single-label" })).await.json();
    assert!(labels[0][0]["label"].is_string(), "{labels}");
    assert_eq!(ask(json!({ "inputs": "the fox", "model": "nope" })).await.status, 404);
    assert_eq!(ask(json!({ "inputs": "the fox", "model": 7 })).await.status, 422);
    let path = "/models/bert-sequence-single-label";
    let long = "fox ".repeat(400);
    let refused = post(&router, path, json!({ "inputs": long, "truncate": false })).await;
    assert_eq!(refused.status, 422);
    // Scores as they are asked for.
    let with =
        |parameters: Value| post(&router, path, json!({ "inputs": "the fox", "parameters": parameters }));
    let plain = with(Value::Null).await.json();
    let raw = with(json!({ "function_to_apply": "none" })).await.json();
    let soft = with(json!({ "function_to_apply": "softmax" })).await.json();
    let own = with(json!({ "function_to_apply": "sigmoid", "top_k": 1 })).await.json();
    let scores = |answer: &Value| -> Vec<f64> {
        answer[0].as_array().unwrap().iter().map(|entry| entry["score"].as_f64().unwrap()).collect()
    };
    assert_eq!(plain[0][0]["label"], raw[0][0]["label"]);
    let exps: Vec<f64> = scores(&raw).into_iter().map(f64::exp).collect();
    let sum: f64 = exps.iter().sum();
    assert!(exps.iter().zip(scores(&soft)).all(|(exp, soft)| (exp / sum - soft).abs() < 1e-6), "{soft}");
    assert_eq!(scores(&own).len(), 1);
    assert!((scores(&own)[0] - 1.0 / (1.0 + (-scores(&raw)[0]).exp())).abs() < 1e-6);
    for wrong in [json!({ "candidate_labels": ["a", "b"] }), json!({ "top_k": "2" }), json!({ "topk": 2 })] {
        assert_eq!(with(wrong.clone()).await.status, 422, "{wrong}");
    }
    // Masks: these words alone, and a list for a list.
    let fill = |body: Value| post(&router, "/models/bert-pretraining", body);
    let targets = json!({ "targets": ["fox", "river"] });
    let words = fill(json!({ "inputs": "the [MASK] runs", "parameters": targets })).await.json();
    let words: Vec<&str> =
        words.as_array().unwrap().iter().map(|word| word["token_str"].as_str().unwrap()).collect();
    assert!(words.len() == 2 && words.contains(&"fox") && words.contains(&"river"), "{words:?}");
    let several =
        fill(json!({ "inputs": ["the [MASK] runs", "a [MASK]"], "parameters": { "top_k": 3 } })).await;
    assert_eq!(
        several.json().as_array().unwrap().iter().map(|list| list.as_array().unwrap().len()).sum::<usize>(),
        6
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_at_fault_is_named_by_its_place_in_the_request() {
    let router = App::open(Config { batch_tokens: Some(64), ..config(&["sentence-mean"]) }).unwrap().router();
    let mut texts = vec!["the fox".to_owned(); 300];
    texts[250] = "fox ".repeat(400);
    let refused = post(&router, "/embed", json!({ "inputs": texts, "truncate": false })).await;
    let said = refused.json()["error"].as_str().unwrap().to_owned();
    assert!(refused.status == 422 && said.contains("row 250"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_checked_and_counts_are_right() {
    let prompted = Config { default_prompt_name: Some("nope".into()), ..config(&["sentence-mean"]) };
    let said = App::open(prompted).err().unwrap().to_string();
    assert!(said.contains("--default-prompt-name"), "{said}");
    let patient = Config { queue_timeout: Duration::MAX, ..config(&["sentence-mean"]) };
    let router = App::open(patient).unwrap().router();
    assert_eq!(post(&router, "/embed", json!({ "inputs": "the fox" })).await.status, 200);
    assert_eq!(get(&router, "/v1/models/sentence-mean").await.json()["id"], "sentence-mean");
    assert_eq!(get(&router, "/v1/models/other").await.status, 404);
    let mut packed = request("/embed", &json!({ "inputs": "a" }));
    packed.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    assert_eq!(send(&router, packed).await.status, 415);
    // Whoever leaves is counted.
    let texts: Vec<String> = (0..2000).map(text).collect();
    let gone =
        tokio::time::timeout(Duration::from_millis(30), post(&router, "/embed", json!({ "inputs": texts })));
    assert!(gone.await.is_err());
    let figures = String::from_utf8(get(&router, "/metrics").await.body).unwrap();
    assert!(figures.contains("te_request_failure{err=\"abandoned\"} 1"), "{figures}");
    assert!(figures.contains("te_request_count{method=\"batch\"} 1"), "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_asked_for_and_browsers_may_send_them() {
    let guarded = Config {
        api_keys: vec!["s3cret".into()],
        admin_key: Some("boss".into()),
        cors_allow_origin: vec!["https://example.org".into()],
        ..config(&["sentence-mean"])
    };
    let router = App::open(guarded).unwrap().router();
    let with = |path: &str, key: &str| {
        let mut request = request(path, &json!({ "inputs": "a" }));
        request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        request
    };
    assert_eq!(post(&router, "/embed", json!({ "inputs": "a" })).await.status, 401);
    assert_eq!(send(&router, with("/embed", "wrong")).await.status, 401);
    assert_eq!(send(&router, with("/embed", "s3cret")).await.status, 200);
    assert_eq!(send(&router, with("/admin/models/sentence-mean/load", "s3cret")).await.status, 401);
    assert_eq!(send(&router, with("/admin/models/sentence-mean/load", "boss")).await.status, 200);
    assert_eq!(send(&router, with("/admin/models/..%2Fetc/load", "boss")).await.status, 404);
    assert_eq!(send(&router, with("/admin/models/%ff/load", "boss")).await.status, 404);
    for path in ["/", "/docs", "/health", "/metrics"] {
        assert_eq!(get(&router, path).await.status, 200, "{path}");
    }
    let preflight = |origin: &str| {
        Request::options("/embed")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,x-stainless-lang")
            .body(Body::empty())
            .unwrap()
    };
    let allowed = send(&router, preflight("https://example.org")).await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "https://example.org");
    for header in ["authorization", "x-stainless-lang"] {
        assert!(allowed.headers["access-control-allow-headers"].to_str().unwrap().contains(header));
    }
    assert!(
        !send(&router, preflight("https://evil.example"))
            .await
            .headers
            .contains_key("access-control-allow-origin")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn overload_is_told_with_when_to_come_again() {
    let small = Config { max_queued_texts: 4, max_concurrent_requests: 3, ..config(&["sentence-mean"]) };
    let app = App::open(small).unwrap();
    let router = app.router();
    let texts: Vec<String> = (0..4000).map(text).collect();
    let tasks: Vec<_> = (0..12)
        .map(|_| {
            let (router, texts) = (router.clone(), texts.clone());
            tokio::spawn(async move { post(&router, "/embed", json!({ "inputs": texts })).await })
        })
        .collect();
    let (mut fine, mut refused) = (0, 0);
    for task in tasks {
        let answer = task.await.unwrap();
        match answer.status.as_u16() {
            200 => fine += 1,
            429 => {
                refused += 1;
                assert_eq!(answer.headers["retry-after"], "1");
                assert_eq!(answer.json()["error_type"], "Overloaded");
            }
            other => panic!("{other}"),
        }
    }
    assert!(fine >= 1 && refused >= 1, "{fine} answered, {refused} refused");
    assert_eq!(post(&router, "/embed", json!({ "inputs": "a" })).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_one_text_does_not_wait_for_another_with_thousands() {
    let router = app(&["sentence-mean"]).router();
    let from = |mut request: Request<Body>, ip: u8| {
        request.extensions_mut().insert(frostbert_serve::Peer(([127, 0, 0, ip], 1).into()));
        request
    };
    let texts: Vec<String> = (0..10_000).map(text).collect();
    let large = {
        let (router, request) = (router.clone(), from(request("/embed", &json!({ "inputs": texts })), 1));
        tokio::spawn(async move { send(&router, request).await })
    };
    // Until it waits.
    loop {
        let waiting = get(&router, "/status").await.json()["models"][0]["waiting"].as_u64().unwrap();
        if waiting > 0 || large.is_finished() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let small = send(&router, from(request("/embed", &json!({ "inputs": "the fox" })), 2)).await;
    assert_eq!(small.status, 200);
    let waiting = get(&router, "/status").await.json()["models"][0]["waiting"].as_u64().unwrap();
    assert!(
        !large.is_finished() && waiting > 1000,
        "{waiting} texts waited when the small request was answered"
    );
    // A client that goes takes its texts with it.
    large.abort();
    assert!(large.await.unwrap_err().is_cancelled());
    let waiting = get(&router, "/status").await.json()["models"][0]["waiting"].as_u64().unwrap();
    assert_eq!(waiting, 0);
}

/// A folder with a copy of a checkpoint, and a head trained on it.
fn trained(folder: &std::path::Path, labels: [&str; 2]) -> PathBuf {
    use frostbert::head::CautionOptions;
    use frostbert::workflow::{Dataset, HoldOut, Trainer};
    let table = folder.join("reviews.csv");
    let mut csv = String::from("text,label\n");
    for row in 0..60 {
        let good = row % 2 == 0;
        let words = if good { "the fox runs" } else { "a river ," };
        csv += &format!("{words} {row},{}\n", labels[usize::from(good)]);
    }
    csv = csv.replace(" ,", " fox");
    std::fs::write(&table, csv).unwrap();
    let selection = frostbert::data::Selection { labels: vec!["label".into()], ..Default::default() };
    let data = Dataset::read(frostbert::data::Table::open(&table).unwrap(), &selection).unwrap();
    let encoder = encoder("sentence-mean");
    let trained = Trainer::new(&encoder)
        .model_location(golden("sentence-mean"))
        .hold_out(HoldOut::Share(0.2))
        .caution(CautionOptions { conformal: Some(0.9), ..CautionOptions::default() })
        .keep_sample(Some(30))
        .train(&data, &mut |_| {})
        .unwrap();
    let path = folder.join("reviews.safetensors");
    trained.head.save(&path).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_answer_as_the_library_and_are_replaced_without_dropping_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = trained(folder.path(), ["bad", "good"]);
    let config = Config {
        heads: vec![
            format!("one={}", file.display()).parse().unwrap(),
            format!("two={}", file.display()).parse().unwrap(),
        ],
        admin_key: Some("boss".into()),
        ..config(&["sentence-mean"])
    };
    let app = App::open(config).unwrap();
    let router = app.router();
    let head = frostbert::head::Head::load(&file).unwrap();
    let classifier = frostbert::Classifier::new(encoder("sentence-mean"), head).unwrap();
    let expected = &classifier.predict(["the fox runs"]).unwrap()[0];
    let answer =
        post(&router, "/v1/classify", json!({ "model": "one", "inputs": "the fox runs", "explain": true }))
            .await
            .json();
    let result = &answer["results"][0];
    for (name, probability) in classifier.head().names().iter().zip(&expected.answer.probabilities) {
        assert_eq!(result["probabilities"][name].as_f64().unwrap().to_bits(), probability.to_bits());
    }
    assert!(result["explanation"]["shares"].is_array());
    let both = post(
        &router,
        "/v1/classify",
        json!({ "models": ["one", "two"], "inputs": ["the fox runs", "a river"] }),
    )
    .await;
    assert_eq!(both.headers["x-compute-characters"], "19", "one pass for both");
    assert_eq!(both.json()["models"][0]["results"], both.json()["models"][1]["results"]);
    let metrics = String::from_utf8(get(&router, "/metrics").await.body).unwrap();
    let counted = |head: &str| -> u64 {
        let lines = metrics
            .lines()
            .filter(|line| line.starts_with(&format!("frostbert_labels_total{{head=\"{head}\"")));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
    };
    assert_eq!((counted("one"), counted("two")), (3, 2), "{metrics}");
    assert!(metrics.contains("te_predict_count 5") && metrics.contains("te_predict_success 5"), "{metrics}");
    // A text that is explained is computed twice and counted once.
    let long = json!({ "model": "one", "inputs": "fox ".repeat(2000), "explain": true });
    let long = post(&router, "/v1/classify", long).await;
    assert_eq!((long.status.as_u16(), &long.headers["x-truncated"]), (200, &"1".parse().unwrap()));
    let unsure =
        post(&router, "/v1/classify", json!({ "model": "one", "inputs": "the fox runs", "abstain": 1.0 }))
            .await
            .json();
    assert_eq!(unsure["results"][0]["label"], Value::Null);
    // Texts that are too long, as everywhere.
    let long =
        |truncate: bool| json!({ "inputs": "fox ".repeat(2000), "model": "one", "truncate": truncate });
    assert_eq!(post(&router, "/predict", long(true)).await.status, 200);
    assert_eq!(post(&router, "/predict", long(false)).await.status, 422);
    // What else it may be, and whether it is like any text before: as the library says it.
    assert_eq!(result["set"].as_array().unwrap().len(), expected.answer.set.as_ref().unwrap().len());
    let novelty = expected.answer.novelty.unwrap();
    assert_eq!(result["novelty"], json!(novelty));
    for by in ["nearest", "mahalanobis", "energy"] {
        let share = novelty.share_by(by.parse().unwrap()).unwrap();
        for (novel, withheld) in [(share, true), (share * 0.99, false)] {
            let body = json!({ "model": "one", "inputs": "the fox runs", "novel": novel, "novel_by": by });
            let answer = post(&router, "/v1/classify", body).await.json();
            assert_eq!(answer["results"][0]["label"].is_null(), withheld, "{by} {novel}: {answer}");
        }
    }
    for wrong in [json!({ "novel": 2.0 }), json!({ "novel": 0.1, "novel_by": "far" })] {
        let mut body = wrong.clone();
        (body["model"], body["inputs"]) = (json!("one"), json!("the fox runs"));
        assert_eq!(post(&router, "/v1/classify", body).await.status, 422, "{wrong}");
    }
    // The first model has no classifier of its own: its first head answers.
    let predicted = post(&router, "/predict", json!({ "inputs": "the fox runs" })).await.json();
    assert_eq!(predicted.as_array().unwrap().len(), 2);

    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let clients: Vec<_> = (0..3)
        .map(|client| {
            let (router, stop) = (router.clone(), stop.clone());
            tokio::spawn(async move {
                let mut asked = 0;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) || asked == 0 {
                    let answer =
                        post(&router, "/v1/classify", json!({ "model": "one", "inputs": text(client) }))
                            .await;
                    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
                    asked += 1;
                }
                asked
            })
        })
        .collect();
    trained(folder.path(), ["no", "yes"]);
    let boss = |path: &str| {
        let mut request = request(path, &json!({}));
        request.headers_mut().insert("authorization", "Bearer boss".parse().unwrap());
        request
    };
    for _ in 0..3 {
        assert_eq!(send(&router, boss("/admin/heads/one/reload")).await.status, 200);
        assert_eq!(send(&router, boss("/admin/models/sentence-mean/load")).await.status, 200);
    }
    let fresh =
        post(&router, "/v1/classify", json!({ "model": "one", "inputs": "the fox runs" })).await.json();
    assert!(fresh["results"][0]["probabilities"]["yes"].is_number(), "{fresh}");
    let old = post(&router, "/v1/classify", json!({ "model": "two", "inputs": "the fox runs" })).await.json();
    assert!(old["results"][0]["probabilities"]["good"].is_number(), "{old}");
    // A damaged file leaves what is there.
    std::fs::write(&file, "damaged").unwrap();
    assert_eq!(send(&router, boss("/admin/heads/one/reload")).await.status, 503);
    app.reload().await;
    assert!(post(&router, "/v1/classify", json!({ "model": "one", "inputs": "a" })).await.status == 200);
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
    assert_eq!(send(&router, boss("/admin/models/sentence-mean/unload")).await.json()["was_loaded"], true);
    assert_eq!(get(&router, "/health").await.status, 200, "it answers, if later");
    assert_eq!(post(&router, "/embed", json!({ "inputs": "a" })).await.status, 200, "loaded when asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_within_a_limit_make_room_for_each_other() {
    let bytes = |name: &str| {
        frostbert::Checkpoint::open(golden(name)).unwrap().summary(1).memory.unwrap().weights_f32_bytes
    };
    let names = ["sentence-mean", "sentence-cls"];
    let limit = bytes(names[0]).max(bytes(names[1])) + 1;
    let router =
        App::open(Config { lazy: true, memory_limit: Some(limit), ..config(&names) }).unwrap().router();
    for name in [names[0], names[1], names[0]] {
        assert_eq!(post(&router, "/embed", json!({ "inputs": "a", "model": name })).await.status, 200);
        let status = get(&router, "/status").await.json();
        for model in status["models"].as_array().unwrap() {
            assert_eq!(model["loaded"], model["name"] == name, "{status}");
        }
    }
    // All at once: each waits for its room.
    let ask = |name: &str| post(&router, "/embed", json!({ "inputs": "a", "model": name }));
    let (a, b, c) = tokio::join!(ask(names[0]), ask(names[1]), ask(names[0]));
    assert!([a, b, c].iter().all(|answer| answer.status == 200));
    let status = get(&router, "/status").await.json();
    let loaded = status["models"].as_array().unwrap().iter().filter(|model| model["loaded"] == true);
    assert_eq!(loaded.count(), 1, "{status}");
    let too_small = Config { lazy: true, memory_limit: Some(10), ..config(&names) };
    let router = App::open(too_small).unwrap().router();
    assert_eq!(post(&router, "/embed", json!({ "inputs": "a" })).await.status, 503);
}

#[test]
fn what_cannot_be_served_is_refused_at_the_start() {
    assert!(App::open(Config::default()).is_err_and(|error| error.is_input()));
    assert!(App::open(config(&["sentence-mean", "sentence-mean"])).is_err_and(|error| error.is_input()));
    assert!(App::open(config(&["no-such-model"])).is_err());
    let keys = Config { api_keys: vec![String::new()], ..config(&["sentence-mean"]) };
    assert!(App::open(keys).is_err_and(|error| error.is_input()));
    for origin in ["https://b c.example", "example.org", "https://example.org/page", ""] {
        let origins = Config { cors_allow_origin: vec![origin.into()], ..config(&["sentence-mean"]) };
        assert!(App::open(origins).is_err_and(|error| error.is_input()), "{origin:?}");
    }
}

/// A checkpoint's own classifier answers in the words of heads.
#[tokio::test(flavor = "multi_thread")]
async fn values_and_several_labels_are_said_as_such() {
    let names = ["bert-sequence-regression", "bert-sequence-multi-label", "bert-sequence-single-label"];
    let router = app(&names).router();
    let answer = async |name: &str| {
        let body = json!({ "inputs": "the fox runs", "model": name });
        post(&router, "/v1/classify", body).await.json()["results"][0].clone()
    };
    let value = answer(names[0]).await;
    assert!(value["value"].is_number() && value.get("label").is_none(), "{value}");
    assert!(value.get("probabilities").is_none(), "{value}");
    let several = answer(names[1]).await;
    let likely =
        several["probabilities"].as_object().unwrap().iter().filter(|(_, p)| p.as_f64().unwrap() >= 0.5);
    assert_eq!(several["labels"].as_array().unwrap().len(), likely.count(), "{several}");
    let one = answer(names[2]).await;
    assert!(one["label"].is_string() && one.get("labels").is_none(), "{one}");
}

/// What no route says is said in the words of the route beside it.
#[tokio::test(flavor = "multi_thread")]
async fn missing_routes_and_methods_speak_their_neighbours_dialect() {
    let router = app(&["sentence-mean"]).router();
    for (path, status) in [("/v1/embeddings", 405), ("/v1/no-such", 404)] {
        let answer = get(&router, path).await;
        assert_eq!(answer.status, status);
        assert!(answer.json()["error"]["message"].is_string(), "{path}");
    }
    let cohere = get(&router, "/v2/rerank").await;
    assert_eq!(cohere.status, 405);
    assert!(cohere.json()["message"].is_string());
    assert!(get(&router, "/no-such").await.json()["error_type"].is_string());
}

/// Answers are many times as large as what is asked.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_too_large_are_refused() {
    let router = App::open(Config { max_queued_texts: 5, ..config(&["sentence-mean"]) }).unwrap().router();
    let texts = vec!["word ".repeat(60); 20_000];
    assert_eq!(post(&router, "/embed_all", json!({ "inputs": texts })).await.status, 413);
    assert_eq!(post(&router, "/tokenize", json!({ "inputs": vec!["a"; 6] })).await.status, 413);
    assert_eq!(post(&router, "/tokenize", json!({ "inputs": vec!["a"; 5] })).await.status, 200);
}

/// Changes a valid request somewhere: a byte, a piece, a value, a repeated part.
fn mutate(random: &mut rand_chacha::ChaCha8Rng, body: &str) -> Vec<u8> {
    let mut bytes = body.as_bytes().to_vec();
    const PIECES: &[&str] = &[
        "null",
        "-1",
        "1e999",
        "NaN",
        "\"\\ud800\"",
        "[[[[",
        "{}",
        "\u{0}",
        "1.5",
        "true",
        "\"\"",
        "99999999999999999999",
        "]",
        "\"model\":7,",
    ];
    for _ in 0..random.random_range(1..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 if at < bytes.len() => bytes[at] = random.random_range(0..=255),
            1 => bytes.truncate(at),
            2 => {
                let piece = PIECES[random.random_range(0..PIECES.len())];
                bytes.splice(at..at, piece.bytes());
            }
            3 => {
                let end = (at + random.random_range(0..20)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.random_range(0..40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
            _ => {
                // A value for another.
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let piece = PIECES[random.random_range(0..PIECES.len())];
                if let Some(colon) = text.find(':') {
                    bytes = format!("{}:{piece}}}", &text[..colon]).into_bytes();
                }
            }
        }
    }
    bytes
}

/// `FROSTBERT_SERVE_MUTATIONS` sets how many; a campaign takes 10,000.
#[tokio::test(flavor = "multi_thread")]
async fn mutated_requests_are_answered_and_never_by_a_failure_of_the_server() {
    let count: u64 =
        std::env::var("FROSTBERT_SERVE_MUTATIONS").ok().map_or(1500, |count| count.parse().unwrap());
    let names =
        ["sentence-mean", "bert-sequence-single-label", "bert-token-classification", "bert-pretraining"];
    let router = app(&names).router();
    let api = get(&router, "/api-doc/openapi.json").await.json();
    let mut seeds: Vec<(String, String)> = Vec::new();
    for (path, methods) in api["paths"].as_object().unwrap() {
        let example = &methods["post"]["requestBody"]["content"]["application/json"]["example"];
        if example.is_object() {
            for name in names {
                let mut body = example.clone();
                body["model"] = json!(name);
                seeds.push((path.replace("{name}", name), body.to_string()));
            }
        }
    }
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..count {
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(number);
        let (path, body) = &seeds[random.random_range(0..seeds.len())];
        let body = mutate(&mut random, body);
        let builder = Request::post(path).header("content-type", "application/json");
        let request = builder.body(Body::from(body.clone())).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(60), send(&router, request)).await;
        let shown = String::from_utf8_lossy(&body);
        let answer = answer.unwrap_or_else(|_| panic!("request {number} to {path} hangs: {shown}"));
        assert!(answer.status.as_u16() < 500, "request {number} to {path}: {} for {shown}", answer.status);
        answer.json();
        *statuses.entry(answer.status.as_u16()).or_insert(0) += 1;
    }
    println!("{statuses:?}");
    assert!(statuses.len() > 3, "{statuses:?}");
    let metrics = String::from_utf8(get(&router, "/metrics").await.body).unwrap();
    assert!(metrics.contains("frostbert_panics_total 0"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_and_texts_of_one_request_stay_in_order() {
    let router = app(&["bert-sequence-single-label"]).router();
    let texts: Vec<Vec<String>> = (0..300).map(|at| vec![text(at)]).collect();
    let found = post(&router, "/predict", json!({ "inputs": texts, "raw_scores": true })).await.json();
    let encoder = encoder("bert-sequence-single-label");
    let labels = encoder.classification_labels().unwrap();
    let expected =
        encoder.classify(texts.iter().map(|text| Text::from(&text[0])), &EmbedOptions::default()).unwrap();
    for (found, expected) in found.as_array().unwrap().iter().zip(&expected) {
        for one in found.as_array().unwrap() {
            let label = labels.iter().position(|label| one["label"] == label.as_str()).unwrap();
            assert_eq!(serde_json::from_value::<f32>(one["score"].clone()).unwrap(), expected.logits[label]);
        }
    }
}
