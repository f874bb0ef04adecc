//! Standard input as a file: `-` where a command reads one.

use std::ffi::{OsStr, OsString};
use std::io::{IsTerminal, Read};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use clap::builder::{PathBufValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use druse_crystal::files;
use druse_data::SetFormat;

use crate::console;
use crate::failure::Failure;

/// How often the arguments name standard input.
static NAMED: AtomicU32 = AtomicU32::new(0);
/// The format that was said to come through it.
static FORMAT: OnceLock<SetFormat> = OnceLock::new();

/// The name that standard input has among files, without an ending.
const NAME: &str = "stdin";
const FORMAT_OPTION: &str = "--input-format";

/// Notes what the words say of standard input, before they are parsed.
pub fn begin(words: &[OsString]) {
    let own = || words.iter().take_while(|word| *word != "--");
    let behind =
        own().zip(own().skip(1)).find(|(word, _)| *word == FORMAT_OPTION).map(|(_, value)| value.as_os_str());
    let with = own()
        .filter_map(|word| word.to_str()?.strip_prefix(FORMAT_OPTION)?.strip_prefix('='))
        .map(OsStr::new);
    let name = behind.or(with.last()).and_then(OsStr::to_str);
    // A name of no format is refused when the words are parsed.
    if let Some(format) = name.and_then(|name| SetFormat::all().find(|format| format.name() == name)) {
        let _ = FORMAT.set(format);
    }
    NAMED.store(0, Ordering::Relaxed);
}

/// Parses the path of what is read; `-` is standard input.
pub fn path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().map(|path| match path.as_os_str() == "-" {
        true => {
            NAMED.fetch_add(1, Ordering::Relaxed);
            file_name()
        }
        false => path,
    })
}

/// Whether the arguments parsed since [`begin`] name standard input.
pub fn is_named() -> bool {
    NAMED.load(Ordering::Relaxed) > 0
}

/// The name of a file whose ending tells the format.
fn file_name() -> PathBuf {
    let ending = match FORMAT.get() {
        None => return NAME.into(),
        Some(SetFormat::Structures(format)) => format.extension(),
        Some(table) => match table {
            SetFormat::JsonLines => "jsonl",
            SetFormat::Crystens => "safetensors",
            _ => "csv",
        },
    };
    format!("{NAME}.{ending}").into()
}

/// Parses the name of a format that is read.
pub fn format() -> PossibleValuesParser {
    SetFormat::all().map(|format| PossibleValue::new(format.name()).help(format.about())).into()
}

/// Reads standard input to its end where the arguments name it.
///
/// # Errors
/// [`Failure`] where they name it twice, or it cannot be read.
pub fn take() -> Result<(), Failure> {
    match NAMED.load(Ordering::Relaxed) {
        0 => return Ok(()),
        1 => {}
        _ => return Err(Failure::mistake("standard input (`-`) is named twice, and can be read once")),
    }
    let mut input = std::io::stdin().lock();
    if input.is_terminal() {
        console::note("reading from the terminal; Ctrl-D ends the input");
    }
    let mut bytes = Vec::new();
    input
        .read_to_end(&mut bytes)
        .map_err(|e| Failure::environment(format!("cannot read standard input: {e}")))?;
    Ok(files::stand_in(file_name(), bytes)?)
}
