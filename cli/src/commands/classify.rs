//! `frostbert classify`: the head that came in the checkpoint, or words for a mask.

use std::path::PathBuf;

use frostbert::model::ProblemType;
use frostbert::{
    ClassWords, Classification, Cloze, ClozeCalibration, EmbedOptions, EncodeReport, Encoder, Error, Result,
    Text,
};
use serde_json::json;

use super::{print, print_json};
use crate::args::{EmbedArgs, ModelArgs, RowArgs, Texts, choice};
use crate::terminal::cell;

/// With fewer texts their mean says little of the template.
const FEWEST_TEXTS: usize = 20;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// Table of texts, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    /// Without a single label, by a checkpoint with a masked-language-model head: a sentence with {text} where the text goes and {mask}
    /// where a word is missing, such as "{text} It was {mask}."; several are averaged
    #[arg(long, value_name = "SENTENCE", requires = "words")]
    template: Vec<String>,
    /// With --template: words that fit there where a text is of this class, such as "good=great,wonderful"; one for each class, or more
    #[arg(long, value_name = "LABEL=WORDS", requires = "template", value_parser = parse_words)]
    words: Vec<ClassWords>,
    /// With --template: what is taken off the probabilities because template and words say it of any text
    #[arg(long, requires = "template", value_parser = choice::<ClozeCalibration>(ClozeCalibration::CHOICES), default_value_t)]
    calibrate: ClozeCalibration,
    #[command(flatten)]
    rows: RowArgs,
    #[command(flatten)]
    embed: EmbedArgs,
    /// One JSON object a line, with every label's score
    #[arg(long)]
    json: bool,
}

pub fn run(args: &Args) -> Result<()> {
    let options = args.embed.options()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?;
    let encoder = args.model.load()?;
    let options = args.embed.length.suit(options, &encoder);
    let report = if args.template.is_empty() {
        let labels = encoder.classification_labels()?;
        let problem = encoder.problem_type();
        encoder
            .classify_stream(texts.rows, &options, |text, row| show(args, &labels, problem, &text, &row))?
    } else {
        by_words(args, texts, &encoder, &options)?
    };
    args.embed.warn_truncated(report.truncated, report.texts);
    if report.texts == 0 { Err(Error::input("there was no text to classify")) } else { Ok(()) }
}

/// `--template`.
fn by_words(args: &Args, texts: Texts, encoder: &Encoder, options: &EmbedOptions) -> Result<EncodeReport> {
    let cloze = Cloze::new(args.template.clone(), args.words.clone())?;
    let labels = cloze.labels().to_vec();
    let show = |text: &Text, row: &Classification| show(args, &labels, ProblemType::SingleLabel, text, row);
    let cloze = match args.calibrate {
        ClozeCalibration::Texts => {
            let mut all = vec![];
            let report = encoder.classify_cloze_stream(texts.rows, &cloze, options, |text, row| {
                all.push((text, row));
                Ok(())
            })?;
            let (texts, rows): (Vec<Text>, Vec<Classification>) = all.into_iter().unzip();
            if (1..FEWEST_TEXTS).contains(&rows.len()) {
                return Err(Error::input(format!(
                    "{} texts are too few to calibrate by (--calibrate texts wants {FEWEST_TEXTS}): give more, or take content-free",
                    rows.len()
                )));
            }
            if !rows.is_empty() {
                let prior = cloze.mean_scores(&rows)?;
                let cloze = cloze.calibrated(prior)?;
                texts.iter().zip(&rows).try_for_each(|(text, row)| show(text, &cloze.answer(row)))?;
            }
            return Ok(report);
        }
        ClozeCalibration::ContentFree => {
            let prior = encoder.cloze_prior(encoder.content_free()?, &cloze, options)?;
            cloze.calibrated(prior)?
        }
        _ => cloze,
    };
    encoder.classify_cloze_stream(texts.rows, &cloze, options, |text, row| show(&text, &row))
}

fn show(
    args: &Args,
    labels: &[String],
    problem: ProblemType,
    text: &Text,
    row: &Classification,
) -> Result<()> {
    if args.json {
        let scores: serde_json::Map<String, serde_json::Value> =
            labels.iter().zip(&row.scores).map(|(label, score)| (label.clone(), json!(score))).collect();
        let mut object = json!({
            "text": text.first,
            "problem": problem.name(),
            "scores": scores,
            "tokens": row.tokens,
            "truncated": row.truncated,
        });
        if problem == ProblemType::SingleLabel && labels.len() > 1 {
            object["label"] = json!(labels[row.best()]);
        }
        return print_json(&object);
    }
    let line = match problem {
        ProblemType::SingleLabel => {
            format!("{}  {:.4}", cell(&labels[row.best()]), row.scores[row.best()])
        }
        ProblemType::MultiLabel => {
            // A single label is always shown: its score is all the answer there is.
            let shown = |score: f32| score >= 0.5 || labels.len() == 1;
            let over = labels.iter().zip(&row.scores).filter(|(_, score)| shown(**score));
            over.map(|(label, score)| format!("{} {score:.4}", cell(label))).collect::<Vec<_>>().join(", ")
        }
        ProblemType::Regression => {
            row.scores.iter().map(|score| format!("{score:.4}")).collect::<Vec<_>>().join(" ")
        }
    };
    print(&format!("{line}\t{}\n", cell(&text.first)))
}

fn parse_words(text: &str) -> std::result::Result<ClassWords, Error> {
    text.parse()
}
