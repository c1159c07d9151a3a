//! The listener: connections within limits, TLS, signals, an end that drops no request.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use frostbert::{Error, Result};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Sleep;
use tower::ServiceExt;

use crate::app::{App, Peer};

/// Where to listen, and how to end.
#[derive(Clone, Debug)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// A certificate chain and its key, as PEM files, for HTTPS.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Connections at most; others wait to be accepted.
    pub max_connections: usize,
    /// How long requests in progress have when the server is told to stop.
    pub drain_timeout: Duration,
}

impl Default for Listen {
    fn default() -> Self {
        Listen {
            address: SocketAddr::from(([127, 0, 0, 1], 3000)),
            tls: None,
            max_connections: 4096,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// Writes what happens, and each request, to standard error. Later calls do nothing.
pub fn log_to_stderr(format: LogFormat, access_log: bool) {
    use tracing_subscriber::Layer;
    use tracing_subscriber::filter::filter_fn;
    use tracing_subscriber::layer::SubscriberExt;
    let wanted = filter_fn(move |meta| {
        *meta.level() <= tracing::Level::INFO && (access_log || meta.target() != "access")
    });
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let registry = tracing_subscriber::registry();
    // A second call finds one set.
    let _ = match format {
        LogFormat::Text => tracing::subscriber::set_global_default(registry.with(layer.with_filter(wanted))),
        LogFormat::Json => {
            tracing::subscriber::set_global_default(registry.with(layer.json().with_filter(wanted)))
        }
    };
}

/// Serves until SIGTERM or Ctrl-C; SIGHUP reloads. `listening` is told the address, whose port may have been 0.
///
/// # Errors
/// The address cannot be bound, or a certificate cannot be read.
pub fn serve(app: App, listen: Listen, listening: impl FnOnce(SocketAddr)) -> Result<()> {
    open_and_serve(move || Ok(app), listen, listening)
}

/// [`serve`], with an app that is opened first, which takes as long as its models take to load: signals are heeded meanwhile, too.
///
/// # Errors
/// What `open` says; those of [`serve`].
pub fn open_and_serve(
    open: impl FnOnce() -> Result<App> + Send + 'static,
    listen: Listen,
    listening: impl FnOnce(SocketAddr),
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::io("cannot start the server's threads").with_source(error))?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new()?;
        let mut opening = tokio::task::spawn_blocking(open);
        let app = loop {
            tokio::select! {
                opened = &mut opening => match opened {
                    Ok(app) => break app?,
                    Err(panic) => return Err(Error::io("opening the models failed").with_source(panic)),
                },
                signal = signals.next() => match signal {
                    Signal::Stop => return Ok(()),
                    // Everything is being read at this moment.
                    Signal::Reload => {}
                },
            }
        };
        run(app, listen, signals, listening).await
    });
    // A thread that still loads a model must not hold the end up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

async fn run(
    app: App,
    listen: Listen,
    mut signals: Signals,
    listening: impl FnOnce(SocketAddr),
) -> Result<()> {
    let mut tls = listen.tls.as_ref().map(tls::Acceptor::open).transpose()?;
    let address = listen.address;
    let listener = TcpListener::bind(address).await.map_err(|error| {
        Error::io(format!("cannot listen on {address}; choose another --port")).with_source(error)
    })?;
    let bound = listener
        .local_addr()
        .map_err(|error| Error::io(format!("cannot listen on {address}")).with_source(error))?;
    listening(bound);
    let router = app.router();
    let connections = Arc::new(Semaphore::new(listen.max_connections.max(1)));
    let graceful = Arc::new(std::sync::Mutex::new(Some(GracefulShutdown::new())));
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &connections) => accepted,
            signal = signals.next() => match signal {
                Signal::Stop => break,
                Signal::Reload => {
                    if let (Some(acceptor), Some(files)) = (&mut tls, &listen.tls) {
                        match tls::Acceptor::open(files) {
                            Ok(fresh) => *acceptor = fresh,
                            Err(error) => tracing::error!("the certificate stays as it was: {error:#}"),
                        }
                    }
                    let app = app.clone();
                    tokio::spawn(async move { app.reload().await });
                    continue;
                }
            },
        };
        let Some((stream, peer, permit)) = accepted else { continue };
        // Answers are written whole: waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let watcher = {
            let graceful = graceful.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            graceful.as_ref().map(GracefulShutdown::watcher)
        };
        let Some(watcher) = watcher else { break };
        let (router, tls) = (router.clone(), tls.clone());
        tokio::spawn(async move {
            let _permit = permit;
            match tls {
                None => connection(stream, peer, router, watcher).await,
                Some(tls) => {
                    // Handshakes of clients that say nothing end, too.
                    let shaken = tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await;
                    if let Ok(Ok(stream)) = shaken {
                        connection(stream, peer, router, watcher).await;
                    }
                }
            }
        });
    }
    drop(listener);
    app.drain();
    tracing::info!("stopping: requests in progress are answered");
    let graceful = graceful.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
    if let Some(graceful) = graceful {
        tokio::select! {
            () = graceful.shutdown() => tracing::info!("stopped"),
            () = tokio::time::sleep(listen.drain_timeout) => {
                tracing::warn!("stopped with requests in progress, after {} s", listen.drain_timeout.as_secs());
            }
            () = signals.stop() => tracing::warn!("stopped at once: told so a second time"),
        }
    }
    tokio::task::block_in_place(|| app.flush_traces());
    Ok(())
}

