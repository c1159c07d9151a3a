//! Classes by words for a mask, against what transformers says of the same templates (tests/fixtures/cloze.py).

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use frostbert::text::{Truncate, TruncationSide};
use frostbert::{ClassWords, Classification, Cloze, Device, EmbedOptions, Encoder, Text};
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn load(model: &Path) -> Encoder {
    Encoder::load(model.display().to_string()).device(Device::Cpu).build().unwrap()
}

fn golden(name: &str) -> Encoder {
    load(&fixtures().join("goldens").join(name))
}

/// The small RoBERTa with a mask that takes the space before it, as the published ones have it.
fn with_lstrip() -> (tempfile::TempDir, Encoder) {
    let folder = tempfile::tempdir().unwrap();
    let golden = fixtures().join("goldens/roberta-masked-lm");
    for name in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(golden.join(name), folder.path().join(name)).unwrap();
    }
    let change = |name: &str, change: &dyn Fn(&mut Value)| {
        let path = folder.path().join(name);
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        std::fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
    };
    change("tokenizer.json", &|tokenizer| {
        for token in tokenizer["added_tokens"].as_array_mut().unwrap() {
            token["lstrip"] = json!(token["content"] == "<mask>");
        }
    });
    change("tokenizer_config.json", &|config| {
        config.as_object_mut().unwrap().remove("added_tokens_decoder");
    });
    let encoder = load(folder.path());
    (folder, encoder)
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn strings(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn classes(of: &[&str]) -> Vec<ClassWords> {
    of.iter().map(|class| class.parse().unwrap()).collect()
}

fn near(found: &[f32], want: &[f64], within: f64, what: &str) {
    assert_eq!(found.len(), want.len(), "{what}");
    for (found, want) in found.iter().zip(want) {
        assert!((f64::from(*found) - want).abs() <= within, "{what}: {found} {want}");
    }
}

#[test]
fn answers_are_those_of_transformers() {
    let expected: Value =
        serde_json::from_slice(&std::fs::read(fixtures().join("cloze.json")).unwrap()).unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 6);
    for case in cases {
        let name = case["model"].as_str().unwrap();
        // The folder stays as long as its weights may be read.
        let (_folder, encoder) = match name.ends_with("lstrip") {
            true => {
                let (folder, encoder) = with_lstrip();
                (Some(folder), encoder)
            }
            false => (None, golden(name)),
        };
        let words = case["words"].as_object().unwrap().iter();
        let words = words.map(|(label, words)| ClassWords { label: label.clone(), words: strings(words) });
        let cloze = Cloze::new(strings(&case["templates"]), words).unwrap();
        let options = EmbedOptions::default();
        let texts = strings(&case["texts"]);
        let plain = encoder.classify_cloze(&texts, &cloze, &options).unwrap();
        let prior = encoder.cloze_prior(encoder.content_free().unwrap(), &cloze, &options).unwrap();
        for (found, want) in prior.iter().zip(numbers(&case["prior"])) {
            assert!((found / want - 1.0).abs() <= 1e-4, "{name}: prior {found} {want}");
        }
        let calibrated = cloze.clone().calibrated(prior).unwrap();
        let answers = encoder.classify_cloze(&texts, &calibrated, &options).unwrap();
        for (at, want) in case["answers"].as_array().unwrap().iter().enumerate() {
            // Logits are as large as ten, in f32.
            near(&plain[at].logits, &numbers(&want["logits"]), 1e-4, name);
            near(&answers[at].scores, &numbers(&want["scores"]), 2e-5, name);
            assert_eq!(answers[at].truncated, want["truncated"].as_bool().unwrap(), "{name} {at}");
            assert_eq!(calibrated.answer(&plain[at]), answers[at]);
        }
        // Alone as among others, and as a stream in pieces.
        let alone = encoder.classify_cloze([&texts[2]], &calibrated, &options).unwrap();
        assert_eq!(alone[0], answers[2]);
        let mut seen: Vec<(Text, Classification)> = vec![];
        let many = (0..1100).map(|at| Ok(Text::from(&texts[at % 4])));
        let report = encoder.classify_cloze_stream(many, &calibrated, &options, |text, answer| {
            seen.push((text, answer));
            Ok(())
        });
        assert_eq!((report.unwrap().texts, seen.len()), (1100, 1100));
        for (at, (text, answer)) in seen.iter().enumerate() {
            assert_eq!((&text.first, answer), (&texts[at % 4], &answers[at % 4]));
        }
    }
}

