//! What the files beside tokenizer.json say of a tokenizer, applied as transformers applies it.
//!
//! transformers builds a tokenizer by its class: the vocabulary comes from tokenizer.json (or vocab.txt), and normaliser,
//! pre-tokenizer and framing from tokenizer_config.json, whose defaults win over tokenizer.json where it is silent.
//! `PreTrainedTokenizerFast` takes tokenizer.json as it is. Added tokens come from all files. Source: transformers 5.24,
//! `TokenizersBackend`, `BertTokenizer` and its kin.

use super::encoding;
use super::guard::guard;
use crate::error::{Error, Result};
use crate::model::{Family, TokenizerFiles, TokenizerSource};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokenizers::models::ModelWrapper;
use tokenizers::normalizers::utils::{Lowercase, Sequence};
use tokenizers::normalizers::{BertNormalizer, NFKD, NormalizerWrapper, StripAccents, replace::Replace};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Encoding, Model, PostProcessor, Token, Tokenizer as Inner};

/// Which class of transformers reads the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// `BertTokenizer`, and DistilBERT's and ELECTRA's, which are the same.
    Bert,
    /// `MPNetTokenizer`: BERT's words in RoBERTa's frame.
    MpNet,
    /// `RobertaTokenizer`.
    Roberta,
    /// `XLMRobertaTokenizer`.
    XlmRoberta,
    /// `CamembertTokenizer`.
    Camembert,
    /// `AlbertTokenizer`.
    Albert,
    /// `PreTrainedTokenizerFast` and whatever has no rules of its own: tokenizer.json as it is.
    AsWritten,
}

/// Tokenizers that are programs of their own in transformers; none of their files says all they do.
const NOT_COMPUTED: [(&str, &str); 10] = [
    ("BertJapaneseTokenizer", "it finds words with MeCab, Sudachi or Juman++"),
    ("BertweetTokenizer", "it rewrites tweets before it splits them"),
    ("ByT5Tokenizer", "it reads bytes"),
    ("CanineTokenizer", "it reads characters"),
    ("CharacterBertTokenizer", "it reads characters"),
    ("FlaubertTokenizer", "it finds words with Moses"),
    ("PhobertTokenizer", "it expects words that another program has found"),
    ("RoFormerTokenizer", "it finds words with Jieba"),
    ("TapasTokenizer", "it reads tables"),
    ("XLMTokenizer", "it finds words with Moses"),
];

/// Settings that change tokens, and what they may be. Everything else that transformers' own tokenizers do not know changes
/// nothing there either.
const ONLY: [(&str, &str); 6] = [
    ("do_basic_tokenize", "true"),
    ("do_word_tokenize", "true"),
    ("do_subword_tokenize", "true"),
    ("word_tokenizer_type", "\"basic\""),
    ("subword_tokenizer_type", "\"wordpiece\""),
    ("never_split", "[]"),
];

