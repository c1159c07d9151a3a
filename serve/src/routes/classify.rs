//! Labels: by a checkpoint's own classifier, or by heads that people trained.

use std::sync::Arc;

use axum::response::Response;
use frostbert::head::{AnswerOptions, Decision};
use frostbert::model::{HeadKind, ProblemType};
use frostbert::{
    Aggregation, Classification, Classifier, EmbedOptions, Embeddings, Explanation, Prediction, Prompt, Text,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::inputs::Reading;
use super::openai::Usage;
use super::{inputs::Inputs, tei};
use crate::app::{Call, json};
use crate::error::{ApiError, ApiResult, Kind};
use crate::job::{Job, Row};
use crate::metrics::What;
use crate::queue::Done;
use crate::registry::{Loaded, Model, ServedHead, Target};

/// A label and its score.
#[derive(Clone, Debug, Serialize)]
struct Scored {
    score: f64,
    label: String,
}

/// What classifies.
enum By {
    /// A checkpoint's classifier.
    Model(Arc<Loaded>),
    /// A head of somebody's own.
    Head(Arc<ServedHead>, Arc<Loaded>),
}

/// What a name stands for; without a name the first model's classifier, else the first head.
async fn classifier(call: &Call, name: Option<&str>) -> ApiResult<(String, By)> {
    let registry = &call.state.registry;
    let name = name.filter(|name| !name.is_empty());
    match call.find(name)? {
        Target::Head(head) => by_head(call, head).await,
        Target::Model(model) => {
            let loaded = registry.loaded(&model).await?;
            if loaded.has(HeadKind::Sequence) {
                return Ok((model.spec.name.clone(), By::Model(loaded)));
            }
            let of_model = |head: &&Arc<ServedHead>| Arc::ptr_eq(&registry.models[head.model], &model);
            match registry.heads.iter().find(of_model) {
                Some(head) => by_head(call, head.clone()).await,
                None => Err(no_classifier(&model)),
            }
        }
    }
}

fn no_classifier(model: &Model) -> ApiError {
    ApiError::new(
        Kind::Backend,
        format!(
            "{} has no classifier; train one with frostbert train and serve it with --head",
            model.spec.name
        ),
    )
}

async fn by_head(call: &Call, head: Arc<ServedHead>) -> ApiResult<(String, By)> {
    let registry = &call.state.registry;
    let loaded = registry.loaded(&registry.models[head.model]).await?;
    Ok((head.spec.name.clone(), By::Head(head, loaded)))
}

/// A head joined with its encoder.
fn bound(head: &ServedHead, loaded: &Loaded) -> ApiResult<Arc<Classifier>> {
    head.classifier(loaded).map_err(|error| {
        tracing::error!("the head {} does not fit its model: {error:#}", head.spec.name);
        ApiError::new(
            Kind::Backend,
            format!("the head {} does not fit its model; the server's log says why", head.spec.name),
        )
    })
}

/// What a head says of texts.
async fn predictions(
    call: &Call,
    name: &str,
    classifier: &Classifier,
    loaded: &Loaded,
    texts: Vec<Text>,
    withhold: &AnswerOptions,
    reading: &Reading,
) -> ApiResult<Vec<Prediction>> {
    // Before anything is computed for an answer that there cannot be.
    withhold.check(classifier.head()).map_err(|error| ApiError::of(&error))?;
    let job = Job::Embed(reading.of_head(classifier.options(), call));
    let done = call.compute(loaded, job, texts).await?;
    let answers =
        classifier.predict_embeddings(gathered(done.rows), withhold).map_err(|error| ApiError::of(&error))?;
    count_labels(call, name, classifier, &answers);
    Ok(answers)
}

/// Counts a head's answers by label.
fn count_labels(call: &Call, name: &str, classifier: &Classifier, answers: &[Prediction]) {
    let (metrics, names) = (&call.state.metrics, classifier.head().names());
    for Prediction { answer, .. } in answers {
        if let Decision::Labels(labels) = &answer.decision {
            for label in labels {
                metrics.label(name, &names[*label], answer.probabilities[*label]);
            }
        } else if let Some(sure) = answer.probability() {
            metrics.label(name, answer.label(names).unwrap_or("(undecided)"), sure);
        }
    }
}

/// Labels and scores of each text, the highest first.
async fn scored(
    call: &Call,
    name: Option<&str>,
    texts: Vec<Text>,
    raw: bool,
    reading: &Reading,
) -> ApiResult<(String, Vec<Vec<Scored>>)> {
    if texts.is_empty() {
        return Err(ApiError::new(Kind::Empty, "there is no input; send at least one text"));
    }
    let (name, by) = classifier(call, name).await?;
    call.state.metrics.asked(What::Predict, texts.len());
    let (labels, rows): (Vec<String>, Vec<Vec<f64>>) = match by {
        By::Model(loaded) => {
            let labels = loaded.encoder().classification_labels().map_err(|error| ApiError::of(&error))?;
            let done = call.compute(&loaded, Job::Classify(reading.without_prompt(call)), texts).await?;
            call.state.metrics.answered(What::Predict, done.rows.iter().map(Row::tokens));
            let row = |row: Row| match row {
                Row::Classified(answer) => {
                    let values = if raw { answer.logits } else { answer.scores };
                    values.into_iter().map(shortest).collect()
                }
                _ => Vec::new(),
            };
            (labels, done.rows.into_iter().map(row).collect())
        }
        By::Head(head, loaded) => {
            let classifier = bound(&head, &loaded)?;
            if raw {
                return Err(ApiError::validation(format!(
                    "{name} is a head with calibrated probabilities, and gives no raw scores"
                )));
            }
            let withhold = AnswerOptions::default();
            let answers = predictions(call, &name, &classifier, &loaded, texts, &withhold, reading).await?;
            call.state.metrics.answered(What::Predict, answers.iter().map(|answer| answer.tokens as usize));
            let rows = answers.into_iter().map(|found| found.answer.probabilities).collect();
            (classifier.head().names().to_vec(), rows)
        }
    };
    let sort = |row: Vec<f64>| {
        let mut scored: Vec<Scored> =
            labels.iter().zip(row).map(|(label, score)| Scored { score, label: label.clone() }).collect();
        scored.sort_by(|a, b| b.score.total_cmp(&a.score));
        scored
    };
    Ok((name, rows.into_iter().map(sort).collect()))
}

/// A number that is written as the f32 would be.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

/// The inputs of /predict: a text, a pair as a list of two, or a list of lists of one or two.
struct Predicted {
    texts: Vec<Text>,
    one: bool,
}

impl<'de> Deserialize<'de> for Predicted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let wrong = || {
            D::Error::custom(
                "expected a string, a list of one string, of two strings (a pair), or a list of such lists; several texts are \
                 [[\"a\"],[\"b\"]]",
            )
        };
        let text = |list: &[Value]| match list {
            [Value::String(one)] => Some(Text::from(one)),
            [Value::String(first), Value::String(second)] => {
                Some(Text::from((first.as_str(), second.as_str())))
            }
            _ => None,
        };
        match Value::deserialize(deserializer)? {
            Value::String(one) => Ok(Predicted { texts: vec![Text::from(one)], one: true }),
            Value::Array(list) if list.first().is_some_and(Value::is_string) => {
                Ok(Predicted { texts: vec![text(&list).ok_or_else(wrong)?], one: true })
            }
            Value::Array(list) => {
                let each = |item: &Value| item.as_array().and_then(|list| text(list));
                let texts = list.iter().map(each).collect::<Option<Vec<Text>>>().ok_or_else(wrong)?;
                Ok(Predicted { texts, one: false })
            }
            _ => Err(wrong()),
        }
    }
}

