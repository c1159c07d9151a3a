//! One text, one answer: heads that come in checkpoints on long texts, Chinese ones, large logits and single labels. The
//! checkpoints in tests/fixtures/cases are modelled on public bug reports; right values are those of transformers 5.24.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use std::path::{Path, PathBuf};

use frostbert::model::{HeadKind, ProblemType};
use frostbert::text::Truncate;
use frostbert::{Aggregation, Device, EmbedOptions, Encoder, TokenRequest};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

fn load(model: &Path) -> Encoder {
    Encoder::load(model.display().to_string()).device(Device::Cpu).build().unwrap()
}

fn case(name: &str) -> Encoder {
    load(&fixtures().join("cases").join(name))
}

fn golden(name: &str) -> Encoder {
    load(&fixtures().join("goldens").join(name))
}

/// A copy of a checkpoint with another config.json.
fn changed(
    name: &str,
    change: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) -> (tempfile::TempDir, Encoder) {
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(fixtures().join("cases").join(name)).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
    }
    let config = folder.path().join("config.json");
    let mut object = serde_json::from_slice(&std::fs::read(&config).unwrap()).unwrap();
    change(&mut object);
    std::fs::write(&config, serde_json::to_vec(&object).unwrap()).unwrap();
    let encoder = load(folder.path());
    (folder, encoder)
}

fn truncate(truncate: Truncate) -> EmbedOptions {
    EmbedOptions { truncate, ..EmbedOptions::default() }
}

const OVERLAP: usize = 8;

fn windows() -> EmbedOptions {
    truncate(Truncate::Window { overlap: OVERLAP })
}

/// Words that are one token each in the checkpoints of window-misattributed.
fn words(encoder: &Encoder, count: usize) -> Vec<String> {
    let some = ["good", "film", "the", "movie", "was", "bad", "paris"];
    for word in some {
        let id = encoder.tokenizer().token_to_id(word);
        assert!(id.is_some(), "{word} is no token");
    }
    (0..count).map(|n| some[(n * n + n / 5) % some.len()].to_owned()).collect()
}

/// The windows of a text of so many words, each a range of them: `room` words, of which `OVERLAP` are in the one before.
fn ranges(count: usize, room: usize) -> Vec<std::ops::Range<usize>> {
    let mut ranges = Vec::new();
    for start in (0..count).step_by(room - OVERLAP) {
        ranges.push(start..(start + room).min(count));
        if start + room >= count {
            break;
        }
    }
    ranges
}

fn close(a: f32, b: f32) -> bool {
    (a - b).abs() <= 1e-5
}

#[test]
fn classify_gives_one_answer_a_text_and_long_ones_the_mean_of_their_windows() {
    let encoder = case("window-misattributed/model");
    for count in [63, 70, 117, 200] {
        let words = words(&encoder, count);
        let long = words.join(" ");
        let texts = ["the movie was bad", &long, "paris"];
        let found = encoder.classify(texts, &windows()).unwrap();
        assert_eq!(found.len(), 3);
        for (at, text) in [(0, texts[0]), (2, texts[2])] {
            let alone = &encoder.classify([text], &EmbedOptions::default()).unwrap()[0];
            assert_eq!(&found[at], alone, "{text}");
        }
        // 64 tokens, two of them special.
        let ranges = ranges(count, 62);
        assert!(ranges.len() > 1);
        let parts = ranges.iter().map(|range| words[range.clone()].join(" "));
        let parts = encoder.classify(parts, &truncate(Truncate::Error)).unwrap();
        for label in 0..3 {
            let total: usize = ranges.iter().map(ExactSizeIterator::len).sum();
            let sum: f32 =
                parts.iter().zip(&ranges).map(|(part, range)| part.logits[label] * range.len() as f32).sum();
            assert!(close(found[1].logits[label], sum / total as f32), "{:?}", found[1]);
        }
        assert!(close(found[1].scores.iter().sum(), 1.0));
        assert_eq!((found[1].tokens as usize, found[1].truncated), (count + 2, false));
    }
}

