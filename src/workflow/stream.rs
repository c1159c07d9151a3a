//! Training while the encoder works: an MLP learns from the first embeddings while the others are computed, and memory holds a
//! batch of them at a time.

use std::path::Path;
use std::sync::OnceLock;

use sha2::{Digest, Sha256};

use super::dataset::Dataset;
use super::embed::{EmbedRun, EmbeddingSummary, embed_after};
use super::record::Trained;
use super::row_file::{RowWriter, row_file};
use super::train::{Event, Trainer, record_of};
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::head::{CalibrationKind, CautionOptions, Head, Kind, Metrics, StreamRows};

/// Texts embedded at a time.
const CHUNK: usize = 4096;

impl Trainer<'_> {
    /// Trains an MLP on embeddings that are never in memory together, from the first ones on while the others are computed. They
    /// are kept in a file without a name in `folder` (none: where temporary files go, which is often memory).
    ///
    /// The head has the bits that [`train`](Self::train) gives. There is no cross-validation, and nothing that needs it.
    ///
    /// # Errors
    /// What needs all rows at once (another kind than [`Kind::Mlp`], calibration, a choice of layers, details), the file cannot be
    /// written, and as [`train`](Self::train).
    pub fn train_stream(
        &self,
        data: &Dataset,
        folder: Option<&Path>,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Trained> {
        self.check_stream()?;
        let (rows, held_out) = self.partition(data)?;
        let texts: Vec<&Text> =
            rows.texts.iter().chain(held_out.iter().flat_map(|rows| &rows.texts)).collect();
        let (train, all) = (rows.len() as u32, texts.len() as u32);
        let test: Vec<u32> = (train..all).collect();
        let options = &self.fit.head;
        let fingerprint = (options.checkpoint.as_ref())
            .map(|_| fingerprint(self.encoder, &self.embed, &rows.texts))
            .transpose()?;
        let stream = StreamRows {
            train: (0..train).collect(),
            targets: rows.targets.clone(),
            weights: rows.weights.clone(),
            groups: rows.groups.clone(),
            fingerprint,
        };
        // Computed in the order in which they are asked for.
        let order = [stream.first_pass(options)?, test.clone()].concat();
        let (writer, reader) = row_file(folder, self.encoder.dim(&self.embed)?)?;
        let mut reader = reader.in_order(&order);
        let mut run = self.run.clone();
        let stop = run.token();
        let encoded: OnceLock<EmbeddingSummary> = OnceLock::new();
        let mut told = false;
        let (training, predictions) = std::thread::scope(|scope| {
            let encoding = scope.spawn(|| {
                let ordered = order.iter().map(|row| texts[*row as usize]);
                let summary = pollster::block_on(encode(self.encoder, ordered, &self.embed, &run, writer))?;
                // Set once, here.
                let _ = encoded.set(summary);
                Ok::<(), Error>(())
            });
            let mut show = |step: crate::head::Progress<'_>| {
                if let Some(summary) = encoded.get().filter(|_| !told) {
                    watch(Event::Embedded(summary));
                    told = true;
                }
                watch(Event::Training(step));
            };
            let learned =
                Head::train_on_stream(&mut reader, &stream, options, &mut show).and_then(|training| {
                    let predictions = training.head.predict_stream(&mut reader, &test)?;
                    Ok((training, predictions))
                });
            let asked_to_stop = stop.check().is_err();
            if learned.is_err() {
                // A head that fails wants no more rows; those embedded by now are in the cache.
                stop.cancel();
            }
            match encoding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                // What stopped the encoder is why rows did not come.
                Err(error) if asked_to_stop || !error.is_cancelled() => Err(error),
                _ => learned,
            }
        })?;
        if let Some(summary) = encoded.get().filter(|_| !told) {
            watch(Event::Embedded(summary));
        }
        let measured = (held_out.as_ref())
            .map(|rows| Metrics::of(&rows.targets, &predictions, Some(training.head.thresholds())));
        let record = record_of(&rows, 0, held_out.as_ref(), &training, measured.clone())?;
        let mut trained = Trained { head: training.head, record, rows: None };
        trained.head.record.test = measured;
        trained.record.embedding = encoded.into_inner();
        self.bind(&mut trained, &self.embed)?;
        Ok(trained)
    }

    /// Refuses what needs all rows at once.
    fn check_stream(&self) -> Result<()> {
        let no = |what: &str, instead: &str| {
            Err(Error::input(format!("--stream never has all embeddings in memory: {what}; {instead}")))
        };
        if !self.words.descriptions.is_empty() {
            return no("--describe starts a linear head from words", "leave out one of the two");
        }
        if !matches!(self.fit.head.kind, Kind::Mlp(_)) {
            return no("it trains what learns by mini-batches", "use --head mlp");
        }
        if self.choose_long {
            return no("--long auto compares embeddings of all rows", "say how long texts are cut");
        }
        if self.choose_layers {
            return no("--layers auto compares layers on all rows", "name the layers");
        }
        if self.fit.head.calibration != CalibrationKind::None {
            return no("--calibrate needs out-of-fold predictions", "leave it out");
        }
        if self.fit.caution != CautionOptions::default() {
            return no("--abstain-precision and --conformal need out-of-fold predictions", "leave them out");
        }
        if self.fit.keep_sample.is_some() {
            return no("--keep-sample takes rows from all of them", "leave it out");
        }
        if self.fit.details {
            return no("--report needs out-of-fold predictions", "leave it out");
        }
        Ok(())
    }
}

/// Embeds the texts in their order into the file.
async fn encode(
    encoder: &Encoder,
    texts: impl Iterator<Item = &Text>,
    options: &EmbedOptions,
    run: &EmbedRun<'_>,
    mut rows: RowWriter,
) -> Result<EmbeddingSummary> {
    let mut texts = texts.cloned().peekable();
    let mut all = EmbeddingSummary::default();
    while texts.peek().is_some() {
        let chunk: Vec<Text> = texts.by_ref().take(CHUNK).collect();
        let (embeddings, part) = embed_after(encoder, chunk, options, run, &all).await?;
        rows.write(&embeddings.values)?;
        all.add(&part);
    }
    Ok(all)
}

/// What stands for the embeddings of these texts before they are there.
fn fingerprint(encoder: &Encoder, options: &EmbedOptions, texts: &[Text]) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(format!("{} {:?}", encoder.recipe(options)?.binding()?.digest, encoder.weight_type()));
    for text in texts {
        for part in std::iter::once(&text.first).chain(&text.second) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update([u8::from(text.second.is_some())]);
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
