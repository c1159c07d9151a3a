//! `frostbert embed --precision`: the same vectors in fewer bytes, in every format.

#![allow(clippy::unwrap_used)] // Helpers of tests may.

use assert_cmd::Command;
use frostbert::data::Table;
use frostbert::quantize::{Ranges, ubinary};
use half::f16;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

const TEXTS: [&str; 3] = ["the quick fox", "measure twice, cut once", "jumps over the lazy dog"];

fn embed(more: &[&str]) -> assert_cmd::assert::Assert {
    let model =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/fixtures/goldens/sentence-mean");
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args(["embed", "--device", "cpu", "--model"]).arg(model);
    for text in TEXTS {
        command.args(["--text", text]);
    }
    command.args(more).assert()
}

/// `[3, 48]`.
fn reference(folder: &Path) -> Vec<f32> {
    npy(folder, &[], "f32.npy")
}

fn npy<T: npyz::Deserialize>(folder: &Path, more: &[&str], name: &str) -> Vec<T> {
    let path = folder.join(name);
    embed(&[&["--out", path.to_str().unwrap()], more].concat()).success();
    npyz::NpyFile::new(&std::fs::read(path).unwrap()[..]).unwrap().into_vec().unwrap()
}

#[test]
fn npy_holds_the_numbers_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let full = reference(folder.path());
    let mut ranges = Ranges::new(48);
    ranges.include(&full);
    let halves: Vec<u16> = {
        let path = folder.path().join("f16.npy");
        embed(&["--precision", "f16", "--out", path.to_str().unwrap()]).success();
        let bytes = std::fs::read(path).unwrap();
        assert!(String::from_utf8_lossy(&bytes[..128]).contains("'<f2'"));
        bytes[128..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
    };
    assert_eq!(halves, full.iter().map(|x| f16::from_f32(*x).to_bits()).collect::<Vec<_>>());
    assert_eq!(npy::<i8>(folder.path(), &["--precision", "int8"], "int8.npy"), ranges.int8(&full));
    assert_eq!(npy::<u8>(folder.path(), &["--precision", "ubinary"], "bits.npy"), ubinary(&full, 48));
}

/// Queries must be quantised like the documents they are compared with.
#[test]
fn ranges_are_kept_and_used_again() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("ranges.npy");
    let kept = kept.to_str().unwrap();
    let first = npy::<i8>(folder.path(), &["--precision", "int8", "--save-ranges", kept], "first.npy");
    let again = npy::<i8>(folder.path(), &["--precision", "int8", "--ranges", kept], "again.npy");
    assert_eq!(first, again);
    let alone = folder.path().join("alone.jsonl");
    let model =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join("tests/fixtures/goldens/sentence-mean");
    let mut command = Command::cargo_bin("frostbert").unwrap();
    command.args([
        "embed",
        "--device",
        "cpu",
        "--text",
        TEXTS[1],
        "--precision",
        "int8",
        "--ranges",
        kept,
        "--model",
    ]);
    command.arg(model).args(["--out", alone.to_str().unwrap()]).assert().success();
    let line: serde_json::Value = serde_json::from_slice(&std::fs::read(alone).unwrap()).unwrap();
    let row: Vec<i64> = line["embedding"].as_array().unwrap().iter().map(|x| x.as_i64().unwrap()).collect();
    assert_eq!(row, first[48..96].iter().map(|x| i64::from(*x)).collect::<Vec<_>>());
}

#[test]
fn safetensors_and_text_formats_too() {
    let folder = tempfile::tempdir().unwrap();
    let full = reference(folder.path());
    for (precision, dtype, columns) in
        [("f16", Dtype::F16, 48), ("int8", Dtype::I8, 48), ("ubinary", Dtype::U8, 6)]
    {
        let path = folder.path().join(format!("{precision}.safetensors"));
        // 3 x 5 columns: an odd number of bytes, after which the token counts must be in line all the same.
        let odd = ["--precision", precision, "--dimensions", "5", "--out"];
        for (more, columns) in
            [(&odd[..], if columns == 6 { 1 } else { 5 }), (&["--precision", precision, "--out"], columns)]
        {
            embed(&[more, &[path.to_str().unwrap()]].concat()).success();
            let bytes = std::fs::read(&path).unwrap();
            let tensors = SafeTensors::deserialize(&bytes).unwrap();
            let found = tensors.tensor("embeddings").unwrap();
            assert_eq!((found.dtype(), found.shape()), (dtype, &[3, columns][..]));
            let tokens = tensors.tensor("tokens").unwrap();
            assert_eq!(
                tokens.data().as_ptr() as usize % 4,
                bytes.as_ptr() as usize % 4,
                "{precision}: out of line"
            );
            assert_eq!(tokens.data()[0], 5, "the quick fox");
        }
        for ending in ["jsonl", "csv", "parquet"] {
            let path = folder.path().join(format!("{precision}.{ending}"));
            embed(&["--precision", precision, "--out", path.to_str().unwrap()]).success();
            assert!(std::fs::metadata(&path).unwrap().len() > 100);
            if ending == "csv" {
                let text = std::fs::read_to_string(&path).unwrap();
                let row = text.lines().nth(1).unwrap();
                assert_eq!(row.split(',').count(), 2 + columns);
                let third: f32 = row.split(',').nth(2).unwrap().parse().unwrap();
                match precision {
                    "f16" => assert_eq!(third, f16::from_f32(full[0]).to_f32()),
                    "ubinary" => assert_eq!(third, f32::from(ubinary(&full, 48)[0])),
                    _ => {}
                }
            }
        }
    }
    Table::open(folder.path().join("int8.parquet")).unwrap();
}

#[test]
fn ranges_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("ranges.npy");
    let kept = kept.to_str().unwrap();
    let out = folder.path().join("out.npy");
    let out = out.to_str().unwrap();
    embed(&["--precision", "int8", "--dimensions", "7", "--save-ranges", kept, "--out", out]).success();
    std::fs::remove_file(out).unwrap();
    let none = "7 columns, and the embeddings have 48";
    for (more, says) in [
        (&["--precision", "int8", "--ranges", kept][..], none),
        (&["--precision", "f16", "--ranges", kept], "go with --precision int8"),
        (&["--save-ranges", kept], "go with --precision int8"),
        (&["--precision", "int8", "--ranges", "/no/such"], "cannot read /no/such"),
        (
            &["--precision", "int8", "--ranges", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")],
            "expected an .npy file",
        ),
    ] {
        embed(&[more, &["--out", out]].concat()).failure().code(1).stderr(predicates::str::contains(says));
        assert!(!Path::new(out).exists());
    }
    embed(&["--precision", "int4"]).failure().code(2);
}
