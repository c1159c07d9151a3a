//! "I want BERT only for embeddings, to feed a classification network that I build from scratch."
//!
//! Then the encoder is `BertModel`, frozen, and this is all there is to it: read a table, train a head, ask it.
//!
//! `cargo run --example train_classifier -- MODEL [TABLE.csv [DEVICE]]`; the table has the columns `text` and `label`.

use frostbert::data::{Selection, Table};
use frostbert::workflow::{Dataset, Trainer};
use frostbert::{Classifier, Encoder, Result};

const REVIEWS: &str = "text,label
A delight from the first scene to the last.,good
Warm and clever and beautifully played.,good
I have not laughed so much in years.,good
A small masterpiece.,good
Moving and never sentimental.,good
The best film of the year so far.,good
Two hours that I will not get back.,bad
Dull and loud and far too long.,bad
The plot makes no sense at all.,bad
A tired copy of better films.,bad
Nobody in it seems to care.,bad
I wanted to leave after ten minutes.,bad
";

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let model = args.next().unwrap_or_else(|| "sentence-transformers/all-MiniLM-L6-v2".into());
    let table = match args.next() {
        Some(path) => Table::open(path)?,
        None => Table::from_bytes("reviews.csv", REVIEWS)?,
    };
    let device = args.next().unwrap_or_else(|| "auto".into()).parse()?;

    // The encoder is never changed: no gradients, no BertForPreTraining, no fine-tuning.
    let encoder = Encoder::load(model.as_str()).device(device).build()?;
    let selection = Selection { labels: vec!["label".into()], ..Selection::default() };
    let data = Dataset::read(table, &selection)?;

    // The head sees vectors and labels, and nothing else. C is chosen by cross-validation.
    let trained = Trainer::new(&encoder).model_location(model).train(&data, &mut |_| {})?;
    for (measure, estimate) in trained.record.cross_validation.iter().flat_map(|cv| &cv.summary).take(1) {
        println!("cross-validated {measure}: {:.2} ± {:.2}", estimate.mean, estimate.half_width);
    }

    // A head remembers which encoder made its embeddings, and refuses another: `trained.head.save(FILE)` keeps it.
    let classifier = Classifier::new(encoder, trained.head)?;
    for text in ["What a lovely surprise.", "A waste of good actors."] {
        let answer = &classifier.predict([text])?[0];
        println!("{text}  {:?} {:.3?}", classifier.head().names(), answer.answer.probabilities);
    }
    Ok(())
}
