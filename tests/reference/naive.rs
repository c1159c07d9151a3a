//! Every step in f64, as plainly as it can be written: loops over the formulas, nothing shared with the engine.

use frostbert::model::Activation;
use frostbert::model::{Pooling, WeightSource};
use frostbert::plan::{BufferId, Norm, Plan, RelativeBias, RowIndex, Step, WeightId};
use frostbert::text::PackedBatch;
use std::f64::consts::{PI, SQRT_2};

pub struct Naive<'a> {
    plan: &'a Plan,
    batch: &'a PackedBatch,
    weights: Vec<Vec<f64>>,
    buffers: Vec<Vec<f64>>,
}

/// The outputs of a plan.
pub fn run(plan: &Plan, source: &dyn WeightSource, batch: &PackedBatch) -> Vec<Vec<f64>> {
    let load = |spec| source.load(spec).unwrap().into_iter().map(f64::from).collect();
    let weights = plan.weights().iter().map(load).collect();
    let lens = plan.buffers().iter().map(|spec| spec.rows.count(batch) * spec.cols);
    let buffers = lens.map(|len| vec![f64::NAN; len]).collect();
    let mut naive = Naive { plan, batch, weights, buffers };
    for step in plan.steps() {
        naive.step(step);
    }
    plan.outputs().iter().map(|output| naive.buffers[output.buffer.index()].clone()).collect()
}

pub fn activation(kind: Activation, x: f64) -> f64 {
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    match kind {
        Activation::Gelu => x * 0.5 * libm::erfc(-x / SQRT_2),
        Activation::GeluTanh => 0.5 * x * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044715 * x * x * x)).tanh()),
        Activation::Relu => x.max(0.0),
        Activation::Silu => x * sigmoid(x),
        Activation::QuickGelu => x * sigmoid(1.702 * x),
        Activation::Tanh => x.tanh(),
        Activation::Sigmoid => sigmoid(x),
        Activation::Mish => x * x.exp().ln_1p().tanh(),
        Activation::Relu6 => x.clamp(0.0, 6.0),
        Activation::LeakyRelu if x < 0.0 => 0.01 * x,
        Activation::LeakyRelu => x,
        Activation::Laplace => 0.5 * (1.0 + libm::erf((x - 707_107e-6) / (0.282095 * SQRT_2))),
        Activation::Relu2 => x.max(0.0).powi(2),
    }
}

