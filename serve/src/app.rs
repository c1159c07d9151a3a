//! What all routes share: who asks, what they sent, how long it took, and how it failed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::BoxError;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use frostbert::{Error, Result};
use http_body_util::BodyExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Keys;
use crate::blocking::blocking;
use crate::config::Config;
use crate::error::{ApiError, ApiResult, Dialect, Kind};
use crate::job::Job;
use crate::metrics::Metrics;
use crate::queue::Done;
use crate::registry::{Loaded, Model, Registry, ServedHead, Target};
use crate::telemetry::{Answered, Telemetry};

/// Where a request comes from: put into its extensions by the listener, and by those who mount the [router](App::router)
/// behind one of their own. Clients without a key are told apart by it.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// A server without a listener: models, heads, queues, and the routes over them.
///
/// ```no_run
/// use frostbert_serve::{App, Config};
///
/// let models = vec!["models/all-MiniLM-L6-v2".parse()?];
/// let app = App::open(Config { models, ..Config::default() })?;
/// let router: axum::Router = axum::Router::new().nest("/bert", app.router());
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone)]
pub struct App {
    pub(crate) state: Arc<State>,
}

pub(crate) struct State {
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    keys: RwLock<Keys>,
    admin: Keys,
    requests: Arc<Semaphore>,
    /// In units of a KiB.
    payload: Arc<Semaphore>,
    draining: AtomicBool,
    telemetry: Option<Telemetry>,
    started: u64,
    number: AtomicU64,
}

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Public,
    Key,
    Admin,
}

pub(crate) type Answer = Pin<Box<dyn Future<Output = ApiResult<Response>> + Send>>;

/// A route: the router and the OpenAPI document are made of these.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) dialect: Dialect,
    pub(crate) access: Access,
    pub(crate) handler: fn(Call) -> Answer,
    pub(crate) summary: &'static str,
    /// An example of a request, as JSON; empty where there is none.
    pub(crate) example: &'static str,
}

/// One request on its way.
pub(crate) struct Call {
    pub(crate) state: Arc<State>,
    pub(crate) body: Bytes,
    is_json: bool,
    /// The last part of a path that ends in a name.
    pub(crate) name: String,
    pub(crate) client: String,
    pub(crate) id: String,
    stats: Arc<Stats>,
}

#[derive(Default)]
struct Stats {
    texts: AtomicU64,
    characters: AtomicU64,
    tokens: AtomicU64,
    truncated: AtomicU64,
    waited: AtomicU64,
    computed: AtomicU64,
}

impl App {
    /// Reads keys and heads, and loads the models.
    ///
    /// # Errors
    /// A file that is missing or damaged, names that are there twice, a device that does not work.
    pub fn open(mut config: Config) -> Result<Self> {
        for origin in &mut config.cors_allow_origin {
            *origin = checked_origin(origin)?;
        }
        let metrics = Arc::new(Metrics::new()?);
        let keys = keys(&config)?;
        let mut admin = Keys::default();
        if let Some(key) = &config.admin_key {
            admin.add("admin", key)?;
        }
        let budget = config.payload_budget.max(config.payload_limit) / 1024 + 1;
        let state = State {
            keys: RwLock::new(keys),
            admin,
            requests: Arc::new(Semaphore::new(
                config.max_concurrent_requests.clamp(1, Semaphore::MAX_PERMITS),
            )),
            payload: Arc::new(Semaphore::new(budget.min(u32::MAX as usize))),
            draining: AtomicBool::new(false),
            telemetry: Telemetry::open(&config)?,
            started: now(),
            number: AtomicU64::new(1),
            registry: Arc::new(Registry::open(config, metrics.clone())?),
            metrics,
        };
        Ok(App { state: Arc::new(state) })
    }

    /// Says at /health that no more requests should be sent here.
    pub fn drain(&self) {
        self.state.draining.store(true, Ordering::Relaxed);
    }

