//! AdamW: Adam with weight decay apart from the gradient.
//!
//! Source: Loshchilov and Hutter, *Decoupled Weight Decay Regularization* (2019); the schedule is a linear warm-up
//! and half a cosine down to zero.

/// Running moments of the gradient of each parameter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AdamW {
    pub(crate) first: Vec<f64>,
    pub(crate) second: Vec<f64>,
    /// Steps taken.
    pub(crate) steps: u64,
}

const BETA: (f64, f64) = (0.9, 0.999);
const EPSILON: f64 = 1e-8;

impl AdamW {
    pub(crate) fn new(parameters: usize) -> Self {
        AdamW { first: vec![0.0; parameters], second: vec![0.0; parameters], steps: 0 }
    }

    /// One step against the gradient. `decays` says whether a parameter is pulled to zero.
    pub(crate) fn step(
        &mut self,
        parameters: &mut [f64],
        gradient: &[f64],
        rate: f64,
        decay: f64,
        decays: impl Fn(usize) -> bool,
    ) {
        self.steps += 1;
        // libm: the standard library's powers may differ between machines in the last bit.
        let steps = self.steps as f64;
        let (first_share, second_share) = (1.0 - libm::pow(BETA.0, steps), 1.0 - libm::pow(BETA.1, steps));
        for at in 0..parameters.len() {
            let g = gradient[at];
            self.first[at] = BETA.0 * self.first[at] + (1.0 - BETA.0) * g;
            self.second[at] = BETA.1 * self.second[at] + (1.0 - BETA.1) * g * g;
            let push = self.first[at] / first_share / ((self.second[at] / second_share).sqrt() + EPSILON);
            let pull = if decays(at) { decay * parameters[at] } else { 0.0 };
            parameters[at] -= rate * (push + pull);
        }
    }
}

/// Scales a gradient down to length `most`, and returns the length it had.
pub(crate) fn clip(gradient: &mut [f64], most: f64) -> f64 {
    let length = super::dense::dot(gradient, gradient).sqrt();
    if length > most {
        gradient.iter_mut().for_each(|g| *g *= most / length);
    }
    length
}

/// The share of the full learning rate at `step` of `total`, of which `warmup` warm up.
pub(crate) fn schedule(step: u64, total: u64, warmup: u64) -> f64 {
    if step < warmup {
        return (step + 1) as f64 / warmup as f64;
    }
    let done = (step - warmup) as f64 / (total.saturating_sub(warmup)).max(1) as f64;
    0.5 * (1.0 + libm::cos(std::f64::consts::PI * done.min(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_steps_are_the_papers() {
        let mut adam = AdamW::new(2);
        let mut x = [1.0, -2.0];
        // The first step is the rate times the gradient's sign, whatever its size; only x[0] decays.
        adam.step(&mut x, &[1e-3, -7.0], 0.1, 0.5, |at| at == 0);
        assert!((x[0] - (1.0 - 0.1 * (1.0 + 0.5))).abs() <= 1e-5, "{x:?}");
        assert!((x[1] - -1.9).abs() <= 1e-8, "{x:?}");
        adam.step(&mut x, &[1e-3, 7.0], 0.1, 0.0, |_| true);
        // By hand: m = 0.9*-0.7 + 0.7 = 0.07, v = 0.999*0.049 + 0.049; corrected by 0.19 and 0.001999.
        let want = -1.9 - 0.1 * (0.07 / 0.19) / ((0.999 * 0.049 + 0.049f64) / 0.001_999).sqrt();
        assert!((x[1] - want).abs() <= 1e-9, "{} {want}", x[1]);
    }

    #[test]
    fn schedule_rises_and_falls() {
        assert_eq!(schedule(0, 100, 10), 0.1);
        assert_eq!(schedule(9, 100, 10), 1.0);
        assert_eq!(schedule(10, 100, 10), 1.0);
        assert!((schedule(55, 100, 10) - 0.5).abs() <= 1e-12);
        assert!(schedule(100, 100, 10) <= 1e-12 && schedule(500, 100, 10) <= 1e-12);
        let mut gradient = [3.0, 4.0];
        assert_eq!(clip(&mut gradient, 1.0), 5.0);
        assert!((gradient[0] - 0.6).abs() <= 1e-15 && (gradient[1] - 0.8).abs() <= 1e-15);
        assert!((clip(&mut gradient, 2.0) - 1.0).abs() <= 1e-15);
    }
}