impl Class {
    /// The class that transformers takes for these files.
    ///
    /// # Errors
    /// One that is not computed here, by name.
    pub(super) fn of(source: &TokenizerSource<'_>) -> Result<Self> {
        let files = source.files;
        if source.family == Family::Static {
            return Ok(Class::AsWritten);
        }
        for (key, value) in ONLY {
            let found = files.config.get(key).filter(|found| !found.is_null()).map(Value::to_string);
            if let Some(found) = found.filter(|found| found != value) {
                return Err(wrong(
                    files,
                    key,
                    &format!("{value} (the only kind computed here), found {found}"),
                ));
            }
        }
        if source.family == Family::ModernBert && files.json.is_some() {
            return Ok(Class::AsWritten);
        }
        let named = files.config.get("tokenizer_class").and_then(Value::as_str);
        let Some(named) = named.or(files.model_class.as_deref()) else {
            return Ok(match source.family {
                Family::Bert | Family::DistilBert | Family::Electra => Class::Bert,
                Family::MpNet => Class::MpNet,
                Family::Roberta => Class::Roberta,
                Family::Camembert => Class::Camembert,
                Family::XlmRoberta => Class::XlmRoberta,
                Family::Albert => Class::Albert,
                Family::ModernBert | Family::Static => Class::AsWritten,
            });
        };
        let name = named.strip_suffix("Fast").unwrap_or(named);
        if let Some((_, why)) = NOT_COMPUTED.iter().find(|(known, _)| *known == name) {
            return Err(Error::model_file(format!(
                "cannot tokenise for {}: its tokenizer is a {named}, which is not computed here: {why}",
                files.location
            )));
        }
        let class = match name {
            "BertTokenizer"
            | "BertTokenizerLegacy"
            | "DistilBertTokenizer"
            | "ElectraTokenizer"
            | "ConvBertTokenizer"
            | "LayoutLMTokenizer"
            | "LxmertTokenizer"
            | "MobileBertTokenizer"
            | "SqueezeBertTokenizer"
            | "DPRContextEncoderTokenizer"
            | "DPRQuestionEncoderTokenizer" => Class::Bert,
            "MPNetTokenizer" => Class::MpNet,
            "RobertaTokenizer" | "LongformerTokenizer" | "BartTokenizer" => Class::Roberta,
            "XLMRobertaTokenizer" => Class::XlmRoberta,
            "CamembertTokenizer" => Class::Camembert,
            "AlbertTokenizer" => Class::Albert,
            // Without tokenizer.json there is nothing written: a vocab.txt is BERT's or MPNet's.
            "TokenizersBackend" | "PreTrainedTokenizer" if files.json.is_none() => match source.family {
                Family::MpNet => Class::MpNet,
                _ => Class::Bert,
            },
            _ => Class::AsWritten,
        };
        if files.json.is_none() && files.vocab.is_some() && !matches!(class, Class::Bert | Class::MpNet) {
            return Err(Error::model_file(format!(
                "cannot tokenise for {}: there is no tokenizer.json, and vocab.txt is not what a {named} reads. Make one \
                 there with python3 -c \"from transformers import AutoTokenizer as T; \
                 T.from_pretrained('.').save_pretrained('.')\"",
                files.location
            )));
        }
        Ok(class)
    }

    /// The special tokens that the class has where no file names them.
    pub(super) fn default_token(self, key: &str) -> Option<&'static str> {
        let at = SPECIAL_TOKENS.iter().position(|known| *known == key)?;
        let [bos, eos, unk, sep, pad, cls, mask] = match self {
            Class::Bert => ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"],
            Class::MpNet => ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"],
            Class::Roberta | Class::XlmRoberta | Class::Camembert => {
                ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"]
            }
            Class::Albert => ["[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"],
            Class::AsWritten => [""; 7],
        };
        Some([bos, eos, unk, sep, pad, cls, mask][at]).filter(|token| !token.is_empty())
    }

    /// The tokens that open and close a text.
    fn frame(self) -> [&'static str; 2] {
        match self {
            Class::XlmRoberta | Class::Camembert => ["bos_token", "eos_token"],
            _ => ["cls_token", "sep_token"],
        }
    }
}

/// In the order in which transformers adds them.
const SPECIAL_TOKENS: [&str; 7] =
    ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// Makes the tokenizer what transformers makes of all files, and says what of it tokenizer.json (or vocab.txt) does not:
/// what else decides a text's tokens. Empty where the files agree.
///
/// # Errors
/// A setting that cannot be read, or an added token whose id is not the next one.
pub(super) fn apply(
    inner: &mut Inner,
    source: &TokenizerSource<'_>,
    class: Class,
) -> Result<Map<String, Value>> {
    let files = source.files;
    let failed = || Error::model_file(format!("cannot read the tokenizer of {}", files.location));
    let mut changes = Map::new();
    // What follows from vocab.txt and tokenizer_config.json is no change: the fingerprint has both.
    let from_vocab = files.json.is_none();
    let mut note = |key: &str, value: Value| {
        if !(from_vocab && ["normalizer", "post_processor"].contains(&key)) {
            changes.insert(key.to_owned(), value);
        }
    };
    if from_vocab && !files.special_tokens.is_null() {
        note("special_tokens", json!(SPECIAL_TOKENS.map(|key| special_token(files, key))));
    }

    let class = if fits(class, inner.get_model()) { class } else { Class::AsWritten };
    let normalizer = normalizer(class, inner, files)?;
    if let Some(normalizer) = normalizer {
        note("normalizer", json!(normalizer));
        guard(failed, || inner.with_normalizer(normalizer).map(drop))?;
    }
    if let Some(pre_tokenizer) = pre_tokenizer(class, inner, files)? {
        note("pre_tokenizer", json!(pre_tokenizer));
        inner.with_pre_tokenizer(Some(pre_tokenizer));
    }
    if let Some((model, what)) = model(class, inner.get_model(), files) {
        for (key, value) in what {
            note(key, value);
        }
        inner.with_model(model);
    }
    if flag(files, "split_special_tokens")?.unwrap_or(false) {
        inner.set_encode_special_tokens(true);
        note("split_special_tokens", json!(true));
    }
    let added = add_tokens(inner, files, class)?;
    if !added.is_empty() {
        note("added_tokens", json!(added));
    }
    if let Some(processor) = post_processor(class, inner, files)? {
        note("post_processor", json!(processor));
        inner.with_post_processor(Some(processor));
    } else if let (Class::Roberta, Some(PostProcessorWrapper::Roberta(old))) =
        (class, inner.get_post_processor())
    {
        // Offsets alone: what a vector is made of does not change, so that nothing is noted.
        let processor = old
            .clone()
            .trim_offsets(flag(files, "trim_offsets")?.unwrap_or(true))
            .add_prefix_space(flag(files, "add_prefix_space")?.unwrap_or(false));
        inner.with_post_processor(Some(processor));
    }
    if source.lowercase && !lowercases(inner) {
        note("do_lower_case", json!(true));
        guard(failed, || lowercase(inner))?;
    }
    Ok(changes)
}

