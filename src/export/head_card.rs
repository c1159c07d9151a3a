//! What is known of a head, as a model card.

use super::card::{CardData, Metric};
use crate::encoder::EmbeddingRecipe;
use crate::error::{Error, Result};
use crate::head::{Head, Problem};
use crate::model::ProblemType;
use crate::workflow::Trained;

impl CardData {
    /// What is known of a head. What only its maker knows (licence, language, data) is left for them to fill in; how many rows each
    /// label had, a head's file does not say.
    pub fn of_head(head: &Head, recipe: &EmbeddingRecipe, name: String, for_transformers: bool) -> CardData {
        let record = &head.record;
        let names = head.names();
        let metrics = record.cross_validation.iter().map(|(name, estimate)| Metric {
            id: name.to_lowercase().replace(' ', "_"),
            name: name.clone(),
            value: estimate.mean,
            interval: Some((estimate.mean - estimate.half_width, estimate.mean + estimate.half_width)),
        });
        let mut settings = vec![
            ("head".to_owned(), head.kind().to_string()),
            ("pooling".to_owned(), recipe.pooling_in_words()),
            ("layers".to_owned(), recipe.layers_in_words()),
            ("normalised".to_owned(), recipe.normalize.to_string()),
            ("longest input".to_owned(), format!("{} tokens", recipe.max_tokens)),
            ("training rows".to_owned(), record.train_rows.to_string()),
        ];
        settings.extend(record.c.map(|c| ("C".to_owned(), c.to_string())));
        let folds = record.settings.as_ref().map(|settings| settings.folds);
        let what = match head.problem() {
            Problem::SingleLabel => format!("Tells {} apart.", list(names)),
            Problem::MultiLabel => format!("Marks texts as any of {}.", list(names)),
            Problem::Regression => format!("Predicts {}.", list(names)),
        };
        CardData {
            name,
            summary: format!("{what} A small head on embeddings of a frozen encoder, trained with Frostbert."),
            // A folder of this machine is nothing to publish.
            base_model: record.model_location.clone().filter(|place| !std::path::Path::new(place).is_absolute()),
            license: None,
            languages: Vec::new(),
            dataset: None,
            problem: match head.problem() {
                Problem::SingleLabel => ProblemType::SingleLabel,
                Problem::MultiLabel => ProblemType::MultiLabel,
                Problem::Regression => ProblemType::Regression,
            },
            labels: names.iter().map(|name| (name.clone(), 0)).collect(),
            evaluation: folds.map_or_else(String::new, |folds| {
                format!("{}-fold cross-validation on the training rows; 95% intervals", folds.folds)
            }),
            metrics: metrics.collect(),
            settings,
            limitations: vec![
                "It has seen no other texts than those of its training data: measure it on yours before relying on it.".into(),
            ],
            for_transformers,
        }
    }

    /// The same of a head that was just trained, with the rows of each label.
    ///
    /// # Errors
    /// The head is not bound to an encoder.
    pub fn of_training(trained: &Trained, name: String) -> Result<CardData> {
        let recipe = EmbeddingRecipe::of_head(&trained.head)?.ok_or_else(|| {
            Error::input("cannot write a model card: the head is bound to no encoder; bind it with bind_head")
        })?;
        let rows = |(name, rows): &(String, usize)| (name.clone(), *rows as u64);
        let mut card = Self::of_head(&trained.head, &recipe, name, false);
        if !trained.record.data.classes.is_empty() {
            card.labels = trained.record.data.classes.iter().map(rows).collect();
        }
        Ok(card)
    }
}

fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
