//! From labelled texts to a finished head: hold out, embed, fit, calibrate, measure, compare, bind.

use super::binding::bind_head;
use super::dataset::Dataset;
use super::description::Words;
use super::embed::{EmbedRun, EmbeddedRows, EmbeddingSummary, embed};
use super::record::{DataRecord, EncoderRecord, Misprediction, Trained, TrainingRecord};
use super::split::{HoldOut, hold_out};
#[cfg(feature = "cache")]
use crate::cache::BestEffort;
use crate::encoder::{EmbedOptions, Encoder, Layers, Text};
use crate::error::{Error, Result};
use crate::head::{
    CautionOptions, Head, Kind, Matrix, Metrics, Progress, Sample, Strength, Targets, TrainOptions, Training,
    Warning, argmax, baselines, check_data, check_predictions, label_issues, learning_curve,
};
use crate::model::{LayerMix, Pooling};
use crate::platform::entry;

/// Wrong predictions that a record keeps.
const MISPREDICTIONS: usize = 20;
/// Shares of the rows that a learning curve has points for, and the fewest rows of a point: a fold of few rows cannot give up
/// more of them.
const CURVE_SHARES: [f64; 6] = [0.05, 0.1, 0.2, 0.4, 0.7, 1.0];
const CURVE_ROWS: f64 = 40.0;

/// Trains heads on tables of texts: everything between the table and the head's file.
///
/// ```no_run
/// use frostbert::data::{Selection, Table};
/// use frostbert::workflow::{Dataset, HoldOut, Trainer};
/// use frostbert::{Device, Encoder};
///
/// let encoder = Encoder::load("models/all-MiniLM-L6-v2").device(Device::Auto).build()?;
/// let selection = Selection { labels: vec!["label".into()], ..Selection::default() };
/// let data = Dataset::read(Table::open("reviews.csv")?, &selection)?;
/// let trained = Trainer::new(&encoder).hold_out(HoldOut::Share(0.2)).train(&data, &mut |_| {})?;
/// println!("{:?}", trained.record.held_out);
/// trained.head.save("head.safetensors")?;
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct Trainer<'a> {
    pub(super) encoder: &'a Encoder,
    pub(super) location: String,
    pub(super) embed: EmbedOptions,
    pub(super) run: EmbedRun<'a>,
    pub(super) hold_out: HoldOut<'a>,
    pub(super) choose_layers: bool,
    pub(super) choose_long: bool,
    pub(super) fit: FitSettings,
    pub(super) words: Words,
}

/// What a workflow tells while it works.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// All texts are embedded.
    Embedded(&'a EmbeddingSummary),
    /// A head is being fitted or measured.
    Training(Progress<'a>),
}

/// How a head is fitted to embeddings, and what is measured beside it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FitSettings {
    /// How the head is trained. The default cross-validates.
    pub head: TrainOptions,
    /// Choose among so many layers, which lie side by side in the embeddings.
    pub layers: Option<usize>,
    /// Compare with simple predictors.
    pub baselines: bool,
    /// What a report shows beyond measures: a learning curve of linear heads, and the tokens' shares in what is mistaken.
    pub details: bool,
    /// What the head does when it is unsure. The default decides always.
    pub caution: CautionOptions,
    /// Keep at most so many of the training rows in the head: [`Head::keep_sample`].
    pub keep_sample: Option<usize>,
}

impl Default for FitSettings {
    fn default() -> Self {
        FitSettings {
            head: TrainOptions { cross_validate: true, ..TrainOptions::default() },
            layers: None,
            baselines: true,
            details: false,
            caution: CautionOptions::default(),
            keep_sample: None,
        }
    }
}

impl<'a> Trainer<'a> {
    /// A trainer of heads for this encoder, with default settings.
    pub fn new(encoder: &'a Encoder) -> Self {
        Trainer {
            encoder,
            location: encoder.checkpoint().location(),
            embed: EmbedOptions::default(),
            run: EmbedRun::default(),
            hold_out: HoldOut::Nothing,
            choose_layers: false,
            choose_long: false,
            fit: FitSettings::default(),
            words: Words::default(),
        }
    }

