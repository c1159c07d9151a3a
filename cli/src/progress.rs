//! Progress bars on stderr; silent where stderr is no terminal.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use frostbert::checkpoint::Download;
use frostbert::data::ReadProgress;
use frostbert::{EmbedOptions, EncodeProgress};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::terminal;

/// How many texts a run has before it.
#[derive(Clone)]
pub enum Total {
    /// So many.
    Known(u64),
    /// By what was read of the file so far: texts given, bytes read and, at most, so many.
    ByBytes { given: Arc<AtomicU64>, read: ReadProgress, limit: Option<u64> },
}

impl Total {
    /// The best guess so far; none on a pipe, and before anything was read.
    pub fn guess(&self) -> Option<u64> {
        match self {
            Total::Known(texts) => Some(*texts),
            Total::ByBytes { given, read, limit } => {
                let (done, all) = (read.read(), read.total()?);
                if done == 0 {
                    return None;
                }
                let texts = given.load(Ordering::Relaxed) as f64 * (all as f64 / done as f64).max(1.0);
                Some(limit.map_or(texts as u64, |limit| limit.min(texts as u64)))
            }
        }
    }
}

/// A bar for an encoder pass: texts done of all, texts/s, tokens/s, time left.
#[derive(Clone)]
pub struct EncodeBar {
    bar: ProgressBar,
    /// Where the number of texts is not known: guesses it.
    total: Option<Total>,
}

impl EncodeBar {
    /// For texts of a file, whose number shows as it is read.
    pub fn of(total: Total, what: &str) -> Self {
        match total {
            Total::Known(texts) => Self::new(Some(texts), what),
            guessed => EncodeBar { total: Some(guessed), ..Self::new(None, what) },
        }
    }

    /// `total` texts, where it is known.
    pub fn new(total: Option<u64>, what: &str) -> Self {
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(target());
        bar.set_style(style(match total {
            Some(_) => "{prefix:<10} [{bar:32}] {pos}/{len} texts  {text_rate}  {msg}  {left} left",
            None => "{prefix:<10} {spinner} {pos} texts  {text_rate}  {msg}",
        }));
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        EncodeBar { bar, total: None }
    }

    /// `texts` are done, of `tokens` tokens in all.
    pub fn update(&self, texts: u64, tokens: u64) {
        if let Some(guess) = self.total.as_ref().and_then(Total::guess) {
            if self.bar.length().is_none() {
                self.bar.set_style(style(
                    "{prefix:<10} [{bar:32}] {pos} of about {len} texts  {text_rate}  {msg}  about {left} left",
                ));
            }
            self.bar.set_length(guess.max(texts));
        }
        self.bar.set_position(texts);
        let seconds = self.bar.elapsed().as_secs_f64();
        if seconds > 0.2 {
            self.bar.set_message(format!("{} tokens/s", HumanCount((tokens as f64 / seconds) as u64)));
        }
    }

    /// Options that move this bar.
    pub fn attach(&self, options: EmbedOptions) -> EmbedOptions {
        options.with_progress(self.progress())
    }

    /// What moves this bar.
    pub fn progress(&self) -> impl Fn(EncodeProgress) + Send + Sync + 'static {
        let bar = self.clone();
        move |done| bar.update(done.texts, done.tokens)
    }

    /// Seconds since the bar was made.
    pub fn seconds(&self) -> f64 {
        self.bar.elapsed().as_secs_f64()
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("text_rate", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{:.0} texts/s", state.per_sec());
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn std::fmt::Write| {
            let _ = write!(out, "{}", HumanDuration(state.eta()));
        })
}

/// A bar in bytes for each file of a download.
#[derive(Default)]
pub struct Downloads {
    current: Option<(String, ProgressBar)>,
}

impl Downloads {
    /// Shows one step of a download.
    pub fn update(&mut self, step: Download<'_>) {
        let known = self.current.as_ref().is_some_and(|(file, _)| file == step.file);
        if !known {
            self.finish();
            let bar = ProgressBar::new(step.total_bytes);
            bar.set_draw_target(target());
            let template = "{prefix:<28} [{bar:32}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(format!("{}/{} {}", step.index + 1, step.files, terminal::cell(step.file)));
            self.current = Some((step.file.to_owned(), bar));
        }
        if let Some((_, bar)) = &self.current {
            bar.set_position(step.done_bytes);
        }
    }

    fn finish(&mut self) {
        if let Some((_, bar)) = self.current.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Downloads {
    fn drop(&mut self) {
        self.finish();
    }
}

/// A line that says what is being done, for steps without a count.
pub fn spinner(message: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    bar.set_draw_target(target());
    bar.set_message(terminal::cell(message).into_owned());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn target() -> ProgressDrawTarget {
    if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}
