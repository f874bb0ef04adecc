//! Several evaluations side by side.

use std::collections::BTreeSet;

use druse_metrics::{Direction, Metric, direction, label};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{Evaluation, Task};

/// One metric over all evaluations.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ComparisonRow {
    /// Key of the metric.
    pub key: String,
    /// Its name.
    pub label: String,
    /// The metric of each evaluation that has it.
    #[serde(rename = "figures")]
    pub metrics: Vec<Option<Metric>>,
    /// Columns with the best value; empty when nothing can be ranked.
    pub best: Vec<usize>,
    /// Why the values cannot be ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// What to keep in mind where they are ranked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
}

/// Several evaluations side by side.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Comparison {
    /// Names of the columns.
    pub names: Vec<String>,
    /// Protocol and reference of each column, in words.
    pub bases: Vec<String>,
    /// The metrics in the order of the first evaluation that has them.
    pub rows: Vec<ComparisonRow>,
}

impl ComparisonRow {
    /// Why the values are not ranked, or what to keep in mind.
    pub fn note(&self) -> String {
        match (&self.problem, &self.remark) {
            (Some(problem), _) => format!("not ranked: {problem}"),
            (None, Some(remark)) => remark.clone(),
            (None, None) => String::new(),
        }
    }
}

impl Comparison {
    /// Compares evaluations with their names.
    pub fn new(evaluations: &[(String, Evaluation)]) -> Self {
        let mut keys: Vec<&str> = Vec::new();
        for (_, e) in evaluations {
            for metric in &e.metrics {
                if !keys.contains(&metric.key.as_str()) {
                    keys.push(&metric.key);
                }
            }
        }
        Self {
            names: evaluations.iter().map(|(name, _)| name.clone()).collect(),
            bases: evaluations
                .iter()
                .map(|(_, e)| {
                    let rows = format!("{} rows of {}", e.generated.rows, e.generated.name);
                    format!("{}, protocol {}, {rows} against {}", e.task, e.protocol.name, e.reference.name)
                })
                .collect(),
            rows: keys.into_iter().map(|key| row(key, evaluations)).collect(),
        }
    }
}

fn row(key: &str, evaluations: &[(String, Evaluation)]) -> ComparisonRow {
    let metrics: Vec<Option<Metric>> = evaluations.iter().map(|(_, e)| e.metric(key).cloned()).collect();
    let present = || evaluations.iter().filter_map(|(_, e)| Some((e, e.metric(key)?)));
    let protocols: BTreeSet<String> =
        present()
            .map(|(e, f)| {
                // What is measured on valid structures depends on what counts as valid.
                let p = &e.protocol;
                let rules = (f.protocol.contains("valid") && !f.protocol.contains("valid or not"))
                    .then_some((p.composition, p.structure, p.fingerprint));
                format!("{} {rules:?}", f.protocol)
            })
            .collect();
    let sizes: BTreeSet<usize> = present().map(|(_, f)| f.of).collect();
    let references: BTreeSet<&str> = present()
        .filter(|(e, f)| f.against.is_some() || e.task != Task::Generation)
        .map(|(e, _)| e.reference.structures_hash.as_str())
        .collect();
    let problem = if protocols.len() > 1 {
        Some("protocols differ".to_owned())
    } else if references.len() > 1 {
        Some("references differ".to_owned())
    } else if key.starts_with("frechet") && sizes.len() > 1 {
        Some("samples differ in size, on which the bias of the estimate depends".to_owned())
    } else {
        None
    };
    let sizes = sizes.iter().map(usize::to_string).collect::<Vec<_>>();
    let remark = (sizes.len() > 1 && problem.is_none()).then(|| format!("samples of {}", sizes.join(", ")));
    let ranked = || metrics.iter().enumerate().filter_map(|(i, f)| Some((i, f.as_ref()?.value?)));
    let best = match direction(key) {
        Direction::Higher => ranked().map(|(_, x)| x).reduce(f64::max),
        Direction::Lower => ranked().map(|(_, x)| x).reduce(f64::min),
        Direction::Neither => None,
    };
    let distinct = ranked().any(|(_, x)| Some(x) != best);
    let best = match (best, &problem) {
        (Some(best), None) if distinct => ranked().filter(|&(_, x)| x == best).map(|(i, _)| i).collect(),
        _ => Vec::new(),
    };
    ComparisonRow { key: key.to_owned(), label: label(key), metrics, best, problem, remark }
}