#[derive(Deserialize)]
struct PredictRequest {
    inputs: Predicted,
    model: Option<String>,
    raw_scores: Option<bool>,
    #[serde(flatten)]
    reading: Reading,
}

pub(super) async fn predict(call: Call) -> ApiResult<Response> {
    predict_named(&call, None).await
}

async fn predict_named(call: &Call, name: Option<&str>) -> ApiResult<Response> {
    let request: PredictRequest = call.json()?;
    let (one, raw) = (request.inputs.one, request.raw_scores.unwrap_or(false));
    let name = name.or(request.model.as_deref());
    let (_, mut rows) = scored(call, name, request.inputs.texts, raw, &request.reading).await?;
    let count = rows.len();
    if one { json(rows.pop(), 1).await } else { json(rows, count).await }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    fn into_texts(self) -> ApiResult<Vec<Text>> {
        let texts: Vec<Text> = match self {
            OneOrMore::One(text) => vec![text.into()],
            OneOrMore::More(texts) => texts.into_iter().map(Text::from).collect(),
        };
        if texts.is_empty() {
            return Err(ApiError::new(Kind::Empty, "there is no input; send at least one text"));
        }
        Ok(texts)
    }
}

#[derive(Deserialize)]
struct InfinityRequest {
    input: OneOrMore,
    model: Option<String>,
    raw_scores: Option<bool>,
}