#[test]
fn a_long_text_is_cut_and_its_template_is_not() {
    let encoder = golden("bert-pretraining");
    let words = || classes(&["a=fox", "b=dog"]);
    let cloze = Cloze::new(["the {mask} runs: {text} and over"], words()).unwrap();
    // 51 tokens are left of 64 beside the template's.
    let template = encoder.encode(["the [MASK] runs:  and over"], &EmbedOptions::default()).unwrap()[0].len();
    let left = 64 - template;
    let many: Vec<&str> = ["river", "lazy", "fox"].into_iter().cycle().take(150).collect();
    let long = many.join(" ");
    let classify = |text: &str, options: &EmbedOptions| {
        encoder.classify_cloze([text], &cloze, options).map(|mut found| found.remove(0))
    };
    let short = |words: &[&str]| classify(&words.join(" "), &EmbedOptions::default()).unwrap();
    let cut = |side: Option<TruncationSide>| {
        let options = EmbedOptions { truncation_side: side, ..EmbedOptions::default() };
        let found = classify(&long, &options).unwrap();
        assert_eq!((found.tokens as usize, found.truncated), (150 + template, true));
        found.logits
    };
    assert_eq!(cut(None), short(&many[..left]).logits);
    assert_eq!(cut(Some(TruncationSide::Right)), short(&many[..left]).logits);
    assert_eq!(cut(Some(TruncationSide::Left)), short(&many[150 - left..]).logits);
    let middle = [&many[..left.div_ceil(2)], &many[150 - left / 2..]].concat();
    assert_eq!(cut(Some(TruncationSide::Middle)), short(&middle).logits);

    let refused = EmbedOptions { truncate: Truncate::Error, ..EmbedOptions::default() };
    assert!(classify(&long, &refused).unwrap_err().to_string().contains("the limit is 64"));
    let windows =
        |overlap: usize| EmbedOptions { truncate: Truncate::Window { overlap }, ..EmbedOptions::default() };
    let found = classify(&long, &windows(10)).unwrap();
    assert!(!found.truncated);
    let (mut sum, mut weight, mut from) = ([0.0f64; 2], 0.0, 0);
    loop {
        let to = (from + left).min(150);
        let part = short(&many[from..to]);
        let tokens = (template - 2 + to - from) as f64;
        sum.iter_mut().zip(&part.logits).for_each(|(sum, logit)| *sum += tokens * f64::from(*logit));
        weight += tokens;
        if to == 150 {
            break;
        }
        from += left - 10;
    }
    near(&found.logits, &sum.map(|sum| sum / weight), 1e-5, "windows");
    assert!(classify(&long, &windows(left)).unwrap_err().to_string().contains("smaller overlap"));
    let narrow = EmbedOptions { max_tokens: Some(template), ..EmbedOptions::default() };
    let error = classify(&long, &narrow).unwrap_err().to_string();
    assert!(error.contains("the template takes") && error.contains("leaves none for a text"), "{error}");
}

#[test]
fn what_a_checkpoint_cannot_fill_is_told() {
    let encoder = golden("bert-pretraining");
    let says = |encoder: &Encoder, template: &str, words: &[&str]| {
        let cloze = Cloze::new([template], classes(words)).unwrap();
        let error = encoder.classify_cloze(["a fox"], &cloze, &EmbedOptions::default()).unwrap_err();
        assert!(error.is_input(), "{error}");
        error.to_string()
    };
    let two = ["a=fox", "b=dog"];
    let error = says(&golden("sentence-mean"), "{text} {mask}", &two);
    assert!(error.contains("BertForMaskedLM and BertForPreTraining checkpoints have one"), "{error}");
    assert!(says(&encoder, "{text} runs", &two).contains("has 0"));
    assert!(says(&encoder, "{text} {mask} [MASK]", &two).contains("has 2"));
    let error = says(&encoder, "{text} the {mask} runs", &["a=runs", "b=dog"]);
    assert!(error.contains("\"runs\" is not one token") && error.contains("r ##u ##n ##s"), "{error}");
    assert!(says(&encoder, "{text} the {mask}", &["a=the fox", "b=dog"]).contains("(it reads the fox)"));
    assert!(
        says(&encoder, "{text} the {mask}", &["a=\u{1f98a}", "b=dog"]).contains("does not know the word")
    );
    assert!(says(&encoder, "{text} the {mask}", &["a=fox", "b=FOX"]).contains("the same token"));
    let cloze = Cloze::new(["{text} {mask}"], classes(&two)).unwrap();
    let pair = encoder.classify_cloze([("a", "b")], &cloze, &EmbedOptions::default()).unwrap_err();
    assert!(pair.is_input() && pair.to_string().contains("takes one text"), "{pair}");
    assert!(
        encoder.cloze_prior(Vec::<Text>::new(), &cloze, &EmbedOptions::default()).unwrap_err().is_input()
    );
}
