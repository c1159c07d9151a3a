//! The fields of every request and answer, as JSON Schema, for the OpenAPI document. A test holds answers against them.

use serde_json::{Map, Value, json};

fn object(required: &[&str], optional: &[&str], fields: &[(&str, Value)]) -> Value {
    debug_assert!(
        required.iter().chain(optional).all(|name| fields.iter().any(|(field, _)| field == name)),
        "{required:?} {optional:?}"
    );
    let properties: Map<String, Value> = fields
        .iter()
        .filter(|(name, _)| required.contains(name) || optional.contains(name))
        .map(|(name, schema)| ((*name).to_owned(), schema.clone()))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required })
}

/// An object of which all fields are always there.
fn record(fields: &[(&str, Value)]) -> Value {
    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    object(&names, &[], fields)
}

fn string() -> Value {
    json!({ "type": "string" })
}

fn integer() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn number() -> Value {
    json!({ "type": "number" })
}

fn boolean() -> Value {
    json!({ "type": "boolean" })
}

fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn map(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

fn any(of: &[Value]) -> Value {
    json!({ "anyOf": of })
}

fn null_or(schema: Value) -> Value {
    any(&[schema, json!({ "type": "null" })])
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A fixed word.
fn word(word: &str) -> Value {
    json!({ "type": "string", "const": word })
}

fn described(mut schema: Value, words: &str) -> Value {
    schema["description"] = json!(words);
    schema
}

/// A string, a list of ids, or a list of either.
fn inputs() -> Value {
    let ids = || list(integer());
    let each = any(&[string(), ids()]);
    described(any(&[string(), ids(), list(each)]), "a text, its token ids, or a list of either")
}

fn texts() -> Value {
    any(&[string(), list(string())])
}

/// Fields that requests share, under the names that the routes use.
fn fields() -> Vec<(&'static str, Value)> {
    vec![
        ("model", described(null_or(string()), "name of a model or head; without it the first model")),
        ("inputs", inputs()),
        ("truncate", described(null_or(boolean()), "cut texts that are too long, or refuse them")),
        ("truncation_direction", null_or(one_of(&["Left", "Right", "left", "right"]))),
        ("prompt_name", described(null_or(string()), "one of the model's prompts")),
        ("normalize", described(null_or(boolean()), "scale vectors to length one; true unless said")),
        ("dimensions", described(null_or(integer()), "only the first so many, for models trained to that")),
        ("raw_scores", described(null_or(boolean()), "logits instead of probabilities")),
        ("query", string()),
        ("top_n", described(null_or(integer()), "only the best so many")),
    ]
}

fn request_object(required: &[&str], optional: &[&str], own: &[(&str, Value)]) -> Value {
    // A route's own field goes before the shared one of its name.
    let mut all: Vec<(&str, Value)> = own.to_vec();
    all.extend(fields().into_iter().filter(|(name, _)| own.iter().all(|(known, _)| known != name)));
    object(required, optional, &all)
}

const READING: [&str; 4] = ["model", "truncate", "truncation_direction", "prompt_name"];

/// The body of a POST; none where a route reads none.
pub(crate) fn request(path: &str) -> Option<Value> {
    let with_reading = |more: &[&'static str]| [&READING, more].concat();
    let documents = [
        ("documents", list(any(&[string(), record(&[("text", string())])]))),
        ("return_documents", null_or(boolean())),
        (
            "max_tokens_per_doc",
            described(null_or(integer()), "documents are cut to so many tokens of the model's tokenizer"),
        ),
        (
            "rank_fields",
            described(null_or(list(word("text"))), "fields of documents to rank by: only text is read"),
        ),
    ];
    let rerank = ["model", "top_n", "return_documents", "max_tokens_per_doc", "rank_fields"];
    Some(match path {
        "/embed" => request_object(&["inputs"], &with_reading(&["normalize", "dimensions"]), &[]),
        "/embed_all" | "/embed_sparse" => request_object(&["inputs"], &READING, &[]),
        "/predict" => {
            let pair =
                json!({ "type": "array", "items": { "type": "string" }, "minItems": 1, "maxItems": 2 });
            let inputs = described(
                any(&[string(), pair.clone(), list(pair)]),
                "a text, a list of one text or of two (a pair), or a list of such lists",
            );
            request_object(&["inputs"], &with_reading(&["raw_scores"]), &[("inputs", inputs)])
        }
        "/rerank" => request_object(
            &["query", "texts"],
            &with_reading(&["raw_scores", "return_text"]),
            &[("texts", list(string())), ("return_text", null_or(boolean()))],
        ),
        "/similarity" => {
            let pair = record(&[("source_sentence", string()), ("sentences", list(string()))]);
            let reading: Vec<&str> = READING[1..].to_vec();
            let parameters = null_or(object(&[], &reading, &fields()));
            request_object(
                &["inputs"],
                &["model", "parameters"],
                &[("inputs", pair), ("parameters", parameters)],
            )
        }
        "/tokenize" => request_object(
            &["inputs"],
            &["model", "add_special_tokens", "prompt_name"],
            &[("add_special_tokens", null_or(boolean()))],
        ),
        "/decode" => request_object(
            &["ids"],
            &["model", "skip_special_tokens"],
            &[
                ("ids", any(&[list(integer()), list(list(integer()))])),
                ("skip_special_tokens", null_or(boolean())),
            ],
        ),
        "/embeddings" | "/v1/embeddings" => request_object(
            &["input"],
            &["model", "encoding_format", "dimensions", "prompt_name"],
            &[("input", inputs()), ("encoding_format", null_or(one_of(&["float", "base64"])))],
        ),
        "/v1/rerank" | "/v2/rerank" => request_object(&["query", "documents"], &rerank, &documents),
        "/classify" => request_object(&["input"], &["model", "raw_scores"], &[("input", texts())]),
        "/v1/classify" => request_object(
            &["inputs"],
            &["model", "models", "abstain", "novel", "novel_by", "explain"],
            &[
                ("inputs", texts()),
                ("models", described(null_or(list(string())), "several heads at once")),
                (
                    "abstain",
                    described(
                        null_or(json!({ "type": "number", "minimum": 0, "maximum": 1 })),
                        "label null where the highest probability is below",
                    ),
                ),
                (
                    "novel",
                    described(
                        null_or(json!({ "type": "number", "minimum": 0, "maximum": 1 })),
                        "label null where the text is as strange as this share of the training texts",
                    ),
                ),
                ("novel_by", null_or(one_of(&["nearest", "mahalanobis", "energy"]))),
                ("explain", described(boolean(), "with each token's share in the logits")),
            ],
        ),
        "/tag" => request_object(
            &["inputs"],
            &["model", "aggregation"],
            &[
                ("inputs", texts()),
                ("aggregation", null_or(one_of(&["none", "simple", "first", "average", "max"]))),
            ],
        ),
        "/fill_mask" => request_object(
            &["inputs"],
            &["model", "top_k", "targets"],
            &[
                ("inputs", texts()),
                ("top_k", null_or(json!({ "type": "integer", "minimum": 1, "maximum": 1000 }))),
                ("targets", described(list(string()), "only these words")),
            ],
        ),
        "/" | "/models/{name}" => {
            let parameters = described(
                any(&[map(json!({})), json!({ "type": "null" })]),
                "of classifiers top_k and function_to_apply, of tagging aggregation_strategy and ignore_labels, of masks top_k and targets",
            );
            let pair = record(&[("source_sentence", string()), ("sentences", list(string()))]);
            let inputs = any(&[string(), list(string()), pair]);
            let own = [
                ("inputs", inputs),
                ("parameters", parameters),
                ("texts", list(string())),
                ("return_text", null_or(boolean())),
            ];
            let optional = with_reading(&[
                "inputs",
                "parameters",
                "normalize",
                "dimensions",
                "query",
                "texts",
                "raw_scores",
                "return_text",
            ]);
            request_object(&[], &optional, &own)
        }
        _ => return None,
    })
}

/// What a 200 holds: its media type and, for JSON, its schema. None: no body.
pub(crate) fn response(method: &str, path: &str) -> Option<(&'static str, Value)> {
    let vectors = || list(list(number()));
    let scored = || list(record(&[("score", number()), ("label", string())]));
    let usage = || record(&[("prompt_tokens", integer()), ("total_tokens", integer())]);
    let search_units = || record(&[("search_units", integer())]);
    let version = || record(&[("version", string())]);
    let document = || record(&[("text", string())]);
    let html = || ("text/html; charset=utf-8", string());
    let is_get = method == "GET";
    let schema = match path {
        "/" if is_get => return Some(html()),
        "/docs" => return Some(html()),
        "/health" | "/ping" => return None,
        "/metrics" => return Some(("text/plain; version=0.0.4; charset=utf-8", string())),
        "/api-doc/openapi.json" => map(json!({})),
        "/status" => status(),
        "/info" => info(),
        "/embed" => vectors(),
        "/embed_all" => list(vectors()),
        "/embed_sparse" => list(list(record(&[("index", integer()), ("value", number())]))),
        "/predict" => {
            described(any(&[scored(), list(scored())]), "of one text its labels, of several a list a text")
        }
        "/rerank" => list(object(
            &["index", "score"],
            &["text"],
            &[("index", integer()), ("score", number()), ("text", string())],
        )),
        "/similarity" => list(number()),
        "/tokenize" => list(list(record(&[
            ("id", integer()),
            ("text", string()),
            ("special", boolean()),
            ("start", null_or(integer())),
            ("stop", null_or(integer())),
        ]))),
        "/decode" => list(string()),
        "/embeddings" | "/v1/embeddings" => record(&[
            ("object", word("list")),
            (
                "data",
                list(record(&[
                    ("object", word("embedding")),
                    ("index", integer()),
                    (
                        "embedding",
                        described(
                            any(&[list(number()), string()]),
                            "numbers, or little-endian f32 in base64",
                        ),
                    ),
                ])),
            ),
            ("model", string()),
            ("usage", usage()),
        ]),
        "/v1/models" => record(&[("object", word("list")), ("data", list(served()))]),
        "/v1/models/{name}" => served(),
        "/v1/rerank" => record(&[
            ("id", string()),
            ("model", string()),
            ("object", word("list")),
            ("usage", usage()),
            (
                "results",
                list(object(
                    &["index", "relevance_score"],
                    &["document"],
                    &[("index", integer()), ("relevance_score", number()), ("document", document())],
                )),
            ),
            (
                "meta",
                object(
                    &["api_version", "billed_units"],
                    &["warnings"],
                    &[
                        ("api_version", version()),
                        ("billed_units", search_units()),
                        ("warnings", list(string())),
                    ],
                ),
            ),
        ]),
        "/v2/rerank" => record(&[
            ("id", string()),
            ("results", list(record(&[("index", integer()), ("relevance_score", number())]))),
            (
                "meta",
                object(
                    &["api_version", "billed_units", "tokens"],
                    &["warnings"],
                    &[
                        ("api_version", version()),
                        ("billed_units", search_units()),
                        ("tokens", record(&[("input_tokens", integer())])),
                        ("warnings", list(string())),
                    ],
                ),
            ),
        ]),
        "/classify" => record(&[
            ("object", word("classify")),
            ("data", list(scored())),
            ("model", string()),
            ("usage", usage()),
        ]),
        "/v1/classify" => any(&[classified(), record(&[("models", list(classified()))])]),
        "/tag" => results(record(&[
            (
                "entities",
                list(record(&[
                    ("label", string()),
                    ("score", number()),
                    ("start", described(integer(), "first byte")),
                    ("end", described(integer(), "one past the last byte")),
                    ("text", string()),
                ])),
            ),
            ("tokens", integer()),
            ("truncated", boolean()),
        ])),
        "/fill_mask" => {
            let candidate = record(&[("token", string()), ("id", integer()), ("score", number())]);
            results(record(&[("masks", list(list(candidate))), ("truncated", boolean())]))
        }
        "/" | "/models/{name}" => hub(),
        "/admin/models/{name}/load" => record(&[("model", string()), ("loaded", boolean())]),
        "/admin/models/{name}/unload" => {
            record(&[("model", string()), ("loaded", boolean()), ("was_loaded", boolean())])
        }
        "/admin/heads/{name}/reload" => record(&[("head", string()), ("reloaded", boolean())]),
        _ => return None,
    };
    Some(("application/json", schema))
}

/// A model or head, as OpenAI's API lists it.
fn served() -> Value {
    record(&[("id", string()), ("object", word("model")), ("created", integer()), ("owned_by", string())])
}

fn results(each: Value) -> Value {
    record(&[("model", string()), ("results", list(each))])
}

/// What a classifier says of texts.
fn classified() -> Value {
    let pair = json!({ "type": "array", "items": { "type": "integer" }, "minItems": 2, "maxItems": 2 });
    let explanation = record(&[
        ("tokens", list(string())),
        ("offsets", described(list(pair), "bytes of the text; 0, 0 for special tokens")),
        ("shares", described(list(list(number())), "of each token, in the logit of each label")),
        ("base", list(number())),
        ("logits", list(number())),
        ("exact", boolean()),
        ("truncated", boolean()),
    ]);
    let level = record(&[("name", string()), ("probability", number())]);
    let score = |what| described(record(&[("value", number()), ("share", number())]), what);
    let novelty = object(
        &["similarity", "share"],
        &["mahalanobis", "energy"],
        &[
            ("similarity", described(number(), "cosine with the nearest text that is kept")),
            ("share", described(number(), "of the training texts that are no nearer to theirs")),
            (
                "mahalanobis",
                score(
                    "deviations from the nearest class's centre, and the share of training texts that are as far",
                ),
            ),
            (
                "energy",
                score(
                    "how little any class speaks for itself, and the share of training texts where it is as little",
                ),
            ),
        ],
    );
    results(object(
        &["tokens", "truncated"],
        &["label", "labels", "value", "probabilities", "levels", "set", "novelty", "explanation"],
        &[
            ("label", described(null_or(string()), "null where it was left undecided")),
            ("labels", described(list(string()), "of heads where several may hold")),
            ("value", described(number(), "of heads that predict a number")),
            ("probabilities", map(number())),
            (
                "levels",
                described(
                    list(level),
                    "of heads whose labels are paths: from the top down, as far as it is sure",
                ),
            ),
            (
                "set",
                described(
                    list(string()),
                    "of heads trained with --conformal: labels of which one is right at that rate",
                ),
            ),
            (
                "novelty",
                described(
                    novelty,
                    "of heads that keep a sample: how far the text is from those it learnt from",
                ),
            ),
            ("tokens", described(integer(), "of the text before truncation")),
            ("truncated", boolean()),
            ("explanation", explanation),
        ],
    ))
}

/// By what the model does.
fn hub() -> Value {
    let span = object(
        &["score", "word", "start", "end"],
        &["entity", "entity_group"],
        &[
            ("entity", string()),
            ("entity_group", string()),
            ("score", number()),
            ("word", string()),
            ("start", integer()),
            ("end", integer()),
        ],
    );
    let filled =
        record(&[("score", number()), ("token", integer()), ("token_str", string()), ("sequence", string())]);
    let scored = list(record(&[("score", number()), ("label", string())]));
    let ranked = object(
        &["index", "score"],
        &["text"],
        &[("index", integer()), ("score", number()), ("text", string())],
    );
    any(&[list(list(number())), list(scored), list(span), list(filled), list(number()), list(ranked)])
}

fn status() -> Value {
    let model = object(
        &["name", "loaded"],
        &["since", "device", "layers", "hidden", "max_tokens", "bytes", "waiting", "heads"],
        &[
            ("name", string()),
            ("loaded", boolean()),
            ("since", described(integer(), "seconds since 1970")),
            ("device", string()),
            ("layers", integer()),
            ("hidden", integer()),
            ("max_tokens", integer()),
            ("bytes", described(integer(), "of its weights")),
            ("waiting", described(integer(), "texts in its queue")),
            ("heads", list(string())),
        ],
    );
    let head =
        record(&[("name", string()), ("model", string()), ("kind", string()), ("labels", list(string()))]);
    record(&[
        ("version", string()),
        ("started", integer()),
        ("ready", boolean()),
        ("models", list(model)),
        ("heads", list(head)),
        ("requests", number()),
        ("texts", number()),
        ("tokens", number()),
        ("device_seconds", number()),
    ])
}

fn info() -> Value {
    let labels = record(&[("id2label", map(string())), ("label2id", map(integer()))]);
    let kind = any(&[
        record(&[("embedding", record(&[("pooling", string())]))]),
        record(&[("classifier", labels.clone())]),
        record(&[("reranker", labels)]),
    ]);
    record(&[
        ("model_id", string()),
        ("model_sha", null_or(string())),
        ("model_dtype", string()),
        ("served_model_name", string()),
        ("model_type", kind),
        ("max_concurrent_requests", integer()),
        ("max_input_length", integer()),
        ("max_batch_tokens", integer()),
        ("max_batch_requests", null_or(integer())),
        ("max_client_batch_size", integer()),
        ("auto_truncate", boolean()),
        ("tokenization_workers", integer()),
        ("version", string()),
        ("sha", null_or(string())),
        ("docker_label", null_or(string())),
        ("backend", string()),
        ("device", string()),
    ])
}
