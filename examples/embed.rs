//! Texts to vectors, and how alike they are.
//!
//! `cargo run --example embed -- MODEL [DEVICE]`, with MODEL a checkpoint folder or a hub id.

use frostbert::{EmbedOptions, Encoder, Result};

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let model = args.next().unwrap_or_else(|| "sentence-transformers/all-MiniLM-L6-v2".into());
    let device = args.next().unwrap_or_else(|| "auto".into()).parse()?;

    let encoder = Encoder::load(model).device(device).build()?;
    println!("{} on {}", encoder.config().family.name(), encoder.device().name);

    let texts = ["A warm and funny film.", "I laughed and felt good.", "The bank raised its interest rates."];
    // Pooling and normalisation are the checkpoint's own unless the options say otherwise.
    let options = EmbedOptions { normalize: Some(true), ..EmbedOptions::default() };
    let embeddings = encoder.embed(texts, &options)?;

    for (text, tokens) in texts.iter().zip(&embeddings.tokens) {
        println!("{tokens:>3} tokens  {text}");
    }
    // Unit vectors: the dot product is the cosine.
    for (a, b) in [(0, 1), (0, 2)] {
        let cosine: f32 = embeddings.row(a).iter().zip(embeddings.row(b)).map(|(x, y)| x * y).sum();
        println!("cosine {cosine:.3}  {:?} and {:?}", texts[a], texts[b]);
    }
    Ok(())
}
