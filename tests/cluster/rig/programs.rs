//! The programs that `tests/cluster/build` makes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Once;

static SKIPPED: Once = Once::new();

/// The folder `tests/cluster/build` fills.
pub fn home() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rig")
}

/// Folder of the programs, or what is missing of these.
pub fn folder<'a>(needed: impl IntoIterator<Item = &'a str>) -> Result<PathBuf, String> {
    let bin = home().join("bin");
    match needed.into_iter().find(|name| !bin.join(name).exists()) {
        Some(name) => Err(format!("target/rig has no {name}")),
        None => Ok(bin),
    }
}

/// What tests that need them do without them: they are skipped, and that must be seen past the capture of tests that
/// pass. Under `CI=true` it is a failure.
pub fn skip(missing: &str) {
    let must = std::env::var("CI").as_deref() == Ok("true");
    assert!(!must, "the rig is not built: {missing}; run tests/cluster/build");
    SKIPPED.call_once(|| {
        let line = format!("RIG TESTS SKIPPED: {missing}; run tests/cluster/build");
        let _ = writeln!(std::io::stderr(), "\n########## {line} ##########\n");
    });
}
