//! Multilayer perceptrons: forward, backward, and the steps of training.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::head::data::matrix::Matrix;
use crate::head::numeric::adamw;
use crate::head::numeric::adamw::AdamW;
use crate::head::numeric::dense;
use crate::head::numeric::loss::Loss;
use crate::head::options::HeadActivation;
use crate::platform;

impl HeadActivation {
    fn value(self, x: f64) -> f64 {
        match self {
            HeadActivation::Gelu => x * phi(x),
            HeadActivation::Relu => x.max(0.0),
        }
    }

    fn slope(self, x: f64) -> f64 {
        match self {
            HeadActivation::Gelu => {
                phi(x) + x * libm::exp(-0.5 * x * x) / (2.0 * std::f64::consts::PI).sqrt()
            }
            HeadActivation::Relu => f64::from(u8::from(x > 0.0)),
        }
    }
}

/// The normal distribution function.
fn phi(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

/// Layers of `W x + b` with an activation between.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mlp {
    /// Columns of the input, of each hidden layer, and of the output.
    pub(crate) widths: Vec<usize>,
    pub(crate) activation: HeadActivation,
    /// Layer by layer: weights `[out, in]`, then biases `[out]`.
    pub(crate) parameters: Vec<f64>,
}

/// Rows worked on as one piece; decides the order of sums.
const PIECE: usize = 16;

impl Mlp {
    /// Hidden layers drawn at random (He et al. 2015), and an output of nothing but `biases`.
    pub(crate) fn new(widths: Vec<usize>, activation: HeadActivation, biases: &[f64], seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut mlp = Mlp { widths, activation, parameters: vec![] };
        mlp.parameters = vec![0.0; mlp.layers().last().map_or(0, |layer| layer.biases().end)];
        let last = mlp.layers().len() - 1;
        for (at, layer) in mlp.layers().into_iter().enumerate() {
            if at < last {
                let bound = (6.0 / layer.input as f64).sqrt();
                for weight in &mut mlp.parameters[layer.weights()] {
                    *weight = bound * (2.0 * uniform(&mut rng) - 1.0);
                }
            } else {
                mlp.parameters[layer.biases()].copy_from_slice(biases);
            }
        }
        mlp
    }

    fn layers(&self) -> Vec<Layer> {
        let mut from = 0;
        let layer = |pair: &[usize]| {
            let layer = Layer { from, input: pair[0], output: pair[1] };
            from = layer.biases().end;
            layer
        };
        self.widths.windows(2).map(layer).collect()
    }

    /// Number of logits.
    pub(crate) fn outputs(&self) -> usize {
        self.widths[self.widths.len() - 1]
    }

    /// Whether a parameter is a weight: biases do not decay.
    pub(crate) fn decaying(&self) -> Vec<bool> {
        let mut decays = vec![false; self.parameters.len()];
        for layer in self.layers() {
            decays[layer.weights()].fill(true);
        }
        decays
    }

    /// Turns the output `z` into `mean + scale * z`.
    pub(crate) fn rescale_output(&mut self, mean: f64, scale: f64) {
        let layers = self.layers();
        let last = &layers[layers.len() - 1];
        self.parameters[last.weights().start..last.biases().end].iter_mut().for_each(|p| *p *= scale);
        self.parameters[last.biases()].iter_mut().for_each(|b| *b += mean);
    }

    /// Logits of the rows named, `[rows, outputs]`.
    pub(crate) fn logits(&self, x: &Matrix, rows: &[u32]) -> Vec<f64> {
        let outputs = self.outputs();
        let mut out = vec![0.0; rows.len() * outputs];
        platform::for_chunks(&mut out, PIECE * outputs, |piece, out| {
            let rows = &rows[piece * PIECE..piece * PIECE + out.len() / outputs];
            out.copy_from_slice(self.forward(x, rows, &mut None).output());
        });
        out
    }