/// Whether the class can be read from this kind of vocabulary. transformers 5 forces it in; 4 and this program take
/// tokenizer.json as it is.
fn fits(class: Class, model: &ModelWrapper) -> bool {
    match class {
        Class::Bert | Class::MpNet => matches!(model, ModelWrapper::WordPiece(_)),
        Class::Roberta => matches!(model, ModelWrapper::BPE(_)),
        Class::XlmRoberta | Class::Camembert | Class::Albert => matches!(model, ModelWrapper::Unigram(_)),
        Class::AsWritten => true,
    }
}

/// The class's normaliser, where the tokenizer has another.
fn normalizer(
    class: Class,
    inner: &Inner,
    files: &TokenizerFiles,
) -> Result<Option<Option<NormalizerWrapper>>> {
    let old = inner.get_normalizer();
    Ok(match class {
        Class::Bert | Class::MpNet => {
            let new = BertNormalizer::new(
                true,
                flag(files, "tokenize_chinese_chars")?.unwrap_or(true),
                flag(files, "strip_accents")?,
                flag(files, "do_lower_case")?.unwrap_or(true),
            );
            let strips =
                |normalizer: &BertNormalizer| normalizer.strip_accents.unwrap_or(normalizer.lowercase);
            let same = matches!(old, Some(NormalizerWrapper::BertNormalizer(old))
                if old.clean_text
                    && old.handle_chinese_chars == new.handle_chinese_chars
                    && strips(old) == strips(&new)
                    && old.lowercase == new.lowercase);
            (!same).then(|| Some(new.into()))
        }
        Class::Roberta => old.is_some().then_some(None),
        Class::Albert => {
            let keep_accents = flag(files, "keep_accents")?.unwrap_or(false);
            let lower = flag(files, "do_lower_case")?.unwrap_or(true);
            let parts = flat(old);
            let lowers = parts.iter().any(|part| matches!(part, NormalizerWrapper::Lowercase(_)));
            let strips = parts.iter().any(|part| matches!(part, NormalizerWrapper::StripAccents(_)));
            match lowers == lower && strips != keep_accents {
                true => None,
                false => Some(Some(albert(&parts, keep_accents, lower)?)),
            }
        }
        Class::XlmRoberta | Class::Camembert | Class::AsWritten => None,
    })
}

/// Quotation marks made one, accents and capitals away, and the vocabulary's own table.
fn albert(old: &[NormalizerWrapper], keep_accents: bool, lower: bool) -> Result<NormalizerWrapper> {
    let quote = |marks: &str| {
        Replace::new(marks, "\"")
            .map(NormalizerWrapper::from)
            .map_err(|error| Error::model_file("cannot make a normaliser").with_source(error))
    };
    let mut parts = vec![quote("``")?, quote("''")?];
    if !keep_accents {
        parts.push(NFKD.into());
        parts.push(StripAccents.into());
    }
    if lower {
        parts.push(Lowercase.into());
    }
    let table = |part: &&NormalizerWrapper| matches!(part, NormalizerWrapper::Precompiled(_));
    parts.extend(old.iter().find(table).cloned());
    Ok(Sequence::new(parts).into())
}

