//! Progress bars on stderr; silent where stderr is no terminal.

use std::io::IsTerminal;
use std::time::Duration;

use frostbert::checkpoint::Download;
use frostbert::workflow::{EmbeddingSummary, Event};
use frostbert::{EmbedOptions, EncodeProgress, Encoder};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::args::{EmbedArgs, Total};
use crate::terminal;

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

/// Says what embedding took, and how many texts were cut.
pub fn say_embedded(done: &EmbeddingSummary, encoder: &Encoder, args: &EmbedArgs) {
    eprintln!(
        "{} texts, {} from the cache; {} tokens embedded in {:.1} s on {}",
        done.texts,
        done.from_cache,
        done.tokens,
        done.seconds,
        encoder.device().name
    );
    args.warn_truncated(done.truncated, done.texts);
}

/// Training's progress, one line at a time: the encoder's bar, then what the head is at.
pub struct TrainingProgress<'a> {
    bar: EncodeBar,
    spinner: Option<ProgressBar>,
    encoder: &'a Encoder,
    args: &'a EmbedArgs,
}

impl<'a> TrainingProgress<'a> {
    /// For so many texts.
    pub fn new(texts: u64, encoder: &'a Encoder, args: &'a EmbedArgs) -> Self {
        TrainingProgress { bar: EncodeBar::new(Some(texts), "embedding"), spinner: None, encoder, args }
    }

    /// The encoder's bar.
    pub fn bar(&self) -> &EncodeBar {
        &self.bar
    }

    /// Shows what happened.
    pub fn show(&mut self, event: Event<'_>) {
        match event {
            Event::Embedded(done) => {
                self.bar.finish();
                say_embedded(done, self.encoder, self.args);
                self.spinner = Some(spinner("training"));
            }
            Event::Training(step) => {
                // A head that learns from a stream is at work before the encoder is done.
                if let Some(spinner) = &self.spinner {
                    spinner.set_message(format!("training: {} {}/{}", step.stage, step.done, step.total));
                }
            }
            _ => {}
        }
    }

    /// Takes bar and line away.
    pub fn finish(&mut self) {
        self.bar.finish();
        if let Some(spinner) = self.spinner.take() {
            spinner.finish_and_clear();
        }
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
