//! What a command leaves for programs: `--json`, its envelope, its errors.
//!
//! A command returns its result as an object with its exit code ([`Done`]). Whether that is written, where, and what an error looks
//! like is decided here, once for all commands. `docs/reference/json.md` is made from the types of the results
//! (`commands/schema.rs`).

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::Command as Parser;
use druse_crystal::files;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::console;
use crate::failure::{Failure, Place};

/// Version of the layout of results. It changes when a member goes or gets another meaning; new members may come without.
pub const SCHEMA: u32 = 1;

/// What a command that has done its work leaves.
pub struct Done {
    code: u8,
    /// Made only if it is wanted.
    result: Box<dyn FnOnce() -> serde_json::Result<Value>>,
}

impl Done {
    /// Success with a result, an object.
    pub fn with(result: impl Serialize + 'static) -> Self {
        Self { code: 0, result: Box::new(move || serde_json::to_value(result)) }
    }

    /// The exit code.
    pub fn exit_code(&self) -> u8 {
        self.code
    }

    /// The same with another exit code.
    pub fn code(self, code: u8) -> Self {
        Self { code, ..self }
    }
}

/// What stands before the members of a result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Envelope {
    /// Version of this layout, 1. It changes when a member goes or gets another meaning; new members may come without.
    pub schema: u32,
    /// The command, such as `sample` or `data stats`.
    pub command: String,
    /// Version of the program.
    pub druse: String,
    /// Warnings, as they were also written to stderr.
    pub warnings: Vec<String>,
}

/// Why a command failed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorReport {
    /// `usage` (the arguments do not parse), `input` (other arguments or other input put it right), `environment` (the machine
    /// refused, or the work failed), `interrupted` or `bug`.
    pub kind: String,
    /// What went wrong.
    pub message: String,
    /// Where, as far as it is a place in a file.
    #[serde(rename = "where")]
    pub place: Option<Place>,
    /// What to do, where that is known.
    pub help: Option<String>,
    /// The exit code.
    pub exit_code: u8,
}

impl From<&Failure> for ErrorReport {
    fn from(failure: &Failure) -> Self {
        Self {
            kind: failure.kind().to_owned(),
            message: failure.message().to_owned(),
            place: failure.place().cloned(),
            help: failure.hinted().map(str::to_owned),
            exit_code: failure.code(),
        }
    }
}

/// The words of the command line with the value of `--json` at its option.
///
/// `--json` may stand alone, and a word behind it may be an argument: it is the file of the option if it is `-`, ends in `.json`
/// or lies in `/dev`. Behind `=` stands any name.
pub fn settled(words: Vec<OsString>) -> Vec<OsString> {
    let mut settled = Vec::with_capacity(words.len());
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        if word == "--" {
            settled.push(word);
            settled.extend(words);
            break;
        }
        let alone = word == "--json" && !words.peek().is_some_and(|next| names_a_file(next));
        settled.push(if alone { "--json=-".into() } else { word });
    }
    settled
}

fn names_a_file(word: &OsStr) -> bool {
    let path = Path::new(word);
    let ending = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("json"));
    word == "-" || path.starts_with("/dev") || (ending && !word.to_string_lossy().starts_with('-'))
}

/// Whether the words ask for JSON on stdout, for what happens before they are parsed.
pub fn wanted_on_stdout(words: &[OsString]) -> bool {
    let own = words.iter().take_while(|word| *word != "--");
    let pairs = own.clone().zip(own.skip(1));
    words.iter().take_while(|word| *word != "--").any(|word| word == "--json=-")
        || pairs.into_iter().any(|(word, next)| word == "--json" && next == "-")
}

/// The command that the words name, such as `data stats`; empty where they name none.
pub fn command_name(program: &Parser, words: &[OsString]) -> String {
    let (mut names, mut at) = (Vec::new(), program);
    for word in words.iter().skip(1).filter_map(|word| word.to_str()).take_while(|word| *word != "--") {
        match at.find_subcommand(word) {
            Some(inner) => {
                names.push(inner.get_name());
                at = inner;
            }
            // Behind the name of a command stand its arguments; before it, those of options of the program.
            None if !names.is_empty() && !word.starts_with('-') => break,
            None => {}
        }
        if !at.has_subcommands() {
            break;
        }
    }
    names.join(" ")
}

/// Where JSON goes, and for which command.
pub struct Answer {
    command: String,
    /// `-` for stdout; `None` where none is wanted.
    to: Option<PathBuf>,
}

impl Answer {
    /// For a command. Stdout belongs to the JSON from now on, where it goes there.
    ///
    /// # Errors
    /// [`Failure`] where a file would be replaced that no result of this program is.
    pub fn new(command: String, to: Option<PathBuf>) -> Result<Self, Failure> {
        if let Some(path) = to.as_deref() {
            console::keep_warnings();
            console::set_json(path.to_owned());
            match path.as_os_str() == "-" {
                true => console::claim_stdout("--json")?,
                false => refuse_other_files(path)?,
            }
        }
        Ok(Self { command, to })
    }