/// A normaliser's parts, without those that hold others.
fn flat(normalizer: Option<&NormalizerWrapper>) -> Vec<NormalizerWrapper> {
    match normalizer {
        None => vec![],
        Some(NormalizerWrapper::Sequence(parts)) => {
            parts.as_ref().iter().flat_map(|part| flat(Some(part))).collect()
        }
        Some(part) => vec![part.clone()],
    }
}

/// The class's pre-tokenizer, where the tokenizer has another.
fn pre_tokenizer(class: Class, inner: &Inner, files: &TokenizerFiles) -> Result<Option<PreTokenizerWrapper>> {
    let old = inner.get_pre_tokenizer();
    let prefix = flag(files, "add_prefix_space")?;
    Ok(match class {
        Class::Bert | Class::MpNet => {
            let same = matches!(old, Some(PreTokenizerWrapper::BertPreTokenizer(_)));
            (!same).then(|| BertPreTokenizer.into())
        }
        Class::Roberta => {
            let prefix = prefix.unwrap_or(false);
            let same = matches!(old, Some(PreTokenizerWrapper::ByteLevel(old))
                if old.add_prefix_space == prefix && old.use_regex);
            (!same).then(|| ByteLevel::new(prefix, true, true).into())
        }
        Class::XlmRoberta | Class::Camembert | Class::Albert => {
            let scheme = if prefix.unwrap_or(true) { PrependScheme::Always } else { PrependScheme::Never };
            with_scheme(old, scheme)
        }
        Class::AsWritten => None,
    })
}

/// The same pre-tokenizer with words marked as `scheme` says, where they are not.
fn with_scheme(old: Option<&PreTokenizerWrapper>, scheme: PrependScheme) -> Option<PreTokenizerWrapper> {
    match old {
        Some(PreTokenizerWrapper::Metaspace(old)) => (old.get_prepend_scheme() != scheme).then(|| {
            let mut new = old.clone();
            new.set_prepend_scheme(scheme);
            new.into()
        }),
        Some(PreTokenizerWrapper::Sequence(parts)) => {
            let changed: Vec<_> = parts.as_ref().iter().map(|part| with_scheme(Some(part), scheme)).collect();
            changed.iter().any(Option::is_some).then(|| {
                let parts = parts.as_ref().iter().zip(changed);
                PreTokenizers::new(parts.map(|(old, new)| new.unwrap_or_else(|| old.clone())).collect())
                    .into()
            })
        }
        _ => {
            let words = tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;
            Some(PreTokenizers::new(vec![words.into(), Metaspace::new('▁', scheme, true).into()]).into())
        }
    }
}

