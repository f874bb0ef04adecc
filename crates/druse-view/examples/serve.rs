//! The page of some paths without the rest of the program: `cargo run --release -p druse-view --example serve -- PATH…`.
//! `DRUSE_BIN` names the program whose `sample` is started from it.

use std::sync::atomic::AtomicBool;

use druse_view::{Options, Server};

#[allow(clippy::print_stdout)]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut paths: Vec<std::path::PathBuf> = std::env::args_os().skip(1).map(Into::into).collect();
    let train = std::env::var_os("DRUSE_TRAIN").map(Into::into);
    if paths.is_empty() {
        paths.push(std::env::current_dir()?);
    }
    let program = std::env::var_os("DRUSE_BIN").into_iter().collect();
    let server = Server::bind(Options { paths, train, program, ..Options::default() })?;
    println!("{}", server.address());
    server.serve(&AtomicBool::new(false))?;
    Ok(())
}