pub(super) async fn infinity(call: Call) -> ApiResult<Response> {
    let request: InfinityRequest = call.json()?;
    let raw = request.raw_scores.unwrap_or(false);
    let texts = request.input.into_texts()?;
    let (model, rows) = scored(&call, request.model.as_deref(), texts, raw, &Reading::default()).await?;
    let (count, tokens) = (rows.len(), call.tokens());
    let answer = json!({
        "object": "classify",
        "data": rows,
        "model": model,
        "usage": Usage { prompt_tokens: tokens, total_tokens: tokens },
    });
    json(answer, count).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OursRequest {
    inputs: OneOrMore,
    model: Option<String>,
    /// Several heads; those that read embeddings of one kind share a pass.
    models: Option<Vec<String>>,
    abstain: Option<f64>,
    novel: Option<f64>,
    /// `nearest`, `mahalanobis` or `energy`.
    novel_by: Option<String>,
    #[serde(default)]
    explain: bool,
}

#[derive(Serialize)]
struct OursAnswer {
    model: String,
    results: Vec<Map<String, Value>>,
}

pub(super) async fn ours(call: Call) -> ApiResult<Response> {
    let request: OursRequest = call.json()?;
    let novel_by = request.novel_by.as_deref().map(str::parse).transpose();
    let novel_by = novel_by.map_err(|error: frostbert::Error| ApiError::validation(error.to_string()))?;
    let withhold = AnswerOptions {
        abstain: request.abstain,
        novel: request.novel,
        novel_by: novel_by.unwrap_or_default(),
    };
    if request.model.is_some() && request.models.is_some() {
        return Err(ApiError::validation("name one model, or several as models, not both"));
    }
    let texts = request.inputs.into_texts()?;
    let count = texts.len();
    let Some(names) = request.models else {
        let answer = classified(&call, request.model.as_deref(), texts, &withhold, request.explain).await?;
        return json(answer, count).await;
    };
    if names.is_empty() || names.len() > 64 {
        return Err(ApiError::validation(format!("models takes 1 to 64 names, found {}", names.len())));
    }
    let mut answers = Vec::with_capacity(names.len());
    let mut known: Vec<Shared> = Vec::new();
    for name in &names {
        answers.push(classified_after(&call, name, &texts, &withhold, request.explain, &mut known).await?);
    }
    json(json!({ "models": answers }), count * names.len()).await
}

/// Embeddings that a head before has paid for.
struct Shared {
    loaded: Arc<Loaded>,
    options: String,
    embeddings: Embeddings,
}

async fn classified_after(
    call: &Call,
    name: &str,
    texts: &[Text],
    withhold: &AnswerOptions,
    explain: bool,
    known: &mut Vec<Shared>,
) -> ApiResult<OursAnswer> {
    let (name, by) = classifier(call, Some(name)).await?;
    let By::Head(head, loaded) = by else {
        return classified(call, Some(&name), texts.to_vec(), withhold, explain).await;
    };
    let classifier = bound(&head, &loaded)?;
    withhold.check(classifier.head()).map_err(|error| ApiError::of(&error))?;
    let options = format!("{:?}", classifier.options());
    let at =
        known.iter().position(|shared| Arc::ptr_eq(&shared.loaded, &loaded) && shared.options == options);
    let at = match at {
        Some(at) => at,
        None => {
            let job = Job::Embed(Reading::default().of_head(classifier.options(), call));
            let done = call.compute(&loaded, job, texts.to_vec()).await?;
            known.push(Shared { loaded: loaded.clone(), options, embeddings: gathered(done.rows) });
            known.len() - 1
        }
    };
    let answers = classifier.predict_embeddings(known[at].embeddings.clone(), withhold);
    let answers = answers.map_err(|error| ApiError::of(&error))?;
    count_labels(call, &name, &classifier, &answers);
    call.state.metrics.asked(What::Predict, texts.len());
    call.state.metrics.answered(What::Predict, answers.iter().map(|answer| answer.tokens as usize));
    let explanations = explanations(call, &classifier, &loaded, texts, explain).await?;
    Ok(OursAnswer { model: name, results: results(&classifier, answers, explanations) })
}

async fn classified(
    call: &Call,
    name: Option<&str>,
    texts: Vec<Text>,
    withhold: &AnswerOptions,
    explain: bool,
) -> ApiResult<OursAnswer> {
    let (name, by) = classifier(call, name).await?;
    call.state.metrics.asked(What::Predict, texts.len());
    match by {
        By::Model(loaded) => {
            if withhold.abstain.is_some() || withhold.novel.is_some() || explain {
                return Err(ApiError::validation(format!(
                    "{name} is a checkpoint's own classifier; abstain, novel and explain are for heads trained with frostbert train"
                )));
            }
            let labels = loaded.encoder().classification_labels().map_err(|error| ApiError::of(&error))?;
            let done =
                call.compute(&loaded, Job::Classify(Reading::default().without_prompt(call)), texts).await?;
            call.state.metrics.answered(What::Predict, done.rows.iter().map(Row::tokens));
            let problem = loaded.encoder().problem_type();
            let result = |row: Row| match row {
                Row::Classified(answer) => own_answer(problem, &labels, &answer),
                _ => Map::new(),
            };
            Ok(OursAnswer { model: name, results: done.rows.into_iter().map(result).collect() })
        }
        By::Head(head, loaded) => {
            let classifier = bound(&head, &loaded)?;
            let explained = if explain { texts.clone() } else { Vec::new() };
            let answers =
                predictions(call, &name, &classifier, &loaded, texts, withhold, &Reading::default()).await?;
            call.state.metrics.answered(What::Predict, answers.iter().map(|answer| answer.tokens as usize));
            let explanations = explanations(call, &classifier, &loaded, &explained, explain).await?;
            Ok(OursAnswer { model: name, results: results(&classifier, answers, explanations) })
        }
    }
}

/// A checkpoint's own classifier's answer, in the words of heads: a value, a label, or every label that is more likely than not.
fn own_answer(problem: ProblemType, labels: &[String], answer: &Classification) -> Map<String, Value> {
    let mut object = Map::new();
    let scored = labels.iter().zip(&answer.scores);
    let by_label = scored.clone().map(|(label, score)| (label.clone(), json!(score))).collect();
    match problem {
        ProblemType::Regression => {
            let value = match answer.scores.as_slice() {
                [value] => json!(value),
                _ => Value::Object(by_label),
            };
            object.insert("value".into(), value);
        }
        ProblemType::MultiLabel => {
            let likely: Vec<&String> =
                scored.filter(|(_, score)| **score >= 0.5).map(|(label, _)| label).collect();
            object.insert("labels".into(), json!(likely));
            object.insert("probabilities".into(), Value::Object(by_label));
        }
        ProblemType::SingleLabel => {
            object.insert("label".into(), json!(labels.get(answer.best())));
            object.insert("probabilities".into(), Value::Object(by_label));
        }
    }
    object.insert("tokens".into(), json!(answer.tokens));
    object.insert("truncated".into(), json!(answer.truncated));
    object
}

async fn explanations(
    call: &Call,
    classifier: &Classifier,
    loaded: &Loaded,
    texts: &[Text],
    wanted: bool,
) -> ApiResult<Vec<Explanation>> {
    if !wanted {
        return Ok(Vec::new());
    }
    let job = Job::Explain(classifier.options().clone(), Arc::new(classifier.head().clone()));
    let done = call.compute_again(loaded, job, texts.to_vec()).await?;
    let explained = |row: Row| match row {
        Row::Explained(explanation) => Some(explanation),
        _ => None,
    };
    Ok(done.rows.into_iter().filter_map(explained).collect())
}

fn results(
    classifier: &Classifier,
    answers: Vec<Prediction>,
    explanations: Vec<Explanation>,
) -> Vec<Map<String, Value>> {
    let mut explanations = explanations.into_iter();
    let result = |found: Prediction| {
        let record = json!(found.answer.record(classifier.head()));
        let mut object = if let Value::Object(record) = record { record } else { Map::new() };
        object.insert("tokens".into(), json!(found.tokens));
        object.insert("truncated".into(), json!(found.truncated));
        if let Some(explanation) = explanations.next() {
            object.insert("explanation".into(), json!(explanation));
        }
        object
    };
    answers.into_iter().map(result).collect()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TagRequest {
    inputs: OneOrMore,
    model: Option<String>,
    aggregation: Option<String>,
}

fn require(model: &Model, loaded: &Loaded, kind: HeadKind, what: &str) -> ApiResult<()> {
    if loaded.has(kind) {
        return Ok(());
    }
    Err(ApiError::new(
        Kind::Backend,
        format!("{} has no {what}; frostbert inspect says what a model has", model.spec.name),
    ))
}

pub(super) async fn tag(call: Call) -> ApiResult<Response> {
    let request: TagRequest = call.json()?;
    let (model, loaded) = call.model(request.model.as_deref()).await?;
    require(&model, &loaded, HeadKind::Token, "token classifier")?;
    let aggregation: Aggregation = match &request.aggregation {
        Some(name) => name.parse().map_err(|error| ApiError::of(&error))?,
        None => Aggregation::default(),
    };
    let texts = request.inputs.into_texts()?;
    let count = texts.len();
    let done =
        call.compute(&loaded, Job::Tag(Reading::default().without_prompt(&call), aggregation), texts).await?;
    let tagged = |row: Row| match row {
        Row::Tagged(tagged) => json!({
            "entities": tagged.entities,
            "tokens": tagged.tokens,
            "truncated": tagged.truncated,
        }),
        _ => Value::Null,
    };
    let results: Vec<Value> = done.rows.into_iter().map(tagged).collect();
    json(json!({ "model": model.spec.name, "results": results }), count).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FillMaskRequest {
    inputs: OneOrMore,
    model: Option<String>,
    top_k: Option<usize>,
    #[serde(default)]
    targets: Vec<String>,
}

pub(super) async fn fill_mask(call: Call) -> ApiResult<Response> {
    let request: FillMaskRequest = call.json()?;
    let (model, loaded) = call.model(request.model.as_deref()).await?;
    require(&model, &loaded, HeadKind::MaskedLm, "masked-language-model head")?;
    let top = request.top_k.unwrap_or(5);
    if !(1..=1000).contains(&top) {
        return Err(ApiError::validation(format!("top_k must be 1 to 1000, found {top}")));
    }
    let texts = request.inputs.into_texts()?;
    let count = texts.len();
    let done = fill(&call, &loaded, top, request.targets, texts).await?;
    let filled = |row: Row| match row {
        Row::Masks(filled) => json!(filled),
        _ => Value::Null,
    };
    let results: Vec<Value> = done.rows.into_iter().map(filled).collect();
    json(json!({ "model": model.spec.name, "results": results }), count).await
}

/// Words for masks that an answer holds at most: each is a record with its token's text.
const MOST_WORDS: usize = 100_000;

async fn fill(
    call: &Call,
    loaded: &Loaded,
    top: usize,
    targets: Vec<String>,
    texts: Vec<Text>,
) -> ApiResult<Done> {
    let mask = mask_of(loaded);
    let count = |mask: String| texts.iter().map(|text| text.first.matches(&mask).count()).sum::<usize>();
    let masks = mask.map_or(0, count);
    let each = if targets.is_empty() { top } else { targets.len() };
    let words = masks.saturating_mul(each);
    if words > MOST_WORDS {
        return Err(ApiError::new(
            Kind::TooLarge,
            format!(
                "{masks} masks with {each} words each are {words} words, more than the {MOST_WORDS} that an answer holds; ask for \
                 fewer of them, or send fewer texts"
            ),
        ));
    }
    let options = Reading::default().without_prompt(call);
    call.compute(loaded, Job::FillMask(options, top, targets), texts).await
}

/// The mask as it stands in texts.
fn mask_of(loaded: &Loaded) -> Option<String> {
    let encoder = loaded.encoder();
    let tokenizer = encoder.tokenizer();
    tokenizer.mask_id().ok().and_then(|id| tokenizer.id_to_token(id)).filter(|mask| !mask.is_empty())
}

/// As Hugging Face's clients ask: a POST to the address itself.
pub(super) async fn hub(call: Call) -> ApiResult<Response> {
    hub_task(call, None).await
}

pub(super) async fn hub_named(call: Call) -> ApiResult<Response> {
    let name = call.name.clone();
    hub_task(call, Some(&name)).await
}

async fn hub_task(call: Call, name: Option<&str>) -> ApiResult<Response> {
    let body: Value = call.json()?;
    let named = match &body["model"] {
        Value::Null => None,
        Value::String(name) => Some(name.as_str()),
        _ => return Err(ApiError::validation("model must be a name")),
    };
    let name = name.or(named);
    if body["query"].is_string() && body["texts"].is_array() {
        return super::rerank::tei_named(&call, name).await;
    }
    if body["inputs"].is_object() {
        return tei::similarity_named(&call, name).await;
    }
    let model = match call.find(name)? {
        Target::Head(_) => return hub_classify(&call, name, &body).await,
        Target::Model(model) => model,
    };
    let loaded = call.state.registry.loaded(&model).await?;
    if loaded.has(HeadKind::Sequence) {
        hub_classify(&call, name, &body).await
    } else if loaded.has(HeadKind::Token) {
        hub_tag(&call, &loaded, &body).await
    } else if loaded.has(HeadKind::MaskedLm) && has_mask(&loaded, &body["inputs"]) {
        hub_fill_mask(&call, &loaded, &body).await
    } else {
        tei::embed_named(&call, name).await
    }
}

/// What a task of Hugging Face's pipelines is told. What is not known is refused: an answer to another question would be wrong.
fn parameters<T: Default + DeserializeOwned>(body: &Value) -> ApiResult<T> {
    let given = &body["parameters"];
    if given.is_null() {
        return Ok(T::default());
    }
    if given["candidate_labels"] != Value::Null {
        return Err(ApiError::validation(
            "zero-shot classification needs a model for it, which is not served here; train a head from descriptions of its classes \
             (frostbert train --describe), and serve that",
        ));
    }
    serde_json::from_value(given.clone())
        .map_err(|error| ApiError::validation(format!("parameters: {error}")))
}

/// How logits become scores.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Function {
    Softmax,
    Sigmoid,
    None,
}

impl Function {
    fn apply(self, row: &mut [Scored]) {
        let most = row.iter().map(|scored| scored.score).fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|scored| (scored.score - most).exp()).sum();
        for scored in row {
            match self {
                Function::Softmax => scored.score = (scored.score - most).exp() / sum,
                Function::Sigmoid => scored.score = 1.0 / (1.0 + (-scored.score).exp()),
                Function::None => {}
            }
        }
    }
}

/// A list with the answer for each text; pipelines of transformers take a list as several texts.
async fn hub_classify(call: &Call, name: Option<&str>, body: &Value) -> ApiResult<Response> {
    #[derive(Deserialize)]
    struct Request {
        inputs: OneOrMore,
        raw_scores: Option<bool>,
        #[serde(flatten)]
        reading: Reading,
    }
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Parameters {
        top_k: Option<usize>,
        function_to_apply: Option<Function>,
    }
    let request: Request = call.json()?;
    let Parameters { top_k, function_to_apply } = parameters(body)?;
    let raw = request.raw_scores.unwrap_or(false) || function_to_apply.is_some();
    let texts = request.inputs.into_texts()?;
    let (_, mut rows) = scored(call, name, texts, raw, &request.reading).await?;
    for row in &mut rows {
        if let Some(function) = function_to_apply {
            function.apply(row);
        }
        row.truncate(top_k.unwrap_or(usize::MAX));
    }
    let count = rows.len();
    json(rows, count).await
}

/// Whether texts are asked about masks: all of them hold one.
fn has_mask(loaded: &Loaded, inputs: &Value) -> bool {
    let Some(mask) = mask_of(loaded) else { return false };
    let holds = |text: &Value| text.as_str().is_some_and(|text| text.contains(&mask));
    match inputs {
        Value::Array(texts) => !texts.is_empty() && texts.iter().all(holds),
        text => holds(text),
    }
}

fn hub_text(body: &Value) -> ApiResult<Vec<Text>> {
    let inputs: Inputs = serde_json::from_value(body["inputs"].clone())
        .map_err(|error| ApiError::validation(format!("inputs: {error}")))?;
    match inputs.inputs.as_slice() {
        [super::inputs::Input::Text(text)] => Ok(vec![Text::from(text)]),
        _ => Err(ApiError::validation("inputs must be one text here")),
    }
}

async fn hub_tag(call: &Call, loaded: &Loaded, body: &Value) -> ApiResult<Response> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Parameters {
        aggregation_strategy: Option<String>,
        ignore_labels: Vec<String>,
    }
    let Parameters { aggregation_strategy, ignore_labels } = parameters(body)?;
    let texts = hub_text(body)?;
    let whole = texts[0].first.clone();
    let aggregation: Aggregation = match aggregation_strategy {
        Some(name) => name.parse().map_err(|error| ApiError::of(&error))?,
        None => Aggregation::default(),
    };
    let options = EmbedOptions { prompt: Prompt::None, ..Reading::default().options(call) };
    let done = call.compute(loaded, Job::Tag(options, aggregation), texts).await?;
    let mut found = Vec::new();
    // transformers counts characters.
    let characters = |byte: usize| whole.get(..byte).map_or(0, |before| before.chars().count());
    for row in done.rows {
        if let Row::Tagged(tagged) = row {
            let wanted = tagged.entities.into_iter().filter(|entity| !ignore_labels.contains(&entity.label));
            found.extend(wanted.map(|entity| {
                let kind = if aggregation == Aggregation::None { "entity" } else { "entity_group" };
                json!({
                    kind: entity.label,
                    "score": entity.score,
                    "word": entity.text,
                    "start": characters(entity.start),
                    "end": characters(entity.end),
                })
            }));
        }
    }
    json(found, 1).await
}