    /// Mean loss of a batch by weight, and its gradient; `dropout` zeroes hidden values at random.
    pub(crate) fn gradient(
        &self,
        x: &Matrix,
        rows: &[u32],
        weights: &[f64],
        loss: &Loss,
        dropout: Option<Dropout>,
    ) -> (f64, Vec<f64>) {
        let pieces: Vec<&[u32]> = rows.chunks(PIECE).collect();
        let parts = platform::map(pieces.len(), |piece| {
            let mut masks = dropout.map(|dropout| dropout.masks(piece as u64));
            self.piece_gradient(x, pieces[piece], weights, loss, &mut masks)
        });
        let total: f64 = rows.iter().map(|&row| weights[row as usize]).sum();
        let share = if total > 0.0 { 1.0 / total } else { 0.0 };
        let mut gradient = vec![0.0; self.parameters.len()];
        let mut sum = 0.0;
        for (value, part) in parts {
            sum += value;
            gradient.iter_mut().zip(&part).for_each(|(g, part)| *g += part);
        }
        gradient.iter_mut().for_each(|g| *g *= share);
        (sum * share, gradient)
    }

    fn piece_gradient(
        &self,
        x: &Matrix,
        rows: &[u32],
        weights: &[f64],
        loss: &Loss,
        masks: &mut Option<Masks>,
    ) -> (f64, Vec<f64>) {
        let outputs = self.outputs();
        let mut trace = self.forward(x, rows, masks);
        let mut gradient = vec![0.0; self.parameters.len()];
        let mut value = 0.0;
        let mut back = trace.before.pop().expect("a network has an output layer");
        for (&row, logits) in rows.iter().zip(back.chunks_exact_mut(outputs)) {
            let weight = weights[row as usize];
            value += weight * loss.row(row as usize, logits);
            logits.iter_mut().for_each(|g| *g *= weight);
        }
        for (at, layer) in self.layers().iter().enumerate().rev() {
            for row in back.chunks_exact(layer.output) {
                gradient[layer.biases()].iter_mut().zip(row).for_each(|(g, r)| *g += r);
            }
            if at == 0 {
                dense::add_outer(&features(x, rows), &back, layer.output, &mut gradient[layer.weights()]);
                break;
            }
            let inputs: Vec<&[f64]> = trace.after[at - 1].chunks_exact(layer.input).collect();
            dense::add_outer(&inputs, &back, layer.output, &mut gradient[layer.weights()]);
            // The gradient in this layer's input: rows of the weight matrix, summed by the output's gradient.
            let weights: Vec<&[f64]> = self.parameters[layer.weights()].chunks_exact(layer.input).collect();
            let transposed = transpose(&back, layer.output);
            let mut input = vec![0.0; rows.len() * layer.input];
            dense::add_outer(&weights, &transposed, rows.len(), &mut input);
            let before = &trace.before[at - 1];
            for (i, g) in input.iter_mut().enumerate() {
                *g *= self.activation.slope(before[i]) * trace.kept.get(at - 1).map_or(1.0, |kept| kept[i]);
            }
            back = input;
        }
        (value, gradient)
    }

    fn forward(&self, x: &Matrix, rows: &[u32], masks: &mut Option<Masks>) -> Trace {
        let layers = self.layers();
        let mut trace = Trace::default();
        for (at, layer) in layers.iter().enumerate() {
            let (w, b) = (&self.parameters[layer.weights()], &self.parameters[layer.biases()]);
            let mut out = vec![0.0; rows.len() * layer.output];
            if at == 0 {
                dense::affine(&features(x, rows), w, b, &mut out);
            } else {
                let inputs: Vec<&[f64]> = trace.after[at - 1].chunks_exact(layer.input).collect();
                dense::affine(&inputs, w, b, &mut out);
            }
            if at + 1 < layers.len() {
                let mut after: Vec<f64> = out.iter().map(|&value| self.activation.value(value)).collect();
                if let Some(masks) = masks {
                    let kept = masks.next(after.len());
                    after.iter_mut().zip(&kept).for_each(|(value, kept)| *value *= kept);
                    trace.kept.push(kept);
                }
                trace.after.push(after);
            }
            trace.before.push(out);
        }
        trace
    }
}

