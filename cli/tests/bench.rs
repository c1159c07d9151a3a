//! `frostbert bench`: what it measures is there and adds up. Not one figure is compared with another machine's.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use assert_cmd::Command;
use serde_json::Value;

fn frostbert(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args(args).env_remove("FROSTBERT_PIPELINE_CACHE");
    command
}

#[test]
fn a_random_model_on_two_devices() {
    let cache = tempfile::tempdir().unwrap();
    let saved = tempfile::tempdir().unwrap();
    let folder = saved.path().join("model");
    let args =
        ["bench", "--random", "64x2x4", "--save", folder.to_str().unwrap(), "--seconds", "0.2", "--json"];
    let devices = ["--device", "cpu", "--also", "software", "--max-tokens", "64"];
    let output = frostbert(&[&args[..], &devices[..]].concat())
        .env("FROSTBERT_CACHE", cache.path())
        .assert()
        .success();
    let found: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 2);
    for (device, class) in found.iter().zip(["cpu", "software"]) {
        assert_eq!(device["device"]["class"], class);
        let mixes = device["mixes"].as_array().unwrap();
        assert_eq!(
            mixes.iter().map(|mix| mix["mix"].as_str().unwrap()).collect::<Vec<_>>(),
            ["short", "mixed", "long"]
        );
        for mix in mixes {
            assert!(mix["tokens_per_second"].as_f64().unwrap() > 0.0);
            // No padding: only the last tile of a batch may hold rows of nobody.
            let share = mix["real_of_computed_tokens"].as_f64().unwrap();
            assert!(
                if class == "cpu" { share == 1.0 } else { share > 0.9 && share <= 1.0 },
                "{class}: {share}"
            );
        }
        // Every text of the long mix is as long as was allowed.
        assert_eq!(mixes[2]["tokens"].as_u64().unwrap(), 64 * mixes[2]["texts"].as_u64().unwrap());
        let peak = device["peak"]["flops"].as_f64().unwrap();
        assert!(peak > 1e8, "{peak}");
        let kernels = device["profile"]["kernels"].as_array().unwrap();
        let flops: u64 = kernels.iter().map(|kernel| kernel["flops"].as_u64().unwrap()).sum();
        let tokens = device["profile"]["tokens"].as_u64().unwrap();
        // 24 d² L a token, and attention on top.
        assert!(flops > tokens * 24 * 64 * 64 * 2, "{flops} for {tokens} tokens");
        assert!(kernels.iter().all(|kernel| kernel["nanoseconds"].as_f64().unwrap() > 0.0));
        assert!(device["device_bytes"].as_u64().unwrap() > 4 * device["parameters"].as_u64().unwrap() / 2);
        assert!(device["cold_start"]["seconds"].as_f64().unwrap() > 0.0);
    }
    // The software adapter keeps compiled kernels for the next process.
    let pipelines = std::fs::read_dir(cache.path().join("pipelines")).unwrap().count();
    assert_eq!(pipelines, 1);
    frostbert(&["inspect", folder.to_str().unwrap()]).assert().success();
}

#[test]
fn wrong_wishes_are_refused() {
    for (args, code) in [
        (&["bench"][..], 2),
        (&["bench", "--random", "bert-gigantic"], 2),
        (&["bench", "--random", "bert-tiny", "--model", "x"], 2),
        (&["bench", "--random", "bert-tiny", "--seconds", "0"], 2),
        (&["bench", "--random", "bert-tiny", "--mixes", "tall"], 2),
        (&["bench", "--model", "./no/such/folder", "--no-cold-start"], 1),
    ] {
        frostbert(args).assert().failure().code(code);
    }
    // A folder with something in it is left as it is.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.txt"), "mine").unwrap();
    frostbert(&["bench", "--random", "64x2x4", "--save", folder.path().to_str().unwrap()])
        .assert()
        .failure()
        .code(1)
        .stderr(predicates::str::contains("is not empty"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
