//! Requests to a hub, and what may come back: redirects are followed here, a few, and the token goes to the hub's own
//! origin alone; nothing is waited for without end.

use super::repository::{BlobName, Commit};
use std::error::Error as StdError;
use std::io::{self, Read};
use std::time::{Duration, Instant};
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LOCATION, RANGE,
    USER_AGENT,
};
use ureq::http::{HeaderMap, HeaderValue, Response, StatusCode, Uri};
use ureq::{Agent, Body};

/// The hub's own store is one redirect away; mirrors add one or two.
const MAX_REDIRECTS: usize = 8;
/// A download that is slower than this, over a whole time-out, is given up: a thousandth of a poor connection.
const FLOOR_BYTES_PER_SECOND: u64 = 1024;
/// The list of a repository's files: a hundred bytes a file.
const MAX_LISTING_BYTES: u64 = 64 << 20;

/// What can go wrong between here and a hub.
#[derive(Debug)]
pub(super) enum Failure {
    /// The hub answered with this status.
    Status(u16),
    /// The connection failed, broke off or was too slow: another try may do better.
    Broken(Box<dyn StdError + Send + Sync>),
    /// An answer that no hub gives: where it came from and what was wrong.
    Answer(String),
    /// What came is not what was announced; it was thrown away.
    Content(String),
    /// Another program holds the lock and does nothing.
    Busy(String),
    /// The cache cannot be written to.
    Disk(io::Error),
}

/// A hub, and how patient we are with it.
pub(super) struct Client {
    agent: Agent,
    endpoint: Uri,
    authorization: Option<HeaderValue>,
    timeout: Duration,
}

/// The last answer of a chain of redirects.
pub(super) struct Answer {
    response: Response<Body>,
    /// What the hub itself said about the file on the way.
    announced: Announced,
}

#[derive(Debug, Default)]
struct Announced {
    commit: Option<String>,
    etag: Option<String>,
    /// `etag` is that of the file, not of an answer about it.
    linked: bool,
    size: Option<String>,
}

/// What a hub says about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Metadata {
    pub(super) commit: Commit,
    pub(super) blob: BlobName,
    pub(super) bytes: u64,
}

