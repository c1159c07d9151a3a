//! Token classification by the head that came in a checkpoint: names of people and places, parts of speech.
//!
//! Source: `BertForTokenClassification`, `TokenClassificationPipeline` of transformers.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::scores::{argmax, softmax};
use super::tokens::{TokenOutputs, TokenRequest, join_outputs};
use crate::encoder::session::{EncodeReport, select_none};
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::plan::HeadOutput;
use crate::platform::entry;

/// How the tokens of a word become one label, and words become spans. Source: `AggregationStrategy` of transformers.
///
/// What a word is the tokenizer says: WordPiece continues one with `##`, a byte-level tokenizer splits the text into words
/// before it makes tokens of them. The tokens of one character are never in different words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Aggregation {
    /// Every token for itself, except those labelled `O`.
    None,
    /// Neighbouring tokens of one entity type become one span.
    #[default]
    Simple,
    /// As simple, and a word's label is its first token's.
    First,
    /// As simple, and a word's label is that of the mean of its tokens' scores.
    Average,
    /// As simple, and a word's label is its surest token's.
    Max,
}

impl Aggregation {
    /// All of them.
    pub const ALL: [Aggregation; 5] =
        [Aggregation::None, Aggregation::Simple, Aggregation::First, Aggregation::Average, Aggregation::Max];

    /// As transformers names it.
    pub fn name(self) -> &'static str {
        match self {
            Aggregation::None => "none",
            Aggregation::Simple => "simple",
            Aggregation::First => "first",
            Aggregation::Average => "average",
            Aggregation::Max => "max",
        }
    }
}

impl fmt::Display for Aggregation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Aggregation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL.into_iter().find(|one| one.name() == text).ok_or_else(|| {
            let known = Self::ALL.map(Aggregation::name).join(", ");
            Error::input(format!("no such aggregation {text:?}; known are {known}"))
        })
    }
}

/// A labelled span of a text.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entity {
    /// The label; with an aggregation, without its `B-` or `I-`.
    pub label: String,
    /// Probability; of a span, the mean over its tokens or words.
    pub score: f32,
    /// First byte in the text.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
    /// The text between.
    pub text: String,
}

/// A text's labelled spans.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Tagged {
    /// In the order of the text.
    pub entities: Vec<Entity>,
    /// Tokens of the text before truncation, special tokens included.
    pub tokens: u32,
    /// Whether the text was cut: there are no spans behind the cut.
    pub truncated: bool,
}

