//! The server: official clients, signals and the page's examples against the program itself.

use crate::Result;
use crate::not_tested::NotTested;
use crate::process::{program, watch};
use crate::python::Environment;
use crate::web::Web;

/// The step of `cargo xtask test`, and `cargo xtask test-serve`.
pub fn test(not_tested: &NotTested, each: impl FnMut(&str)) -> Result<()> {
    let environment = Environment::install("serve/tests/clients/requirements.txt")?;
    let node = Web::with_node()?;
    let program = program("frostbert", "files")?;
    let tests = "serve/tests/clients";
    let mut pytest =
        environment.python(["-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tests, tests]);
    pytest.env("FROSTBERT", program).env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(path) = node.path() {
        pytest.env("FROSTBERT_NODE_PATH", path);
    }
    watch(not_tested.env(&mut pytest), each)
}
