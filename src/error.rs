//! The one error type of the library.

use std::fmt;

/// A `Result` whose error is [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in words a user can act on.
///
/// The message says what was being done, what was expected, what was found and, where there is one, the
/// next step. The kind is private so that it can grow; ask with [`is_input`](Error::is_input),
/// [`is_model_file`](Error::is_model_file), [`is_device`](Error::is_device), [`is_limit`](Error::is_limit).
/// Causes hang on [`std::error::Error::source`]; the alternate form `{:#}` prints them after colons, each once.
///
/// ```
/// let error = frostbert::Checkpoint::open("/no/such/folder").unwrap_err();
/// assert!(error.is_model_file());
/// ```
pub struct Error {
    // Boxed: `Result<(), Error>` stays one word wide.
    inner: Box<Inner>,
}

struct Inner {
    kind: Kind,
    message: String,
    row: Option<usize>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Input,
    ModelFile,
    Device,
    Limit,
    Io,
    Cancelled,
}

impl Error {
    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Error { inner: Box::new(Inner { kind, message: message.into(), row: None, source: None }) }
    }

    /// The caller's data or options are at fault.
    pub fn input(message: impl Into<String>) -> Self {
        Self::new(Kind::Input, message)
    }

    /// A file of a checkpoint, or a head file, is missing, damaged or of another shape.
    pub fn model_file(message: impl Into<String>) -> Self {
        Self::new(Kind::ModelFile, message)
    }

    /// No adapter, a lost device, a validation error.
    pub fn device(message: impl Into<String>) -> Self {
        Self::new(Kind::Device, message)
    }

    /// Something is larger than the device, or the program, allows.
    pub fn limit(message: impl Into<String>) -> Self {
        Self::new(Kind::Limit, message)
    }

    /// Reading or writing failed outside a model file.
    pub fn io(message: impl Into<String>) -> Self {
        Self::new(Kind::Io, message)
    }

    /// The caller asked the work to stop.
    pub fn cancelled() -> Self {
        Self::new(Kind::Cancelled, "stopped on request")
    }

    /// Hangs a cause on this error.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Puts what was being done before the message: `CONTEXT: MESSAGE`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.inner.message = format!("{context}: {}", self.inner.message);
        self
    }

    /// Puts a detail behind the message: `MESSAGE (DETAIL)`.
    #[must_use]
    pub(crate) fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.inner.message = format!("{} ({detail})", self.inner.message);
        self
    }

    /// Says which of the texts is at fault: the message then begins with `row ROW: `.
    #[must_use]
    pub fn at_row(mut self, row: usize) -> Self {
        self.inner.row = Some(row);
        self
    }

    /// The text, among those that were given, that is at fault, where it is one; counted from 0.
    pub fn row(&self) -> Option<usize> {
        self.inner.row
    }

    /// Whether the caller's data or options are at fault.
    pub fn is_input(&self) -> bool {
        self.inner.kind == Kind::Input
    }

    /// Whether a file of a checkpoint, or a head file, is missing, damaged or of another shape.
    pub fn is_model_file(&self) -> bool {
        self.inner.kind == Kind::ModelFile
    }

    /// Whether the adapter or its driver is at fault.
    pub fn is_device(&self) -> bool {
        self.inner.kind == Kind::Device
    }

    /// Whether something is larger than the device, or the program, allows.
    pub fn is_limit(&self) -> bool {
        self.inner.kind == Kind::Limit
    }

    /// Whether reading or writing failed outside a model file.
    pub fn is_io(&self) -> bool {
        self.inner.kind == Kind::Io
    }

    /// Whether the caller asked the work to stop.
    pub fn is_cancelled(&self) -> bool {
        self.inner.kind == Kind::Cancelled
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(row) = self.inner.row {
            write!(f, "row {row}: ")?;
        }
        if !f.alternate() {
            return f.write_str(&self.inner.message);
        }
        let mut said = self.inner.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            // Most errors of other crates print their cause with themselves and give it as their source as well.
            let text = error.to_string();
            if !says(&said, &text) {
                said.push_str(": ");
                said.push_str(&text);
            }
            cause = error.source();
        }
        f.write_str(&said)
    }
}

/// Whether `text` already holds `cause`, as words of its own.
fn says(text: &str, cause: &str) -> bool {
    let cause = cause.trim_end_matches('.');
    let bounded = |at: usize| {
        let before = text[..at].chars().next_back();
        let after = text[at + cause.len()..].chars().next();
        !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
    };
    cause.is_empty() || text.match_indices(cause).any(|(at, _)| bounded(at))
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self:#}", self.inner.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternate_form_prints_the_causes() {
        let error = Error::io("cannot write out.npy").with_source(std::io::Error::other("disk full"));
        assert_eq!(error.to_string(), "cannot write out.npy");
        assert_eq!(format!("{error:#}"), "cannot write out.npy: disk full");
        assert!(error.is_io() && !error.is_input());
    }

    /// An error that prints its cause and gives it as its source, as many crates' do.
    #[derive(Debug)]
    struct Wrapped(Box<dyn std::error::Error + Send + Sync>);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "External: {}", self.0)
        }
    }

    impl std::error::Error for Wrapped {
        fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn a_cause_is_printed_once() {
        let missing = || std::io::Error::from_raw_os_error(2);
        let text = missing().to_string();
        let causes: Vec<(&str, Box<dyn std::error::Error + Send + Sync>)> = vec![
            ("io", missing().into()),
            ("io in io", std::io::Error::other(missing()).into()),
            ("csv", csv::Error::from(missing()).into()),
            ("json", serde_json::Error::io(missing()).into()),
            ("safetensors", safetensors::SafeTensorError::IoError(missing()).into()),
            ("ours", Error::io("reading").with_source(missing()).into()),
            ("twice wrapped", Wrapped(Box::new(Wrapped(missing().into()))).into()),
            #[cfg(feature = "parquet")]
            ("parquet", parquet::errors::ParquetError::External(missing().into()).into()),
        ];
        for (name, cause) in causes {
            for message in [format!("cannot open x: {cause}"), "cannot open x".to_owned()] {
                let said = format!("{:#}", Error::io(message.clone()).with_source(Told(cause.to_string())));
                assert_eq!(said.matches(&cause.to_string()).count(), 1, "{name}: {said}");
            }
            let said = format!("{:#}", Error::io("cannot open x").with_source(cause));
            assert_eq!(said.matches(&text).count(), 1, "{name}: {said}");
            assert!(said.starts_with("cannot open x: "), "{name}: {said}");
        }
    }

    /// A cause that is its text.
    #[derive(Debug)]
    struct Told(String);

    impl fmt::Display for Told {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(&self.0)
        }
    }

    impl std::error::Error for Told {}

    #[test]
    fn a_cause_that_only_looks_alike_is_printed() {
        let said =
            |message: &str, cause: &'static str| format!("{:#}", Error::io(message).with_source(cause));
        assert_eq!(said("cannot fully load", "full"), "cannot fully load: full");
        assert_eq!(said("the disk is full", "full"), "the disk is full");
        assert_eq!(said("cannot write café.npy", "é"), "cannot write café.npy: é");
    }
}
