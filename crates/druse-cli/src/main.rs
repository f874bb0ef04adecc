//! druse: train generative models of crystals and sample from them.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    druse_cli::keep_freed_memory();
    druse_cli::run(std::env::args_os())
}
