//! File formats as values of arguments and in help: names and descriptions come from the tables of formats.

use std::error::Error;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use druse_data::{OutputFormat, readable_formats};
use druse_run::output::SampleFormat;

/// Parses the format of a data set that is written.
pub fn set_format() -> impl TypedValueParser<Value = OutputFormat> {
    one_of(OutputFormat::all().map(|f| (f.name(), f.about())))
}

/// Parses the format of files that are written beside sampled structures.
pub fn sample_format() -> impl TypedValueParser<Value = SampleFormat> {
    one_of(SampleFormat::all().map(|f| (f.name().to_owned(), f.about())))
}

/// What a set of structures may be read from.
pub fn source_help() -> String {
    format!(
        "Set of structures: {}, each also as .gz; or a folder of structure files; `-` for standard input",
        readable_formats()
    )
}

fn one_of<T>(values: impl Iterator<Item = (String, String)>) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    // The parser wants names that live as long as the program; there are a dozen of them.
    let values = values.map(|(name, about)| PossibleValue::new(&*name.leak()).help(about));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<T>())
}