    /// Sends the traces that are still kept; waits for the collector, some seconds at most. Nothing where there is none.
    pub fn flush_traces(&self) {
        if let Some(telemetry) = &self.state.telemetry {
            telemetry.flush();
        }
    }

    /// Reads keys and heads again, and replaces every model that is loaded. What cannot be read stays as it was, and the log says
    /// so. No request is dropped.
    pub async fn reload(&self) {
        match keys(&self.state.registry.config) {
            Ok(keys) => *self.state.keys.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = keys,
            Err(error) => tracing::error!("API keys stay as they were: {error:#}"),
        }
        let registry = &self.state.registry;
        for model in registry.models.iter().filter(|model| model.get().is_some()) {
            if let Err(error) = registry.reload(model).await {
                tracing::error!("{} stays as it was: {}", model.spec.name, error.message);
            }
        }
        for head in &registry.heads {
            if let Err(error) = reload_head(registry, head).await {
                tracing::error!("the head {} stays as it was: {}", head.spec.name, error.message);
            }
        }
    }
}

/// Reads a head's file again.
pub(crate) async fn reload_head(registry: &Arc<Registry>, head: &Arc<ServedHead>) -> ApiResult<()> {
    let (head, loaded) = (head.clone(), registry.models[head.model].get());
    blocking("reading the head", move || head.reload(loaded.as_deref())).await?.map_err(|error| {
        tracing::error!("{error:#}");
        ApiError::new(Kind::Unhealthy, "the head cannot be read; the server's log says why")
    })
}

/// An origin as browsers send it, or `*`.
fn checked_origin(given: &str) -> Result<String> {
    let origin = given.trim().strip_suffix('/').unwrap_or(given.trim());
    let whole = origin.parse::<axum::http::Uri>().is_ok_and(|uri| {
        uri.scheme().is_some() && uri.authority().is_some() && uri.path() == "/" && uri.query().is_none()
    });
    if origin == "*" {
        return Ok(origin.to_owned());
    }
    if whole {
        // Browsers write hosts small and leave a scheme's own port out.
        let origin = origin.to_ascii_lowercase();
        let port = if origin.starts_with("https:") { ":443" } else { ":80" };
        return Ok(origin.strip_suffix(port).unwrap_or(&origin).to_owned());
    }
    Err(Error::input(format!(
        "--cors-allow-origin takes * or an origin such as https://example.org, found {given:?}"
    )))
}

fn keys(config: &Config) -> Result<Keys> {
    let mut keys = Keys::default();
    for key in &config.api_keys {
        keys.add("api", key)?;
    }
    if let Some(file) = &config.api_keys_file {
        keys.add_file(file)?;
    }
    if keys.is_empty() && config.api_keys_file.is_some() {
        return Err(Error::input("no API key is there"));
    }
    Ok(keys)
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

/// A request in progress. Counts it as failed where its client leaves before there is an answer: then its future is dropped.
struct Unanswered<'a> {
    state: &'a State,
    id: &'a str,
    route: &'static Route,
    stats: &'a Stats,
    started: Instant,
    counts: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        // A panic is counted where it is caught.
        if !self.counts || std::thread::panicking() {
            return;
        }
        self.state.metrics.request(self.stats.texts.load(Ordering::Relaxed) as usize);
        self.state.metrics.abandoned();
        tracing::info!(
            target: "access",
            id = self.id,
            method = self.route.method,
            path = self.route.path,
            // As nginx logs it: the client closed the connection.
            status = 499,
            texts = self.stats.texts.load(Ordering::Relaxed),
            tokens = self.stats.tokens.load(Ordering::Relaxed),
            milliseconds = self.started.elapsed().as_secs_f64() * 1e3,
        );
    }
}

