//! Families of encoders.

/// A family of encoders: which tensors there are and how a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// `model_type: bert`.
    Bert,
    /// `model_type: roberta`.
    Roberta,
    /// `model_type: camembert`: RoBERTa under another name.
    Camembert,
    /// `model_type: xlm-roberta`: RoBERTa with a multilingual vocabulary.
    XlmRoberta,
    /// `model_type: distilbert`.
    DistilBert,
    /// `model_type: electra`.
    Electra,
    /// `model_type: albert`.
    Albert,
    /// `model_type: mpnet`.
    MpNet,
    /// `model_type: modernbert`.
    ModernBert,
    /// No transformer: a table of token vectors, whose mean over a text is its embedding. Source: `StaticEmbedding` of
    /// sentence-transformers; models of model2vec are such tables.
    Static,
}

impl serde::Serialize for Family {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Family {
    /// Every family that config.json can name.
    pub const ALL: [Family; 9] = [
        Family::Bert,
        Family::Roberta,
        Family::Camembert,
        Family::XlmRoberta,
        Family::DistilBert,
        Family::Electra,
        Family::Albert,
        Family::MpNet,
        Family::ModernBert,
    ];

    /// The `model_type` in config.json; `static` where there is no transformer.
    pub fn name(self) -> &'static str {
        match self {
            Family::Bert => "bert",
            Family::Roberta => "roberta",
            Family::Camembert => "camembert",
            Family::XlmRoberta => "xlm-roberta",
            Family::DistilBert => "distilbert",
            Family::Electra => "electra",
            Family::Albert => "albert",
            Family::MpNet => "mpnet",
            Family::ModernBert => "modernbert",
            Family::Static => "static",
        }
    }

    /// The family of a `model_type`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|family| family.name() == name)
    }

    /// What transformers puts before `Model`, `ForMaskedLM`, ... in its class names.
    pub fn class_prefix(self) -> &'static str {
        match self {
            Family::Bert => "Bert",
            Family::Roberta => "Roberta",
            Family::Camembert => "Camembert",
            Family::XlmRoberta => "XLMRoberta",
            Family::DistilBert => "DistilBert",
            Family::Electra => "Electra",
            Family::Albert => "Albert",
            Family::MpNet => "MPNet",
            Family::ModernBert => "ModernBert",
            Family::Static => "StaticEmbedding",
        }
    }
}