/// The model with the class's unknown token, and without chance: dropout is for training.
fn model(
    class: Class,
    model: &ModelWrapper,
    files: &TokenizerFiles,
) -> Option<(ModelWrapper, Vec<(&'static str, Value)>)> {
    match model {
        ModelWrapper::WordPiece(old) if matches!(class, Class::Bert | Class::MpNet) => {
            let unknown = special_token(files, "unk_token").or_else(|| class.default_token("unk_token"))?;
            (old.unk_token != unknown).then(|| {
                let mut new = old.clone();
                new.unk_token = unknown.to_owned();
                (new.into(), vec![("unk_token", json!(unknown))])
            })
        }
        ModelWrapper::BPE(old) if old.dropout.is_some() => {
            let mut new = old.clone();
            new.dropout = None;
            Some((new.into(), vec![("dropout", Value::Null)]))
        }
        ModelWrapper::Unigram(old) if old.alpha.is_some() || old.nbest_size.is_some() => {
            let mut new = old.clone();
            (new.alpha, new.nbest_size) = (None, None);
            Some((new.into(), vec![("dropout", Value::Null)]))
        }
        _ => None,
    }
}

/// Adds the tokens that files beside tokenizer.json name; returns those that it did not have as they are there.
fn add_tokens(inner: &mut Inner, files: &TokenizerFiles, class: Class) -> Result<Vec<Value>> {
    let location = &files.location;
    let mut wanted: Vec<(AddedToken, Option<u32>, bool)> = vec![];
    if let Some(listed) = files.config.get("added_tokens_decoder") {
        let entries = listed.as_object().ok_or_else(|| wrong(files, "added_tokens_decoder", "an object"))?;
        for (id, token) in entries {
            let id = id.trim().parse().ok();
            let token =
                Some(token).filter(|token| token.is_object()).and_then(|token| added_token(token, false));
            let (Some(id), Some(token)) = (id, token) else {
                let expected = "an object from ids to tokens with their content";
                return Err(wrong(files, "added_tokens_decoder", expected));
            };
            wanted.push((token, Some(id), true));
        }
    } else if let Some(entries) = files.added_tokens.as_object() {
        let special: Vec<&str> = SPECIAL_TOKENS.iter().filter_map(|key| special_token(files, key)).collect();
        for (content, id) in entries {
            let id = id.as_u64().and_then(|id| u32::try_from(id).ok()).ok_or_else(|| {
                Error::model_file(format!(
                    "cannot read added_tokens.json of {location}: expected an id for {content:?}, found {id}"
                ))
            })?;
            wanted.push((AddedToken::from(content, special.contains(&content.as_str())), Some(id), true));
        }
    }
    wanted.sort_by_key(|(_, id, _)| *id);
    for key in SPECIAL_TOKENS {
        let named = special_value(files, key).and_then(|value| added_token(value, true));
        // A class's own default is a token of the vocabulary or none.
        let usual = || class.default_token(key).filter(|token| inner.token_to_id(token).is_some());
        let token = named.or_else(|| usual().map(|token| AddedToken::from(token, true)));
        let Some(mut token) = token else { continue };
        // Source: `mask_token` of MPNetTokenizer and CamembertTokenizer.
        if key == "mask_token"
            && matches!(class, Class::MpNet | Class::Camembert)
            && !special_value(files, key).is_some_and(Value::is_object)
        {
            token = token.lstrip(true);
        }
        wanted.push((token, None, false));
    }
    for key in ["extra_special_tokens", "additional_special_tokens"] {
        let list = special_value(files, key);
        let tokens: Vec<&Value> = match list {
            Some(Value::Array(list)) => list.iter().collect(),
            Some(Value::Object(map)) => map.values().collect(),
            _ => vec![],
        };
        wanted.extend(tokens.into_iter().filter_map(|token| Some((added_token(token, true)?, None, false))));
    }
    let failed = || Error::model_file(format!("cannot read the added tokens of {location}"));
    let known: BTreeMap<String, AddedToken> =
        inner.get_added_tokens_decoder().into_values().map(|token| (token.content.clone(), token)).collect();
    let mut taken = BTreeSet::new();
    wanted.retain(|(token, _, is_listed)| {
        // One that is known already keeps what tokenizer.json says of it, unless a list of added tokens says otherwise; and a
        // list comes before a name.
        let same = known.get(&token.content).is_some_and(|old| !is_listed || same_token(old, token));
        !same && !token.content.is_empty() && taken.insert(token.content.clone())
    });
    let in_vocabulary: Vec<bool> =
        wanted.iter().map(|(token, ..)| inner.get_model().token_to_id(&token.content).is_some()).collect();
    let is_new = |token: &AddedToken| inner.token_to_id(&token.content).is_none();
    let new: Vec<bool> = wanted.iter().map(|(token, ..)| is_new(token)).collect();
    let tokens: Vec<AddedToken> = wanted.iter().map(|(token, ..)| token.clone()).collect();
    guard(failed, || inner.add_tokens(tokens).map(drop))?;

    let mut changed = vec![];
    for (at, (token, id, is_listed)) in wanted.into_iter().enumerate() {
        let AddedToken { content, single_word, lstrip, rstrip, normalized, special } = token;
        let found = inner.token_to_id(&content);
        if let Some(id) = id.filter(|id| new[at] && found != Some(*id)) {
            return Err(Error::model_file(format!(
                "cannot read the added tokens of {location}: {content:?} is to have the id {id}, and the next free one is {}; \
                 one of its files is of another version",
                found.unwrap_or_default()
            )));
        }
        // The special tokens of a vocab.txt follow from tokenizer_config.json.
        if files.json.is_some() || is_listed || !in_vocabulary[at] {
            changed.push(json!([content, found, single_word, lstrip, rstrip, normalized, special]));
        }
    }
    Ok(changed)
}

fn same_token(a: &AddedToken, b: &AddedToken) -> bool {
    let flags =
        |token: &AddedToken| [token.single_word, token.lstrip, token.rstrip, token.normalized, token.special];
    a.content == b.content && flags(a) == flags(b)
}

/// A token as files write it: its text, or an object with its text and how it is matched.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    let content = value.as_str().or_else(|| value.get("content")?.as_str())?;
    let flag = |key: &str| value.get(key).and_then(Value::as_bool);
    let special = special || flag("special").unwrap_or(false);
    Some(
        AddedToken::from(content, special)
            .single_word(flag("single_word").unwrap_or(false))
            .lstrip(flag("lstrip").unwrap_or(false))
            .rstrip(flag("rstrip").unwrap_or(false))
            .normalized(flag("normalized").unwrap_or(!special)),
    )
}

