//! What a plan must be before an engine runs it.
//!
//! Kernels are compiled without bounds checks, and buffers are reused: a step whose sizes do not agree would read or write
//! beyond a buffer, and one that reads what no step wrote would see an earlier batch. So both are refused here, once, with
//! the step's number and kernel. The time is linear in the plan.

use std::fmt::Display;

use super::{BufferId, BufferSpec, Norm, Output, Plan, RelativeBias, RowIndex, Rows, Step, WeightId};
use crate::error::{Error, Result};
use crate::model::{Pooling, WeightKind, WeightPart, WeightSpec};

/// The most columns of a buffer: kernels count elements in 32 bits, and a buffer has more rows than one.
const MAX_COLS: usize = 1 << 28;
/// The most elements of a weight: more than any checkpoint has, and few enough that bytes fit 64 bits by far.
const MAX_ELEMENTS: u64 = 1 << 40;

/// Checks every id, size and number of a plan.
///
/// # Errors
/// `is_input`: something does not agree; the message names the step.
pub(super) fn validate(plan: &Plan) -> Result<()> {
    for (at, buffer) in plan.buffers.iter().enumerate() {
        if buffer.cols == 0 || buffer.cols > MAX_COLS {
            return Err(refused(
                format_args!("buffer {at} ({})", buffer.label),
                format_args!("it has {} columns; expected 1 to {MAX_COLS}", buffer.cols),
            ));
        }
    }
    for (at, spec) in plan.weights.iter().enumerate() {
        weight_spec(spec).map_err(|problem| refused(format_args!("weight {at}"), problem))?;
    }
    let mut written = vec![Written::default(); plan.buffers.len()];
    for (at, step) in plan.steps.iter().enumerate() {
        StepCheck { plan, written: &mut written }
            .step(step)
            .map_err(|problem| refused(format_args!("step {at} ({})", step.kernel()), problem))?;
    }
    for (at, Output { kind, buffer }) in plan.outputs.iter().enumerate() {
        StepCheck { plan, written: &mut written }
            .read("it", *buffer)
            .map_err(|problem| refused(format_args!("output {at} ({kind:?})"), problem))?;
    }
    Ok(())
}

fn refused(place: impl Display, problem: impl Display) -> Error {
    Error::input(format!("the plan cannot run: {place}: {problem}"))
}

/// What is wrong, in words; the caller knows where.
type Check<T = ()> = std::result::Result<T, String>;

fn weight_spec(spec: &WeightSpec) -> Check {
    let Some(first) = spec.parts.first() else { return Err("it has no parts".into()) };
    let dimensions = if spec.kind == WeightKind::Vector { 1 } else { 2 };
    let mut elements = 0usize;
    for part in &spec.parts {
        let WeightPart { name, shape } = part;
        if shape.len() != dimensions || shape[1..] != first.shape[1..] {
            return Err(format!(
                "{name} has the shape {shape:?}; expected {dimensions} dimensions, the same after the first in all parts"
            ));
        }
        let len = shape.iter().try_fold(1usize, |len, side| len.checked_mul(*side)).unwrap_or(usize::MAX);
        elements = elements.saturating_add(len);
        if len == 0 || elements as u64 > MAX_ELEMENTS {
            return Err(format!(
                "{name} has the shape {shape:?}; expected 1 to {MAX_ELEMENTS} elements in all"
            ));
        }
    }
    Ok(())
}

/// Which columns of a buffer some step has written: all, or these, sorted and apart.
#[derive(Clone, Debug, Default)]
struct Written {
    all: bool,
    columns: Vec<(usize, usize)>,
}

impl Written {
    /// Notes columns `from .. to`. Steps write side by side as a rule, so that the list stays short.
    fn add(&mut self, from: usize, to: usize, cols: usize) {
        if self.all {
            return;
        }
        let at = self.columns.partition_point(|(_, end)| *end < from);
        let mut merged = (from, to);
        let overlapping = self.columns[at..].iter().take_while(|(start, _)| *start <= to).count();
        for (start, end) in self.columns.drain(at..at + overlapping) {
            merged = (merged.0.min(start), merged.1.max(end));
        }
        self.columns.insert(at, merged);
        self.all = self.columns == [(0, cols)];
    }
}