/// How long a client may take for the head of a request, or between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

async fn accept(
    listener: &TcpListener,
    connections: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let permit = connections.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => Some((stream, peer, permit)),
        Err(error) => {
            // Out of files, say: those in use will be closed.
            tracing::warn!("a connection was not accepted: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

async fn connection<S>(
    stream: S,
    peer: SocketAddr,
    router: axum::Router,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().oneshot(request)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(Patient::new(stream, WRITE_TIMEOUT)), service);
    // Clients that break off are no news.
    let _ = watcher.watch(connection).await;
}

/// How long a client may take to read some of an answer, whose memory it holds.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A stream whose writes fail when the other side takes nothing for a while.
struct Patient<S> {
    stream: S,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    fn new(stream: S, patience: Duration) -> Self {
        Patient { stream, patience, waiting: None }
    }

    fn until<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = None;
            return outcome;
        }
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        match waiting.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.until(context, outcome)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.until(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.until(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.until(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

enum Signal {
    Stop,
    Reload,
}

#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen =
            |kind| signal(kind).map_err(|error| Error::io("cannot listen to signals").with_source(error));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.hangup.recv() => Signal::Reload,
        }
    }
}

impl Signals {
    /// Waits for the next signal to stop; what else comes means nothing by then.
    async fn stop(&mut self) {
        while !matches!(self.next().await, Signal::Stop) {}
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Result<Self> {
        Ok(Signals)
    }

    async fn next(&mut self) -> Signal {
        if tokio::signal::ctrl_c().await.is_err() {
            // Nothing will ever come.
            std::future::pending::<()>().await;
        }
        Signal::Stop
    }
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::PathBuf;
    use std::sync::Arc;

    use frostbert::{Error, Result};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsAcceptor;
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::crypto::ring;
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio_rustls::server::TlsStream;

    #[derive(Clone)]
    pub(super) struct Acceptor(TlsAcceptor);

    impl Acceptor {
        pub(super) fn open((certificate, key): &(PathBuf, PathBuf)) -> Result<Self> {
            let unread = |path: &PathBuf| Error::io(format!("cannot read {} as PEM", path.display()));
            let chain = CertificateDer::pem_file_iter(certificate)
                .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
                .map_err(|error| unread(certificate).with_source(error))?;
            let private =
                PrivateKeyDer::from_pem_file(key).map_err(|error| unread(key).with_source(error))?;
            let refused = |error| {
                Error::input(format!(
                    "{} and {} do not make a TLS server",
                    certificate.display(),
                    key.display()
                ))
                .with_source(error)
            };
            let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(refused)?
                .with_no_client_auth()
                .with_single_cert(chain, private)
                .map_err(refused)?;
            Ok(Acceptor(TlsAcceptor::from(Arc::new(config))))
        }

        pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
            self.0.accept(stream).await
        }
    }
}

#[cfg(not(feature = "tls"))]
mod tls {
    use std::path::PathBuf;

    use frostbert::{Error, Result};
    use tokio::net::TcpStream;

    #[derive(Clone)]
    pub(super) struct Acceptor;

    impl Acceptor {
        pub(super) fn open(_: &(PathBuf, PathBuf)) -> Result<Self> {
            Err(Error::input("this build has no TLS (cargo feature `tls` is off)"))
        }

        pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TcpStream> {
            Ok(stream)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn who_reads_nothing_is_given_up() {
        let (mut client, server) = tokio::io::duplex(16);
        let mut server = Patient::new(server, Duration::from_millis(20));
        server.write_all(&[7; 16]).await.unwrap();
        client.read_exact(&mut [0; 16]).await.unwrap();
        let error = server.write_all(&[7; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
