//! Classes without a single label, by the head that BERT was pretrained with: a text is put into a sentence with a gap, and the class is
//! the one whose words fit best there.
//!
//! Sources: Schick and Schütze (2021), *Exploiting cloze questions for few shot text classification and natural language inference*, for templates
//! and words of classes (patterns and verbalizers; no model is tuned here); Zhao et al. (2021), *Calibrate before use*, for what texts without content
//! say of the template; Zhou et al. (2024), *Batch calibration*, for what the texts themselves say of it.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::classify::{Classification, weighted_mean};
use super::scores::softmax;
use super::tokens::TokenRequest;
use crate::encoder::session::EncodeReport;
use crate::encoder::{EmbedOptions, Encoder, Text};
use crate::error::{Error, Result};
use crate::model::HeadKind;
use crate::names::named;
use crate::plan::HeadOutput;
use crate::platform::{self, entry};
use crate::text::{EncodeOptions, Encoding, Truncate, Within};

/// Where the text goes in a template.
const TEXT: &str = "{text}";
/// Where the missing word is, whatever the checkpoint calls its mask.
const MASK: &str = "{mask}";
/// Texts that are encoded before their answers are handed on.
const AT_A_TIME: usize = 512;

/// The words that stand for a class.
///
/// ```
/// use frostbert::ClassWords;
/// let words: ClassWords = "good=great,wonderful".parse()?;
/// assert_eq!((&*words.label, words.words.len()), ("good", 2));
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassWords {
    /// The class.
    pub label: String,
    /// Words that fit into the gap where a text is of this class, each one token of the checkpoint.
    pub words: Vec<String>,
}

impl FromStr for ClassWords {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || {
            Error::input(format!(
                "the words of a class are LABEL=WORD,WORD,... such as \"good=great,wonderful\"; found {text:?}"
            ))
        };
        let (label, words) = text.split_once('=').ok_or_else(wrong)?;
        let words: Vec<String> = words.split(',').map(|word| word.trim().to_owned()).collect();
        if label.trim().is_empty() || words.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(ClassWords { label: label.trim().to_owned(), words })
    }
}

impl fmt::Display for ClassWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, self.words.join(","))
    }
}

/// What is taken off the probabilities because the template and the words say it of any text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClozeCalibration {
    /// Nothing.
    None,
    /// What they say of [texts without content](Encoder::content_free).
    #[default]
    ContentFree,
    /// What they say on average of the texts themselves: that supposes that no class is much more frequent than another.
    Texts,
}

named! { ClozeCalibration, "calibration of words for a mask",
    "none", "Probabilities as the model gives them" => ClozeCalibration::None, ClozeCalibration::None,
    "content-free", "Without what it says of texts that say nothing: N/A, a mask, no text"
        => ClozeCalibration::ContentFree, ClozeCalibration::ContentFree,
    "texts", "Without what it says of these texts on average: no class is to be much more frequent than another"
        => ClozeCalibration::Texts, ClozeCalibration::Texts,
}

/// Sentences with a gap, and the words that stand for each class in it.
///
/// ```
/// use frostbert::Cloze;
/// let cloze = Cloze::new(["{text} It was {mask}."], ["good=great".parse()?, "bad=terrible".parse()?])?;
/// assert_eq!(cloze.labels(), ["good", "bad"]);
/// # Ok::<(), frostbert::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Cloze {
    templates: Vec<String>,
    labels: Vec<String>,
    words: Vec<Vec<String>>,
    prior: Vec<f64>,
}

