//! The `frostbert` command line: see the library of this package.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(frostbert_cli::run(std::env::args_os()))
}