struct StepCheck<'a> {
    plan: &'a Plan,
    written: &'a mut [Written],
}

impl StepCheck<'_> {
    fn step(&mut self, step: &Step) -> Check {
        match *step {
            Step::EmbedLayerNorm { words, positions, types, norm, out } => {
                let spec = self.buffer("out", out)?;
                rows("out", spec, &[Rows::Tokens])?;
                for (what, table) in [("words", Some(words)), ("positions", positions), ("types", types)] {
                    let Some(table) = table else { continue };
                    let table = self.weight(what, table, WeightKind::Table)?;
                    equal(&format!("{what} {}", table.label()), "columns", table.cols(), spec.cols)?;
                }
                self.norm(norm, spec.cols)?;
                self.write(out);
            }
            Step::EmbedTokens { words, out } => {
                let spec = self.buffer("out", out)?;
                rows("out", spec, &[Rows::Tokens])?;
                let table = self.weight("words", words, WeightKind::Table)?;
                equal(&format!("words {}", table.label()), "columns", table.cols(), spec.cols)?;
                self.write(out);
            }
            Step::MatMul { x, weight, bias, residual, out, activation: _ } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                rows("x", from, &[Rows::Tokens, Rows::Texts, Rows::Selected])?;
                rows("out", to, &[from.rows])?;
                let matrix = self.weight("weight", weight, WeightKind::Matrix)?;
                equal(matrix.label(), "columns", matrix.cols(), from.cols)?;
                equal(matrix.label(), "rows", matrix.rows(), to.cols)?;
                if let Some(bias) = bias {
                    self.vector("bias", bias, to.cols)?;
                }
                if let Some(residual) = residual {
                    let spec = self.read("residual", residual)?;
                    rows("residual", spec, &[to.rows])?;
                    equal("residual", "columns", spec.cols, to.cols)?;
                    apart("residual", residual, out)?;
                }
                apart("x", x, out)?;
                self.write(out);
            }
            Step::Attention { qkv, heads, head_dim, scale, window: _, relative_bias, out } => {
                let inner = self.qkv(qkv, heads, head_dim)?;
                self.scores(heads, scale, relative_bias)?;
                let spec = self.buffer("out", out)?;
                rows("out", spec, &[Rows::Tokens])?;
                equal("out", "columns", spec.cols, inner)?;
                apart("qkv", qkv, out)?;
                self.write(out);
            }
            Step::AttentionProbabilities { qkv, heads, head_dim, scale, window: _, relative_bias, out } => {
                self.qkv(qkv, heads, head_dim)?;
                self.scores(heads, scale, relative_bias)?;
                let spec = self.buffer("out", out)?;
                rows("out", spec, &[Rows::TokenPairs])?;
                equal("out", "columns", spec.cols, heads)?;
                apart("qkv", qkv, out)?;
                self.write(out);
            }
            Step::Rotary { qkv, heads, head_dim, theta } => {
                self.qkv(qkv, heads, head_dim)?;
                if head_dim % 2 != 0 {
                    return Err(format!("head_dim is {head_dim}; expected an even number"));
                }
                if !(theta.is_finite() && theta > 0.0) {
                    return Err(format!("theta is {theta}; expected a positive number"));
                }
            }
            Step::AddLayerNorm { x, residual, norm, out } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                rows("x", from, &[Rows::Tokens, Rows::Texts, Rows::Selected])?;
                rows("out", to, &[from.rows])?;
                equal("out", "columns", to.cols, from.cols)?;
                if let Some(residual) = residual {
                    let spec = self.read("residual", residual)?;
                    rows("residual", spec, &[to.rows])?;
                    equal("residual", "columns", spec.cols, to.cols)?;
                    apart("residual", residual, out)?;
                }
                self.norm(norm, to.cols)?;
                apart("x", x, out)?;
                self.write(out);
            }
            Step::GatedActivation { x, activation: _, out } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                rows("x", from, &[Rows::Tokens, Rows::Texts, Rows::Selected])?;
                rows("out", to, &[from.rows])?;
                equal("x", "columns", from.cols, 2 * to.cols)?;
                apart("x", x, out)?;
                self.write(out);
            }
            Step::GatherRows { x, index, out } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                rows("x", from, &[Rows::Tokens])?;
                let expected = match index {
                    RowIndex::FirstToken => Rows::Texts,
                    RowIndex::Selected => Rows::Selected,
                };
                rows("out", to, &[expected])?;
                equal("out", "columns", to.cols, from.cols)?;
                apart("x", x, out)?;
                self.write(out);
            }
            Step::Pool { x, pooling, column, out } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                let expected = if pooling == Pooling::Pooler { Rows::Texts } else { Rows::Tokens };
                rows("x", from, &[expected])?;
                rows("out", to, &[Rows::Texts])?;
                let end = column.checked_add(from.cols).filter(|end| *end <= to.cols);
                let Some(end) = end else {
                    return Err(format!(
                        "{} columns from column {column} on do not fit into the {} of out",
                        from.cols, to.cols
                    ));
                };
                apart("x", x, out)?;
                self.written[out.index()].add(column, end, to.cols);
            }
            Step::MeanBlocks { x, blocks, weights, out } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                rows("x", from, &[Rows::Texts])?;
                rows("out", to, &[Rows::Texts])?;
                if blocks == 0 || Some(from.cols) != to.cols.checked_mul(blocks) {
                    return Err(format!(
                        "{blocks} blocks of {} columns are not the {} of x",
                        to.cols, from.cols
                    ));
                }
                if let Some(weights) = weights {
                    self.vector("weights", weights, blocks)?;
                }
                apart("x", x, out)?;
                self.write(out);
            }
            Step::NormalizeRows { x, out } => {
                let (from, to) = (self.read("x", x)?, self.buffer("out", out)?);
                rows("x", from, &[Rows::Tokens, Rows::Texts, Rows::Selected])?;
                rows("out", to, &[from.rows])?;
                if to.cols > from.cols {
                    return Err(format!("out has {} columns, more than the {} of x", to.cols, from.cols));
                }
                apart("x", x, out)?;
                self.write(out);
            }
        }
        Ok(())
    }

    fn buffer(&self, what: &str, id: BufferId) -> Check<BufferSpec> {
        let buffers = &self.plan.buffers;
        buffers.get(id.index()).copied().ok_or_else(|| {
            format!("{what} is buffer {}, but the plan has {} buffers", id.index(), buffers.len())
        })
    }

    /// A buffer that is read: all of it must have been written.
    fn read(&self, what: &str, id: BufferId) -> Check<BufferSpec> {
        let spec = self.buffer(what, id)?;
        let Written { all, columns } = &self.written[id.index()];
        match (all, &columns[..]) {
            (true, _) => Ok(spec),
            (false, []) => Err(format!(
                "{what} is buffer {} ({}), which no step before has written",
                id.index(),
                spec.label
            )),
            (false, parts) => Err(format!(
                "{what} is buffer {} ({}), of whose {} columns only {parts:?} were written",
                id.index(),
                spec.label,
                spec.cols
            )),
        }
    }

    fn write(&mut self, id: BufferId) {
        self.written[id.index()].all = true;
    }

    fn weight(&self, what: &str, id: WeightId, kind: WeightKind) -> Check<&WeightSpec> {
        let weights = &self.plan.weights;
        let spec = weights.get(id.index()).ok_or_else(|| {
            format!("{what} is weight {}, but the plan has {} weights", id.index(), weights.len())
        })?;
        if spec.kind != kind {
            return Err(format!("{what} {} is a {:?}; expected a {kind:?}", spec.label(), spec.kind));
        }
        Ok(spec)
    }

    fn vector(&self, what: &str, id: WeightId, len: usize) -> Check {
        let spec = self.weight(what, id, WeightKind::Vector)?;
        equal(&format!("{what} {}", spec.label()), "elements", spec.rows(), len)
    }

    fn norm(&self, norm: Norm, cols: usize) -> Check {
        self.vector("norm", norm.weight, cols)?;
        if let Some(bias) = norm.bias {
            self.vector("norm bias", bias, cols)?;
        }
        if !(norm.eps.is_finite() && norm.eps >= 0.0) {
            return Err(format!("eps is {}; expected a number from 0 on", norm.eps));
        }
        Ok(())
    }

    /// The width of q, k and v each.
    fn qkv(&self, qkv: BufferId, heads: usize, head_dim: usize) -> Check<usize> {
        let spec = self.read("qkv", qkv)?;
        rows("qkv", spec, &[Rows::Tokens])?;
        let inner = heads.checked_mul(head_dim).filter(|inner| *inner > 0 && *inner <= MAX_COLS);
        match inner {
            Some(inner) if 3 * inner == spec.cols => Ok(inner),
            _ => Err(format!(
                "qkv has {} columns; expected three times {heads} heads of {head_dim}",
                spec.cols
            )),
        }
    }

    fn scores(&self, heads: usize, scale: f32, relative_bias: Option<RelativeBias>) -> Check {
        if !scale.is_finite() {
            return Err(format!("scale is {scale}; expected a finite number"));
        }
        let Some(RelativeBias { weight, buckets, max_distance }) = relative_bias else { return Ok(()) };
        let table = self.weight("relative bias", weight, WeightKind::Table)?;
        equal(table.label(), "rows", table.rows(), buckets)?;
        equal(table.label(), "columns", table.cols(), heads)?;
        if buckets < 2 {
            return Err(format!(
                "the relative bias has {buckets} buckets; expected 2 at least, one for each side"
            ));
        }
        // Buckets by logarithm lie between the exact ones and `max_distance`; kernels index [heads, distances] in 31 bits.
        let fits =
            max_distance < 1 << 24 && (2 * max_distance + 1).saturating_mul(heads) <= i32::MAX as usize;
        if max_distance <= buckets / 4 || !fits {
            return Err(format!(
                "the relative bias ends at the distance {max_distance}; expected more than the {} of the exact buckets, \
                 and less than 2^24",
                buckets / 4
            ));
        }
        Ok(())
    }
}