impl Cloze {
    /// Templates have `{text}` where a text goes and `{mask}` (or the checkpoint's own mask, such as `[MASK]`) where the word is missing. Of
    /// several templates the mean of the logits counts, and of several words of a class; a class may be given more than once, with other words.
    ///
    /// # Errors
    /// The input: no template, one without `{text}` or with two, fewer than two classes, a word that stands for two.
    pub fn new<T: Into<String>>(
        templates: impl IntoIterator<Item = T>,
        classes: impl IntoIterator<Item = ClassWords>,
    ) -> Result<Self> {
        let templates: Vec<String> = templates.into_iter().map(Into::into).collect();
        if templates.is_empty() {
            return fail("there is no template: give one such as \"{text} It was {mask}.\"");
        }
        if let Some(template) = templates.iter().find(|template| template.matches(TEXT).count() != 1) {
            return fail(format!("a template has {TEXT} once, where the text goes; found {template:?}"));
        }
        let (mut labels, mut words): (Vec<String>, Vec<Vec<String>>) = (vec![], vec![]);
        for class in classes {
            if class.words.is_empty() {
                return fail(format!("class {:?} has no word", class.label));
            }
            for word in class.words {
                if let Some(at) = words.iter().position(|known| known.contains(&word)) {
                    return fail(format!(
                        "the word {word:?} is there twice, for {:?} and for {:?}",
                        labels[at], class.label
                    ));
                }
                match labels.iter().position(|label| *label == class.label) {
                    Some(at) => words[at].push(word),
                    None => {
                        labels.push(class.label.clone());
                        words.push(vec![word]);
                    }
                }
            }
        }
        if labels.len() < 2 {
            return fail(format!("give words for two classes or more, found {}", labels.len()));
        }
        let prior = vec![1.0; labels.len()];
        Ok(Cloze { templates, labels, words, prior })
    }

    /// The classes, in the order in which they were first named: that of [`Classification::scores`].
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Divides probabilities by these, one a class: [`Encoder::cloze_prior`] of texts that should not tell one class from another.
    ///
    /// # Errors
    /// The input: not one a class, or one that is not above zero.
    pub fn calibrated(self, prior: Vec<f64>) -> Result<Self> {
        if prior.len() != self.labels.len() || !prior.iter().all(|share| *share > 0.0 && share.is_finite()) {
            return fail(format!(
                "expected a prior above zero for each of {} classes, found {prior:?}",
                self.labels.len()
            ));
        }
        Ok(Cloze { prior, ..self })
    }

    /// A text's answer from the logits that it has without a prior: for answers that were made before the prior was known.
    pub fn answer(&self, uncalibrated: &Classification) -> Classification {
        let logits: Vec<f32> = (uncalibrated.logits.iter().zip(&self.prior))
            .map(|(logit, prior)| (f64::from(*logit) - prior.ln()) as f32)
            .collect();
        Classification { scores: softmax(&logits), logits, ..*uncalibrated }
    }

    /// The mean of probabilities that were not calibrated.
    ///
    /// # Errors
    /// The input: there are no answers.
    pub fn mean_scores(&self, answers: &[Classification]) -> Result<Vec<f64>> {
        if answers.is_empty() {
            return fail("there is no text to calibrate by");
        }
        let mean = |class: usize| {
            let sum: f64 = answers.iter().map(|answer| f64::from(answer.scores[class])).sum();
            // What no text was ever near keeps a finite logit.
            (sum / answers.len() as f64).max(f64::from(f32::MIN_POSITIVE))
        };
        Ok((0..self.labels.len()).map(mean).collect())
    }
}

fn fail<T>(what: impl fmt::Display) -> Result<T> {
    Err(Error::input(format!("classifying by words for a mask: {what}")))
}

/// A template that a checkpoint can fill.
struct Sheet {
    before: String,
    after: String,
    mask_is_first: bool,
    /// Ids of each class's words.
    ids: Vec<Vec<u32>>,
}

impl Sheet {
    fn template(&self) -> Within<'_> {
        Within { before: &self.before, after: &self.after }
    }

    /// The mask of the template: a text may have masks, too, but it is on one side of them all.
    fn mask_at(&self, encoding: &Encoding, mask: u32) -> Option<usize> {
        let mut masks = encoding.positions(mask);
        if self.mask_is_first { masks.next() } else { masks.last() }
    }
}

impl Encoder {
    entry! {
        /// Classifies texts by the words that the MLM head would put into a template's gap. One answer a text; a text that is too long is
        /// cut, the template stays whole. With [windows](crate::text::Truncate::Window) it is made of the mean of their logits, weighted by tokens.
        /// Scores are probabilities that sum to 1 over the classes. Of the options truncation and the longest sequence count.
        ///
        /// # Errors
        /// The checkpoint has no MLM head; a template without a mask or with two; a word that is no single token where the mask is; pairs; device
        /// errors.
        pub fn classify_cloze(&self, texts: impl IntoIterator<Item = impl Into<Text>>, cloze: &Cloze, options: &EmbedOptions) -> Result<Vec<Classification>> = classify_cloze_async;

        /// [`classify_cloze`](Self::classify_cloze) as a stream with flat memory: `sink` gets each text with its answer, in input order.
        ///
        /// # Errors
        /// As [`classify_cloze`](Self::classify_cloze), and what the iterator or `sink` return.
        pub fn classify_cloze_stream(&self, texts: impl IntoIterator<Item = Result<Text>>, cloze: &Cloze, options: &EmbedOptions, sink: impl FnMut(Text, Classification) -> Result<()>) -> Result<EncodeReport> = classify_cloze_stream_async;

        /// Mean probability of each class over texts that should not tell one from another: [texts without content](Self::content_free), or texts
        /// of which no class has many more than another. For [`Cloze::calibrated`].
        ///
        /// # Errors
        /// As [`classify_cloze`](Self::classify_cloze), and no texts.
        pub fn cloze_prior(&self, texts: impl IntoIterator<Item = impl Into<Text>>, cloze: &Cloze, options: &EmbedOptions) -> Result<Vec<f64>> = cloze_prior_async;
    }

