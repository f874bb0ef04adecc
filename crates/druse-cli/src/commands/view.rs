//! `druse view`.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clap::Args;
use druse_view::{Options, Server, ViewError};
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::Done;
use crate::console;
use crate::failure::Failure;

/// Arguments of `druse view`.
#[derive(Args)]
#[command(after_help = "Examples:
  druse view lifeo2                       (a folder of sampled structures, while they are sampled)
  druse view screened --train mp_20/train.csv
  druse view runs data/test.csv --port 8000
  druse view . --model models/cells.safetensors

Shows structures (as `druse info` reads them), screenings and the curves of training runs, and samples new structures into the
first folder. The page is served to this machine alone, and only to whoever has the token in its address. Nothing is loaded from
elsewhere. Ctrl-C ends it, and the sampling that was started from it.")]
pub struct ViewArgs {
    /// Sets of structures, folders of runs, or folders of any of these.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Port on the loopback interface [default: a free one].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    port: u16,
    /// Print the address, but open no browser.
    #[arg(long)]
    no_open: bool,
    /// Known structures that those shown are compared with: which are new, which is the nearest.
    #[arg(long, value_name = "DATASET")]
    train: Option<PathBuf>,
    /// Checkpoint that can be sampled from on the page, besides the shipped model and the training runs shown. Repeatable.
    #[arg(long = "model", value_name = "PATH")]
    models: Vec<PathBuf>,
}

impl From<ViewError> for Failure {
    fn from(e: ViewError) -> Self {
        match &e {
            ViewError::PortInUse(_) => Self::environment(&e)
                .hint("choose another one with --port, or leave --port out for one that is free"),
            ViewError::NotFound(_) => Self::mistake(&e),
            _ => Self::environment(&e),
        }
    }
}

/// What the command leaves.
#[derive(Serialize, JsonSchema)]
pub struct Viewed {
    /// Address of the page while it was there.
    address: String,
}

/// Runs the command.
pub fn run(args: &ViewArgs) -> crate::Outcome {
    let server = Server::bind(Options {
        paths: args.paths.clone(),
        port: args.port,
        train: args.train.clone(),
        models: args.models.clone(),
        program: program(),
    })?;
    let stop = console::stop_flag_saying("ending")?;
    let address = server.address();
    console::data_line(&address)?;
    if !args.no_open && io::stdout().is_terminal() {
        open(&address);
    }
    console::note("Ctrl-C ends this");
    server.serve(&stop)?;
    Ok(Done::with(Viewed { address }))
}

/// The words that start this program again: itself, or the interpreter whose module it is.
fn program() -> Vec<OsString> {
    let Ok(own) = std::env::current_exe() else { return Vec::new() };
    let is_python = own.file_stem().is_some_and(|stem| stem.to_string_lossy().starts_with("python"));
    let mut words = vec![own.into_os_string()];
    if is_python {
        words.extend(["-m".into(), "druse".into()]);
    }
    words
}

/// Opens the address in the person's browser, where there is one.
fn open(address: &str) {
    #[cfg(target_os = "linux")]
    if std::env::var_os("DISPLAY").is_none() && std::env::var_os("WAYLAND_DISPLAY").is_none() {
        return;
    }
    let words: &[&str] = match std::env::consts::OS {
        "macos" => &["open"],
        "windows" => &["rundll32", "url.dll,FileProtocolHandler"],
        _ => &["xdg-open"],
    };
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(address);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Without a browser there is still the address.
    if let Ok(mut child) = command.spawn() {
        std::thread::spawn(move || child.wait());
    }
}