pub(crate) async fn dispatch(state: Arc<State>, route: &'static Route, request: Request) -> Response {
    let started = Instant::now();
    let given = request.headers().get("x-request-id").and_then(|id| id.to_str().ok());
    let fits =
        |id: &&str| id.len() <= 128 && !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_graphic());
    let id = given.filter(fits).map_or_else(
        || format!("{:x}-{:x}", state.started, state.number.fetch_add(1, Ordering::Relaxed)),
        str::to_owned,
    );
    let stats = Arc::new(Stats::default());
    let traced = (route.access != Access::Public)
        .then_some(state.telemetry.as_ref())
        .flatten()
        .map(|telemetry| (telemetry, telemetry.parent(request.headers()), SystemTime::now()));
    // The page asks for its figures every second, and clients for names.
    let counts = route.access == Access::Key && route.method == "POST";
    let mut unanswered = Unanswered { state: &state, id: &id, route, stats: &stats, started, counts };
    let outcome = answer(&state, route, request, &id, &stats).await;
    unanswered.counts = false;
    drop(unanswered);
    let took = started.elapsed();
    let texts = stats.texts.load(Ordering::Relaxed);
    if counts {
        state.metrics.request(texts as usize);
    }
    let mut response = match outcome {
        Ok(response) => {
            if counts {
                state.metrics.success(texts as usize, route.path, took);
            }
            response
        }
        Err(error) => {
            state.metrics.failure(error.kind);
            tracing::debug!(id, "{}: {}", error.kind.status(), error.message);
            error.response(route.dialect, &id)
        }
    };
    stats.write(response.headers_mut(), took);
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    if let Some((telemetry, parent, started)) = traced {
        let micros = |of: &AtomicU64| Duration::from_micros(of.load(Ordering::Relaxed));
        telemetry.record(
            &parent,
            &Answered {
                method: route.method,
                route: route.path,
                id: &id,
                status: response.status().as_u16(),
                started,
                took,
                waited: micros(&stats.waited),
                computed: micros(&stats.computed),
                texts,
                tokens: stats.tokens.load(Ordering::Relaxed),
                truncated: stats.truncated.load(Ordering::Relaxed),
            },
        );
    }
    if route.access != Access::Public {
        tracing::info!(
            target: "access",
            id,
            method = route.method,
            path = route.path,
            status = response.status().as_u16(),
            texts,
            tokens = stats.tokens.load(Ordering::Relaxed),
            milliseconds = took.as_secs_f64() * 1e3,
        );
    }
    response
}

async fn answer(
    state: &Arc<State>,
    route: &'static Route,
    request: Request,
    id: &str,
    stats: &Arc<Stats>,
) -> ApiResult<Response> {
    let client = state.admit(route.access, &request)?;
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = content_type.is_some_and(|value| {
        let kind = value.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json") || kind.to_ascii_lowercase().ends_with("+json")
    });
    let (mut parts, body) = request.into_parts();
    // Decoded: a name may have any letters.
    let name = if route.path.contains('{') {
        // By its own name, since a router that this one is mounted in may have parameters too.
        let given = Path::<HashMap<String, String>>::from_request_parts(&mut parts, &()).await;
        let given = given.map_err(|_| ApiError::new(Kind::NotFound, "the name in the path is not UTF-8"))?;
        given.get("name").cloned().unwrap_or_default()
    } else {
        String::new()
    };
    let coding = parts.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
        return Err(ApiError::new(
            Kind::MediaType,
            "the request's body is compressed, which is not read here; send it without Content-Encoding",
        ));
    }
    let limit = if route.method == "GET" { 64 << 10 } else { state.registry.config.payload_limit };
    let read = state.read(body, limit);
    let (body, _budget) = tokio::time::timeout(state.registry.config.read_timeout, read)
        .await
        .map_err(|_| ApiError::new(Kind::Timeout, "the request took too long to arrive"))??;
    // Counted once it is there: who sends slowly holds up nobody.
    let _permit = match route.access {
        Access::Key => Some(state.requests.clone().try_acquire_owned().map_err(|_| {
            ApiError::new(
                Kind::Overloaded,
                format!(
                    "{} requests are in progress, which is the limit; try again later",
                    state.registry.config.max_concurrent_requests
                ),
            )
        })?),
        _ => None,
    };
    let call =
        Call { state: state.clone(), body, is_json, name, client, id: id.to_owned(), stats: stats.clone() };
    (route.handler)(call).await
}

