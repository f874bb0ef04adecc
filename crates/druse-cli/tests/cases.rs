//! Files of kinds that users of other programs have reported as misread: `druse` on each of the reference data's cases.
//!
//! A case is a folder with an `expected.json`: runs of the program in order, each with the outcomes that are right.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Run, command};
use druse_testkit::shared_dir;
use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

/// `expected.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// Who has reported the kind.
    #[serde(rename = "source")]
    _source: String,
    /// What is particular about the files.
    title: String,
    /// The right answer in words.
    right: String,
    runs: Vec<Expected>,
}

/// One call of the program.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// Arguments: `{case}` is the folder of the case, `{tmp}` one that is empty at the first run.
    args: Vec<String>,
    /// Files below `{tmp}` that follow the arguments.
    glob: Option<String>,
    /// Right outcomes, of which one has to come.
    accept: Vec<Outcome>,
}

/// What has to be found together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Outcome {
    exit: i32,
    /// Regular expressions, each of which is found in stdout.
    #[serde(default)]
    stdout: Vec<String>,
    #[serde(default)]
    stderr: Vec<String>,
    /// Regular expressions that are not found in stdout.
    #[serde(default)]
    absent: Vec<String>,
    /// Conditions on the first JSON object of stdout.
    #[serde(default)]
    json: Vec<Condition>,
}

/// `[key, operator, value]`, or `[key, "~", value, tolerance]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Condition {
    Exact(String, String, Value),
    Near(String, String, f64, f64),
}

#[test]
fn reported_cases_have_a_right_outcome() {
    let Some(shared) = shared_dir() else { return };
    let mut folders: Vec<PathBuf> = fs::read_dir(shared.join("cases"))
        .map(|entries| entries.map(|e| e.unwrap().path()).filter(|p| p.is_dir()).collect())
        .unwrap_or_default();
    folders.sort();
    if folders.is_empty() {
        eprintln!("skipped: the reference data has no cases");
        return;
    }
    let failures: Vec<(String, String)> = folders
        .iter()
        .filter_map(|folder| {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            run_case(folder).err().map(|report| (name, report))
        })
        .collect();
    if failures.is_empty() {
        return;
    }
    let names: Vec<&str> = failures.iter().map(|f| f.0.as_str()).collect();
    let reports: String = failures.iter().map(|(name, report)| format!("\n== {name}\n{report}")).collect();
    panic!("{} of {} cases: {}\n{reports}", failures.len(), folders.len(), names.join(", "));
}

/// Runs a case up to the first run without a right outcome, which it describes.
fn run_case(folder: &Path) -> Result<(), String> {
    let text = fs::read_to_string(folder.join("expected.json")).unwrap();
    let case: Case = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    for expected in &case.runs {
        let fill = |argument: &String| {
            argument.replace("{case}", &folder.to_string_lossy()).replace("{tmp}", &out.to_string_lossy())
        };
        let mut arguments: Vec<String> = expected.args.iter().map(fill).collect();
        arguments.extend(expected.glob.iter().flat_map(|pattern| matching(&out, pattern)));
        let output = command(place.path()).args(&arguments).output().unwrap();
        let run = Run {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        };
        let faults: Vec<String> = expected.accept.iter().filter_map(|outcome| fault(outcome, &run)).collect();
        if faults.len() == expected.accept.len() || run.stderr.contains("panicked") {
            return Err(report(&case, &arguments, &run, &faults));
        }
    }
    Ok(())
}

fn report(case: &Case, arguments: &[String], run: &Run, faults: &[String]) -> String {
    let mut text = format!("{}\nright: {}\n$ druse {}\n", case.title, case.right, arguments.join(" "));
    for (name, printed) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        for line in printed.lines() {
            let _ = writeln!(text, "  {name} | {line}");
        }
    }
    let _ = writeln!(text, "  exit {:?}; no outcome fits:", run.code);
    for fault in faults {
        let _ = writeln!(text, "  - {fault}");
    }
    text
}