/// Where a layer's parameters lie.
struct Layer {
    from: usize,
    input: usize,
    output: usize,
}

impl Layer {
    fn weights(&self) -> std::ops::Range<usize> {
        self.from..self.from + self.input * self.output
    }

    fn biases(&self) -> std::ops::Range<usize> {
        let from = self.weights().end;
        from..from + self.output
    }
}

/// Number of parameters of layers of these widths; none when it overflows.
pub(crate) fn parameters(widths: &[usize]) -> Option<usize> {
    widths
        .windows(2)
        .try_fold(0usize, |sum, pair| sum.checked_add(pair[0].checked_add(1)?.checked_mul(pair[1])?))
}

/// What a forward pass leaves for the backward one.
#[derive(Default)]
struct Trace {
    /// Of each layer, before the activation; the last is the output.
    before: Vec<Vec<f64>>,
    /// Of each hidden layer, after activation and dropout.
    after: Vec<Vec<f64>>,
    /// Factors of the dropout; empty without.
    kept: Vec<Vec<f64>>,
}

impl Trace {
    fn output(&self) -> &[f64] {
        &self.before[self.before.len() - 1]
    }
}

fn features<'a>(x: &'a Matrix, rows: &[u32]) -> Vec<&'a [f32]> {
    rows.iter().map(|&row| x.row(row as usize)).collect()
}

/// `[rows, columns]` to `[columns, rows]`.
fn transpose(values: &[f64], columns: usize) -> Vec<f64> {
    let rows = values.len() / columns;
    (0..values.len()).map(|at| values[(at % rows) * columns + at / rows]).collect()
}

/// Random zeroing of hidden values, decided by seed and step alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dropout {
    /// Share that is zeroed.
    pub(crate) share: f64,
    pub(crate) seed: u64,
    pub(crate) step: u64,
}

impl Dropout {
    /// Each piece of a batch has a stream of its own, so that pieces may be worked on in any order.
    fn masks(&self, piece: u64) -> Masks {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed ^ 0x6d61_736b);
        rng.set_stream((self.step << 24) | piece);
        Masks { rng, share: self.share }
    }
}

struct Masks {
    rng: ChaCha8Rng,
    share: f64,
}

impl Masks {
    /// Zeroes, and what keeps the mean where it is not zero.
    fn next(&mut self, len: usize) -> Vec<f64> {
        let keep = 1.0 / (1.0 - self.share);
        (0..len).map(|_| if uniform(&mut self.rng) < self.share { 0.0 } else { keep }).collect()
    }
}

/// At least zero, less than one.
fn uniform(rng: &mut ChaCha8Rng) -> f64 {
    f64::from(rng.next_u32()) / 4_294_967_296.0
}

/// One optimiser step's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepSettings {
    pub(crate) rate: f64,
    pub(crate) decay: f64,
    pub(crate) clip: f64,
}

