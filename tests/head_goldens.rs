//! Heads against what scikit-learn gets: optima, probabilities, metrics, temperature.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use frostbert::head::{
    CalibrationKind, ClassMetrics, ClassWeight, Head, Kind, LabelMetrics, Matrix, Metrics, Strength, Targets,
    TrainData, TrainOptions,
};
use safetensors::{Dtype, SafeTensors};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/head-goldens")
}

fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(folder().join(format!("{name}.json"))).unwrap()).unwrap()
}

struct Golden(Vec<u8>);

impl Golden {
    fn open(name: &str) -> Self {
        Golden(std::fs::read(folder().join(format!("{name}.safetensors"))).unwrap())
    }

    fn get(&self, name: &str) -> (Vec<usize>, Vec<f64>) {
        let tensors = SafeTensors::deserialize(&self.0).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let bytes = tensor.data();
        let values = match tensor.dtype() {
            Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F32 => bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
            Dtype::I64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64).collect(),
            other => panic!("{name} is {other:?}"),
        };
        (tensor.shape().to_vec(), values)
    }

    fn values(&self, name: &str) -> Vec<f64> {
        self.get(name).1
    }

    fn matrix(&self, name: &str) -> Matrix<'static> {
        let (shape, values) = self.get(name);
        Matrix::new(shape[0], shape[1], values.iter().map(|&v| v as f32).collect::<Vec<_>>()).unwrap()
    }

    fn classes(&self, name: &str) -> Targets {
        Targets::classes(&self.values(name).iter().map(f64::to_string).collect::<Vec<_>>())
    }
}

fn largest_difference(got: &[f64], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let difference = |(a, b): (&f64, &f64)| (a - b).abs();
    // A NaN must not be lost by the maximum.
    got.iter().zip(want).map(difference).fold(0.0, |max, d| if d <= max { max } else { d })
}

/// `elastic.safetensors` holds what scikit-learn's saga gets, run until nothing moves.
#[test]
fn elastic_nets_are_scikit_learns() {
    let want = Golden::open("elastic");
    for (problem, c, l1_ratio) in [
        ("breast-cancer", 0.1, 0.5),
        ("breast-cancer", 0.1, 1.0),
        ("breast-cancer", 0.02, 0.2),
        ("imbalanced", 0.1, 0.5),
        ("imbalanced", 0.1, 1.0),
        ("imbalanced", 0.02, 0.2),
        ("embeddings", 1.0, 0.5),
        ("embeddings", 3.0, 1.0),
        ("embeddings", 3.0, 0.2),
    ] {
        let golden = Golden::open(&format!("problem-{problem}"));
        let data = TrainData::new(golden.matrix("X_train"), golden.classes("y_train"));
        let options = TrainOptions {
            kind: Kind::ElasticNet { l1_ratio },
            c: Strength::Fixed(c),
            tolerance: 1e-6,
            ..TrainOptions::default()
        };
        let at = format!("{problem}/C={c},l1_ratio={l1_ratio}");
        let training = Head::train(&data, &options, &mut |_| {}).unwrap();
        assert!(training.converged, "{at}");
        let objective = want.values(&format!("{at}/objective"))[0];
        assert!(
            (training.objective - objective).abs() <= 1e-8 * objective,
            "{at}: {} instead of {objective}",
            training.objective
        );
        let (coefficients, intercepts) = training.head.coefficients().unwrap();
        if l1_ratio == 1.0 && intercepts.len() > 1 {
            // The L1 norm alone leaves a softmax more than one optimum.
            continue;
        }
        let expected = want.values(&format!("{at}/coef"));
        let off = largest_difference(&coefficients, &expected);
        assert!(off <= 1e-4, "{at}: coefficients differ by {off}");
        let lost = coefficients.iter().zip(&expected).find(|(a, b)| **a == 0.0 && b.abs() > 1e-6);
        assert_eq!(lost, None, "{at}: zero here alone");
        // A softmax does not see what all intercepts have in common, nor does the penalty.
        let centred = |values: &[f64]| -> Vec<f64> {
            let common =
                if values.len() > 1 { values.iter().sum::<f64>() / values.len() as f64 } else { 0.0 };
            values.iter().map(|value| value - common).collect()
        };
        let expected = want.values(&format!("{at}/intercept"));
        let off = largest_difference(&centred(&intercepts), &centred(&expected));
        assert!(off <= 5e-4, "{at}: intercepts differ by {off}");
    }
}

