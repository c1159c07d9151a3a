//! A BERT tokenizer from vocab.txt, for checkpoints older than tokenizer.json.

use super::guard::guard;
use super::settings::{Class, special_token};
use crate::error::{Error, Result};
use crate::model::TokenizerFiles;
use tokenizers::Tokenizer;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

/// WordPiece over vocab.txt with the settings of tokenizer_config.json. Source: `BertTokenizer`, `MPNetTokenizer`.
///
/// Normaliser, added tokens and framing are those of [`settings`](super::settings).
pub(super) fn word_piece(vocab: &[u8], files: &TokenizerFiles, class: Class) -> Result<Tokenizer> {
    let failed = || Error::model_file(format!("cannot read vocab.txt of {}", files.location));
    let keys = ["unk_token", "cls_token", "sep_token"];
    let special =
        keys.map(|key| special_token(files, key).or_else(|| class.default_token(key)).unwrap_or_default());
    let model = guard(failed, || {
        let vocab = WordPiece::read_bytes(vocab)?;
        WordPiece::builder().vocab(vocab).unk_token(special[0].to_owned()).build()
    })?;
    let mut tokenizer = Tokenizer::new(model);
    let known = |at: usize| -> Result<()> {
        let token = special[at];
        match tokenizer.token_to_id(token) {
            Some(_) => Ok(()),
            None => Err(Error::model_file(format!(
                "cannot read vocab.txt of {}: it does not have the {} {token}; is it the vocabulary of another model?",
                files.location, keys[at]
            ))),
        }
    };
    keys.iter().enumerate().try_for_each(|(at, _)| known(at))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(tokenizers::decoders::wordpiece::WordPiece::default()));
    Ok(tokenizer)
}