async fn hub_fill_mask(call: &Call, loaded: &Loaded, body: &Value) -> ApiResult<Response> {
    #[derive(Default, Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Parameters {
        top_k: Option<usize>,
        targets: Option<OneOrMore>,
    }
    let Parameters { top_k, targets } = parameters(body)?;
    let top = top_k.unwrap_or(5).clamp(1, 1000);
    let targets = match targets {
        Some(OneOrMore::One(word)) => vec![word],
        Some(OneOrMore::More(words)) => words,
        None => Vec::new(),
    };
    let several = body["inputs"].is_array();
    let inputs: OneOrMore = serde_json::from_value(body["inputs"].clone())
        .map_err(|error| ApiError::validation(format!("inputs: {error}")))?;
    let texts = inputs.into_texts()?;
    let done = fill(call, loaded, top, targets, texts.clone()).await?;
    let (encoder, mask) = (loaded.encoder(), mask_of(loaded).unwrap_or_default());
    let mut answers = Vec::new();
    for (row, text) in done.rows.into_iter().zip(&texts) {
        let Row::Masks(masks) = row else { continue };
        let [candidates] = masks.masks.as_slice() else {
            return Err(ApiError::validation(
                "inputs must have one mask here; POST /fill_mask takes several",
            ));
        };
        let filled = candidates.iter().map(|candidate| {
            let word =
                encoder.tokenizer().decode(&[candidate.id]).unwrap_or_else(|_| candidate.token.clone());
            json!({
                "score": candidate.score,
                "token": candidate.id,
                "token_str": word,
                "sequence": text.first.replacen(&mask, &word, 1),
            })
        });
        answers.push(Value::Array(filled.collect()));
    }
    let count = answers.len();
    match (several, answers.pop()) {
        (false, Some(answer)) => json(answer, 1).await,
        (_, last) => json(answers.into_iter().chain(last).collect::<Vec<Value>>(), count).await,
    }
}

/// The vectors among a job's rows, as one set.
fn gathered(rows: Vec<Row>) -> Embeddings {
    let mut embeddings = Embeddings::default();
    for row in rows {
        if let Row::Vector { values, tokens, truncated } = row {
            embeddings.dim = values.len();
            embeddings.values.extend(values);
            embeddings.tokens.push(tokens);
            embeddings.truncated.push(truncated);
        }
    }
    embeddings
}