/// The first thing that keeps a run from being an outcome.
fn fault(outcome: &Outcome, run: &Run) -> Option<String> {
    if run.code != Some(outcome.exit) {
        return Some(format!("exit is not {}", outcome.exit));
    }
    let found = |pattern: &String, text: &str| regex(pattern).is_match(text);
    for (name, patterns, text) in
        [("stdout", &outcome.stdout, &run.stdout), ("stderr", &outcome.stderr, &run.stderr)]
    {
        if let Some(pattern) = patterns.iter().find(|pattern| !found(pattern, text)) {
            return Some(format!("{name} has no `{pattern}`"));
        }
    }
    if let Some(pattern) = outcome.absent.iter().find(|pattern| found(pattern, &run.stdout)) {
        return Some(format!("stdout has `{pattern}`"));
    }
    if outcome.json.is_empty() {
        return None;
    }
    let Some(printed) = first_object(&run.stdout) else {
        return Some("stdout has no JSON object".to_owned());
    };
    outcome.json.iter().find_map(|condition| unmet(condition, &printed))
}

/// In multi-line mode: `^` and `$` are the ends of a line.
fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?m){pattern}")).unwrap_or_else(|e| panic!("{pattern}: {e}"))
}

/// The first JSON object of a text, whether on one line or on several.
fn first_object(text: &str) -> Option<Value> {
    let start = text.find('{')?;
    serde_json::Deserializer::from_str(&text[start..]).into_iter().next()?.ok()
}

/// The member of an object, or of one of its members: features have objects of their own.
fn member<'v>(object: &'v Value, key: &str) -> Option<&'v Value> {
    let own = object.get(key);
    own.or_else(|| object.as_object()?.values().find_map(|inner| inner.get(key)))
}

fn unmet(condition: &Condition, printed: &Value) -> Option<String> {
    let (Condition::Exact(key, operator, _) | Condition::Near(key, operator, ..)) = condition;
    let value = member(printed, key);
    let number = value.and_then(Value::as_f64);
    let met = match condition {
        Condition::Exact(_, _, wanted) => match (operator.as_str(), number, wanted.as_f64()) {
            ("==", Some(x), Some(y)) => x == y,
            ("==", ..) => value == Some(wanted),
            ("<=", x, Some(y)) => x.is_some_and(|x| x <= y),
            (">=", x, Some(y)) => x.is_some_and(|x| x >= y),
            _ => panic!("condition `{key} {operator} {wanted}` is not known"),
        },
        Condition::Near(_, _, wanted, tolerance) => {
            assert_eq!(operator, "~", "the operator that has a tolerance");
            number.is_some_and(|x| (x - wanted).abs() <= *tolerance)
        }
    };
    let value = value.map_or("absent".to_owned(), Value::to_string);
    (!met).then(|| format!("{key} is {value}, which fails `{operator}`"))
}

/// The files below a folder whose relative path matches a pattern, in which `*` stands for anything but a slash; sorted.
fn matching(folder: &Path, pattern: &str) -> Vec<String> {
    let pattern = regex(&format!("\\A{}\\z", regex::escape(pattern).replace("\\*", "[^/]*")));
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if pattern
                .is_match(&path.strip_prefix(folder).unwrap().to_string_lossy().replace('\\', "/"))
            {
                found.push(path.to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn outcomes_are_told_apart() {
    let run = |code, stdout: &str, stderr: &str| Run {
        code: Some(code),
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
    };
    let outcome = |text: &str| serde_json::from_str::<Outcome>(text).unwrap();
    let printed =
        run(0, "x\n{\"error\":null,\"validity\":{\"elems\":[11,17],\"volume\":74.72}}\n", "a note\nb");
    for (text, right) in [
        (r#"{"exit": 0, "stderr": ["^b$"], "stdout": ["error"]}"#, true),
        (r#"{"exit": 2}"#, false),
        (r#"{"exit": 0, "stderr": ["^note"]}"#, false),
        (r#"{"exit": 0, "absent": ["volume"]}"#, false),
        (r#"{"exit": 0, "json": [["error", "==", null], ["elems", "==", [11, 17]]]}"#, true),
        (r#"{"exit": 0, "json": [["missing", "==", null]]}"#, false),
        (r#"{"exit": 0, "json": [["volume", "~", 74.725, 0.01], ["volume", "<=", 75]]}"#, true),
        (r#"{"exit": 0, "json": [["volume", "~", 74.8, 0.01]]}"#, false),
        (r#"{"exit": 0, "json": [["volume", ">=", 75]]}"#, false),
    ] {
        assert_eq!(fault(&outcome(text), &printed).is_none(), right, "{text}");
    }
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("cifs")).unwrap();
    for name in ["cifs/b.cif", "cifs/a.cif", "a.cif", "cifs/a.csv"] {
        fs::write(place.path().join(name), "").unwrap();
    }
    assert_eq!(matching(place.path(), "cifs/*.cif").len(), 2);
}
