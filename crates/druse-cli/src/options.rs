//! Options of a command that is not called from the command line.

use clap::{Args, Command};

use crate::failure::Failure;

/// Reads options as the command line does.
///
/// # Errors
/// What the command line says, without usage.
pub fn parse<A: Args>(command: &'static str, options: &[String]) -> Result<A, Failure> {
    let parser = A::augment_args(Command::new(command).no_binary_name(true).disable_help_flag(true));
    let wrong = |e: clap::Error| Failure::mistake(words_of(&e));
    let matches = parser.try_get_matches_from(options).map_err(wrong)?;
    A::from_arg_matches(&matches).map_err(wrong)
}

/// The words of the parser without usage and the name of the program.
pub fn words_of(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.split("\n\nUsage:").next().unwrap_or(&text);
    let text = text.split("\n\nFor more information").next().unwrap_or(text);
    text.strip_prefix("error: ").unwrap_or(text).trim_end().to_owned()
}
