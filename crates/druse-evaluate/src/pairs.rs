//! Matching of many pairs of structures, one pair a line.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use druse_crystal::Structure;
use druse_data::{read_json_lines, read_json_structure};
use druse_metrics::matcher::{Criterion, Outcome, PreparedStructure, StructureMatcher};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::parallel::in_chunks;
use crate::{EvaluateError, Observer};

/// Names of the two structures of a line: plain, and those of a prediction and its reference.
const MEMBERS: [[&str; 2]; 2] = [["s1", "s2"], ["pred", "gt"]];

/// What a comparison of two structures gives.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct PairVerdict {
    /// The line's `pair` (or `id`), else its number, from 1.
    pub pair: Value,
    /// Whether some alignment keeps every site within `stol`.
    pub fit: bool,
    /// Smallest normalized RMS distance; `None` when it is not below `stol` for any alignment.
    pub rms: Option<f64>,
    /// Largest normalized distance of that alignment.
    pub max: Option<f64>,
    /// Whether a search was given up, so that there may be a closer alignment, or one at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unfinished: bool,
    /// What the readers of the structures had to interpret, repair or leave out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Why the structures cannot be compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Compares two structures by RMS and by the largest distance.
///
/// ```
/// use druse_crystal::{Element, Lattice, Structure};
/// use druse_evaluate::pairs::compare;
/// use druse_metrics::matcher::StructureMatcher;
///
/// let simple_cubic = |edge| {
///     Structure::new(Lattice::cubic(edge).unwrap(), vec![Element::from_z(84).unwrap()], vec![[0.0; 3]])
/// };
/// let (a, b) = (simple_cubic(3.35)?, simple_cubic(3.4)?);
/// let verdict = compare(&StructureMatcher::default(), "polonium".into(), &a, &b);
/// assert!(verdict.fit && verdict.rms.unwrap() < 1e-9 && verdict.error.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare(matcher: &StructureMatcher, pair: Value, a: &Structure, b: &Structure) -> PairVerdict {
    let (a, b) = (matcher.prepare(a), matcher.prepare(b));
    let error = |name: &str, p: &PreparedStructure| p.error().map(|e| format!("{name}: {e}"));
    let by_rms = matcher.compare(&a, &b, Criterion::Rms);
    let by_max = matcher.compare(&a, &b, Criterion::Max);
    let given_up = |o: &Outcome| matches!(o, Outcome::Unfinished(_));
    let displacement = by_rms.displacement();
    PairVerdict {
        pair,
        fit: by_max.displacement().is_some(),
        rms: displacement.map(|d| d.rms),
        max: displacement.map(|d| d.max),
        unfinished: given_up(&by_rms) || given_up(&by_max),
        warnings: Vec::new(),
        error: error("first structure", &a).or_else(|| error("second structure", &b)),
    }
}

/// Compares the pairs of a JSON Lines file (`.gz` is decompressed), on all threads, in the order of its lines. Each line
/// holds two structures, `s1` and `s2` or `pred` and `gt`, in any form a data set may have.
///
/// A line that does not is answered by its reason; nothing is left out. With `strict` a structure that may be another one
/// than its author meant is such a reason ([`Warning::is_doubt`](druse_crystal::formats::Warning::is_doubt)).
///
/// # Errors
/// [`EvaluateError::Data`] when the file cannot be read, [`EvaluateError::Interrupted`].
pub fn compare_file(
    path: &Path,
    matcher: &StructureMatcher,
    strict: bool,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Vec<PairVerdict>, EvaluateError> {
    let lines = read_json_lines(path)?;
    in_chunks(&lines, "pairs", watch, stop, |(number, line)| {
        let name =
            |line: &Value| ["pair", "id"].iter().find_map(|k| line.get(*k).filter(|v| !v.is_null()).cloned());
        let pair = line.as_ref().ok().and_then(name).unwrap_or_else(|| Value::from(*number));
        let structures = line.as_ref().map_err(Clone::clone).and_then(|line| {
            let [first, second] = MEMBERS
                .into_iter()
                .find(|names| names.iter().all(|n| line.get(*n).is_some()))
                .ok_or("the line does not hold two structures, `s1` and `s2`")?;
            let mut warnings = Vec::new();
            let mut read = |name: &str| {
                let (structure, found) =
                    read_json_structure(&line[name], strict).map_err(|e| format!("{name}: {e}"))?;
                warnings.extend(found.into_iter().map(|w| format!("{name}: {w}")));
                Ok::<_, String>(structure)
            };
            Ok((read(first)?, read(second)?, warnings))
        });
        match structures {
            Ok((a, b, warnings)) => PairVerdict { warnings, ..compare(matcher, pair, &a, &b) },
            Err(reason) => {
                let error = Some(format!("line {number}: {reason}"));
                let (rms, max, warnings) = (None, None, Vec::new());
                PairVerdict { pair, fit: false, rms, max, unfinished: false, warnings, error }
            }
        }
    })
}
