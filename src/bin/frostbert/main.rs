//! The `frostbert` command line.
fn main() {}
