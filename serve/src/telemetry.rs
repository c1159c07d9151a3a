//! Traces of requests for an OpenTelemetry collector: a span for each request, under the caller's where it sends a `traceparent`, and in
//! it one for the time that its texts waited and one for the time that they were computed.

use std::time::{Duration, SystemTime};

/// A request that was answered.
#[cfg_attr(not(feature = "opentelemetry"), allow(dead_code, reason = "written for a collector alone"))]
pub(crate) struct Answered<'a> {
    pub(crate) method: &'static str,
    /// As the router knows it, without what stands in its parameters.
    pub(crate) route: &'static str,
    pub(crate) id: &'a str,
    pub(crate) status: u16,
    pub(crate) started: SystemTime,
    pub(crate) took: Duration,
    pub(crate) waited: Duration,
    pub(crate) computed: Duration,
    pub(crate) texts: u64,
    pub(crate) tokens: u64,
    pub(crate) truncated: u64,
}

#[cfg(feature = "opentelemetry")]
pub(crate) use otlp::Telemetry;
#[cfg(not(feature = "opentelemetry"))]
pub(crate) use without::Telemetry;

#[cfg(feature = "opentelemetry")]
mod otlp {
    use std::time::{Duration, SystemTime};

    use axum::body::Bytes;
    use axum::http::{HeaderMap, Request, Response, Uri};
    use frostbert::{Error, Result};
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{Span, SpanBuilder, SpanKind, Status, TraceContextExt, TracerProvider};
    use opentelemetry::{Context, KeyValue};
    use opentelemetry_http::{HeaderExtractor, HttpClient, HttpError};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};

    use super::Answered;
    use crate::config::Config;

    /// How long the collector may take.
    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Where traces go.
    pub(crate) struct Telemetry {
        provider: SdkTracerProvider,
        tracer: SdkTracer,
    }

    /// What a request belongs to.
    pub(crate) struct Parent(Context);

    impl Telemetry {
        /// None where no collector is configured.
        pub(crate) fn open(config: &Config) -> Result<Option<Self>> {
            let Some(endpoint) = &config.otlp_endpoint else { return Ok(None) };
            let wrong = || {
                Error::input(format!(
                    "--otlp-endpoint takes the address of a collector such as http://localhost:4318, found {endpoint:?}"
                ))
            };
            let address: Uri = endpoint.parse().map_err(|_| wrong())?;
            if !matches!(address.scheme_str(), Some("http" | "https")) || address.host().is_none() {
                return Err(wrong());
            }
            // A collector's own address is enough, as in the environment variables of OpenTelemetry.
            let endpoint = match address.path() {
                "" | "/" => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
                _ => endpoint.clone(),
            };
            let agent = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(TIMEOUT))
                .build()
                .new_agent();
            let exporter = SpanExporter::builder()
                .with_http()
                .with_http_client(Client(agent))
                .with_protocol(Protocol::HttpBinary)
                .with_endpoint(endpoint)
                .with_timeout(TIMEOUT)
                .build()
                .map_err(|error| Error::input("cannot send traces").with_source(error))?;
            let resource = Resource::builder()
                .with_service_name(config.otlp_service_name.clone())
                .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
                .build();
            let provider =
                SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
            let tracer = provider.tracer("frostbert-serve");
            Ok(Some(Telemetry { provider, tracer }))
        }

        /// The caller's span, by the header `traceparent`.
        pub(crate) fn parent(&self, headers: &HeaderMap) -> Parent {
            Parent(
                TraceContextPropagator::new()
                    .extract_with_context(&Context::new(), &HeaderExtractor(headers)),
            )
        }

        /// Keeps a request; a thread sends what was kept every few seconds.
        pub(crate) fn record(&self, parent: &Parent, answered: &Answered<'_>) {
            let end = answered.started + answered.took;
            let mut span = SpanBuilder::from_name(format!("{} {}", answered.method, answered.route))
                .with_kind(SpanKind::Server)
                .with_start_time(answered.started)
                .with_attributes([
                    KeyValue::new("http.request.method", answered.method),
                    KeyValue::new("http.route", answered.route),
                    KeyValue::new("http.response.status_code", i64::from(answered.status)),
                    KeyValue::new("frostbert.request_id", answered.id.to_owned()),
                    KeyValue::new("frostbert.texts", answered.texts as i64),
                    KeyValue::new("frostbert.tokens", answered.tokens as i64),
                    KeyValue::new("frostbert.truncated", answered.truncated as i64),
                ])
                .start_with_context(&self.tracer, &parent.0);
            // A client's own mistake is no error of the server's. Source: OpenTelemetry's conventions for HTTP spans.
            if answered.status >= 500 {
                span.set_status(Status::error(""));
            }
            let inside = Context::new().with_remote_span_context(span.span_context().clone());
            let mut from = answered.started;
            for (name, long) in [("queue", answered.waited), ("inference", answered.computed)] {
                if long > Duration::ZERO {
                    self.child(&inside, name, from, (from + long).min(end));
                }
                from = (from + long).min(end);
            }
            span.end_with_timestamp(end);
        }

        fn child(&self, parent: &Context, name: &'static str, from: SystemTime, end: SystemTime) {
            let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Internal).with_start_time(from);
            builder.start_with_context(&self.tracer, parent).end_with_timestamp(end);
        }

        /// Sends what is kept. Waits for the collector, some seconds at most.
        pub(crate) fn flush(&self) {
            if let Err(error) = self.provider.force_flush() {
                tracing::warn!("traces were not sent: {error}");
            }
        }
    }

    /// Sends with what downloads models, too.
    #[derive(Debug)]
    struct Client(ureq::Agent);

    #[async_trait::async_trait]
    impl HttpClient for Client {
        async fn send_bytes(
            &self,
            request: Request<Bytes>,
        ) -> std::result::Result<Response<Bytes>, HttpError> {
            // The thread that sends has nothing else to do while it waits.
            let (parts, body) = request.into_parts();
            let (parts, mut body) = self.0.run(Request::from_parts(parts, &body[..]))?.into_parts();
            Ok(Response::from_parts(parts, body.read_to_vec()?.into()))
        }
    }
}

#[cfg(not(feature = "opentelemetry"))]
mod without {
    use axum::http::HeaderMap;
    use frostbert::{Error, Result};

    use super::Answered;
    use crate::config::Config;

    /// No traces are sent.
    pub(crate) enum Telemetry {}

    pub(crate) struct Parent;

    impl Telemetry {
        pub(crate) fn open(config: &Config) -> Result<Option<Self>> {
            match &config.otlp_endpoint {
                None => Ok(None),
                Some(_) => Err(Error::input(
                    "this program was built without OpenTelemetry; build it with the feature `opentelemetry`, or leave \
                     --otlp-endpoint out",
                )),
            }
        }

        pub(crate) fn parent(&self, _: &HeaderMap) -> Parent {
            match *self {}
        }

        pub(crate) fn record(&self, _: &Parent, _: &Answered<'_>) {
            match *self {}
        }

        pub(crate) fn flush(&self) {
            match *self {}
        }
    }
}