impl Client {
    /// # Errors
    /// The endpoint is no address, or the token cannot be a token.
    pub(super) fn new(endpoint: &str, token: Option<&str>, timeout: Duration) -> Result<Self, String> {
        let uri: Uri = endpoint
            .trim_end_matches('/')
            .parse()
            .ok()
            .filter(|uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some())
            .ok_or_else(|| {
                format!("HF_ENDPOINT must be an address such as https://huggingface.co, found {endpoint:?}")
            })?;
        let authorization = token
            .map(|token| {
                let mut value = HeaderValue::try_from(format!("Bearer {}", token.trim()))
                    .map_err(|_| "the token (HF_TOKEN) holds characters that no token has".to_owned())?;
                value.set_sensitive(true);
                Ok::<_, String>(value)
            })
            .transpose()?;
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(timeout))
            .timeout_connect(Some(timeout))
            .timeout_send_request(Some(timeout))
            .timeout_recv_response(Some(timeout))
            .timeout_per_read(Some(timeout))
            // For what hides a trickle from us, such as the inside of a TLS record; a file that honestly takes longer is
            // asked for again from there.
            .timeout_recv_body(Some(timeout * 100))
            .build()
            .into();
        Ok(Client { agent, endpoint: uri, authorization, timeout })
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The body of a small answer, such as a listing.
    pub(super) fn small(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.get(path, 0)?;
        let mut bytes = vec![];
        answer.read(self.timeout, MAX_LISTING_BYTES, |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        Ok(bytes)
    }

    /// Asks for what lies at a path of the hub, from a byte on.
    pub(super) fn get(&self, path: &str, from: u64) -> Result<Answer, Failure> {
        let base = self.endpoint.to_string();
        let start = format!("{}{path}", base.trim_end_matches('/'));
        let mut uri: Uri =
            start.parse().map_err(|_| Failure::Answer(format!("{start} is not an address")))?;
        let mut announced = Announced::default();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.ask(&uri, from)?;
            let ours = origin(&uri) == origin(&self.endpoint);
            if ours {
                announced.read(response.headers());
            }
            let status = response.status();
            if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
                return match status {
                    StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(Answer { response, announced }),
                    StatusCode::RANGE_NOT_SATISFIABLE if from > 0 => Ok(Answer { response, announced }),
                    _ => Err(Failure::Status(status.as_u16())),
                };
            }
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            uri = redirect(&uri, location.unwrap_or_default()).map_err(Failure::Answer)?;
        }
        Err(Failure::Answer(format!("it redirected more than {MAX_REDIRECTS} times, the last time to {uri}")))
    }

    fn ask(&self, uri: &Uri, from: u64) -> Result<Response<Body>, Failure> {
        let mut request = self
            .agent
            .get(uri)
            .header(USER_AGENT, concat!("frostbert/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT_ENCODING, "identity");
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        if let Some(authorization) =
            self.authorization.as_ref().filter(|_| origin(uri) == origin(&self.endpoint))
        {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.call().map_err(|error| match error {
            ureq::Error::Io(_)
            | ureq::Error::Timeout(_)
            | ureq::Error::ConnectionFailed
            | ureq::Error::HostNotFound
            | ureq::Error::ConnectProxyFailed(_)
            | ureq::Error::BodyStalled => Failure::Broken(Box::new(error)),
            error => Failure::Answer(format!("{uri}: {error}")),
        })
    }
}

/// Who gets the token: scheme, host and port must all be the hub's own.
fn origin(uri: &Uri) -> (Option<&str>, Option<String>, Option<u16>) {
    let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    (uri.scheme_str(), uri.host().map(str::to_ascii_lowercase), Some(uri.port_u16().unwrap_or(default)))
}

/// Where an answer from `from` sends us.
fn redirect(from: &Uri, location: &str) -> Result<Uri, String> {
    let wrong = |what: &str| Err(format!("{from} redirects to {location:?}, {what}"));
    let target = location.split('#').next().unwrap_or_default().trim();
    if target.is_empty() {
        return wrong("which is no address");
    }
    let (scheme, authority) = match (from.scheme_str(), from.authority()) {
        (Some(scheme), Some(authority)) => (scheme, authority.as_str()),
        _ => return wrong("from no address"),
    };
    let absolute = if target.contains("://") && !target.starts_with(['/', '?', '.']) {
        target.to_owned()
    } else if target.starts_with("//") {
        format!("{scheme}:{target}")
    } else if target.starts_with('/') {
        format!("{scheme}://{authority}{target}")
    } else if target.starts_with('?') {
        format!("{scheme}://{authority}{}{target}", from.path())
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{target}")
    };
    let Ok(uri) = absolute.parse::<Uri>() else { return wrong("which is no address") };
    match (uri.scheme_str(), uri.authority()) {
        (Some("http"), Some(_)) if scheme == "https" => wrong("which is not encrypted"),
        // A name and password for another server are not ours to send.
        (Some("http" | "https"), Some(authority))
            if authority.as_str().contains('@') && !target.starts_with('/') =>
        {
            wrong("which holds a name or a password")
        }
        (Some("http" | "https"), Some(_)) => Ok(uri),
        _ => wrong("which is no address of the web"),
    }
}

impl Announced {
    fn read(&mut self, headers: &HeaderMap) {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        if let Some(commit) = text("x-repo-commit") {
            self.commit = Some(commit);
        }
        match text("x-linked-etag") {
            Some(etag) => (self.etag, self.linked) = (Some(etag), true),
            None if !self.linked => {
                if let Some(etag) = text(ETAG.as_str()) {
                    self.etag = Some(etag);
                }
            }
            None => {}
        }
        if let Some(size) = text("x-linked-size") {
            self.size = Some(size);
        }
    }
}

/// The numbers of `bytes FIRST-LAST/ALL`.
fn content_range(text: &str) -> Option<(u64, u64)> {
    let (range, all) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, all.trim().parse().ok()?))
}

impl Answer {
    fn header(&self, name: &ureq::http::HeaderName) -> Option<&str> {
        self.response.headers().get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn is_past_the_end(&self) -> bool {
        self.response.status() == StatusCode::RANGE_NOT_SATISFIABLE
    }

    /// The byte of the file that the body begins with, and the whole file's length where it is said.
    fn place(&self) -> Result<(u64, Option<u64>), Failure> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        if self.response.status() == StatusCode::PARTIAL_CONTENT {
            let range = self.header(&CONTENT_RANGE).unwrap_or_default();
            return match content_range(range) {
                Some((first, all)) => Ok((first, Some(all))),
                None => {
                    Err(Failure::Answer(format!("it sent a part of a file without saying which: {range:?}")))
                }
            };
        }
        Ok((0, self.header(&CONTENT_LENGTH).and_then(number)))
    }

    /// What the hub said about the file, once it is known to be safe to use.
    pub(super) fn metadata(&self) -> Result<Metadata, Failure> {
        let lacks = |what: &str| Failure::Answer(format!("its answer says no {what}; is it a hub?"));
        let wrong = |what: &str, found: &str| {
            Failure::Answer(format!("its answer has {found:?} for {what}; is it a hub?"))
        };
        let Announced { commit, etag, size, .. } = &self.announced;
        let commit = commit.as_deref().ok_or_else(|| lacks("commit (X-Repo-Commit)"))?;
        let commit = Commit::parse(commit).ok_or_else(|| wrong("a commit (X-Repo-Commit)", commit))?;
        let etag = etag.as_deref().ok_or_else(|| lacks("ETag"))?;
        let blob = BlobName::from_etag(etag).ok_or_else(|| wrong("an ETag", etag))?;
        let bytes = match size {
            Some(size) => size.trim().parse().map_err(|_| wrong("a size (X-Linked-Size)", size))?,
            None => self.place()?.1.ok_or_else(|| lacks("length"))?,
        };
        Ok(Metadata { commit, blob, bytes })
    }

