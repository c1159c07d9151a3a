//! Prompts that are read but not pooled (`include_prompt: false`), against what sentence-transformers defines: the tokens of
//! the prompt, `[CLS]` among them, are masked before pooling; `cls` takes the first token all the same.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use frostbert::model::Pooling;
use frostbert::text::Truncate;
use frostbert::{Device, EmbedOptions, EmbeddingRecipe, Encoder, Prompt, TokenRequest};

const PROMPT: &str = "the quick fox: ";
const TEXTS: [&str; 3] = ["jumps over the lazy dog", "fox", "measure twice, cut once and then measure again"];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/goldens/sentence-mean")
}

/// A checkpoint that does not pool prompts.
fn checkpoint() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path()) {
        if file.is_file() {
            std::fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
        }
    }
    let pooling = golden().join("1_Pooling/config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(pooling).unwrap()).unwrap();
    config["include_prompt"] = false.into();
    std::fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    std::fs::write(folder.path().join("1_Pooling/config.json"), config.to_string()).unwrap();
    folder
}

fn encoder(folder: &Path, device: Device) -> Encoder {
    Encoder::load(folder.to_str().unwrap()).device(device).build().unwrap()
}

fn options(pooling: Pooling) -> EmbedOptions {
    EmbedOptions {
        prompt: Prompt::Text(PROMPT.into()),
        pooling: Some(vec![pooling]),
        normalize: Some(false),
        ..EmbedOptions::default()
    }
}

/// sentence-transformers' arithmetic over the hidden states, in f64.
fn expected(hidden: &[f32], width: usize, skipped: usize, pooling: Pooling) -> Vec<f64> {
    let rows: Vec<&[f32]> = hidden.chunks_exact(width).collect();
    let pooled = &rows[skipped..];
    let column = |at: usize| pooled.iter().map(move |row| f64::from(row[at]));
    let count = pooled.len() as f64;
    let place = |at: usize| (skipped + at + 1) as f64;
    (0..width)
        .map(|at| match pooling {
            Pooling::Cls => f64::from(rows[0][at]),
            Pooling::LastToken => f64::from(rows[rows.len() - 1][at]),
            Pooling::Max => column(at).fold(f64::NEG_INFINITY, f64::max),
            Pooling::Mean => column(at).sum::<f64>() / count,
            Pooling::MeanSqrtLenTokens => column(at).sum::<f64>() / count.sqrt(),
            Pooling::WeightedMean => {
                let weighted = column(at).enumerate().map(|(row, x)| place(row) * x).sum::<f64>();
                weighted / (0..pooled.len()).map(place).sum::<f64>()
            }
            Pooling::Pooler => unreachable!("not pooled over tokens"),
        })
        .collect()
}

#[test]
fn a_prompt_is_read_but_not_pooled() {
    let folder = checkpoint();
    for device in [Device::Cpu, Device::Software] {
        let encoder = encoder(folder.path(), device);
        let width = encoder.config().hidden;
        let last = encoder.config().layers;
        let request = TokenRequest { hidden_states: vec![last], ..TokenRequest::default() };
        let tokens = encoder.token_outputs(TEXTS, &request, &options(Pooling::Mean)).unwrap();
        // [CLS] and the prompt's words; what the prompt alone ends with is not there.
        let alone = EmbedOptions { prompt: Prompt::None, ..EmbedOptions::default() };
        let skipped = encoder.encode([PROMPT], &alone).unwrap()[0].len() - 1;
        assert!(skipped > 3);
        for pooling in Pooling::ALL.into_iter().filter(|pooling| *pooling != Pooling::Pooler) {
            let found = encoder.embed(TEXTS, &options(pooling)).unwrap();
            for (text, output) in tokens.iter().enumerate() {
                let expected = expected(&output.hidden_states[0], width, skipped, pooling);
                for (found, expected) in found.row(text).iter().zip(expected) {
                    let error = (f64::from(*found) - expected).abs();
                    assert!(error <= 4e-6, "{pooling:?}, text {text}: {found} for {expected}");
                }
            }
        }
    }
}

#[test]
fn the_caller_may_decide_otherwise() {
    let folder = checkpoint();
    let left_out = encoder(folder.path(), Device::Cpu);
    let pooled = encoder(&golden(), Device::Cpu);
    let as_trained = options(Pooling::Mean);
    let asked = |include| EmbedOptions { include_prompt: Some(include), ..options(Pooling::Mean) };
    let embed = |encoder: &Encoder, options: &EmbedOptions| encoder.embed(TEXTS, options).unwrap();
    assert_eq!(embed(&left_out, &asked(true)), embed(&pooled, &as_trained));
    assert_eq!(embed(&left_out, &as_trained), embed(&pooled, &asked(false)));
    assert_ne!(embed(&left_out, &as_trained), embed(&pooled, &as_trained));
    // Without a prompt there is nothing to leave out.
    let none = EmbedOptions { prompt: Prompt::None, ..as_trained.clone() };
    assert_eq!(embed(&left_out, &none), embed(&pooled, &none));
}

/// A head trained with the prompt left out must be used so.
#[test]
fn the_recipe_says_whether_a_prompt_is_pooled() {
    let folder = checkpoint();
    let encoder = encoder(folder.path(), Device::Cpu);
    let recipe = encoder.recipe(&options(Pooling::Mean)).unwrap();
    assert!(recipe.prompt_left_out);
    assert!(recipe.pooling_in_words().ends_with("without the prompt"));
    let json = serde_json::to_string(&recipe).unwrap();
    let again: EmbeddingRecipe = serde_json::from_str(&json).unwrap();
    assert_eq!(again, recipe);
    assert_eq!(encoder.recipe(&again.options()).unwrap(), recipe);
    let pooled = EmbedOptions { include_prompt: Some(true), ..options(Pooling::Mean) };
    let pooled = encoder.recipe(&pooled).unwrap();
    assert_ne!(pooled.binding().unwrap(), recipe.binding().unwrap());
    // Recipes of heads from before there was such a choice read as they were meant.
    assert!(!serde_json::to_string(&pooled).unwrap().contains("prompt_left_out"));
}

/// Even where the prompt fills the row, something is pooled.
#[test]
fn a_text_cut_down_to_its_prompt_still_has_a_vector() {
    let folder = checkpoint();
    for device in [Device::Cpu, Device::Software] {
        let encoder = encoder(folder.path(), device);
        let options = EmbedOptions { max_tokens: Some(4), truncate: Truncate::Cut, ..options(Pooling::Mean) };
        let found = encoder.embed(TEXTS, &options).unwrap();
        assert!(found.values.iter().all(|value| value.is_finite()));
        let windows =
            EmbedOptions { max_tokens: Some(8), truncate: Truncate::Window { overlap: 1 }, ..options };
        let found = encoder.embed(TEXTS, &windows).unwrap();
        assert!(found.values.iter().all(|value| value.is_finite()));
    }
}