fn rows(what: &str, spec: BufferSpec, expected: &[Rows]) -> Check {
    if expected.contains(&spec.rows) {
        return Ok(());
    }
    Err(format!("{what} ({}) has a row for each of {:?}; expected {expected:?}", spec.label, spec.rows))
}

fn equal(what: &str, of: &str, found: usize, expected: usize) -> Check {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what} has {found} {of}; expected {expected}"))
}

/// A kernel that reads what it writes would see half of each.
fn apart(what: &str, id: BufferId, out: BufferId) -> Check {
    if id != out {
        return Ok(());
    }
    Err(format!("{what} and out are the same buffer, {}", out.index()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Activation, Config, DenseLayer, EmbeddingRequest, Family, LayerAttention, LayerMix, PooledModule,
        PooledNorm,
    };
    use crate::plan::{HeadOutput, Request, families};

    /// Plans that have every kind of step and every optional field.
    fn plans() -> Vec<Plan> {
        let mut bert = Config::bert(12, 2, 3, 20, 50);
        let embeddings = |pooling: &[Pooling]| EmbeddingRequest {
            layers: vec![1, 2],
            mix: LayerMix::Mean,
            layer_weights: Some("1_WeightedLayerPooling/layer_weights".into()),
            pooling: pooling.to_vec(),
            modules: vec![],
            dimensions: Some(7),
            normalize: true,
        };
        let request = |head| Request {
            embeddings: Some(embeddings(&[Pooling::Mean, Pooling::Max])),
            hidden_states: vec![0, 2],
            attentions: vec![1],
            pooler_output: false,
            head: Some(head),
        };
        let mut plans = vec![];
        for head in [HeadOutput::MaskedLm, HeadOutput::NextSentence, HeadOutput::Sequence, HeadOutput::Token]
        {
            plans.push(families::plan(&bert, &request(head)).unwrap());
        }
        let dense = DenseLayer {
            name: "2_Dense/linear".into(),
            in_features: 24,
            out_features: 9,
            bias: true,
            activation: Some(Activation::Tanh),
        };
        let norm = PooledModule::LayerNorm(PooledNorm { name: "3_LayerNorm/norm".into(), width: 9 });
        let pooler = EmbeddingRequest {
            layers: vec![2],
            modules: vec![PooledModule::Dense(dense), norm],
            ..embeddings(&[Pooling::Pooler, Pooling::Cls])
        };
        let pooler = Request { embeddings: Some(pooler), pooler_output: true, ..Request::default() };
        plans.push(families::plan(&bert, &pooler).unwrap());
        bert.family = Family::MpNet;
        bert.type_vocab = 0;
        bert.relative_attention_buckets = Some(32);
        plans.push(families::plan(&bert, &request(HeadOutput::Sequence)).unwrap());
        bert.family = Family::ModernBert;
        bert.relative_attention_buckets = None;
        bert.attention = vec![LayerAttention { window: Some(4), rope_theta: Some(1e4) }; 2];
        plans.push(families::plan(&bert, &request(HeadOutput::Sequence)).unwrap());
        plans
    }

    /// The step with one field broken, each in turn.
    fn broken(step: &Step, plan: &Plan) -> Vec<Step> {
        let mut all = vec![];
        let far_buffer = BufferId::new(plan.buffers.len() as u32);
        let far_weight = WeightId::new(plan.weights.len() as u32);
        let mut change = |f: &dyn Fn(&mut Step) -> bool| {
            let mut step = step.clone();
            if f(&mut step) {
                all.push(step);
            }
        };
        for buffer in [Some(far_buffer), Some(BufferId::new(u32::MAX)), None] {
            // None: the buffer that the step writes, which it may not read.
            for field in 0..3 {
                change(&|step| {
                    let Some(id) = buffers(step).into_iter().flatten().nth(field).copied() else {
                        return false;
                    };
                    let out = buffers(step).into_iter().flatten().next_back().copied();
                    let wanted = buffer.or(out);
                    if let Some(id) = buffers(step).into_iter().flatten().nth(field)
                        && let Some(wanted) = wanted
                    {
                        *id = wanted;
                    }
                    wanted != Some(id)
                });
            }
        }
        for field in 0..6 {
            change(&|step| set(weights(step), field, far_weight));
            // Any weight of another kind or size.
            for other in 0..plan.weights.len() {
                let other = WeightId::new(other as u32);
                change(&|step| {
                    let Some(id) = weights(step).into_iter().flatten().nth(field).copied() else {
                        return false;
                    };
                    let (a, b) = (plan.weight(id), plan.weight(other));
                    let same = a.kind == b.kind && a.rows() == b.rows() && a.cols() == b.cols();
                    // A table of tokens may have any number of rows.
                    let table = a.kind == b.kind && a.kind == WeightKind::Table && a.cols() == b.cols();
                    !same && !table && set(weights(step), field, other)
                });
            }
        }
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            change(&|step| {
                number(step).is_some_and(|number| {
                    *number = wrong;
                    true
                })
            });
        }
        for field in 0..4 {
            let wrongs: [fn(usize) -> usize; 5] =
                [|n| n + 1, |n| n.wrapping_sub(1), |_| 0, |_| usize::MAX, |n| 2 * n + 3];
            for wrong in wrongs {
                change(&|step| {
                    let pool = matches!(step, Step::Pool { .. });
                    let Some(size) = sizes(step).into_iter().nth(field) else { return false };
                    let (before, after) = (*size, wrong(*size));
                    *size = after;
                    // A pooling's column may be another, as long as it fits; distances may be longer.
                    let distance = field == 3 && (9..1000).contains(&after);
                    before != after && !(pool && after <= before) && !distance
                });
            }
        }
        all
    }

    fn set(fields: Vec<Option<&mut WeightId>>, at: usize, value: WeightId) -> bool {
        fields.into_iter().flatten().nth(at).is_some_and(|id| {
            *id = value;
            true
        })
    }

    /// Every buffer of a step, the one it writes last.
    fn buffers(step: &mut Step) -> Vec<Option<&mut BufferId>> {
        match step {
            Step::EmbedLayerNorm { out, .. } | Step::EmbedTokens { out, .. } => vec![Some(out)],
            Step::MatMul { x, residual, out, .. } | Step::AddLayerNorm { x, residual, out, .. } => {
                vec![Some(x), residual.as_mut(), Some(out)]
            }
            Step::Attention { qkv, out, .. } | Step::AttentionProbabilities { qkv, out, .. } => {
                vec![Some(qkv), Some(out)]
            }
            Step::Rotary { qkv, .. } => vec![Some(qkv)],
            Step::GatedActivation { x, out, .. }
            | Step::GatherRows { x, out, .. }
            | Step::Pool { x, out, .. }
            | Step::MeanBlocks { x, out, .. }
            | Step::NormalizeRows { x, out } => vec![Some(x), Some(out)],
        }
    }

    fn weights(step: &mut Step) -> Vec<Option<&mut WeightId>> {
        match step {
            Step::EmbedTokens { words, .. } => vec![Some(words)],
            Step::EmbedLayerNorm { words, positions, types, norm, .. } => {
                vec![
                    Some(words),
                    positions.as_mut(),
                    types.as_mut(),
                    Some(&mut norm.weight),
                    norm.bias.as_mut(),
                ]
            }
            Step::MatMul { weight, bias, .. } => vec![Some(weight), bias.as_mut()],
            Step::AddLayerNorm { norm, .. } => vec![Some(&mut norm.weight), norm.bias.as_mut()],
            Step::Attention { relative_bias, .. } | Step::AttentionProbabilities { relative_bias, .. } => {
                vec![relative_bias.as_mut().map(|bias| &mut bias.weight)]
            }
            Step::MeanBlocks { weights, .. } => vec![weights.as_mut()],
            _ => vec![],
        }
    }

    fn number(step: &mut Step) -> Option<&mut f32> {
        match step {
            Step::EmbedLayerNorm { norm, .. } | Step::AddLayerNorm { norm, .. } => Some(&mut norm.eps),
            Step::Attention { scale, .. } | Step::AttentionProbabilities { scale, .. } => Some(scale),
            Step::Rotary { theta, .. } => Some(theta),
            _ => None,
        }
    }

    fn sizes(step: &mut Step) -> Vec<&mut usize> {
        match step {
            Step::Attention { heads, head_dim, relative_bias, .. }
            | Step::AttentionProbabilities { heads, head_dim, relative_bias, .. } => {
                let mut sizes = vec![heads, head_dim];
                if let Some(bias) = relative_bias {
                    sizes.extend([&mut bias.buckets, &mut bias.max_distance]);
                }
                sizes
            }
            Step::Rotary { heads, head_dim, .. } => vec![heads, head_dim],
            Step::Pool { column, .. } => vec![column],
            Step::MeanBlocks { blocks, .. } => vec![blocks],
            _ => vec![],
        }
    }

    fn refused(plan: &Plan, what: &str) {
        let error = validate(plan).expect_err(what);
        assert!(
            error.is_input() && error.to_string().starts_with("the plan cannot run: "),
            "{what}: {error}"
        );
    }

    #[test]
    fn a_plan_with_any_field_broken_is_refused() {
        let (mut kinds, mut tried) = (std::collections::HashSet::new(), 0);
        for plan in plans() {
            validate(&plan).unwrap();
            for at in 0..plan.steps.len() {
                kinds.insert(plan.steps[at].kernel());
                for step in broken(&plan.steps[at], &plan) {
                    let mut wrong = plan.clone();
                    let what = format!("step {at}: {step:?} for {:?}", plan.steps[at]);
                    wrong.steps[at] = step;
                    refused(&wrong, &what);
                    let error = validate(&wrong).unwrap_err().to_string();
                    assert!(error.contains("step "), "{error}");
                    tried += 1;
                }
            }
            // What is normalised may be cut to any width.
            let normalized = plan.steps.iter().find_map(|step| match step {
                Step::NormalizeRows { out, .. } => Some(out.index()),
                _ => None,
            });
            for at in 0..plan.buffers.len() {
                for rows in [Rows::Tokens, Rows::Texts, Rows::Selected, Rows::TokenPairs] {
                    if rows != plan.buffers[at].rows {
                        let mut wrong = plan.clone();
                        wrong.buffers[at].rows = rows;
                        refused(&wrong, &format!("buffer {at} with {rows:?}"));
                    }
                }
                let cols = plan.buffers[at].cols;
                for cols in [0, cols - 1, cols + 1, 2 * cols, MAX_COLS + 1, usize::MAX] {
                    if normalized == Some(at) && (1..=24).contains(&cols) {
                        continue;
                    }
                    let mut wrong = plan.clone();
                    wrong.buffers[at].cols = cols;
                    refused(&wrong, &format!("buffer {at} {:?} with {cols} columns", plan.buffers[at]));
                }
            }
            for at in 0..plan.weights.len() {
                let change = |f: &dyn Fn(&mut WeightSpec)| {
                    let mut wrong = plan.clone();
                    f(&mut wrong.weights[at]);
                    refused(&wrong, &format!("weight {at}: {:?}", wrong.weights[at]));
                };
                change(&|spec| spec.parts.clear());
                change(&|spec| spec.parts[0].shape.clear());
                change(&|spec| spec.parts[0].shape.push(1));
                change(&|spec| spec.parts[0].shape[0] = 0);
                change(&|spec| spec.parts[0].shape[0] = usize::MAX);
                for kind in [WeightKind::Matrix, WeightKind::Vector, WeightKind::Table] {
                    if kind != plan.weights[at].kind {
                        change(&|spec| spec.kind = kind);
                    }
                }
                // The rows of a table of tokens are its own affair: batches are held against them.
                if plan.weights[at].kind != WeightKind::Table {
                    change(&|spec| spec.parts[0].shape[0] += 1);
                }
                if plan.weights[at].kind != WeightKind::Vector {
                    change(&|spec| spec.parts[0].shape[1] += 1);
                }
            }
            for at in 0..plan.outputs.len() {
                let mut wrong = plan.clone();
                wrong.outputs[at].buffer = BufferId::new(plan.buffers.len() as u32);
                refused(&wrong, "an output that is not there");
            }
            let mut headless = plan.clone();
            headless.steps.remove(0);
            refused(&headless, "a step reads what nobody wrote");
        }
        assert_eq!(kinds.len(), 11, "every kind of step: {kinds:?}");
        assert!(tried > 2_000, "{tried}");
    }

    /// The time is linear in the layers: with the square of them this would take an hour.
    #[test]
    fn a_plan_of_many_layers_is_built_soon() {
        let layers = 20_000;
        let config = Config::bert(4, layers, 1, 4, 5);
        let embeddings = EmbeddingRequest {
            layers: (0..=layers).collect(),
            mix: LayerMix::Mean,
            layer_weights: None,
            pooling: vec![Pooling::Mean],
            modules: vec![],
            dimensions: None,
            normalize: true,
        };
        let request = Request {
            embeddings: Some(embeddings),
            hidden_states: (0..=layers).collect(),
            attentions: (0..layers).collect(),
            ..Request::default()
        };
        let started = web_time::Instant::now();
        let plan = families::plan(&config, &request).unwrap();
        assert!(plan.steps().len() > 8 * layers);
        assert!(started.elapsed().as_secs() < 30, "{:?}", started.elapsed());
    }

    #[test]
    fn columns_written_side_by_side_make_a_whole() {
        let mut written = Written::default();
        for (from, to) in [(8, 12), (0, 4), (2, 4), (4, 8)] {
            assert!(!written.all);
            written.add(from, to, 12);
        }
        assert!(written.all);
        let mut gap = Written::default();
        gap.add(0, 5, 12);
        gap.add(6, 12, 12);
        assert!(!gap.all && gap.columns == [(0, 5), (6, 12)]);
    }
}