impl State {
    /// The name by which a client gets its share, if it may ask at all.
    fn admit(&self, access: Access, request: &Request) -> ApiResult<String> {
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip().to_string()).unwrap_or_default();
        let denied =
            || ApiError::new(Kind::Unauthorized, "a valid API key is needed: Authorization: Bearer KEY");
        match access {
            Access::Public => Ok(peer),
            Access::Admin if self.admin.is_empty() => Err(ApiError::new(
                Kind::Forbidden,
                "the admin routes are off; the server's --admin-key turns them on",
            )),
            Access::Admin => self.admin.name_of(request.headers()).map(|_| peer).ok_or_else(denied),
            Access::Key => {
                let keys = self.keys.read().unwrap_or_else(|poisoned| poisoned.into_inner());
                if keys.is_empty() {
                    return Ok(peer);
                }
                keys.name_of(request.headers()).map(|name| format!("key {name}")).ok_or_else(denied)
            }
        }
    }

    /// Reads a body within the limits of one and of all.
    async fn read(&self, mut body: Body, limit: usize) -> ApiResult<(Bytes, Option<OwnedSemaphorePermit>)> {
        let too_large = || {
            ApiError::new(
                Kind::TooLarge,
                format!(
                    "the request is larger than {limit} bytes; send fewer texts at a time, or raise --payload-limit"
                ),
            )
        };
        if axum::body::HttpBody::size_hint(&body).lower() > limit as u64 {
            return Err(too_large());
        }
        let mut all: Vec<u8> = Vec::new();
        let mut budget: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error: axum::Error| {
                let cause: BoxError = error.into_inner();
                ApiError::new(Kind::Json, format!("the request did not arrive whole: {cause}"))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if all.len() + data.len() > limit {
                return Err(too_large());
            }
            all.extend_from_slice(&data);
            let held = budget.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let more = (all.len() / 1024 + 1).saturating_sub(held);
            if more > 0 {
                let wanted = u32::try_from(more).map_err(|_| too_large())?;
                let permit = self.payload.clone().try_acquire_many_owned(wanted).map_err(|_| {
                    ApiError::new(
                        Kind::Overloaded,
                        "the requests in progress take all memory allowed; try again later",
                    )
                })?;
                match &mut budget {
                    Some(budget) => budget.merge(permit),
                    None => budget = Some(permit),
                }
            }
        }
        Ok((all.into(), budget))
    }

    /// Seconds since 1970 when the server began.
    pub(crate) fn started(&self) -> u64 {
        self.started
    }

    pub(crate) fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed) && self.registry.ready()
    }
}

