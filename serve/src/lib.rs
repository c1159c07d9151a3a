//! Frostbert over HTTP: embeddings, rankings and heads of your own, spoken as text-embeddings-inference, OpenAI, Cohere and Jina
//! speak.
//!
//! [`App`] holds models, heads and queues, and gives a router that any axum program can mount; [`serve`] is a listener around
//! it, with limits, TLS, signals and a log. The contracts are in docs/serving.md.

// wgpu's types, which an encoder holds, are deep.
#![recursion_limit = "256"]

mod app;
mod auth;
mod blocking;
mod config;
mod error;
mod job;
mod metrics;
mod openapi;
mod queue;
mod registry;
mod router;
mod routes;
mod schemas;
mod server;
mod telemetry;
mod worker;

pub use app::{App, Peer};
pub use auth::Keys;
pub use config::{Config, HeadSpec, ModelSpec};
pub use server::{Listen, LogFormat, log_to_stderr, open_and_serve, serve};