    /// Where in the file the body begins, for a file of so many bytes.
    pub(super) fn begins_at(&self, bytes: u64) -> Result<u64, Failure> {
        let (first, all) = self.place()?;
        if all.is_some_and(|all| all != bytes) {
            let all = all.unwrap_or_default();
            return Err(Failure::Content(format!("expected a file of {bytes} bytes, it sends one of {all}")));
        }
        if let Some(encoding) = self.header(&CONTENT_ENCODING).filter(|encoding| *encoding != "identity") {
            return Err(Failure::Answer(format!("it sent the file as {encoding}, which was not asked for")));
        }
        Ok(first)
    }

    /// Reads the body, of at most so many bytes: one more is an error, and so is a trickle.
    pub(super) fn read(
        self,
        timeout: Duration,
        most: u64,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<u64, Failure> {
        let mut body = self.response.into_body().into_reader();
        let mut buffer = vec![0; 64 << 10];
        let mut done = 0u64;
        let mut pace = Pace::new(timeout);
        loop {
            let len = match body.read(&mut buffer) {
                Ok(0) => return Ok(done),
                Ok(len) => len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Broken(Box::new(error))),
            };
            done += len as u64;
            if done > most {
                return Err(Failure::Content(format!("expected {most} bytes, more came")));
            }
            each(&buffer[..len]).map_err(Failure::Disk)?;
            if !pace.keeps_up(len as u64, Instant::now()) {
                return Err(Failure::Broken(
                    format!(
                        "for {} seconds fewer than {FLOOR_BYTES_PER_SECOND} bytes a second came",
                        timeout.as_secs_f32()
                    )
                    .into(),
                ));
            }
        }
    }
}

/// Whether bytes come fast enough, looked at once in each time-out.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Pace { window, since: Instant::now(), bytes: 0 }
    }

    fn keeps_up(&mut self, bytes: u64, now: Instant) -> bool {
        self.bytes += bytes;
        let took = now.duration_since(self.since);
        if took < self.window {
            return true;
        }
        let enough = self.bytes as f64 >= FLOOR_BYTES_PER_SECOND as f64 * took.as_secs_f64();
        (self.since, self.bytes) = (now, 0);
        enough
    }
}

/// A path's part as an address holds it.
pub(super) fn escape(part: &str) -> String {
    let mut escaped = String::new();
    for byte in part.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_for_one_scheme_host_and_port() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let hub = uri("https://hub.test/x");
        for same in ["https://hub.test", "https://HUB.test:443/y", "https://me@hub.test/"] {
            assert_eq!(origin(&uri(same)), origin(&hub), "{same}");
        }
        for other in
            ["http://hub.test", "https://hub.test:8443", "https://hub.test.evil", "https://hub.test@evil"]
        {
            assert_ne!(origin(&uri(other)), origin(&hub), "{other}");
        }
    }

    #[test]
    fn redirects_lead_to_addresses_of_the_web() {
        let from: Uri = "https://hub.test:8/a/b?c".parse().unwrap();
        for (location, target) in [
            ("https://store.test/x?y=z#part", "https://store.test/x?y=z"),
            ("//store.test/x", "https://store.test/x"),
            ("/x?u=http://y", "https://hub.test:8/x?u=http://y"),
            ("x", "https://hub.test:8/a/x"),
            ("?d", "https://hub.test:8/a/b?d"),
        ] {
            assert_eq!(redirect(&from, location).unwrap().to_string(), target, "{location}");
        }
        for location in [
            "",
            "#x",
            "http://hub.test:8/x",
            "file:///etc/passwd",
            "ftp://x/y",
            "https://a b/",
            "https://me:pw@x/",
            "http://",
        ] {
            assert!(redirect(&from, location).is_err(), "{location}");
        }
    }

    #[test]
    fn a_trickle_does_not_keep_up() {
        let mut pace = Pace::new(Duration::from_secs(10));
        let at = |seconds| pace.since + Duration::from_secs(seconds);
        let (early, late, later) = (at(9), at(10), at(20));
        assert!(pace.keeps_up(1, early));
        assert!(!pace.keeps_up(1, late));
        assert!(pace.keeps_up(10 * 1024, later));
    }

    #[test]
    fn names_in_addresses() {
        assert_eq!(escape("refs/pr/1"), "refs%2Fpr%2F1");
        assert_eq!(escape("a b#?%é"), "a%20b%23%3F%25%C3%A9");
        assert_eq!(content_range("bytes 5-9/10"), Some((5, 10)));
        for wrong in ["", "bytes */10", "bytes 5-9/*", "lines 5-9/10"] {
            assert_eq!(content_range(wrong), None, "{wrong}");
        }
    }
}