impl Naive<'_> {
    fn row(&self, id: BufferId, row: usize) -> Vec<f64> {
        let cols = self.plan.buffer(id).cols;
        self.buffers[id.index()][row * cols..][..cols].to_vec()
    }

    fn table(&self, id: WeightId, row: usize) -> &[f64] {
        let cols = self.plan.weight(id).cols();
        &self.weights[id.index()][row * cols..][..cols]
    }

    fn write(&mut self, id: BufferId, row: usize, column: usize, values: &[f64]) {
        let cols = self.plan.buffer(id).cols;
        self.buffers[id.index()][row * cols + column..][..values.len()].copy_from_slice(values);
    }

    fn rows(&self, id: BufferId) -> usize {
        self.plan.buffer(id).rows.count(self.batch)
    }

    fn norm(&self, x: &[f64], norm: Norm) -> Vec<f64> {
        let len = x.len() as f64;
        let mean = x.iter().sum::<f64>() / len;
        let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / len;
        let scale = (variance + f64::from(norm.eps)).sqrt();
        let weight = &self.weights[norm.weight.index()];
        let bias = |i: usize| norm.bias.map_or(0.0, |bias| self.weights[bias.index()][i]);
        (0..x.len()).map(|i| (x[i] - mean) / scale * weight[i] + bias(i)).collect()
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::EmbedLayerNorm { words, positions, types, norm, out } => {
                for t in 0..self.batch.tokens() {
                    let mut x = self.table(words, self.batch.ids[t] as usize).to_vec();
                    for (table, id) in
                        [(positions, self.batch.position_ids[t]), (types, self.batch.type_ids[t])]
                    {
                        if let Some(table) = table {
                            x.iter_mut().zip(self.table(table, id as usize)).for_each(|(x, y)| *x += y);
                        }
                    }
                    let y = self.norm(&x, norm);
                    self.write(out, t, 0, &y);
                }
            }
            Step::MatMul { x, weight, bias, activation: kind, residual, out } => {
                for r in 0..self.rows(out) {
                    let input = self.row(x, r);
                    let mut y: Vec<f64> = (0..self.plan.weight(weight).rows())
                        .map(|n| self.table(weight, n).iter().zip(&input).map(|(w, x)| w * x).sum())
                        .collect();
                    for (n, y) in y.iter_mut().enumerate() {
                        *y += bias.map_or(0.0, |bias| self.weights[bias.index()][n]);
                        *y = kind.map_or(*y, |kind| activation(kind, *y));
                        *y += residual.map_or(0.0, |residual| self.row(residual, r)[n]);
                    }
                    self.write(out, r, 0, &y);
                }
            }
            Step::Attention { qkv, heads, head_dim, scale, window, relative_bias, out } => {
                for text in 0..self.batch.texts() {
                    let rows = self.batch.rows(text);
                    for head in 0..heads {
                        let p = self.probabilities(
                            qkv,
                            text,
                            head,
                            (heads, head_dim),
                            scale,
                            window,
                            relative_bias,
                        );
                        for (i, p) in p.iter().enumerate() {
                            let mut y = vec![0.0; head_dim];
                            for (j, p) in p.iter().enumerate() {
                                let v = self.row(qkv, rows.start + j);
                                let v = &v[(2 * heads + head) * head_dim..][..head_dim];
                                y.iter_mut().zip(v).for_each(|(y, v)| *y += p * v);
                            }
                            self.write(out, rows.start + i, head * head_dim, &y);
                        }
                    }
                }
            }
            Step::AttentionProbabilities { qkv, heads, head_dim, scale, window, relative_bias, out } => {
                let mut all = vec![];
                for text in 0..self.batch.texts() {
                    for head in 0..heads {
                        let p = self.probabilities(
                            qkv,
                            text,
                            head,
                            (heads, head_dim),
                            scale,
                            window,
                            relative_bias,
                        );
                        all.extend(p.into_iter().flatten());
                    }
                }
                self.buffers[out.index()].copy_from_slice(&all);
            }
            Step::Rotary { qkv, heads, head_dim, theta } => {
                for t in 0..self.batch.tokens() {
                    let mut row = self.row(qkv, t);
                    for head in row[..2 * heads * head_dim].chunks_exact_mut(head_dim) {
                        let before = head.to_vec();
                        for i in 0..head_dim {
                            // The angle is f32 by definition; see the engine's rotary.rs.
                            let exponent = (2 * (i % (head_dim / 2))) as f32 / head_dim as f32;
                            let angle = self.batch.position_ids[t] as f32 * (1.0 / theta.powf(exponent));
                            let half = head_dim / 2;
                            let other = if i < half { -before[i + half] } else { before[i - half] };
                            head[i] = before[i] * f64::from(angle).cos() + other * f64::from(angle).sin();
                        }
                    }
                    self.write(qkv, t, 0, &row);
                }
            }
            Step::AddLayerNorm { x, residual, norm, out } => {
                for r in 0..self.rows(out) {
                    let mut sum = self.row(x, r);
                    if let Some(residual) = residual {
                        sum.iter_mut().zip(self.row(residual, r)).for_each(|(x, y)| *x += y);
                    }
                    let y = self.norm(&sum, norm);
                    self.write(out, r, 0, &y);
                }
            }
            Step::GatedActivation { x, activation: kind, out } => {
                let cols = self.plan.buffer(out).cols;
                for r in 0..self.rows(out) {
                    let x = self.row(x, r);
                    let y: Vec<f64> = (0..cols).map(|i| activation(kind, x[i]) * x[cols + i]).collect();
                    self.write(out, r, 0, &y);
                }
            }
            Step::EmbedTokens { words, out } => {
                for r in 0..self.rows(out) {
                    let y = self.table(words, self.batch.ids[r] as usize).to_vec();
                    self.write(out, r, 0, &y);
                }
            }
            Step::GatherRows { x, index, out } => {
                for r in 0..self.rows(out) {
                    let from = match index {
                        RowIndex::FirstToken => self.batch.cu_seqlens[r],
                        RowIndex::Selected => self.batch.selected[r],
                    };
                    let y = self.row(x, from as usize);
                    self.write(out, r, 0, &y);
                }
            }
            Step::Pool { x, pooling, column, out } => {
                for text in 0..self.batch.texts() {
                    let y = self.pool(x, pooling, text);
                    self.write(out, text, column, &y);
                }
            }
            Step::MeanBlocks { x, blocks, weights, out } => {
                let cols = self.plan.buffer(out).cols;
                let weights =
                    weights.map_or(vec![1.0; blocks], |weights| self.weights[weights.index()].clone());
                let weight = |b: usize| weights[b];
                for r in 0..self.rows(out) {
                    let x = self.row(x, r);
                    let mean = |i: usize| {
                        (0..blocks).map(|b| weight(b) * x[b * cols + i]).sum::<f64>()
                            / (0..blocks).map(weight).sum::<f64>()
                    };
                    let y: Vec<f64> = (0..cols).map(mean).collect();
                    self.write(out, r, 0, &y);
                }
            }
            Step::NormalizeRows { x, out } => {
                let cols = self.plan.buffer(out).cols;
                for r in 0..self.rows(out) {
                    let x = self.row(x, r);
                    let norm = x[..cols].iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-12);
                    let y: Vec<f64> = x[..cols].iter().map(|x| x / norm).collect();
                    self.write(out, r, 0, &y);
                }
            }
        }
    }

    fn pool(&self, x: BufferId, pooling: Pooling, text: usize) -> Vec<f64> {
        if pooling == Pooling::Pooler {
            return self.row(x, text);
        }
        let rows: Vec<_> = self.batch.rows(text).map(|t| self.row(x, t)).collect();
        let len = rows.len() as f64;
        let sum = |weight: &dyn Fn(usize) -> f64, column: usize| -> f64 {
            rows.iter().enumerate().map(|(t, row)| weight(t) * row[column]).sum()
        };
        (0..rows[0].len())
            .map(|column| match pooling {
                Pooling::Cls => rows[0][column],
                Pooling::LastToken => rows[rows.len() - 1][column],
                Pooling::Max => rows.iter().map(|row| row[column]).fold(f64::NEG_INFINITY, f64::max),
                Pooling::Mean => sum(&|_| 1.0, column) / len,
                Pooling::MeanSqrtLenTokens => sum(&|_| 1.0, column) / len.sqrt(),
                Pooling::WeightedMean => sum(&|t| (t + 1) as f64, column) / (len * (len + 1.0) / 2.0),
                Pooling::Pooler => unreachable!(),
            })
            .collect()
    }

    #[allow(clippy::too_many_arguments)]
    fn probabilities(
        &self,
        qkv: BufferId,
        text: usize,
        head: usize,
        (heads, head_dim): (usize, usize),
        scale: f32,
        window: Option<usize>,
        bias: Option<RelativeBias>,
    ) -> Vec<Vec<f64>> {
        let rows: Vec<_> = self.batch.rows(text).map(|t| self.row(qkv, t)).collect();
        let part = |t: usize, part: usize| &rows[t][(part * heads + head) * head_dim..][..head_dim];
        (0..rows.len())
            .map(|i| {
                let scores: Vec<f64> = (0..rows.len())
                    .map(|j| {
                        if window.is_some_and(|window| i.abs_diff(j) > window) {
                            return f64::NEG_INFINITY;
                        }
                        let dot: f64 = part(i, 0).iter().zip(part(j, 1)).map(|(q, k)| q * k).sum();
                        let bias =
                            bias.map_or(0.0, |bias| self.table(bias.weight, bucket(i, j, &bias))[head]);
                        dot * f64::from(scale) + bias
                    })
                    .collect();
                let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = scores.iter().map(|x| (x - max).exp()).sum();
                scores.iter().map(|x| (x - max).exp() / sum).collect()
            })
            .collect()
    }
}

/// `MPNetEncoder.relative_position_bucket`, line by line.
fn bucket(query: usize, key: usize, bias: &RelativeBias) -> usize {
    let n = query as i64 - key as i64;
    let buckets = bias.buckets / 2;
    let side = if n < 0 { buckets } else { 0 };
    let n = n.unsigned_abs() as usize;
    let exact = buckets / 2;
    if n < exact {
        return side + n;
    }
    let log = (n as f32 / exact as f32).ln() / (bias.max_distance as f64 / exact as f64).ln() as f32;
    side + (exact + (log * (buckets - exact) as f32) as usize).min(buckets - 1)
}