    /// Writes what a command leaves, and gives its exit code. Of a failure a file is left alone, or not made.
    ///
    /// # Errors
    /// [`Failure`] where the JSON cannot be written.
    pub fn deliver(self, outcome: &mut Result<Done, Failure>) -> Result<u8, Failure> {
        let (code, member) = match outcome {
            Ok(done) => {
                let result = std::mem::replace(&mut done.result, Box::new(|| Ok(Value::Null)));
                (done.code, self.to.is_some().then(result).transpose())
            }
            Err(failure) => {
                let report = serde_json::to_value(ErrorReport::from(&*failure));
                (
                    failure.code(),
                    report.map(|report| Some(Map::from_iter([("error".to_owned(), report)]).into())),
                )
            }
        };
        let Some(path) = &self.to else { return Ok(code) };
        let stdout = path.as_os_str() == "-";
        if outcome.is_err() && !stdout {
            return Ok(code);
        }
        let envelope = Envelope {
            schema: SCHEMA,
            command: self.command,
            druse: env!("CARGO_PKG_VERSION").to_owned(),
            warnings: console::kept_warnings(),
        };
        let unwritable = |e: serde_json::Error| Failure::environment(format!("the result is no JSON: {e}"));
        let mut object = serde_json::to_value(envelope).map_err(unwritable)?;
        if let (Some(object), Some(Value::Object(members))) =
            (object.as_object_mut(), member.map_err(unwritable)?)
        {
            object.extend(members);
        }
        let object = EnvelopeFirst(&object);
        // A member a line, which scripts without a parser read, too.
        let text = serde_json::to_string_pretty(&object).map_err(unwritable)? + "\n";
        match stdout {
            true => console::write_stdout(text.as_bytes()).map(drop)?,
            false => {
                if let Some(folder) = path.parent() {
                    files::create_dir_all(folder)?;
                }
                files::write_atomic(path, text.as_bytes())?;
            }
        }
        Ok(code)
    }
}

/// Members of the envelope, in their order.
const ENVELOPE: [&str; 4] = ["schema", "command", "druse", "warnings"];

/// An object whose envelope comes first.
struct EnvelopeFirst<'a>(&'a Value);

impl Serialize for EnvelopeFirst<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let empty = Map::new();
        let members = self.0.as_object().unwrap_or(&empty);
        let first = ENVELOPE.iter().filter_map(|name| members.get_key_value(*name));
        let others = members.iter().filter(|(name, _)| !ENVELOPE.contains(&name.as_str()));
        serializer.collect_map(first.chain(others))
    }
}

/// Members by which files are known that this program wrote as results, those of earlier versions included.
const OWN_MEMBERS: [&str; 3] = ["druse", "comparison", "hull"];

/// Refuses to replace a file that holds something else than a result: `--json structure.json` may have been meant as an argument.
fn refuse_other_files(path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::mistake(format!("--json: `{}` is a folder", path.display())));
    }
    if !path.is_file() {
        return Ok(());
    }
    let bytes = files::read(path)?;
    let object = serde_json::from_slice::<Map<String, Value>>(&bytes);
    let own = object.is_ok_and(|object| OWN_MEMBERS.iter().any(|name| object.contains_key(*name)));
    if own || bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(());
    }
    Err(Failure::mistake(format!(
        "--json: `{}` holds no result of druse and is not replaced",
        path.display()
    ))
    .hint("name another file; or put --json last where that was an argument"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn a_word_behind_json_is_its_file_by_its_name_alone() {
        for (line, same) in [
            ("druse match --json a.cif b.cif", "druse match --json=- a.cif b.cif"),
            ("druse evaluate a --json out.JSON b", "druse evaluate a --json out.JSON b"),
            ("druse info x --json", "druse info x --json=-"),
            ("druse info x --json --strict", "druse info x --json=- --strict"),
            ("druse info --json=x y", "druse info --json=x y"),
            ("druse info x --json -", "druse info x --json -"),
            ("druse info x --json /dev/fd/63", "druse info x --json /dev/fd/63"),
            ("druse cluster slurm -- sample --json", "druse cluster slurm -- sample --json"),
        ] {
            assert_eq!(settled(words(line)), words(same), "{line}");
        }
        assert!(wanted_on_stdout(&words("druse info x --json=-")));
        assert!(wanted_on_stdout(&words("druse info x --json -")));
        assert!(!wanted_on_stdout(&words("druse info x --json x.json")));
        assert!(!wanted_on_stdout(&words("druse cluster slurm -- sample --json=-")));
    }

    #[test]
    fn commands_are_found_among_the_words() {
        let program = crate::Cli::command();
        for (line, name) in [
            ("druse data stats train.csv", "data stats"),
            ("druse -v --json x.json sample --formula data", "sample"),
            ("druse data --quiet convert a b", "data convert"),
            ("druse", ""),
            ("druse nothing", ""),
            ("druse data nothing stats", "data"),
        ] {
            assert_eq!(command_name(&program, &words(line)), name, "{line}");
        }
    }

    #[test]
    fn only_results_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.json");
        assert!(refuse_other_files(&path).is_ok());
        for (text, fine) in [
            ("", true),
            (r#"{"druse": "0.1.0", "task": "generation"}"#, true),
            (r#"{"format": 1, "comparison": {}}"#, true),
            (r#"{"@module": "pymatgen.core.structure", "lattice": {}, "sites": []}"#, false),
            ("[]", false),
            ("data_x", false),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(refuse_other_files(&path).is_ok(), fine, "{text}");
        }
        assert!(refuse_other_files(dir.path()).is_err());
    }
}
