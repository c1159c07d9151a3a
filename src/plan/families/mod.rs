//! One short file a family: which tensors a layer has and which steps it is made of. Batching, pooling, layer choice
//! and the executor are shared: a family only implements `Steps`.

mod albert;
mod bert;
mod distilbert;
mod electra;
mod heads;
mod modernbert;
mod mpnet;
mod post_norm;
mod roberta;
mod static_embedding;

use crate::error::{Error, Result};
use crate::model::{Config, Family};
use crate::plan::request::HeadOutput;
use crate::plan::{BufferId, OutputKind, Plan, PlanBuilder, Request};

/// What a family must say. Everything else is the same for all.
trait Steps {
    /// The hidden state that enters the first layer, `[tokens, hidden]`.
    fn embeddings(&self, b: &mut PlanBuilder<'_>) -> BufferId;

    /// Layer `layer` (0 = first): takes and releases a hidden state, gives the next.
    fn layer(&self, b: &mut PlanBuilder<'_>, layer: usize, hidden: BufferId) -> BufferId;

    /// What follows the last layer and still belongs to the encoder (ModernBERT's final norm).
    fn last(&self, _b: &mut PlanBuilder<'_>, hidden: BufferId) -> BufferId {
        hidden
    }

    /// `pooler_output`, `[texts, hidden]`, for families that have one.
    fn pooler(&self, _b: &mut PlanBuilder<'_>, _hidden: BufferId) -> Option<BufferId> {
        None
    }

    /// Logits of one of the heads that come in checkpoints; none where the family has no such head.
    fn head(&self, b: &mut PlanBuilder<'_>, head: HeadOutput, hidden: BufferId) -> Option<BufferId>;
}

/// The plan of one encoder pass.
///
/// # Errors
/// The request asks for a layer or an output that the model does not have.
pub fn plan(config: &Config, request: &Request) -> Result<Plan> {
    let steps: &dyn Steps = match config.family {
        Family::Bert => &bert::Bert,
        Family::Roberta | Family::Camembert | Family::XlmRoberta => &roberta::Roberta,
        Family::DistilBert => &distilbert::DistilBert,
        Family::Electra => &electra::Electra,
        Family::Albert => &albert::Albert,
        Family::MpNet => &mpnet::Mpnet,
        Family::ModernBert => &modernbert::ModernBert,
        Family::Static => &static_embedding::StaticEmbedding,
    };
    let mut b = PlanBuilder::new(config, request)?;
    let mut hidden = steps.embeddings(&mut b);
    let mut layer = 0;
    while b.hidden_state(layer, hidden).is_continue() {
        hidden = steps.layer(&mut b, layer, hidden);
        layer += 1;
        if layer == config.layers {
            hidden = steps.last(&mut b, hidden);
        }
    }
    let pooler = if b.needs_pooler() && config.has_pooler { steps.pooler(&mut b, hidden) } else { None };
    if let Some(head) = request.head {
        let logits = steps.head(&mut b, head, hidden).ok_or_else(|| {
            Error::input(format!("{} checkpoints have no {} head", config.family.name(), head.kind().name()))
        })?;
        b.output(OutputKind::Logits, logits);
    }
    b.finish(pooler)
}
