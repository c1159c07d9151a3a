//! What the engine says, on stderr.

use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{LevelFilter, Log, Metadata, Record};

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // There is nowhere left to say that stderr is gone.
        let _ = writeln!(
            std::io::stderr(),
            "{seconds} {} {}: {}",
            record.level(),
            record.target(),
            record.args()
        );
    }

    fn flush(&self) {}
}

/// Says what is at least this important.
pub fn start(level: LevelFilter) {
    // Only a second logger would be refused.
    let _ = log::set_logger(&Stderr);
    log::set_max_level(level);
}