impl Encoder {
    entry! {
        /// Labels the tokens or spans of texts with the head that came in the checkpoint. One answer a text: with
        /// [windows](crate::text::Truncate::Window) each token's label is taken from the window where it has the most context,
        /// and spans are made after that, across windows.
        ///
        /// # Errors
        /// The checkpoint has no such head, device errors.
        pub fn tag(&self, texts: &[&str], aggregation: Aggregation, options: &EmbedOptions) -> Result<Vec<Tagged>> = tag_async;

        /// [`tag`](Self::tag) as a stream with flat memory: `sink` gets each text with its answer, in input order.
        ///
        /// # Errors
        /// As [`tag`](Self::tag), a pair of texts, and what the iterator or `sink` return.
        pub fn tag_stream(&self, texts: impl IntoIterator<Item = Result<Text>, IntoIter: Send + 'static>, aggregation: Aggregation, options: &EmbedOptions, sink: impl FnMut(Text, Tagged) -> Result<()>) -> Result<EncodeReport> = tag_stream_async;
    }

    pub(crate) async fn tag_async(
        &self,
        texts: &[&str],
        aggregation: Aggregation,
        options: &EmbedOptions,
    ) -> Result<Vec<Tagged>> {
        let texts: Vec<Result<Text>> = texts.iter().map(|text| Ok(Text::from(*text))).collect();
        let mut all = Vec::with_capacity(texts.len());
        self.tag_stream_async(texts, aggregation, options, |_, tagged| {
            all.push(tagged);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    pub(crate) async fn tag_stream_async<I>(
        &self,
        texts: I,
        aggregation: Aggregation,
        options: &EmbedOptions,
        mut sink: impl FnMut(Text, Tagged) -> Result<()>,
    ) -> Result<EncodeReport>
    where
        I: IntoIterator<Item = Result<Text>>,
        I::IntoIter: Send + 'static,
    {
        self.require_head(HeadKind::Token)?;
        let labels = Labels::new(self.checkpoint().labels(HeadKind::Token)?);
        let prompt_bytes = self.text_recipe(options)?.prompt.map_or(0, |prompt| prompt.len());
        let request = TokenRequest::of_head(HeadOutput::Token);
        let overlap = options.window_overlap().unwrap_or(0);
        self.stream_windows(texts, &request, &select_none, options, |text, windows| {
            if text.second.is_some() {
                return Err(Error::input(
                    "cannot tag a pair: a span would be in two texts; give them one by one",
                ));
            }
            let output = join_outputs(windows, overlap)?;
            let tokens = tokens(&output, labels.names.len(), prompt_bytes)?;
            let tagged = Tagged {
                entities: entities(&text.first, tokens, &labels, aggregation),
                tokens: output.encoding.tokens as u32,
                truncated: output.encoding.truncated,
            };
            sink(text, tagged)
        })
        .await
    }
}

/// One token or word on its way to becoming part of a span.
#[derive(Clone, Debug)]
struct Piece {
    scores: Vec<f32>,
    /// Which word it belongs to, if the tokenizer says.
    word: Option<u32>,
    start: usize,
    end: usize,
}

/// The text's tokens without those that the tokenizer or a prompt added.
fn tokens(output: &TokenOutputs, labels: usize, prompt_bytes: usize) -> Result<Vec<Piece>> {
    let TokenOutputs { encoding, logits, .. } = output;
    let logits = logits.as_deref().unwrap_or_default();
    if labels == 0 || logits.len() != encoding.len() * labels {
        return Err(Error::device(format!(
            "the token-classification head gave {} logits for {} tokens and {labels} labels",
            logits.len(),
            encoding.len()
        )));
    }
    let piece = |(at, logits): (usize, &[f32])| {
        let (start, end) = encoding.offsets[at];
        let of_text = !encoding.special_tokens_mask[at] && (prompt_bytes == 0 || end > prompt_bytes);
        of_text.then(|| Piece {
            scores: softmax(logits),
            word: encoding.word_ids.get(at).copied().flatten(),
            start: start.saturating_sub(prompt_bytes),
            end: end - prompt_bytes,
        })
    };
    Ok(logits.chunks_exact(labels).enumerate().filter_map(piece).collect())
}

fn entities(text: &str, tokens: Vec<Piece>, labels: &Labels, aggregation: Aggregation) -> Vec<Entity> {
    let pieces = match aggregation {
        Aggregation::None | Aggregation::Simple => tokens,
        Aggregation::First | Aggregation::Average | Aggregation::Max => words(tokens, aggregation),
    };
    let entity = |label: &str, score: f32, start: usize, end: usize| Entity {
        label: label.to_owned(),
        score,
        start,
        end,
        text: text.get(start..end).unwrap_or_default().to_owned(),
    };
    if aggregation == Aggregation::None {
        let one = |piece: &Piece| {
            let best = argmax(&piece.scores);
            entity(&labels.names[best], piece.scores[best], piece.start, piece.end)
        };
        return pieces.iter().map(one).filter(|entity| entity.label != OUTSIDE).collect();
    }
    // Source: `TokenClassificationPipeline.group_entities`: a span goes on while the type stays and nothing begins or ended.
    let mut spans: Vec<(&str, Vec<f32>, usize, usize)> = Vec::new();
    let mut ended = true;
    for piece in &pieces {
        let best = argmax(&piece.scores);
        let label = labels.split(best);
        let score = piece.scores[best];
        match spans.last_mut() {
            Some((kind, scores, _, end)) if !ended && !label.begins && *kind == label.kind => {
                scores.push(score);
                *end = piece.end;
            }
            _ => spans.push((label.kind, vec![score], piece.start, piece.end)),
        }
        ended = label.ends;
    }
    let span = |(label, scores, start, end): (&str, Vec<f32>, usize, usize)| {
        let mean = scores.iter().sum::<f32>() / scores.len() as f32;
        entity(label, mean, start, end)
    };
    spans.into_iter().filter(|(label, ..)| *label != OUTSIDE).map(span).collect()
}

/// Joins the tokens of each word.
fn words(tokens: Vec<Piece>, aggregation: Aggregation) -> Vec<Piece> {
    let same_word = |a: &Piece, b: &Piece| {
        // The bytes of one character have all of it for their place.
        b.start < a.end || (a.word.is_some() && a.word == b.word)
    };
    let word = |tokens: &[Piece]| {
        let mut word = tokens[0].clone();
        word.end = tokens.iter().map(|token| token.end).max().unwrap_or(word.end);
        let surest = |token: &Piece| token.scores.iter().copied().fold(0.0, f32::max);
        match aggregation {
            Aggregation::Max => {
                for token in &tokens[1..] {
                    if surest(token) > surest(&word) {
                        word.scores.clone_from(&token.scores);
                    }
                }
            }
            Aggregation::Average => {
                for token in &tokens[1..] {
                    word.scores.iter_mut().zip(&token.scores).for_each(|(sum, score)| *sum += score);
                }
                word.scores.iter_mut().for_each(|sum| *sum /= tokens.len() as f32);
            }
            Aggregation::None | Aggregation::Simple | Aggregation::First => {}
        }
        word
    };
    tokens.chunk_by(same_word).map(word).collect()
}

/// What is no part of an entity.
const OUTSIDE: &str = "O";

/// The labels of a head, and how they are to be read.
struct Labels {
    names: Vec<String>,
    /// Whether labels say where in a span a token is: some begin with `B-` or `I-`. Only then are the other letters read: alone
    /// an `S-` may be part of a name.
    positions: bool,
}

/// A label taken apart.
struct Label<'a> {
    /// A span begins here, whatever stood before.
    begins: bool,
    /// The span ends here: the next token begins another.
    ends: bool,
    kind: &'a str,
}

impl Labels {
    fn new(names: Vec<String>) -> Self {
        let positions = names.iter().any(|name| name.starts_with("B-") || name.starts_with("I-"));
        Labels { names, positions }
    }

    /// `B-PER` begins an entity of type `PER`; `I-PER` goes on with one, and so does a bare `PER`. Where these letters are used
    /// so are `M-` (inside), `E-` and `L-` (the last), `S-` and `U-` (the only one): BIO, IO, BIOES, BILOU, BMES.
    fn split(&self, label: usize) -> Label<'_> {
        let name = self.names[label].as_str();
        let (begins, ends, kind) = match name.split_once('-') {
            Some(("B", kind)) => (true, false, kind),
            Some(("I", kind)) => (false, false, kind),
            Some(("M", kind)) if self.positions => (false, false, kind),
            Some(("E" | "L", kind)) if self.positions => (false, true, kind),
            Some(("S" | "U", kind)) if self.positions => (true, true, kind),
            _ => (false, false, name),
        };
        Label { begins, ends, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tokens of two bytes with a space between words; each is sure of one label.
    fn tokens(labels: &Labels, tagged: &[(u32, &str)]) -> (String, Vec<Piece>) {
        let (mut text, mut pieces, mut last) = (String::new(), Vec::new(), 0);
        for (at, (word, label)) in tagged.iter().enumerate() {
            if at > 0 && *word != last {
                text.push(' ');
            }
            last = *word;
            let start = text.len();
            text += "ab";
            let best = labels.names.iter().position(|name| name == label).unwrap();
            let score = 0.9 - at as f32 / 100.0;
            let others = (1.0 - score) / (labels.names.len() - 1) as f32;
            let scores = (0..labels.names.len()).map(|id| if id == best { score } else { others }).collect();
            pieces.push(Piece { scores, word: Some(*word), start, end: text.len() });
        }
        (text, pieces)
    }

    fn spans(
        names: &[&str],
        tagged: &[(u32, &str)],
        aggregation: Aggregation,
    ) -> Vec<(String, usize, usize)> {
        let labels = Labels::new(names.iter().map(|name| (*name).to_owned()).collect());
        let (text, pieces) = tokens(&labels, tagged);
        let found = entities(&text, pieces, &labels, aggregation);
        found.into_iter().map(|entity| (entity.label, entity.start, entity.end)).collect()
    }

    #[test]
    fn schemes_say_where_spans_begin_and_end() {
        let bio = ["O", "B-X", "I-X", "B-Y", "I-Y"];
        let bioes = ["O", "B-X", "I-X", "E-X", "S-X", "S-Y"];
        let bilou = ["O", "B-X", "I-X", "L-X", "U-X"];
        let bmes = ["O", "B-X", "M-X", "E-X", "S-X"];
        // (labels, tags of words, spans as words)
        type Case<'a> = (&'a [&'a str], &'a [&'a str], &'a [(&'a str, usize, usize)]);
        let table: &[Case<'_>] = &[
            (&bio, &["B-X", "I-X", "I-X"], &[("X", 0, 2)]),
            (&bio, &["B-X", "B-X"], &[("X", 0, 0), ("X", 1, 1)]),
            (&bio, &["I-X", "I-Y", "O", "I-Y"], &[("X", 0, 0), ("Y", 1, 1), ("Y", 3, 3)]),
            (&["O", "I-X"], &["I-X", "I-X", "O", "I-X"], &[("X", 0, 1), ("X", 3, 3)]),
            (&["O", "X"], &["X", "X", "O"], &[("X", 0, 1)]),
            (&bioes, &["B-X", "I-X", "E-X"], &[("X", 0, 2)]),
            (&bioes, &["S-X", "S-X", "S-Y"], &[("X", 0, 0), ("X", 1, 1), ("Y", 2, 2)]),
            (&bioes, &["B-X", "E-X", "B-X", "E-X"], &[("X", 0, 1), ("X", 2, 3)]),
            // Against the scheme, but clear: the first span has ended.
            (&bioes, &["B-X", "E-X", "I-X", "E-X"], &[("X", 0, 1), ("X", 2, 3)]),
            (&bioes, &["S-X", "I-X"], &[("X", 0, 0), ("X", 1, 1)]),
            (&bilou, &["B-X", "I-X", "L-X", "U-X", "O", "U-X"], &[("X", 0, 2), ("X", 3, 3), ("X", 5, 5)]),
            (&bmes, &["B-X", "M-X", "E-X", "S-X"], &[("X", 0, 2), ("X", 3, 3)]),
            // Without B- and I- the letters are parts of names.
            (
                &["O", "S-Bahn", "E-Mail"],
                &["S-Bahn", "S-Bahn", "E-Mail"],
                &[("S-Bahn", 0, 1), ("E-Mail", 2, 2)],
            ),
        ];
        for (names, tags, expected) in table {
            let tagged: Vec<(u32, &str)> = (0..).zip(tags.iter().copied()).collect();
            let expected: Vec<(String, usize, usize)> = expected
                .iter()
                .map(|(kind, first, last)| ((*kind).to_owned(), first * 3, last * 3 + 2))
                .collect();
            for aggregation in
                [Aggregation::Simple, Aggregation::First, Aggregation::Average, Aggregation::Max]
            {
                assert_eq!(spans(names, &tagged, aggregation), expected, "{names:?} {tags:?} {aggregation}");
            }
        }
    }

    #[test]
    fn a_word_takes_one_label_by_strategy() {
        let names = ["O", "B-X", "I-X", "B-Y"];
        // Two tokens of one word that disagree; the first is surer.
        let tagged = [(0, "B-X"), (0, "B-Y"), (1, "I-X")];
        assert_eq!(spans(&names, &tagged, Aggregation::First), [("X".to_owned(), 0, 7)]);
        assert_eq!(spans(&names, &tagged, Aggregation::Max), [("X".to_owned(), 0, 7)]);
        assert_eq!(
            spans(&names, &tagged, Aggregation::Simple),
            [("X".to_owned(), 0, 2), ("Y".to_owned(), 2, 4), ("X".to_owned(), 5, 7)]
        );
        assert_eq!(spans(&names, &[(0, "O"), (1, "B-X")], Aggregation::None), [("B-X".to_owned(), 3, 5)]);
    }

    #[test]
    fn the_bytes_of_a_character_are_one_word_even_without_word_numbers() {
        let labels = Labels::new(vec!["O".into(), "B-X".into(), "B-Y".into()]);
        let piece = |scores: [f32; 3], start, end| Piece { scores: scores.to_vec(), word: None, start, end };
        let pieces = vec![
            piece([0.0, 0.6, 0.4], 0, 4),
            piece([0.0, 0.3, 0.7], 0, 4),
            piece([0.0, 0.2, 0.8], 0, 4),
            piece([0.0, 0.1, 0.9], 4, 8),
        ];
        let text = "🦊🦊";
        let found = |aggregation| -> Vec<(String, String)> {
            let found = entities(text, pieces.clone(), &labels, aggregation);
            found.into_iter().map(|entity| (entity.label, entity.text)).collect()
        };
        let fox = |label: &str| (label.to_owned(), "🦊".to_owned());
        assert_eq!(found(Aggregation::First), [fox("X"), fox("Y")]);
        assert_eq!(found(Aggregation::Max), [fox("Y"), fox("Y")]);
        assert_eq!(found(Aggregation::Average), [fox("Y"), fox("Y")]);
    }

    #[test]
    fn names_are_read_back() {
        for one in Aggregation::ALL {
            assert_eq!(one.to_string().parse::<Aggregation>().unwrap(), one);
        }
        assert!("last".parse::<Aggregation>().unwrap_err().is_input());
    }
}