/// Takes one AdamW step on a batch and returns its loss.
pub(crate) fn step(
    mlp: &mut Mlp,
    adam: &mut AdamW,
    decays: &[bool],
    (loss, mut gradient): (f64, Vec<f64>),
    settings: StepSettings,
) -> f64 {
    adamw::clip(&mut gradient, settings.clip);
    adam.step(&mut mlp.parameters, &gradient, settings.rate, settings.decay, |at| decays[at]);
    loss
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(activation: HeadActivation, outputs: usize) -> (Matrix<'static>, Mlp) {
        let x: Vec<f32> = (0..21 * 4).map(|at| ((at * 37 % 29) as f32) / 9.0 - 1.5).collect();
        let mut mlp = Mlp::new(vec![4, 5, 3, outputs], activation, &vec![0.2; outputs], 3);
        // The output layer starts at zero, where its inputs have no gradient: move it.
        for (at, p) in mlp.parameters.iter_mut().enumerate() {
            *p += ((at * 13 % 7) as f64 - 3.0) / 20.0;
        }
        (Matrix::new(21, 4, x).unwrap(), mlp)
    }

    #[test]
    fn gradients_match_finite_differences_in_every_layer() {
        let rows: Vec<u32> = (0..21).filter(|row| row % 4 != 2).collect();
        let weights: Vec<f64> = (0..21).map(|row| 0.5 + f64::from(row % 3)).collect();
        let labels: Vec<u32> = (0..21).map(|row| row % 3).collect();
        let binary: Vec<u32> = (0..21).map(|row| row % 2).collect();
        let marks: Vec<bool> = (0..63).map(|at| at % 4 == 1).collect();
        let values: Vec<f64> = (0..21).map(|row| f64::from(row) / 9.0).collect();
        for activation in [HeadActivation::Gelu, HeadActivation::Relu] {
            for dropout in [None, Some(Dropout { share: 0.4, seed: 5, step: 9 })] {
                for loss in [
                    Loss::Softmax { labels: &labels, classes: 3 },
                    Loss::Logistic { labels: &binary },
                    Loss::Sigmoid { marks: &marks, outputs: 3 },
                    Loss::Squared { values: &values },
                ] {
                    let (x, mlp) = case(activation, loss.outputs());
                    let (_, gradient) = mlp.gradient(&x, &rows, &weights, &loss, dropout);
                    for at in 0..gradient.len() {
                        let moved = |step: f64| {
                            let mut mlp = mlp.clone();
                            mlp.parameters[at] += step;
                            mlp.gradient(&x, &rows, &weights, &loss, dropout).0
                        };
                        let want = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                        let off = (gradient[at] - want).abs();
                        assert!(
                            off <= 1e-7,
                            "{activation:?} {dropout:?} {loss:?}, {at}: {} {want}",
                            gradient[at]
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn logits_are_the_plain_formula() {
        for activation in [HeadActivation::Gelu, HeadActivation::Relu] {
            let (x, mlp) = case(activation, 2);
            let got = mlp.logits(&x, &[20, 3]);
            let p = &mlp.parameters;
            let layer = |input: &[f64], from: usize, out: usize, last: bool| -> Vec<f64> {
                (0..out)
                    .map(|o| {
                        let w = &p[from + o * input.len()..from + (o + 1) * input.len()];
                        let z: f64 = p[from + out * input.len() + o]
                            + w.iter().zip(input).map(|(w, x)| w * x).sum::<f64>();
                        if last { z } else { activation.value(z) }
                    })
                    .collect()
            };
            let input: Vec<f64> = x.row(3).iter().map(|&v| f64::from(v)).collect();
            let want = layer(&layer(&layer(&input, 0, 5, false), 25, 3, false), 43, 2, true);
            assert!(got[2..].iter().zip(&want).all(|(a, b)| (a - b).abs() <= 1e-12), "{got:?} {want:?}");
        }
        assert!((HeadActivation::Gelu.value(1.0) - 0.841_344_746_068_543).abs() <= 1e-14);
    }

    #[test]
    fn dropout_zeroes_its_share_and_keeps_the_mean() {
        let mut masks = Dropout { share: 0.25, seed: 1, step: 2 }.masks(3);
        let kept = masks.next(40_000);
        let zeros = kept.iter().filter(|k| **k == 0.0).count() as f64 / 40_000.0;
        assert!((zeros - 0.25).abs() <= 0.01, "{zeros}");
        assert!((kept.iter().sum::<f64>() / 40_000.0 - 1.0).abs() <= 0.02);
        assert_ne!(kept, Dropout { share: 0.25, seed: 1, step: 2 }.masks(4).next(40_000));
    }
}
