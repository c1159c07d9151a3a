//! Training that starts from words: descriptions of the classes are embedded beside the texts and stand in for examples.

use super::dataset::Dataset;
use super::description::{Description, Words};
use super::embed::{EmbeddedRows, embed};
use super::record::Trained;
use super::train::{Event, Trainer, finish};
use crate::encoder::Text;
use crate::error::{Error, Result};
use crate::head::{Head, Kind, Matrix, Targets};

/// Where a head's record keeps the descriptions that it started from: JSON.
const NOTE: &str = "descriptions";

impl<'a> Trainer<'a> {
    /// Starts from words: at least one description of each class, several of which are averaged. They give way to the examples as these come:
    /// [`Head::train_from_words`]. [`train`](Self::train) then takes data without rows, too.
    pub fn describe(mut self, descriptions: Vec<Description>) -> Self {
        self.words.descriptions = descriptions;
        self
    }

    /// Texts without a label, of the kind that is to be classified, where classes are described: they say how much of a text's similarity to
    /// a description is due to the description alone. No class is to be much more frequent among them than another.
    pub fn unlabelled(mut self, texts: Vec<Text>) -> Self {
        self.words.unlabelled = texts;
        self
    }

    /// The data under the names of the classes that are described, held out as asked for.
    fn described(&self, data: &Dataset) -> Result<(Dataset, Option<Dataset>)> {
        let fail = |what: String| Err(Error::input(format!("starting from words: {what}")));
        let labels: Vec<&str> = self.words.descriptions.iter().map(|known| &*known.label).collect();
        let described = Targets::classes(&labels);
        let names = described.names();
        if names.len() < 2 {
            return fail(format!("describe at least two classes; only {:?} is", labels[0]));
        }
        let settings = &self.fit.head;
        if settings.kind != Kind::Linear {
            return fail(format!("only a linear head can, not {}", settings.kind));
        }
        let Targets::Classes { names: known, .. } = &data.targets else {
            return fail("descriptions are of classes, one a text; labels and numbers have none".into());
        };
        if let Some(name) = known.iter().find(|name| !names.contains(name)) {
            return fail(format!(
                "{} has rows of class {name:?}, which is not described; describe every class",
                data.name
            ));
        }
        if self.choose_layers {
            return fail("layers are compared by examples alone; name the layers".into());
        }
        if self.choose_long {
            return fail(
                "what becomes of long texts is compared by examples alone; say how they are cut".into(),
            );
        }
        self.partition_named(&data.clone().with_names(names)?)
    }

    /// [`train`](Self::train) where classes are described.
    pub(super) async fn train_from_words(
        &self,
        data: &Dataset,
        watch: &mut dyn FnMut(Event<'_>),
    ) -> Result<Trained> {
        let (train, held_out) = self.described(data)?;
        self.fit.caution.check(&train.targets)?;
        let Words { descriptions, unlabelled } = &self.words;
        let of_words: Vec<Text> = descriptions.iter().map(|known| Text::from(&*known.text)).collect();
        let texts = train.texts.iter().chain(held_out.iter().flat_map(|rows| &rows.texts));
        let texts = texts.chain(unlabelled).chain(&of_words).cloned();
        let (embeddings, summary) = embed(self.encoder, texts, &self.embed, &self.run).await?;
        watch(Event::Embedded(&summary));
        let dim = embeddings.dim;
        let mut rest = embeddings.values;
        let mut take = |rows: usize| {
            let left = rest.split_off(rows * dim);
            Matrix::new(rows, dim, std::mem::replace(&mut rest, left))
        };
        let rows = take(train.len())?;
        let held_out = held_out
            .map(|data| take(data.len()).and_then(|rows| EmbeddedRows::new(data, rows)))
            .transpose()?;
        let unlabelled = take(unlabelled.len())?;
        let prototypes = prototypes(train.targets.names(), descriptions, &take(of_words.len())?)?;
        let truncated = embeddings.truncated[..train.len()].iter().filter(|cut| **cut).count();
        let rows = EmbeddedRows { truncated, ..EmbeddedRows::new(train, rows)? };

        let unlabelled = (unlabelled.rows() > 0).then_some(&unlabelled);
        let mut progress = |step: crate::head::Progress<'_>| watch(Event::Training(step));
        let mut training = Head::train_from_words(
            &rows.train_data(),
            &prototypes,
            unlabelled,
            &self.fit.head,
            &mut progress,
        )?;
        training.be_cautious(&rows.train_data(), self.fit.caution)?;
        let notes = serde_json::to_string(descriptions)
            .map_err(|error| Error::io("cannot write the descriptions").with_source(error))?;
        training.head.record.notes.insert(NOTE.to_owned(), notes);
        let mut trained = finish(rows, held_out, &self.fit, training, &mut progress)?;
        trained.record.embedding = Some(summary);
        self.bind(&mut trained, &self.embed)?;
        Ok(trained)
    }
}

/// The mean direction of each class's descriptions, with their mean length, `[names, columns]`.
fn prototypes(names: &[String], descriptions: &[Description], rows: &Matrix<'_>) -> Result<Matrix<'static>> {
    let d = rows.columns();
    let mut out = Vec::with_capacity(names.len() * d);
    for name in names {
        let own = || (0..descriptions.len()).filter(|at| descriptions[*at].label == *name);
        let (mut sum, mut lengths) = (vec![0.0f64; d], 0.0);
        for row in own().map(|at| rows.row(at)) {
            let length = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
            sum.iter_mut()
                .zip(row)
                .for_each(|(sum, v)| *sum += f64::from(*v) / length.max(f64::MIN_POSITIVE));
            lengths += length;
        }
        let count = own().count() as f64;
        let direction = sum.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
        out.extend(sum.iter().map(|v| (v / direction * lengths / count) as f32));
    }
    Matrix::new(names.len(), d, out)
}
