//! The CPU engine against float64: the goldens, and whole random models by the naive evaluator in `reference/naive.rs`.

use frostbert::plan::{OutputKind, Pooling};

#[path = "reference/goldens.rs"]
mod goldens;

use goldens::Golden;

/// The contract of DESIGN.md: four times PyTorch's own float32 error, with a floor.
fn check(name: &str, outputs: &[OutputKind]) {
    let golden = Golden::open(name);
    let mut worst: f64 = 0.0;
    for case in golden.cases() {
        for error in golden.errors(&case, outputs) {
            assert!(
                error.found <= error.allowed,
                "{name} {case}/{}: error {:e}, allowed {:e}",
                error.tensor,
                error.found,
                error.allowed
            );
            worst = worst.max(error.found / error.torch);
        }
    }
    println!("{name}: at most {worst:.2} times PyTorch's error");
}

#[test]
fn bert_hidden_states_and_attentions_match_the_goldens() {
    check("bert-legacy-names", &all_outputs(3));
}

#[test]
fn every_activation_matches_the_goldens() {
    for name in ["bert-act-gelu_new", "bert-act-gelu_pytorch_tanh", "bert-act-relu", "bert-act-silu"] {
        check(name, &[OutputKind::HiddenState(3), OutputKind::PoolerOutput]);
    }
}

fn all_outputs(layers: usize) -> Vec<OutputKind> {
    let mut outputs: Vec<_> = (0..=layers).map(OutputKind::HiddenState).collect();
    outputs.extend((0..layers).map(OutputKind::Attentions));
    outputs.push(OutputKind::PoolerOutput);
    outputs
}

#[allow(dead_code)]
const POOLINGS: [Pooling; 7] = Pooling::ALL;
