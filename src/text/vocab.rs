//! A BERT tokenizer from vocab.txt, for checkpoints older than tokenizer.json.

use super::tokenizer::special_token;
use crate::error::{Error, Result};
use crate::model::TokenizerFiles;
use serde_json::Value;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// WordPiece over vocab.txt with the settings of tokenizer_config.json. Source: `BertTokenizer`, `MPNetTokenizer`.
pub(super) fn word_piece(vocab: &[u8], files: &TokenizerFiles) -> Result<Tokenizer> {
    let failed = |error: tokenizers::Error| {
        Error::model_file(format!("cannot read vocab.txt of {}", files.location)).with_source(error)
    };
    let flag = |key: &str| files.config.get(key).and_then(Value::as_bool);
    let class = files.config.get("tokenizer_class").and_then(Value::as_str).unwrap_or_default();
    // MPNet reads WordPiece, but frames texts as RoBERTa does.
    let is_mpnet = class.starts_with("MPNet");
    let names = match is_mpnet {
        true => ["[UNK]", "<pad>", "<s>", "</s>", "<mask>"],
        false => ["[UNK]", "[PAD]", "[CLS]", "[SEP]", "[MASK]"],
    };
    let keys = ["unk_token", "pad_token", "cls_token", "sep_token", "mask_token"];
    let special: Vec<&str> =
        keys.iter().zip(names).map(|(key, usual)| special_token(files, key).unwrap_or(usual)).collect();

    let model = WordPiece::builder()
        .vocab(WordPiece::read_bytes(vocab).map_err(failed)?)
        .unk_token(special[0].to_owned())
        .build()
        .map_err(failed)?;
    let mut tokenizer = Tokenizer::new(model);
    let framing = |at: usize| -> Result<(String, u32)> {
        let token = special[at];
        let id = tokenizer.token_to_id(token).ok_or_else(|| {
            Error::model_file(format!(
                "cannot read vocab.txt of {}: it does not have the {} {token}; is it the vocabulary of another model?",
                files.location, keys[at]
            ))
        })?;
        Ok((token.to_owned(), id))
    };
    framing(0)?;
    let (cls, sep) = (framing(2)?, framing(3)?);
    if is_mpnet {
        let processing = RobertaProcessing::new(sep, cls).trim_offsets(false).add_prefix_space(false);
        tokenizer.with_post_processor(Some(processing));
    } else {
        tokenizer.with_post_processor(Some(BertProcessing::new(sep, cls)));
    }
    let normalizer = BertNormalizer::new(
        true,
        flag("tokenize_chinese_chars").unwrap_or(true),
        flag("strip_accents"),
        flag("do_lower_case").unwrap_or(true),
    );
    tokenizer.with_normalizer(Some(normalizer)).map_err(failed)?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
    // Only those the vocabulary has: adding another would give it an id beyond the embeddings.
    let known = special.iter().filter(|token| tokenizer.token_to_id(token).is_some());
    let added: Vec<AddedToken> = known.map(|token| AddedToken::from(*token, true)).collect();
    tokenizer.add_special_tokens(added).map_err(failed)?;
    Ok(tokenizer)
}