#[test]
fn tag_joins_windows_by_their_tokens() {
    let encoder = case("window-misattributed/tagger");
    let labels = encoder.checkpoint().labels(HeadKind::Token).unwrap();
    for count in [63, 70, 117, 200] {
        let words = words(&encoder, count);
        let long = words.join(" ");
        let texts = [long.as_str(), "the movie was bad", "paris"];
        for aggregation in Aggregation::ALL {
            let found = encoder.tag(&texts, aggregation, &windows()).unwrap();
            assert_eq!(found.len(), 3);
            for at in [1, 2] {
                let alone = &encoder.tag(&texts[at..=at], aggregation, &EmbedOptions::default()).unwrap()[0];
                assert_eq!(&found[at], alone);
            }
            let mut end = 0;
            for (text, tagged) in texts.iter().zip(&found) {
                assert!(!tagged.truncated);
                end = 0;
                for entity in &tagged.entities {
                    assert!(entity.start >= end && entity.end > entity.start, "{entity:?}");
                    assert_eq!(text[entity.start..entity.end], entity.text);
                    end = entity.end;
                }
            }
            assert!(end <= 5, "spans of paris lie in it");
        }
        // Token by token: what the window with the most context says, by hand.
        let ranges = ranges(count, 62);
        let request =
            TokenRequest { head: Some(frostbert::plan::HeadOutput::Token), ..TokenRequest::default() };
        let parts: Vec<String> = ranges.iter().map(|range| words[range.clone()].join(" ")).collect();
        let parts = encoder.token_outputs(&parts, &request, &truncate(Truncate::Error)).unwrap();
        let mut expected = Vec::new();
        let mut start = 0;
        for (at, word) in words.iter().enumerate() {
            let context = |range: &std::ops::Range<usize>| (at - range.start).min(range.end - 1 - at);
            let (part, range) = (parts.iter().zip(&ranges))
                .filter(|(_, range)| range.contains(&at))
                .reduce(|best, next| if context(next.1) > context(best.1) { next } else { best })
                .unwrap();
            let token = at - range.start + 1;
            let logits = &part.logits.as_ref().unwrap()[token * labels.len()..(token + 1) * labels.len()];
            let best = (0..labels.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
            if labels[best] != "O" {
                expected.push((labels[best].clone(), start, start + word.len()));
            }
            start += word.len() + 1;
        }
        let found = encoder.tag(&texts[..1], Aggregation::None, &windows()).unwrap();
        let found: Vec<_> =
            found[0].entities.iter().map(|entity| (entity.label.clone(), entity.start, entity.end)).collect();
        assert_eq!(found, expected, "{count} words");
    }
}

#[test]
fn rerank_takes_a_documents_best_window_with_the_whole_query() {
    let encoder = case("window-misattributed/ranker");
    let words = words(&encoder, 150);
    let long = words.join(" ");
    let documents = [long.as_str(), "the movie was bad", "paris"];
    let query = "good film";
    let found = encoder.rerank(query, &documents, &windows()).unwrap();
    let mut indices: Vec<usize> = found.iter().map(|place| place.index).collect();
    assert!(found.windows(2).all(|pair| pair[0].logit >= pair[1].logit));
    indices.sort_unstable();
    assert_eq!(indices, [0, 1, 2]);
    // 64 tokens: three special ones and the query's two.
    let parts: Vec<String> = ranges(150, 59).into_iter().map(|range| words[range].join(" ")).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let best = encoder.rerank(query, &parts, &truncate(Truncate::Error)).unwrap()[0];
    let of_long = found.iter().find(|place| place.index == 0).unwrap();
    assert!((of_long.logit - best.logit).abs() < 1e-5, "{of_long:?} {best:?}");
    // A query that would have to be split.
    let error = encoder.rerank(&long, &["paris"], &windows()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("query"), "{error}");
}

#[test]
fn token_outputs_of_windows_are_joined_or_refused() {
    let encoder = golden("bert-pretraining");
    let text = "the quick fox jumps over a lazy dog ".repeat(4);
    let text = text.as_str();
    let whole = encoder.encode([text], &EmbedOptions::default()).unwrap().remove(0);
    assert!(whole.len() > 16 && whole.len() <= 64, "{}", whole.len());
    for (max_tokens, overlap) in [(6, 0), (8, 3), (16, 7), (whole.len() - 1, 1)] {
        let options = EmbedOptions { max_tokens: Some(max_tokens), ..truncate(Truncate::Window { overlap }) };
        assert_eq!(encoder.encode([text, "fox"], &options).unwrap()[0], whole);
        let request = TokenRequest { hidden_states: vec![0, 2], ..TokenRequest::default() };
        let outputs = encoder.token_outputs([text, "fox"], &request, &options).unwrap();
        assert_eq!((outputs.len(), &outputs[0].encoding), (2, &whole));
        assert_eq!(outputs[0].hidden_states[1].len(), whole.len() * 48);
        let alone = encoder.token_outputs(["fox"], &request, &EmbedOptions::default()).unwrap();
        assert_eq!(outputs[1].encoding.ids, alone[0].encoding.ids);
        assert_eq!(outputs[1].hidden_states, alone[0].hidden_states);
        for refused in [
            TokenRequest { attentions: vec![0], ..TokenRequest::default() },
            TokenRequest { pooler_output: true, ..TokenRequest::default() },
        ] {
            let error = encoder.token_outputs([text], &refused, &options).unwrap_err();
            assert!(error.is_input() && error.to_string().contains("windows"), "{error}");
        }
        assert!(encoder.encode([(text, "fox")], &options).unwrap_err().is_input());
    }
}

#[test]
fn masks_are_filled_wherever_they_are_or_said_to_be_cut_off() {
    let encoder = golden("bert-pretraining");
    let filler = "fox ".repeat(70);
    let behind = format!("{filler}the [MASK]");
    let fill = |text: &str, options: &EmbedOptions| encoder.fill_mask(text, 3, &[], options);
    for cut in [truncate(Truncate::Cut), truncate(Truncate::Warn)] {
        let error = fill(&behind, &cut).unwrap_err().to_string();
        assert!(error.contains("1 of the text's 1 masks") && error.contains("--truncate window"), "{error}");
    }
    assert!(fill(&behind, &truncate(Truncate::Error)).unwrap_err().to_string().contains("tokens"));
    assert!(fill("no mask", &windows()).unwrap_err().to_string().contains("has no mask"));
    assert!(fill(&filler, &windows()).unwrap_err().to_string().contains("has no mask"));
    let filled = fill(&behind, &windows()).unwrap();
    assert_eq!((filled.masks.len(), filled.truncated), (1, false));
    // A mask in each place, some of them in two windows: one list each.
    let many = format!("[MASK] {}[MASK] [MASK] {}[MASK]", "fox ".repeat(52), "fox ".repeat(60));
    let filled = fill(&many, &windows()).unwrap();
    assert_eq!(filled.masks.len(), 4);
    let before = format!("the [MASK] {filler}");
    let cut = fill(&before, &EmbedOptions::default()).unwrap();
    assert_eq!((cut.masks.len(), cut.truncated), (1, true));
    let short = fill("the [MASK]", &windows()).unwrap();
    assert_eq!(short, fill("the [MASK]", &EmbedOptions::default()).unwrap());
    assert!(!short.truncated);

    let scored = encoder.pseudo_perplexity(filler.as_str(), &windows()).unwrap();
    assert_eq!((scored.tokens.len(), scored.log_probabilities.len(), scored.truncated), (70, 70, false));
    let scored = encoder.pseudo_perplexity(filler.as_str(), &EmbedOptions::default()).unwrap();
    assert_eq!((scored.tokens.len(), scored.truncated), (62, true));
    assert!(encoder.pseudo_perplexity(filler.as_str(), &truncate(Truncate::Error)).is_err());

    let next = |options: &EmbedOptions| encoder.next_sentence(&filler, "fox", options);
    assert!(next(&EmbedOptions::default()).unwrap().truncated);
    assert!(!encoder.next_sentence("fox", "fox", &EmbedOptions::default()).unwrap().truncated);
    assert!(next(&truncate(Truncate::Error)).unwrap_err().to_string().contains("tokens"));
    assert!(next(&windows()).unwrap_err().to_string().contains("window by window"));
}

#[test]
fn every_head_says_what_was_cut() {
    let encoder = case("cut-silently/model");
    let long = std::fs::read_to_string(fixtures().join("cases/cut-silently/long.txt")).unwrap();
    let texts = [long.trim(), "good film"];
    let found = encoder.classify(texts, &EmbedOptions::default()).unwrap();
    assert_eq!(found.iter().map(|answer| answer.truncated).collect::<Vec<_>>(), [true, false]);
    assert_eq!(found[0].tokens, 122);
    let ranked = encoder.rerank("film", &texts, &EmbedOptions::default()).unwrap();
    assert!(ranked.iter().all(|place| place.truncated == (place.index == 0)));
    let tagger = case("window-misattributed/tagger");
    let tagged = tagger.tag(&texts, Aggregation::Simple, &EmbedOptions::default()).unwrap();
    assert_eq!(tagged.iter().map(|answer| answer.truncated).collect::<Vec<_>>(), [true, false]);
    for error in [
        encoder.classify(texts, &truncate(Truncate::Error)).unwrap_err(),
        encoder.rerank("film", &texts, &truncate(Truncate::Error)).unwrap_err(),
        tagger.tag(&texts, Aggregation::Simple, &truncate(Truncate::Error)).unwrap_err(),
    ] {
        assert!(error.to_string().contains("row 0: the text has"), "{error}");
    }
}

#[test]
fn chinese_is_a_character_a_word_where_the_tokenizer_says_so() {
    let encoder = case("tag-joins-chinese/model");
    // transformers 5.24: pipeline("token-classification", aggregation_strategy="first").
    type Spans<'a> = &'a [(&'a str, &'a str, f32)];
    let table: [(&str, Spans<'_>); 2] = [
        (
            "中文你好中文",
            &[("PER", "中", 0.6568), ("LOC", "文", 0.5650), ("PER", "你好", 0.6398), ("PER", "中文", 0.4981)],
        ),
        (
            "你好paris中文",
            &[
                ("LOC", "你好", 0.9236),
                ("PER", "paris", 0.4459),
                ("PER", "中", 0.4273),
                ("LOC", "文", 0.4071),
            ],
        ),
    ];
    for (text, expected) in table {
        let tagged = encoder.tag(&[text], Aggregation::First, &EmbedOptions::default()).unwrap();
        let found: Vec<_> =
            tagged[0].entities.iter().map(|entity| (entity.label.as_str(), entity.text.as_str())).collect();
        assert_eq!(found, expected.iter().map(|(label, text, _)| (*label, *text)).collect::<Vec<_>>());
        for (entity, (.., score)) in tagged[0].entities.iter().zip(expected) {
            assert!((entity.score - score).abs() < 1e-4, "{entity:?}, expected {score}");
        }
    }
    // A prompt is no part of the text.
    let options =
        EmbedOptions { prompt: frostbert::Prompt::Text("你好 ".into()), ..EmbedOptions::default() };
    for entity in &encoder.tag(&["paris中文"], Aggregation::None, &options).unwrap()[0].entities {
        assert_eq!(entity.text, "paris中文"[entity.start..entity.end]);
        assert!(!entity.text.is_empty());
    }
}

#[test]
fn the_bytes_of_a_character_belong_to_one_word() {
    for name in ["roberta-masked-lm", "modernbert", "bert-pretraining", "xlm-roberta", "albert"] {
        let encoder = golden(name);
        for text in ["a 🦊🦊 fox", "你好 世界", "naïve Zoë's café", "🦊", "กขค", "don't stop-it"]
        {
            let encoding = encoder.encode([text], &EmbedOptions::default()).unwrap().remove(0);
            assert_eq!(encoding.word_ids.len(), encoding.len());
            for at in 1..encoding.len() {
                if encoding.special_tokens_mask[at] {
                    assert_eq!(encoding.word_ids[at], None);
                    continue;
                }
                let (before, here) = (encoding.offsets[at - 1], encoding.offsets[at]);
                assert!(encoding.word_ids[at].is_some());
                if !encoding.special_tokens_mask[at - 1] && here.0 < before.1 {
                    assert_eq!(encoding.word_ids[at - 1], encoding.word_ids[at], "{name}: {text}");
                }
            }
        }
    }
}

#[test]
fn ranking_is_by_the_logit() {
    let encoder = case("rerank-ties/model");
    let documents = ["hello world", "Paris is the capital of france", "The film was fine"];
    let options = EmbedOptions::default();
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let documents = order.map(|at| documents[at]);
        let ranked = encoder.rerank("fine film", &documents, &options).unwrap();
        let found: Vec<usize> = ranked.iter().map(|place| order[place.index]).collect();
        assert_eq!(found, [2, 0, 1]);
        for (place, logit) in ranked.iter().zip([40.903_427, 35.655_49, 15.417_596]) {
            assert!((place.logit - logit).abs() < 1e-3, "{place:?}");
        }
    }
    // Equal logits: input order.
    let same = encoder.rerank("fine film", &["hello world"; 4], &options).unwrap();
    assert_eq!(same.iter().map(|place| place.index).collect::<Vec<_>>(), [0, 1, 2, 3]);
    // Several labels: the last one's log-odds, which do not round where probabilities do.
    let encoder = case("window-misattributed/model");
    let ranked = encoder.rerank("film", &["paris", "the movie was bad"], &options).unwrap();
    for place in ranked {
        let odds = f64::from(place.score) / (1.0 - f64::from(place.score));
        assert!((place.logit - odds.ln()).abs() < 1e-5, "{place:?}");
    }
}

#[test]
fn one_label_is_a_sigmoid_unless_it_is_regression() {
    let name = "one-label-softmax/model";
    let texts = ["The film was fine", "bad"];
    let sigmoid = |encoder: &Encoder| {
        for answer in encoder.classify(texts, &EmbedOptions::default()).unwrap() {
            let expected = 1.0 / (1.0 + (-answer.logits[0]).exp());
            assert!(close(answer.scores[0], expected), "{answer:?}");
        }
    };
    let encoder = case(name);
    sigmoid(&encoder);
    assert!((encoder.classify(texts, &EmbedOptions::default()).unwrap()[0].scores[0] - 0.4993).abs() < 1e-4);
    sigmoid(&changed(name, |config| drop(config.remove("problem_type"))).1);
    let problem = "multi_label_classification";
    sigmoid(&changed(name, |config| drop(config.insert("problem_type".into(), problem.into()))).1);
    let (_folder, raw) =
        changed(name, |config| drop(config.insert("problem_type".into(), "regression".into())));
    assert_eq!(raw.problem_type(), ProblemType::Regression);
    for answer in raw.classify(texts, &EmbedOptions::default()).unwrap() {
        assert_eq!(answer.scores, answer.logits);
    }
}