    /// Where the head is to say its encoder is: a folder, or a hub id. Without this, where the encoder was loaded from.
    pub fn model_location(mut self, location: impl Into<String>) -> Self {
        self.location = location.into();
        self
    }

    /// How texts become vectors. Without this, as the checkpoint says.
    pub fn embed(mut self, mut options: EmbedOptions) -> Self {
        self.run.take(&mut options);
        self.embed = options;
        self
    }

    /// Takes embeddings from this cache, and leaves new ones in it.
    #[cfg(feature = "cache")]
    pub fn cache(mut self, cache: &'a BestEffort) -> Self {
        self.run = self.run.cache(cache);
        self
    }

    /// Which rows the head is measured on that it does not learn from. Without this, none; cross-validation measures.
    pub fn hold_out(mut self, hold_out: HoldOut<'a>) -> Self {
        self.hold_out = hold_out;
        self
    }

    /// How the head is trained. Without this, linear, with the `C` that cross-validates best.
    pub fn head(mut self, options: TrainOptions) -> Self {
        self.fit.head = options;
        self
    }

    /// Compares the encoder's layers by cross-validation and takes the best, instead of those that the options name.
    pub fn choose_layers(mut self, choose: bool) -> Self {
        self.choose_layers = choose;
        self
    }

    /// Whether the head is compared with simple predictors. Without this, it is.
    pub fn baselines(mut self, compare: bool) -> Self {
        self.fit.baselines = compare;
        self
    }

    /// Whether to find out what a report shows beyond measures: a learning curve, and the tokens' shares in what is mistaken.
    /// Without this, not: it costs another few fits and passes.
    pub fn details(mut self, details: bool) -> Self {
        self.fit.details = details;
        self
    }

    /// What the head does when it is unsure, chosen on out-of-fold predictions. Without this, it decides always.
    pub fn caution(mut self, options: CautionOptions) -> Self {
        self.fit.caution = options;
        self
    }

    /// Keeps at most so many of the training rows in the head's file, so that it knows what is like them: [`Head::keep_sample`]. Without this, none.
    pub fn keep_sample(mut self, rows: Option<usize>) -> Self {
        self.fit.keep_sample = rows;
        self
    }