impl Call {
    /// The body as JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> ApiResult<T> {
        if !self.is_json {
            return Err(ApiError::new(
                Kind::MediaType,
                "the request must be JSON and say so: send the header Content-Type: application/json",
            ));
        }
        serde_json::from_slice(&self.body).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                ApiError::validation(format!("the request is JSON of another shape than expected: {error}"))
            }
            _ => ApiError::new(Kind::Json, format!("the request is not JSON: {error}")),
        })
    }

    pub(crate) fn find(&self, model: Option<&str>) -> ApiResult<Target> {
        self.state.registry.find(model)
    }

    /// The model of this name, loaded.
    pub(crate) async fn model(&self, name: Option<&str>) -> ApiResult<(Arc<Model>, Arc<Loaded>)> {
        match self.find(name)? {
            Target::Model(model) => {
                let loaded = self.state.registry.loaded(&model).await?;
                Ok((model, loaded))
            }
            Target::Head(head) => Err(ApiError::new(
                Kind::Backend,
                format!("{} is a classifier; ask /predict or /v1/classify, or name a model", head.spec.name),
            )),
        }
    }

    /// Computes texts, and counts what they took.
    pub(crate) async fn compute(
        &self,
        loaded: &Loaded,
        job: Job,
        texts: Vec<frostbert::Text>,
    ) -> ApiResult<Done> {
        let of = |text: &frostbert::Text| {
            text.first.chars().count() + text.second.as_ref().map_or(0, |second| second.chars().count())
        };
        let stats = &self.stats;
        stats.texts.fetch_add(texts.len() as u64, Ordering::Relaxed);
        stats.characters.fetch_add(texts.iter().map(of).sum::<usize>() as u64, Ordering::Relaxed);
        let done = self.compute_again(loaded, job, texts).await?;
        let most = loaded.encoder().checkpoint().max_tokens();
        let tokens: usize = done.rows.iter().map(|row| row.tokens().min(most)).sum();
        let truncated = done.rows.iter().filter(|row| row.truncated()).count() as u64;
        stats.tokens.fetch_add(tokens as u64, Ordering::Relaxed);
        self.count_truncated(truncated);
        Ok(done)
    }

    /// Computes texts of this request once more, for something else: they are counted already.
    pub(crate) async fn compute_again(
        &self,
        loaded: &Loaded,
        job: Job,
        texts: Vec<frostbert::Text>,
    ) -> ApiResult<Done> {
        let done = loaded.queue.submit(&self.client, job, texts).await?;
        self.stats.waited.fetch_add(done.waited.as_micros() as u64, Ordering::Relaxed);
        self.stats.computed.fetch_add(done.computed.as_micros() as u64, Ordering::Relaxed);
        self.state.metrics.computed(done.waited, done.computed);
        Ok(done)
    }

    /// Counts texts that were cut.
    pub(crate) fn count_truncated(&self, texts: u64) {
        self.stats.truncated.fetch_add(texts, Ordering::Relaxed);
        self.state.metrics.truncated.inc_by(texts);
    }

    /// Tokens that were computed for this request.
    pub(crate) fn tokens(&self) -> u64 {
        self.stats.tokens.load(Ordering::Relaxed)
    }
}

impl Stats {
    fn write(&self, headers: &mut HeaderMap, took: Duration) {
        let of = |value: &AtomicU64| value.load(Ordering::Relaxed);
        let mut put = |name: &'static str, value: u64| {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        };
        put("x-total-time", took.as_millis() as u64);
        if of(&self.texts) == 0 {
            return;
        }
        put("x-compute-time", took.as_millis() as u64);
        put("x-compute-characters", of(&self.characters));
        put("x-compute-tokens", of(&self.tokens));
        put("x-queue-time", of(&self.waited) / 1000);
        put("x-inference-time", of(&self.computed) / 1000);
        put("x-truncated", of(&self.truncated));
    }
}

/// Answers from this size on are written where they keep nobody waiting.
const LARGE: usize = 64;

/// A JSON answer; `texts` says how large it is about.
pub(crate) async fn json<T: Serialize + Send + 'static>(value: T, texts: usize) -> ApiResult<Response> {
    let write = move || serde_json::to_vec(&value);
    let failed =
        || ApiError::new(Kind::Internal, "the answer cannot be written; this is a defect of the server");
    let body = if texts < LARGE {
        write()
    } else {
        tokio::task::spawn_blocking(write).await.map_err(|_| failed())?
    };
    let body = body.map_err(|_| failed())?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::checked_origin;

    #[test]
    fn origins_are_written_as_browsers_send_them() {
        for (given, sent) in [
            ("https://Example.org/", "https://example.org"),
            ("https://a.org:443", "https://a.org"),
            ("http://a.org:80", "http://a.org"),
            ("http://a.org:443", "http://a.org:443"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("*", "*"),
        ] {
            assert_eq!(checked_origin(given).unwrap(), sent);
        }
        assert!(checked_origin("example.org").is_err());
    }
}