#[test]
fn optima_are_scikit_learns() {
    for problem in ["digits", "breast-cancer", "imbalanced", "embeddings"] {
        let golden = Golden::open(&format!("problem-{problem}"));
        let data = TrainData::new(golden.matrix("X_train"), golden.classes("y_train"));
        let (test, truth) = (golden.matrix("X_test"), golden.classes("y_test"));
        for (setting, want) in json(&format!("problem-{problem}")).as_object().unwrap() {
            let options = TrainOptions {
                c: Strength::Fixed(want["C"].as_f64().unwrap()),
                class_weight: if want["class_weight"].is_null() {
                    ClassWeight::None
                } else {
                    ClassWeight::Balanced
                },
                tolerance: 1e-6,
                ..TrainOptions::default()
            };
            let training = Head::train(&data, &options, &mut |_| {}).unwrap();
            let at = format!("{problem}, {setting}, {} passes", training.passes);
            assert!(training.converged, "{at}");
            let (coefficients, intercepts) = training.head.coefficients().unwrap();
            let off = largest_difference(&coefficients, &golden.values(&format!("{setting}/coef")));
            assert!(off <= 1e-4, "{at}: coefficients differ by {off}");
            let off = largest_difference(&intercepts, &golden.values(&format!("{setting}/intercept")));
            // Intercepts bear no penalty and are flat at C = 100, where scikit-learn's own stop is the larger part.
            assert!(off <= 5e-4, "{at}: intercepts differ by {off}");
            let probabilities = training.head.predict_proba(&test).unwrap();
            let off = largest_difference(&probabilities, &golden.values(&format!("{setting}/test_proba")));
            assert!(off <= 1e-4, "{at}: probabilities differ by {off}");
            let objective = want["objective"].as_f64().unwrap();
            assert!(
                (training.objective - objective).abs() <= 1e-9 * objective,
                "{at}: {}",
                training.objective
            );
            let Metrics::SingleLabel(metrics) = training.head.evaluate(&test, &truth).unwrap() else {
                panic!("{problem} is a single-label problem")
            };
            for (name, got, tolerance) in [
                ("test_accuracy", metrics.accuracy, 1e-12),
                ("test_macro_f1", metrics.macro_f1, 1e-12),
                ("test_log_loss", metrics.log_loss, 1e-4),
            ] {
                let want = want[name].as_f64().unwrap();
                assert!((got - want).abs() <= tolerance, "{at}: {name} {got} instead of {want}");
            }
        }
    }
}

#[test]
fn labels_are_fitted_one_by_one_as_scikit_learn_does() {
    let golden = Golden::open("problem-multi-label");
    let targets = |name: &str| Targets::MultiLabel {
        marks: golden.values(name).iter().map(|&mark| mark == 1.0).collect(),
        names: (0..6).map(|label| label.to_string()).collect(),
    };
    let data = TrainData::new(golden.matrix("X_train"), targets("Y_train"));
    let options = TrainOptions { c: Strength::Fixed(1.0), tolerance: 1e-6, ..TrainOptions::default() };
    let head = Head::train(&data, &options, &mut |_| {}).unwrap().head;
    let (coefficients, intercepts) = head.coefficients().unwrap();
    for label in 0..6 {
        let want = golden.values(&format!("coef.{label}"));
        let off = largest_difference(&coefficients[label * 30..(label + 1) * 30], &want);
        assert!(off <= 1e-4, "coefficients of label {label} differ by {off}");
        let off = (intercepts[label] - golden.values(&format!("intercept.{label}"))[0]).abs();
        assert!(off <= 1e-4, "intercept of label {label} differs by {off}");
    }
    let probabilities = head.predict_proba(&golden.matrix("X_test")).unwrap();
    let off = largest_difference(&probabilities, &golden.values("test_proba"));
    assert!(off <= 1e-4, "probabilities differ by {off}");
    let Targets::MultiLabel { marks, names } = targets("Y_test") else { unreachable!() };
    let metrics = LabelMetrics::new(&marks, &golden.values("test_proba"), &[0.5; 6], &names);
    let want = json("problem-multi-label");
    for (name, got) in
        [("micro_f1@0.5", metrics.micro_f1), ("macro_f1@0.5", metrics.macro_f1), ("lrap", metrics.lrap)]
    {
        assert!((got - want[name].as_f64().unwrap()).abs() <= 1e-12, "{name}: {got}");
    }
}

#[test]
fn metrics_are_scikit_learns() {
    let golden = Golden::open("metrics");
    let want = json("metrics");
    let logits = golden.values("logits");
    let labels: Vec<u32> = golden.values("y").iter().map(|&label| label as u32).collect();
    let names: Vec<String> = (0..4).map(|class| class.to_string()).collect();
    let probabilities: Vec<f64> = logits.chunks(4).flat_map(softmax).collect();
    let got = ClassMetrics::new(&labels, &probabilities, &names);
    for (name, got) in [
        ("accuracy", got.accuracy),
        ("balanced_accuracy", got.balanced_accuracy),
        ("macro_f1", got.macro_f1),
        ("weighted_f1", got.weighted_f1),
        ("mcc", got.mcc),
        ("log_loss", got.log_loss),
        ("roc_auc_ovr_macro", got.roc_auc.unwrap()),
        ("average_precision_macro", got.average_precision.unwrap()),
        ("brier", got.brier),
        ("ece_15_equal_width_bins", got.ece),
    ] {
        let want = want[name].as_f64().unwrap();
        assert!((got - want).abs() <= 1e-9, "{name}: {got} instead of {want}");
    }
    assert_eq!(serde_json::json!(got.confusion), want["confusion"]);
}

#[test]
fn temperature_is_the_least_log_loss() {
    let golden = Golden::open("metrics");
    let want = json("metrics");
    let logits = golden.values("logits");
    let labels: Vec<u32> = golden.values("y").iter().map(|&label| label as u32).collect();
    let calibration =
        frostbert::head::Calibration::of_classes(CalibrationKind::Temperature, &logits, &labels).unwrap();
    let temperature = calibration.temperature().unwrap();
    // scikit-learn's is a minimum found by values, good to the root of what rounding leaves of them.
    assert!((temperature - want["temperature"].as_f64().unwrap()).abs() <= 1e-6, "{temperature}");
    let mut scaled = logits.clone();
    calibration.apply(&mut scaled);
    let names: Vec<String> = (0..4).map(|class| class.to_string()).collect();
    let probabilities: Vec<f64> = scaled.chunks(4).flat_map(softmax).collect();
    let got = ClassMetrics::new(&labels, &probabilities, &names).log_loss;
    assert!((got - want["log_loss_after_temperature"].as_f64().unwrap()).abs() <= 1e-9, "{got}");
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|z| (z - max).exp()).sum();
    logits.iter().map(|z| (z - max).exp() / sum).collect()
}