    entry! {
        /// Trains a head and measures it.
        ///
        /// # Errors
        /// There is nothing to learn ([`Dataset::check`]), an option is out of range, the held-out rows have a label that the
        /// others lack, and as [`Encoder::embed`].
        pub fn train(&self, data: &Dataset, watch: &mut dyn FnMut(Event<'_>)) -> Result<Trained> = train_async;
    }

    pub(crate) async fn train_async(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Trained> {
        if !self.words.descriptions.is_empty() {
            return self.train_from_words(data, watch).await;
        }
        if !self.words.unlabelled.is_empty() {
            return Err(Error::input(
                "training a head: texts without a label say something only where classes are described; describe them, or leave \
                 these texts out",
            ));
        }
        self.fit.caution.check(&data.targets)?;
        let (train, held_out) = self.partition(data)?;
        let (mut options, layers) = self.embed_options()?;
        let texts = train.texts.iter().chain(held_out.iter().flat_map(|rows| &rows.texts)).cloned();
        let (mut embeddings, summary, long) = if self.choose_long {
            let others: Vec<Text> = texts.skip(train.len()).collect();
            let found = self.embed_long(&train, &others, watch).await?;
            options = found.2;
            (found.0, found.1, Some(found.3))
        } else {
            let (embeddings, summary) = embed(self.encoder, texts, &options, &self.run).await?;
            (embeddings, summary, None)
        };
        watch(Event::Embedded(&summary));
        let dim = embeddings.dim;
        let test_values = embeddings.values.split_off(train.len() * dim);
        let held_out = held_out
            .map(|rows| {
                let matrix = Matrix::new(rows.len(), dim, test_values)?;
                EmbeddedRows::new(rows, matrix)
            })
            .transpose()?;
        let truncated = embeddings.truncated[..train.len()].iter().filter(|cut| **cut).count();
        let matrix = Matrix::new(train.len(), dim, embeddings.values)?;
        let rows = EmbeddedRows { truncated, ..EmbeddedRows::new(train, matrix)? };

        let settings = FitSettings { layers, ..self.fit.clone() };
        let mut trained =
            train_embedded(rows, held_out, &settings, &mut |step| watch(Event::Training(step)))?;
        if let Some(choice) = &trained.record.layers {
            options.layers = Layers::These(choice.best().layers.clone());
        }
        if self.fit.details {
            self.explain_mispredictions(&mut trained, &options).await;
        }
        trained.record.embedding = Some(summary);
        trained.record.long = long;
        self.bind(&mut trained, &options)?;
        Ok(trained)
    }

    /// The rows to learn from, and those to measure on.
    pub(super) fn partition(&self, data: &Dataset) -> Result<(Dataset, Option<Dataset>)> {
        data.check()?;
        self.partition_named(data)
    }

    /// The same of data that need not teach anything.
    pub(super) fn partition_named(&self, data: &Dataset) -> Result<(Dataset, Option<Dataset>)> {
        let parts = match self.hold_out {
            HoldOut::Nothing => (data.clone(), None),
            HoldOut::Rows(rows) => (data.clone(), Some(rows.clone().with_names(data.targets.names())?)),
            HoldOut::Share(share) => {
                let split = hold_out(data, share, self.fit.head.folds.seed)?;
                (data.select(&split.train), Some(data.select(&split.test)))
            }
        };
        if let Some(most) = self.fit.keep_sample {
            Sample::check_sizes(most, parts.0.len())?;
        }
        Ok(parts)
    }

    /// How the rows are embedded, and how many layers there are to choose from then.
    fn embed_options(&self) -> Result<(EmbedOptions, Option<usize>)> {
        if !self.choose_layers {
            return Ok((self.embed.clone(), None));
        }
        let fixed = [
            (self.embed.mix == LayerMix::Mean, "a mean of layers (--layer-mix mean)"),
            (self.embed.normalize == Some(true), "scaling to unit length (--normalize)"),
            (self.embed.dimensions.is_some(), "fewer dimensions (--dimensions)"),
            (
                self.embed.pooling.iter().flatten().any(|p| *p == Pooling::Pooler),
                "the pooler (--pooling pooler)",
            ),
        ];
        if let Some((_, option)) = fixed.iter().find(|(given, _)| *given) {
            return Err(Error::input(format!(
                "choosing layers compares them as they are, side by side: it does not go with {option}; leave that out, or \
                 name the layers"
            )));
        }
        if !self.encoder.recipe(&EmbedOptions::default())?.dense.is_empty() {
            return Err(Error::input(
                "choosing layers compares pooled layers, but this checkpoint has Dense modules, which were trained on its last \
                 layer alone; name the layers",
            ));
        }
        let options = EmbedOptions { layers: Layers::All, normalize: Some(false), ..self.embed.clone() };
        Ok((options, Some(self.encoder.config().layers + 1)))
    }

    /// Writes into head and record which encoder they belong to.
    pub(super) fn bind(&self, trained: &mut Trained, options: &EmbedOptions) -> Result<()> {
        bind_head(&mut trained.head, self.encoder, options, &self.location)?;
        let recipe = self.encoder.recipe(options)?;
        let encoder = EncoderRecord::of(self.encoder, &self.location, &trained.head, recipe);
        trained.record.encoder = Some(encoder);
        Ok(())
    }

    /// Adds the tokens' shares to what was mistaken, where the logit is a sum over tokens.
    async fn explain_mispredictions(&self, trained: &mut Trained, options: &EmbedOptions) {
        let Some(rows) = &trained.rows else { return };
        let mistaken = &mut trained.record.mispredictions;
        let texts: Vec<Text> = mistaken.iter().map(|wrong| rows.data.texts[wrong.row].clone()).collect();
        // Other heads and poolings have no such sum, and the record goes without.
        if let Ok(explained) = self.encoder.explain_async(&trained.head, options, texts).await {
            mistaken
                .iter_mut()
                .zip(explained)
                .for_each(|(wrong, explained)| wrong.explanation = Some(explained));
        }
    }
}

/// Trains a head on rows that are embedded already, and measures it: what [`Trainer::train`] does after embedding. The head is
/// not bound to an encoder yet: see [`bind_head`] and [`EmbeddingRecipe::bind`](crate::EmbeddingRecipe::bind).
///
/// # Errors
/// As [`Head::train`]; the held-out rows have other columns or names.
pub fn train_embedded(
    mut rows: EmbeddedRows,
    mut held_out: Option<EmbeddedRows>,
    settings: &FitSettings,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Trained> {
    let mut training = match settings.layers {
        Some(layers) => Head::train_on_layers(&rows.train_data(), layers, &settings.head, progress)?,
        None => Head::train(&rows.train_data(), &settings.head, progress)?,
    };
    training.be_cautious(&rows.train_data(), settings.caution)?;
    if let (Some(choice), Some(layers)) = (&training.layers, settings.layers) {
        let columns = choice.columns(rows.embeddings.columns() / layers);
        rows.keep_columns(&columns);
        held_out.iter_mut().for_each(|rows| rows.keep_columns(&columns));
    }
    finish(rows, held_out, settings, training, progress)
}

/// Measures a head, and finds out all that a record says beside.
pub(super) fn finish(
    rows: EmbeddedRows,
    held_out: Option<EmbeddedRows>,
    settings: &FitSettings,
    mut training: Training,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Trained> {
    if let Some(most) = settings.keep_sample {
        let unseen = training.cross_validation.as_ref().map(|folds| &folds.predictions[..]);
        training.head.keep_sample(&rows.train_data(), unseen, most, settings.head.folds.seed)?;
    }
    let test = held_out
        .as_ref()
        .map(|rows| training.head.evaluate(&rows.embeddings, &rows.data.targets))
        .transpose()?;
    training.head.record.test.clone_from(&test);
    let mut record =
        record_of(&rows.data, rows.truncated, held_out.as_ref().map(|rows| &rows.data), &training, test)?;
    // Too few rows to predict any out of fold are too few for these, too.
    let has_folds = training.cross_validation.is_some() || training.words.is_none();
    if settings.baselines && has_folds {
        let words: Vec<String> = rows.data.texts.iter().map(joined).collect();
        let words = (!words.is_empty()).then_some(&words[..]);
        record.baselines = baselines(&rows.train_data(), words, &settings.head, progress)?;
    }
    if settings.details && has_folds {
        record.learning_curve = curve(&rows, &training, progress)?;
    }
    record.levels = match (&training.cross_validation, training.head.hierarchy(), &rows.data.targets) {
        (Some(cv), Some(tree), Targets::Classes { labels, .. }) => {
            Some(tree.measure(labels, &cv.predictions, training.head.sure_enough())?)
        }
        _ => match &held_out {
            Some(rows) => training.head.evaluate_levels(&rows.embeddings, &rows.data.targets)?,
            None => None,
        },
    };
    if let Some(cv) = training.cross_validation {
        record.label_issues = label_issues(&rows.data.targets, &cv.predictions);
        record.mispredictions = mispredictions(&rows.data.targets, &cv.predictions);
        record.cross_validation = Some(cv);
    }
    Ok(Trained { head: training.head, record, rows: Some(rows) })
}

/// What is known as soon as the head is there.
pub(super) fn record_of(
    data: &Dataset,
    truncated: usize,
    held_out: Option<&Dataset>,
    training: &Training,
    test: Option<Metrics>,
) -> Result<TrainingRecord> {
    let head = &training.head;
    let settings = head.record.settings.clone().unwrap_or_default();
    let thresholds = (!head.thresholds().is_empty()).then(|| head.thresholds());
    let out_of_fold = (training.cross_validation.as_ref())
        .map(|cv| Metrics::of(&data.targets, &cv.predictions, thresholds));
    let mut warnings = warnings(data, held_out, settings.folds.folds)?;
    warnings.extend(training.cross_validation.iter().flat_map(|cv| cv.warnings.iter().cloned()));
    warnings.extend(out_of_fold.as_ref().or(test.as_ref()).map(check_predictions).into_iter().flatten());
    Ok(TrainingRecord {
        data: DataRecord::of(data, truncated),
        encoder: None,
        embedding: None,
        problem: head.problem(),
        names: head.names().to_vec(),
        c: head.record.c,
        calibration: head.calibration().clone(),
        thresholds: head.thresholds().to_vec(),
        converged: training.converged,
        cross_validation: None,
        out_of_fold,
        held_out: test,
        levels: None,
        choice: training.choice.clone(),
        layers: training.layers.clone(),
        words: training.words.clone(),
        long: None,
        baselines: Vec::new(),
        learning_curve: Vec::new(),
        label_issues: Vec::new(),
        mispredictions: Vec::new(),
        warnings,
        settings,
    })
}

/// A text as one string; a pair's texts one after the other.
fn joined(text: &Text) -> String {
    text.second.as_ref().map_or_else(|| text.first.clone(), |second| format!("{} {second}", text.first))
}

/// What the data themselves give rise to. Rows are named by their numbers in their tables.
fn warnings(data: &Dataset, held_out: Option<&Dataset>, folds: usize) -> Result<Vec<Warning>> {
    // A letter that no text has keeps a pair's texts apart.
    let whole = |text: &Text| format!("{} \u{1} {}", text.first, text.second.as_deref().unwrap_or_default());
    let texts = |data: &Dataset| data.texts.iter().map(whole).collect::<Vec<String>>();
    let own = texts(data);
    let test = held_out.filter(|rows| !rows.texts.is_empty()).map(|rows| (&rows.targets, texts(rows)));
    let own = (!data.texts.is_empty()).then_some(&own[..]);
    let test = test.as_ref().map(|(targets, texts)| (*targets, &texts[..]));
    let mut found = check_data(&data.targets, own, test, folds)?;
    let number = |data: &Dataset, row: usize| data.numbers[row] as usize;
    for warning in &mut found {
        match warning {
            Warning::Duplicates { example, .. } | Warning::Contradictions { example, .. } => {
                *example = (number(data, example.0), number(data, example.1));
            }
            Warning::Leakage { example, .. } => {
                if let Some(held_out) = held_out {
                    *example = (number(held_out, example.0), number(data, example.1));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// How the head does with fewer rows; of linear heads only: the others take too long.
fn curve(
    rows: &EmbeddedRows,
    training: &Training,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<crate::head::LearningPoint>> {
    let record = &training.head.record;
    let (Some(settings), Some(c)) = (&record.settings, record.c) else { return Ok(Vec::new()) };
    let shares: Vec<f64> =
        CURVE_SHARES.into_iter().filter(|share| share * rows.data.len() as f64 >= CURVE_ROWS).collect();
    if settings.kind != Kind::Linear || shares.len() < 2 {
        return Ok(Vec::new());
    }
    let options = TrainOptions { c: Strength::Fixed(c), ..settings.clone() };
    learning_curve(&rows.train_data(), &shares, &options, progress)
}

/// The surest wrong predictions, the surest first.
fn mispredictions(targets: &Targets, predictions: &[f64]) -> Vec<Misprediction> {
    let Targets::Classes { labels, names } = targets else { return Vec::new() };
    let of_row = |(row, p): (usize, &[f64])| {
        let (given, predicted) = (labels[row] as usize, argmax(p));
        let wrong = Misprediction { row, given, predicted, probability: p[predicted], explanation: None };
        (predicted != given).then_some(wrong)
    };
    let mut wrong: Vec<Misprediction> =
        predictions.chunks_exact(names.len()).enumerate().filter_map(of_row).collect();
    wrong.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.row.cmp(&b.row)));
    wrong.truncate(MISPREDICTIONS);
    wrong
}