    /// Texts without content: `N/A`, the mask, and none. Source: Zhao et al. (2021).
    ///
    /// # Errors
    /// The tokenizer has no mask.
    pub fn content_free(&self) -> Result<Vec<Text>> {
        let mask = self.tokenizer().id_to_token(self.tokenizer().mask_id()?).unwrap_or_default();
        Ok(vec!["N/A".into(), mask.into(), "".into()])
    }

    pub(crate) async fn cloze_prior_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        cloze: &Cloze,
        options: &EmbedOptions,
    ) -> Result<Vec<f64>> {
        let plain = Cloze { prior: vec![1.0; cloze.labels.len()], ..cloze.clone() };
        plain.mean_scores(&self.classify_cloze_async(texts, &plain, options).await?)
    }

    pub(crate) async fn classify_cloze_async<T: Into<Text>>(
        &self,
        texts: impl IntoIterator<Item = T>,
        cloze: &Cloze,
        options: &EmbedOptions,
    ) -> Result<Vec<Classification>> {
        let mut all = Vec::new();
        self.classify_cloze_stream_async(
            texts.into_iter().map(|text| Ok(text.into())),
            cloze,
            options,
            |_, answer| {
                all.push(answer);
                Ok(())
            },
        )
        .await?;
        Ok(all)
    }

    pub(crate) async fn classify_cloze_stream_async(
        &self,
        texts: impl IntoIterator<Item = Result<Text>>,
        cloze: &Cloze,
        options: &EmbedOptions,
        mut sink: impl FnMut(Text, Classification) -> Result<()>,
    ) -> Result<EncodeReport> {
        self.require_head(HeadKind::MaskedLm)?;
        let mask = self.tokenizer().mask_id()?;
        let sheets =
            cloze.templates.iter().map(|known| self.sheet(known, cloze, mask)).collect::<Result<Vec<_>>>()?;
        let mut texts = texts.into_iter();
        let mut report = EncodeReport::default();
        loop {
            let some = texts.by_ref().take(AT_A_TIME).collect::<Result<Vec<Text>>>()?;
            if some.is_empty() {
                return Ok(report);
            }
            let first_row = report.texts as usize;
            let mut answers: Vec<Classification> = vec![];
            for sheet in &sheets {
                let of_sheet = self.fill_in(sheet, &some, first_row, mask, options, &mut report).await?;
                if answers.is_empty() {
                    answers = of_sheet;
                    continue;
                }
                for (sum, answer) in answers.iter_mut().zip(of_sheet) {
                    sum.logits.iter_mut().zip(&answer.logits).for_each(|(sum, logit)| *sum += logit);
                    sum.tokens = sum.tokens.max(answer.tokens);
                    sum.truncated |= answer.truncated;
                }
            }
            report.texts += some.len() as u64;
            for (text, mut answer) in some.into_iter().zip(answers) {
                answer.logits.iter_mut().for_each(|logit| *logit /= sheets.len() as f32);
                report.truncated += u64::from(answer.truncated);
                sink(text, cloze.answer(&answer))?;
            }
        }
    }

    /// Logits of each class for each text in one template; what was computed is added to the report.
    async fn fill_in(
        &self,
        sheet: &Sheet,
        texts: &[Text],
        first_row: usize,
        mask: u32,
        options: &EmbedOptions,
        report: &mut EncodeReport,
    ) -> Result<Vec<Classification>> {
        let encode = EncodeOptions {
            truncate: options.truncate,
            max_tokens: options.max_tokens,
            side: options.truncation_side,
        };
        // Not the encoder, whose device stays in its thread in browsers.
        let tokenizer = self.tokenizer();
        let encoded = platform::map(texts.len(), |at| {
            if texts[at].second.is_some() {
                let pair = "a template takes one text, and this is a pair: join the two, or leave --pair out";
                return Err(Error::input(pair).at_row(first_row + at));
            }
            tokenizer.encode_within(first_row + at, &texts[at].first, sheet.template(), encode)
        });
        let (mut encodings, mut parts): (Vec<Encoding>, Vec<Range<usize>>) = (vec![], vec![]);
        for found in encoded {
            let start = encodings.len();
            encodings.extend(found?);
            parts.push(start..encodings.len());
        }
        if encodings.iter().any(|encoding| sheet.mask_at(encoding, mask).is_none()) {
            return fail(format!(
                "the template's mask is lost between its words ({:?}, {:?}): put spaces around it",
                sheet.before, sheet.after
            ));
        }
        let answers: Vec<(u32, bool)> = (parts.iter().map(|part| &encodings[part.clone()]))
            .map(|windows| (windows[0].tokens as u32, windows.iter().any(|window| window.truncated)))
            .collect();
        let weights: Vec<f64> = encodings.iter().map(super::classify::text_tokens).collect();
        let mut rows: Vec<Vec<f32>> = Vec::with_capacity(encodings.len());
        let request = TokenRequest::of_head(HeadOutput::MaskedLm);
        let select = |encoding: &Encoding| sheet.mask_at(encoding, mask).into_iter().collect();
        let computed = self
            .run_encodings(encodings.into_iter(), &request, &select, options, |output| {
                let logits = output.logits.unwrap_or_default();
                let of_class = |ids: &Vec<u32>| {
                    let sum = ids.iter().map(|id| logits.get(*id as usize).map(|logit| f64::from(*logit)));
                    sum.sum::<Option<f64>>().map(|sum| (sum / ids.len() as f64) as f32)
                };
                let row = sheet.ids.iter().map(of_class).collect::<Option<Vec<f32>>>();
                rows.push(row.ok_or_else(|| {
                    Error::device(format!(
                        "the masked-language-model head gave {} logits for a mask",
                        logits.len()
                    ))
                })?);
                Ok(())
            })
            .await?;
        report.real_tokens += computed.real_tokens;
        report.computed_tokens += computed.computed_tokens;
        report.batches += computed.batches;
        if rows.len() != weights.len() {
            return Err(Error::device("the masked-language-model head gave fewer rows than there are masks"));
        }
        let answer = |(part, (tokens, truncated)): (Range<usize>, (u32, bool))| {
            let logits = weighted_mean(rows[part.clone()].iter().zip(weights[part].iter().copied()));
            Classification { scores: softmax(&logits), logits, tokens, truncated }
        };
        Ok(parts.into_iter().zip(answers).map(answer).collect())
    }

    /// A template with its mask, and the ids of the words there.
    fn sheet(&self, template: &str, cloze: &Cloze, mask: u32) -> Result<Sheet> {
        let own = self.tokenizer().id_to_token(mask).unwrap_or_default();
        let filled = template.replace(MASK, &own);
        let masks = filled.matches(&*own).count();
        if masks != 1 {
            return fail(format!(
                "a template has {MASK} (or {own}) once, where the word is missing; {template:?} has {masks}"
            ));
        }
        let halves = |filled: &str| {
            let (before, after) = filled.split_once(TEXT).unwrap_or((filled, ""));
            (before.to_owned(), after.to_owned())
        };
        let encode = |filled: &str| -> Result<Encoding> {
            let (before, after) = halves(filled);
            let options = EncodeOptions { truncate: Truncate::Cut, ..EncodeOptions::default() };
            let template = Within { before: &before, after: &after };
            self.tokenizer()
                .encode_within(0, "", template, options)?
                .pop()
                .ok_or_else(|| Error::input("the template has no tokens"))
        };
        let (before, after) = halves(&filled);
        let sheet = Sheet { mask_is_first: before.contains(&*own), before, after, ids: vec![] };
        let empty = encode(&filled)?;
        let Some(at) = sheet.mask_at(&empty, mask) else {
            return fail(format!("the mask of {template:?} is not read as one; put spaces around {own}"));
        };
        let unknown = self.tokenizer().special_tokens().unknown;
        let id = |word: &String| -> Result<u32> {
            let with = encode(&filled.replacen(&*own, word, 1))?;
            // What is not of the template, whose tokens may not change.
            let more = (with.len() + 1).checked_sub(empty.len());
            let there = more.filter(|_| with.ids[..at.min(with.len())] == empty.ids[..at]);
            let there = there.and_then(|more| with.ids.get(at..at + more));
            match there {
                Some([id]) if with.ids[at + 1..] == empty.ids[at + 1..] => {
                    if Some(*id) == unknown || (*id as usize) >= self.config().vocab {
                        return fail(format!("the checkpoint does not know the word {word:?}; take another"));
                    }
                    Ok(*id)
                }
                there => {
                    let tokens = there.unwrap_or_default().iter();
                    let tokens: Vec<String> =
                        tokens.filter_map(|id| self.tokenizer().id_to_token(*id)).collect();
                    fail(format!(
                        "the word {word:?} is not one token of this checkpoint in {template:?} (it reads {}); take a word that is",
                        tokens.join(" ")
                    ))
                }
            }
        };
        let ids = (cloze.words.iter())
            .map(|words| words.iter().map(id).collect::<Result<Vec<u32>>>())
            .collect::<Result<Vec<_>>>()?;
        let mut known: Vec<(u32, &String)> =
            ids.iter().flatten().copied().zip(cloze.words.iter().flatten()).collect();
        known.sort_unstable();
        if let Some(pair) = known.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return fail(format!(
                "the words {:?} and {:?} are the same token of this checkpoint; take others",
                pair[0].1, pair[1].1
            ));
        }
        Ok(Sheet { ids, ..sheet })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(of: &[&str]) -> Result<Vec<ClassWords>> {
        of.iter().map(|class| class.parse()).collect()
    }

    #[test]
    fn what_makes_no_cloze_is_told() {
        let says = |templates: &[&str], classes: &[&str]| {
            let error = words(classes).and_then(|words| Cloze::new(templates.to_vec(), words)).unwrap_err();
            assert!(error.is_input());
            error.to_string()
        };
        let two = ["good=great", "bad=terrible"];
        assert!(says(&[], &two).contains("no template"));
        assert!(says(&["It was {mask}."], &two).contains("{text} once"));
        assert!(says(&["{text} {text} {mask}"], &two).contains("{text} once"));
        assert!(says(&["{text} {mask}"], &two[..1]).contains("two classes or more, found 1"));
        assert!(says(&["{text} {mask}"], &["good=great", "bad=great"]).contains("there twice"));
        for wrong in ["good", "=great", "good=", "good=great,,fine"] {
            assert!(says(&["{text} {mask}"], &[wrong]).contains("LABEL=WORD"), "{wrong}");
        }
        let cloze = Cloze::new(["{text} {mask}"], words(&["a=x,y", "b=z", "a=w"]).unwrap()).unwrap();
        assert_eq!(
            (cloze.labels(), &cloze.words[0][..]),
            (&["a", "b"].map(String::from)[..], &["x", "y", "w"].map(String::from)[..])
        );
        for wrong in [vec![1.0], vec![0.0, 1.0], vec![f64::NAN, 1.0]] {
            assert!(cloze.clone().calibrated(wrong).unwrap_err().to_string().contains("above zero"));
        }
    }

    #[test]
    fn a_prior_divides_the_probabilities() {
        let cloze = Cloze::new(["{text} {mask}"], words(&["a=x", "b=y"]).unwrap()).unwrap();
        let logits = vec![1.0f32, 0.25];
        let plain = Classification { scores: softmax(&logits), logits, tokens: 5, truncated: true };
        let found = cloze.clone().calibrated(vec![0.8, 0.2]).unwrap().answer(&plain);
        let (a, b) = (f64::from(plain.scores[0]) / 0.8, f64::from(plain.scores[1]) / 0.2);
        assert!((f64::from(found.scores[0]) - a / (a + b)).abs() < 1e-6);
        assert_eq!((found.tokens, found.truncated), (5, true));
        assert_eq!(cloze.answer(&plain), plain);
        // Calibrated by itself a text tells nothing.
        let own = cloze.mean_scores(std::slice::from_ref(&plain)).unwrap();
        let nothing = cloze.calibrated(own).unwrap().answer(&plain);
        assert!((nothing.scores[0] - 0.5).abs() < 1e-6);
    }
}