/// The class's framing, where the tokenizer frames otherwise.
fn post_processor(
    class: Class,
    inner: &Inner,
    files: &TokenizerFiles,
) -> Result<Option<PostProcessorWrapper>> {
    if class == Class::AsWritten {
        return Ok(None);
    }
    let token = |key: &str| {
        let token = special_token(files, key).or_else(|| class.default_token(key))?;
        Some((token.to_owned(), inner.token_to_id(token)?))
    };
    let [Some(open), Some(close)] = class.frame().map(token) else {
        // Without these tokens there is nothing to frame with but what tokenizer.json says.
        return match inner.get_post_processor() {
            Some(_) => Ok(None),
            None => Err(Error::model_file(format!(
                "cannot read the tokenizer of {}: it does not have the {} that its texts start with",
                files.location,
                class.frame()[0]
            ))),
        };
    };
    let new: PostProcessorWrapper = match class {
        Class::Bert | Class::Albert => BertProcessing::new(close, open).into(),
        _ => RobertaProcessing::new(close, open)
            .trim_offsets(class == Class::MpNet || flag(files, "trim_offsets")?.unwrap_or(true))
            .add_prefix_space(flag(files, "add_prefix_space")?.unwrap_or(false))
            .into(),
    };
    let same = |pair: bool| match inner.get_post_processor() {
        Some(old) => framed(old, pair).is_some_and(|old| framed(&new, pair).as_ref() == Some(&old)),
        None => false,
    };
    Ok((!same(false) || !same(true)).then_some(new))
}

/// Ids and types that a framing makes of one token, or of two texts of one token each.
fn framed(processor: &PostProcessorWrapper, pair: bool) -> Option<(Vec<u32>, Vec<u32>)> {
    let text = || Encoding::from_tokens(vec![Token::new(u32::MAX, "x".into(), (0, 1))], 0);
    let failed = || Error::input("cannot frame");
    let framed = guard(failed, || processor.process(text(), pair.then(text), true)).ok()?;
    Some((framed.get_ids().to_vec(), framed.get_type_ids().to_vec()))
}

/// Whether capitals go away in any case.
fn lowercases(inner: &Inner) -> bool {
    matches!(inner.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(normalizer)) if normalizer.lowercase)
        || matches!(flat(inner.get_normalizer()).first(), Some(NormalizerWrapper::Lowercase(_)))
}

/// What sentence-transformers does under `do_lower_case`: before the tokenizer's own normaliser.
fn lowercase(inner: &mut Inner) -> tokenizers::Result<()> {
    let all = std::iter::once(Lowercase.into()).chain(flat(inner.get_normalizer())).collect();
    inner.with_normalizer(Some(Sequence::new(all)))?;
    Ok(())
}

/// A special token's name in tokenizer_config.json or special_tokens_map.json: a string, or an object with its content.
pub(super) fn special_token<'a>(files: &'a TokenizerFiles, key: &str) -> Option<&'a str> {
    let value = special_value(files, key)?;
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// What the files say of a special token. As in transformers, special_tokens_map.json is for tokenizer_config.json of the
/// time before `added_tokens_decoder`, and then comes first.
fn special_value<'a>(files: &'a TokenizerFiles, key: &str) -> Option<&'a Value> {
    let listed = files.config.get("added_tokens_decoder").is_some();
    let first = if listed { None } else { files.special_tokens.get(key) };
    first.or_else(|| files.config.get(key)).filter(|value| !value.is_null())
}

/// A setting of tokenizer_config.json that is true or false.
fn flag(files: &TokenizerFiles, key: &str) -> Result<Option<bool>> {
    match files.config.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(other) => Err(wrong(files, key, &format!("true or false, found {}", encoding::brief(other)))),
    }
}

fn wrong(files: &TokenizerFiles, key: &str, expected: &str) -> Error {
    Error::model_file(format!(
        "cannot read tokenizer_config.json of {}: `{key}` must be {expected}",
        files.location
    ))
}
