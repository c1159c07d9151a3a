//! Traces, as a collector gets them.
#![cfg(feature = "opentelemetry")]
#![allow(clippy::unwrap_used)] // Helpers of tests may.
// wgpu's types, which an encoder holds, are deep.
#![recursion_limit = "256"]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::mpsc;

use axum::body::Body;
use axum::http::Request;
use frostbert::Device;
use frostbert_serve::{App, Config, ModelSpec};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message;
use tower::ServiceExt;

/// A collector on a free port: what was sent, by its path and kind.
fn collector() -> (String, mpsc::Receiver<(String, String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            loop {
                let mut line = String::new();
                if stream.read_line(&mut line).unwrap_or(0) == 0 {
                    break;
                }
                let path = line.split(' ').nth(1).unwrap().to_owned();
                let (mut length, mut kind) = (0, String::new());
                loop {
                    let mut header = String::new();
                    stream.read_line(&mut header).unwrap();
                    let Some((name, value)) = header.trim().split_once(": ") else { break };
                    match name.to_ascii_lowercase().as_str() {
                        "content-length" => length = value.parse().unwrap(),
                        "content-type" => kind = value.to_owned(),
                        _ => {}
                    }
                }
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
                if sender.send((path, kind, body)).is_err() {
                    return;
                }
            }
        }
    });
    (address, receiver)
}

fn config(endpoint: &str) -> Config {
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens/sentence-mean");
    let model = ModelSpec { name: "mean".into(), location: golden.display().to_string() };
    Config {
        models: vec![model],
        device: Device::Cpu,
        otlp_endpoint: Some(endpoint.to_owned()),
        otlp_service_name: "under test".to_owned(),
        ..Config::default()
    }
}

async fn ask(router: &axum::Router, path: &str, body: &str, parent: Option<&str>) -> u16 {
    let mut request = Request::post(path).header("content-type", "application/json");
    if let Some(parent) = parent {
        request = request.header("traceparent", parent);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    router.clone().oneshot(request).await.unwrap().status().as_u16()
}

fn attribute<'a>(span: &'a Span, key: &str) -> Option<&'a Value> {
    span.attributes.iter().find(|found| found.key == key)?.value.as_ref()?.value.as_ref()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_a_span_for_each_request_under_the_callers() {
    let (address, received) = collector();
    let app = App::open(config(&address)).unwrap();
    let router = app.router();
    let (trace, caller) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let parent = format!("00-{trace}-{caller}-01");
    assert_eq!(ask(&router, "/embed", r#"{"inputs":["the fox","a river"]}"#, Some(&parent)).await, 200);
    assert_eq!(ask(&router, "/embed", "{", None).await, 400);
    let flushed = app.clone();
    tokio::task::spawn_blocking(move || flushed.flush_traces()).await.unwrap();

    // All at once as a rule; what a timer has sent before comes by itself.
    let mut spans: Vec<Span> = vec![];
    while spans.iter().filter(|span| span.name == "POST /embed").count() < 2 {
        let (path, kind, body) = received.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
        assert_eq!((&*path, &*kind), ("/v1/traces", "application/x-protobuf"));
        for ResourceSpans { resource, scope_spans, .. } in
            ExportTraceServiceRequest::decode(&body[..]).unwrap().resource_spans
        {
            let attributes = resource.unwrap().attributes;
            let service = attributes.into_iter().find(|found| found.key == "service.name").unwrap();
            assert_eq!(service.value.unwrap().value, Some(Value::StringValue("under test".into())));
            spans.extend(scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();

    let good = spans.iter().find(|span| hex(&span.trace_id) == trace && span.name == "POST /embed").unwrap();
    assert_eq!(hex(&good.parent_span_id), caller);
    assert_eq!(attribute(good, "http.response.status_code"), Some(&Value::IntValue(200)));
    assert_eq!(attribute(good, "frostbert.texts"), Some(&Value::IntValue(2)));
    assert!(matches!(attribute(good, "frostbert.tokens"), Some(Value::IntValue(4..))));
    let inside: Vec<&Span> = spans.iter().filter(|span| span.parent_span_id == good.span_id).collect();
    assert!(inside.iter().any(|span| span.name == "inference"), "{inside:?}");
    for span in inside {
        assert!(good.start_time_unix_nano <= span.start_time_unix_nano, "{span:?}");
        assert!(span.end_time_unix_nano <= good.end_time_unix_nano, "{span:?}");
    }
    let bad = spans.iter().find(|span| span.name == "POST /embed" && hex(&span.trace_id) != trace).unwrap();
    assert!(bad.parent_span_id.is_empty());
    assert_eq!(attribute(bad, "http.response.status_code"), Some(&Value::IntValue(400)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_no_request_anything() {
    // Bound and let go: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let app = App::open(config(&format!("http://{free}"))).unwrap();
    let router = app.router();
    assert_eq!(ask(&router, "/embed", r#"{"inputs":"the fox"}"#, None).await, 200);
    let flushed = app.clone();
    tokio::task::spawn_blocking(move || flushed.flush_traces()).await.unwrap();
    assert_eq!(ask(&router, "/embed", r#"{"inputs":"the fox"}"#, None).await, 200);
}

#[test]
fn an_address_that_is_none_is_refused() {
    for wrong in ["localhost:4318", "ftp://localhost", "http://", ""] {
        let error = App::open(config(wrong)).err().unwrap();
        assert!(error.is_input() && error.to_string().contains("--otlp-endpoint"), "{wrong:?}: {error}");
    }
}
