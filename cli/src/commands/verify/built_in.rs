//! The goldens that the program brings along: small checkpoints with random weights and what transformers computes from them in float64.
//! A sentence-transformers BERT, one stored as f16, and an MPNet, whose attention has a bias: every kernel of the common families.

use frostbert::{Error, Result};

macro_rules! goldens {
    ($($name:literal,)*) => {
        /// Path below the folder of goldens, and contents.
        const FILES: &[(&str, &[u8])] =
            &[$(($name, include_bytes!(concat!("../../../goldens/", $name)))),*];
    };
}

goldens![
    "bert-float16/cases.json",
    "bert-float16/cases.safetensors",
    "bert-float16/config.json",
    "bert-float16/model.safetensors",
    "bert-float16/tokenizer.json",
    "bert-float16/tokenizer_config.json",
    "mpnet/cases.json",
    "mpnet/cases.safetensors",
    "mpnet/config.json",
    "mpnet/model.safetensors",
    "mpnet/tokenizer.json",
    "mpnet/tokenizer_config.json",
    "sentence-mean/1_Pooling/config.json",
    "sentence-mean/2_Normalize/config.json",
    "sentence-mean/cases.json",
    "sentence-mean/cases.safetensors",
    "sentence-mean/config.json",
    "sentence-mean/config_sentence_transformers.json",
    "sentence-mean/model.safetensors",
    "sentence-mean/modules.json",
    "sentence-mean/sentence_bert_config.json",
    "sentence-mean/tokenizer.json",
    "sentence-mean/tokenizer_config.json",
];

/// Writes them to a folder that is deleted when it is dropped.
///
/// # Errors
/// The folder cannot be made or written to.
pub fn write() -> Result<tempfile::TempDir> {
    let failed = |error: std::io::Error| {
        Error::io("cannot write the goldens that the program brings along to the folder for temporary files; set TMPDIR to one with \
                   two megabytes of room")
            .with_source(error)
    };
    let folder = tempfile::tempdir().map_err(failed)?;
    for (name, contents) in FILES {
        let path = folder.path().join(name);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        std::fs::write(&path, contents).map_err(failed)?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// They are the ones that the tests of the library hold every engine to.
    #[test]
    fn what_is_brought_along_is_what_the_tests_use() {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/goldens");
        for (name, contents) in FILES {
            let fixture = std::fs::read(fixtures.join(name)).expect(name);
            assert!(fixture == *contents, "{name} differs from the fixture: copy it to cli/goldens again");
        }
    }
}
