//! A head's record as a model card.

use frostbert::EmbeddingRecipe;
use frostbert::export::{CardData, Metric};
use frostbert::head::{Head, Metrics, Problem};
use frostbert::model::ProblemType;

/// What is known of a head; what only its maker knows (licence, language, data) is left for them to fill in.
pub fn of_head(head: &Head, recipe: &EmbeddingRecipe, name: String, for_transformers: bool) -> CardData {
    let record = &head.record;
    let names = head.names();
    let metrics = record.cross_validation.iter().map(|(name, estimate)| Metric {
        id: name.to_lowercase().replace(' ', "_"),
        name: name.clone(),
        value: estimate.mean,
        interval: Some((estimate.mean - estimate.half_width, estimate.mean + estimate.half_width)),
    });
    let support = |at: usize| match &record.test {
        Some(Metrics::SingleLabel(found)) => found.classes.get(at).map_or(0, |row| row.support),
        Some(Metrics::MultiLabel(found)) => found.labels.get(at).map_or(0, |row| row.support),
        _ => 0,
    };
    let mut settings = vec![
        ("head".to_owned(), head.kind().to_owned()),
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
        labels: names.iter().enumerate().map(|(at, name)| (name.clone(), support(at))).collect(),
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

fn list(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(12).map(String::as_str).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}
