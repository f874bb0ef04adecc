//! What commands write, as values of arguments.

use std::path::PathBuf;

use clap::builder::{PathBufValueParser, TypedValueParser};

/// Parses the path of a folder or file that cannot go to standard output.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("`-` is standard output, and this is written to a folder or file"),
        false => Ok(path),
    })
}
