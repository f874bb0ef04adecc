//! The program druse: train generative models of crystals, sample from them, judge what comes out.
//!
//! [`run`] is the program; the binary and the command of the Python package call it. [`library`] has its commands as
//! functions, with options as on the command line and sets and results in memory: the Python module is made of these.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod answer;
mod commands;
mod console;
mod failure;
mod formats;
mod images;
mod input;
pub mod library;
mod models;
mod options;
mod output;
mod ranks;
mod rows;
mod sampling;
mod sets;
#[cfg(test)]
mod shown;
mod stream;

use std::any::Any;
use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::answer::{Answer, Done};
use crate::commands::Command;

pub use crate::console::Remark;
pub use crate::failure::Failure;
pub use crate::models::{load_model, registry};
pub use crate::ranks::CHILD_COMMAND;

/// Train generative models of crystals and sample new structures.
#[derive(Parser)]
#[command(name = "druse", version, propagate_version = true)]
#[command(after_help = "Examples:
  druse sample --formula LiFeO2 --count 8 --out lifeo2
  druse train --data ../data/mp_20 --out runs/mp20
  druse sample --model runs/mp20 --formula SrTiO3 --count 4 --out sto
  druse info runs/mp20/checkpoints/best.safetensors

`-` stands for standard input where a command reads a file, and for standard output where it writes one.
Exit codes: 0 done, 1 failed, 2 wrong arguments or input, 130 interrupted.")]
struct Cli {
    /// Write the result as JSON, to standard output when no file is named; what is for people then goes to stderr. The name of
    /// the file ends in .json, or stands behind `=`.
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-", global = true, display_order = 898)]
    json: Option<PathBuf>,
    /// Format of what comes through standard input (`-`) [default: told by its content].
    #[arg(long, value_name = "FORMAT", value_parser = input::format(), hide_possible_values = true, global = true, display_order = 899)]
    input_format: Option<String>,
    /// More messages on stderr (-v: debug, -vv: trace).
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = 900)]
    verbose: u8,
    /// No progress and no remarks, only warnings and errors.
    #[arg(short, long, global = true, display_order = 901)]
    quiet: bool,
    #[command(subcommand)]
    command: Command,
}

/// Keeps freed memory for the next step. By default the allocator hands it back to the system within milliseconds, and
/// a training step, which allocates the same hundreds of megabytes as the one before, pays for fresh pages each time.
///
/// It is for programs whose allocator is mimalloc.
pub fn keep_freed_memory() {
    /// `mi_option_purge_delay`, for which the bindings have no name: milliseconds, -1 for never.
    const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
    // SAFETY: sets one integer option of the allocator; no memory is involved.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, -1) }
}

/// Runs the program with its arguments, of which the first is its name, and gives its exit code.
pub fn run<A: Into<OsString> + Clone>(arguments: impl IntoIterator<Item = A>) -> ExitCode {
    let words = answer::settled(arguments.into_iter().map(Into::into).collect());
    let command = answer::command_name(&Cli::command(), &words);
    input::begin(&words);
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are no failures. That stdout is closed is none either.
            let _ = e.print();
            let code = u8::try_from(e.exit_code()).unwrap_or(2);
            if code != 0 && answer::wanted_on_stdout(&words) {
                let help = format!(
                    "`{}` lists the arguments",
                    format!("druse {command}").trim_end().to_owned() + " --help"
                );
                let failure = Failure::usage(options::words_of(&e)).hint(help);
                let told = Answer::new(command, Some("-".into()))
                    .and_then(|answer| answer.deliver(&mut Err(failure)));
                told.err().iter().for_each(console::report);
            }
            return ExitCode::from(code);
        }
    };
    console::init(cli.verbose, cli.quiet);
    let asked = cli.json.is_some();
    let answer = match Answer::new(command, cli.json) {
        Ok(answer) => answer,
        Err(failure) => {
            console::report(&failure);
            return ExitCode::from(failure.code());
        }
    };
    let mut outcome = match asked {
        false => take_input(cli.input_format).and_then(|()| cli.command.run()),
        // A panic has been reported; a program that reads JSON is told, too.
        true => {
            let work = AssertUnwindSafe(|| take_input(cli.input_format).and_then(|()| cli.command.run()));
            panic::catch_unwind(work)
                .unwrap_or_else(|panic| Err(Failure::bug(format!("a bug: {}", words_of_panic(&*panic)))))
        }
    };
    if let Err(failure) = &outcome {
        console::report(failure);
    }
    match answer.deliver(&mut outcome) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            console::report(&failure);
            ExitCode::from(failure.code())
        }
    }
}

/// Reads standard input where the arguments name it.
fn take_input(format: Option<String>) -> Result<(), Failure> {
    if format.is_some() && !input::is_named() {
        let text = "--input-format is for what comes through standard input, and no argument is `-`";
        return Err(Failure::mistake(text).hint("the name of a file tells its format, or its content does"));
    }
    input::take()
}

fn words_of_panic(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

/// What a command returns.
type Outcome = Result<Done, Failure>;
