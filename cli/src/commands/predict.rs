//! `frostbert predict`

use std::io::IsTerminal;
use std::path::PathBuf;

use frostbert::Result;
use frostbert::head::{AnswerOptions, Decision, Head, NovelBy, Problem};
use frostbert::report::{self, ReportData, terminal};
use frostbert::workflow::{Answer, EmbedRun, PredictOptions};
use serde_json::{Value, json};

use super::{WIDTH, print, print_exactly, print_json};
use crate::args::{HeadArgs, RowArgs, choice, open_cache, share};
use crate::outputs::{Content, Files, OutputArgs};
use crate::terminal::cell;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    head: HeadArgs,
    /// Table of texts, or - for stdin
    #[arg(value_name = "FILE", required_unless_present = "text", conflicts_with = "text")]
    file: Option<PathBuf>,
    /// A text, instead of a file; may be given several times
    #[arg(long)]
    text: Vec<String>,
    #[command(flatten)]
    rows: RowArgs,
    /// Take embeddings from the embedding cache, and leave new ones in it
    #[arg(long)]
    cache: bool,
    /// Leave undecided what is less sure than this probability [default: as the head was trained, see train --abstain-precision]
    #[arg(long, value_name = "P", value_parser = share)]
    abstain: Option<f64>,
    /// Leave undecided, too, what is as far from the training texts as this share of them, such as 0.01; for heads trained with
    /// --keep-sample
    #[arg(long, value_name = "SHARE", value_parser = share)]
    novel: Option<f64>,
    /// What --novel goes by
    #[arg(long, value_name = "SCORE", default_value_t, value_parser = choice::<NovelBy>(NovelBy::CHOICES), requires = "novel")]
    novel_by: NovelBy,
    /// Say what each token adds to the answer's logit (linear heads over mean pooling). Where embeddings are scaled to unit
    /// length, that is to first order; the shares sum to the logit all the same
    #[arg(long)]
    explain: bool,
    /// With --explain: write the shares of the first texts as an HTML page, too
    #[arg(long, value_name = "FILE.html", requires = "explain")]
    report: Option<PathBuf>,
    #[command(flatten)]
    outputs: OutputArgs,
    /// One JSON object a line, with every probability
    #[arg(long)]
    json: bool,
}

/// Texts in the HTML page.
const SHOWN: usize = 200;

pub fn run(args: &Args) -> Result<()> {
    let files = Files::new(&args.outputs)
        .input(args.file.as_deref())
        .input(Some(&args.head.head))
        .model(args.head.model.as_deref().unwrap_or_default())
        .output("--report", args.report.as_deref(), Content::Page);
    files.check()?;
    let texts = args.rows.texts(args.file.as_deref(), &args.text)?.rows;
    let classifier = args.head.load()?;
    let cache = open_cache(args.cache);
    let options = PredictOptions {
        answer: AnswerOptions { abstain: args.abstain, novel: args.novel, novel_by: args.novel_by },
        explain: args.explain,
    };
    let head = classifier.head();
    let names = head.names();
    let mut shown: Vec<report::ExplainedAnswer> = Vec::new();
    let run = EmbedRun::default().cache(&cache);
    let done = classifier.predict_stream(texts, &options, &run, |answer| {
        if args.json {
            print_json(&as_json(&answer, head)?)?;
        } else {
            let unlike =
                args.novel.is_some_and(|share| answer.prediction.answer.is_novel(args.novel_by, share));
            print(&line(&answer, names, head.problem(), unlike))?;
        }
        if let Some(explanation) = report::ExplainedAnswer::of_answer(&answer, names) {
            if !args.json {
                print_exactly(&terminal::explanation(&shown_plainly(&explanation), WIDTH, colours()))?;
            }
            if shown.len() < SHOWN {
                shown.push(explanation);
            }
        }
        Ok(())
    })?;
    if done.truncated > 0 {
        eprintln!(
            "warning: {} of {} texts are longer than the model takes and were cut",
            done.truncated, done.texts
        );
    }
    if args.cache {
        let (hits, misses) = (cache.hits(), cache.misses());
        eprintln!("{hits} of {} different texts came from the cache", hits + misses);
    }
    if let Some(path) = &args.report {
        let title = format!("What {} answers, token by token", args.head.head.display());
        report::write(path, &ReportData { title, explanations: shown, ..ReportData::default() })?;
        eprintln!("page written to {}", path.display());
    }
    Ok(())
}

/// The same with control characters shown: it is printed as it is, since it has colours.
fn shown_plainly(answer: &report::ExplainedAnswer) -> report::ExplainedAnswer {
    let mut shown = answer.clone();
    shown.label = cell(&shown.label).into_owned();
    for share in &mut shown.shares {
        share.token = cell(&share.token).into_owned();
    }
    shown
}

/// Colours are for people at a terminal who have not asked for none (no-color.org).
fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn as_json(answer: &Answer, head: &Head) -> Result<Value> {
    let prediction = &answer.prediction;
    let mut object = serde_json::to_value(prediction.answer.record(head))
        .map_err(|error| frostbert::Error::io("writing an answer as JSON").with_source(error))?;
    object["text"] = json!(answer.text.first);
    object["tokens"] = json!(prediction.tokens);
    object["truncated"] = json!(prediction.truncated);
    if let Some(explanation) = &answer.explanation {
        object["explanation"] = json!(explanation);
    }
    Ok(object)
}

fn line(answer: &Answer, names: &[String], problem: Problem, unlike: bool) -> String {
    let (prediction, truncated) = (&answer.prediction.answer, answer.prediction.truncated);
    let decided = match (&prediction.levels, &prediction.decision) {
        (Some(path), _) => match path.last() {
            Some(level) => format!("{} {:.4}", cell(&level.name), level.probability),
            None => "(undecided)".to_owned(),
        },
        (None, Decision::Class { class, .. }) => cell(&names[*class]).into_owned(),
        (None, Decision::Abstained { .. }) => "(undecided)".to_owned(),
        (None, Decision::Labels(labels)) if labels.is_empty() => "(none)".to_owned(),
        (None, Decision::Labels(labels)) => {
            labels.iter().map(|label| names[*label].as_str()).collect::<Vec<_>>().join(", ")
        }
        (None, Decision::Value(value)) => format!("{value:.6}"),
    };
    let text = cell(&answer.text.first);
    if problem == Problem::Regression {
        return format!("{decided}\t{text}\n");
    }
    // The likeliest first; beyond five they say little.
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_by(|a, b| prediction.probabilities[*b].total_cmp(&prediction.probabilities[*a]));
    let probabilities: Vec<String> = order
        .iter()
        .take(5)
        .map(|class| format!("{} {:.4}", cell(&names[*class]), prediction.probabilities[*class]))
        .collect();
    let unlike = if unlike { "  (unlike the training texts)" } else { "" };
    let cut = if truncated { "  (cut)" } else { "" };
    let set = prediction.set.as_ref().map_or(String::new(), |set| {
        let set: Vec<_> = set.iter().map(|class| cell(&names[*class])).collect();
        format!("  one of {{{}}}", set.join(", "))
    });
    format!("{decided}\t{}{set}{unlike}{cut}\t{text}\n", probabilities.join("  "))
}
