//! The Python package: its wheel is built, installed and tested, by `test.sh`. Where there is no Python or no package index, it
//! says that it is skipped, and so does `.ci/run`.
#![cfg(unix)]

use std::path::Path;
use std::process::Command;

/// Exit code of the script where the package cannot be tested.
const CANNOT: i32 = 77;

#[test]
fn the_wheel_installs_and_passes_its_tests() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("test.sh");
    let mut command = Command::new("bash");
    command.arg(script);
    // What cargo tells a test of its package is not meant for the cargo within, which would build what looks at it anew.
    let kept = ["CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_TERM_COLOR", "CARGO_INCREMENTAL"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy().into_owned();
        let settings = ["CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_BUILD_", "CARGO_PROFILE_"];
        let meant = kept.contains(&text.as_str()) || settings.iter().any(|prefix| text.starts_with(prefix));
        if text == "OUT_DIR" || text == "CARGO" || (text.starts_with("CARGO_") && !meant) {
            command.env_remove(&name);
        }
    }
    let status = command.status().expect("bash runs the script");
    if status.code() == Some(CANNOT) {
        eprintln!("skipped: the Python package cannot be tested here");
        return;
    }
    assert!(status.success(), "the script ended with {status}");
}
