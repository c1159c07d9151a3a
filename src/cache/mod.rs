//! Embeddings kept on disk, so that a second head, another fold or a re-run costs no encoder time.
//!
//! One [redb](https://docs.rs/redb) file in the user's cache folder holds the vectors of every encoder: a table per
//! encoder fingerprint, a row per text. It may be deleted at any time. What holds, and is tested:
//!
//! - *Several processes* share the file: any number read while one writes, and writers take turns transaction by
//!   transaction (`ConcurrencyMode::MultiWriter`). Nobody fails because somebody else has it open.
//! - *Killed at any moment*: a [`Cache::put_many`] is one transaction, there as a whole or not at all, and what it had
//!   stored when it returned is there afterwards.
//! - *Disk full*: the write fails and what was stored before stays readable. [`BestEffort`] turns the failure into one
//!   warning, and work goes on without storing.
//! - *Damaged file*: it is moved aside to `embeddings.redb.damaged`, a fresh one is started, and a note says so once. A
//!   single damaged row (each has a checksum) is a miss and is overwritten.
//!
//! ```
//! use frostbert::cache::{Cache, Entry, KeySpace};
//! # let folder = tempfile::tempdir()?;
//! let cache = Cache::open(folder.path())?;
//! let space = KeySpace::new("fingerprint of the encoder", "f32", &("last layer", "mean pooling"))?;
//! let key = space.key("A fine film.", None);
//! cache.put_many(&[(key.clone(), Entry { vector: vec![0.5, -1.0], tokens: 6, truncated: false })])?;
//! let found = cache.get_many(&[key, space.key("Another text.", None)])?;
//! assert_eq!(found[0].as_ref().map(|entry| entry.vector.as_slice()), Some(&[0.5, -1.0][..]));
//! assert!(found[1].is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod best_effort;
mod entry;
mod file;
mod key;
mod store;

pub use best_effort::BestEffort;
pub use entry::Entry;
pub use key::{Key, KeySpace};
pub use store::{Cache, Cleared, EncoderInfo, Info};
