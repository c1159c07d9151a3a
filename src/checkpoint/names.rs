//! Tensor names: as a checkpoint spells them, and as plans ask for them.

use crate::model::Family;

impl Family {
    /// What a checkpoint with a head puts before the names of the encoder's tensors. Source: `base_model_prefix`.
    pub(crate) fn base_prefix(self) -> &'static str {
        match self {
            Family::Bert => "bert.",
            Family::Roberta | Family::Camembert | Family::XlmRoberta => "roberta.",
            Family::DistilBert => "distilbert.",
            Family::Electra => "electra.",
            Family::Albert => "albert.",
            Family::MpNet => "mpnet.",
            Family::ModernBert => "model.",
            Family::Static => "",
        }
    }
}

/// The name that plans use: without the base prefix, and with today's names of a LayerNorm's tensors.
pub(super) fn canonical(family: Family, stored: &str) -> String {
    let name = stored.strip_prefix(family.base_prefix()).unwrap_or(stored);
    // Checkpoints converted from TensorFlow call scale and shift gamma and beta.
    match name.rsplit_once('.') {
        Some((norm, "gamma")) => format!("{norm}.weight"),
        Some((norm, "beta")) => format!("{norm}.bias"),
        _ => name.to_owned(),
    }
}

/// The tensors of a masked-language-model head that go by two names: word embeddings and decoder, bias and decoder's bias. A
/// family whose bias has one name has it twice here.
pub(super) fn tied(family: Family) -> [&'static str; 4] {
    let words = "embeddings.word_embeddings.weight";
    match family {
        Family::Bert => {
            [words, "cls.predictions.decoder.weight", "cls.predictions.bias", "cls.predictions.decoder.bias"]
        }
        Family::Roberta | Family::Camembert | Family::XlmRoberta | Family::MpNet => {
            [words, "lm_head.decoder.weight", "lm_head.bias", "lm_head.decoder.bias"]
        }
        Family::Albert => {
            [words, "predictions.decoder.weight", "predictions.bias", "predictions.decoder.bias"]
        }
        Family::DistilBert => {
            [words, "vocab_projector.weight", "vocab_projector.bias", "vocab_projector.bias"]
        }
        Family::Electra => {
            [words, "generator_lm_head.weight", "generator_lm_head.bias", "generator_lm_head.bias"]
        }
        Family::ModernBert => {
            ["embeddings.tok_embeddings.weight", "decoder.weight", "decoder.bias", "decoder.bias"]
        }
        Family::Static => [words; 4],
    }
}

/// Tensors that older versions of transformers saved though nothing was learned in them.
pub(super) fn is_unused_buffer(name: &str) -> bool {
    ["position_ids", "token_type_ids", "rotary_emb.inv_freq"].iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_old_norm_names_go_away() {
        let cases = [
            (Family::Bert, "bert.embeddings.LayerNorm.gamma", "embeddings.LayerNorm.weight"),
            (Family::Bert, "embeddings.LayerNorm.beta", "embeddings.LayerNorm.bias"),
            (Family::Bert, "cls.predictions.bias", "cls.predictions.bias"),
            (Family::XlmRoberta, "roberta.pooler.dense.bias", "pooler.dense.bias"),
            (Family::ModernBert, "model.layers.0.attn.Wqkv.weight", "layers.0.attn.Wqkv.weight"),
            (Family::ModernBert, "head.dense.weight", "head.dense.weight"),
        ];
        for (family, stored, expected) in cases {
            assert_eq!(canonical(family, stored), expected);
        }
        assert!(is_unused_buffer("embeddings.position_ids"));
        assert!(!is_unused_buffer("embeddings.position_embeddings.weight"));
    }
}
