//! How well predictions reproduce the structures they are meant to reproduce.
//!
//! - **Match rate and RMSE of reconstruction** (CDVAE: T. Xie et al., ICLR 2022): one prediction for each reference;
//!   the share of references that are matched, over *all* references, and the mean normalized RMS distance of the
//!   matched ones. A prediction that is not valid counts as not matched.
//! - **Structure prediction with k candidates** (DiffCSP: R. Jiao et al., NeurIPS 2023): a reference is matched when
//!   any of its first k candidates matches; its distance is the smallest of them.
//! - **METRe**, "match everyone to reference" (M. Martirossyan et al., arXiv:2509.12178): the share of references that
//!   are matched by any generated structure of the whole set, so that polymorphs may appear under another prompt.
//! - **cRMSE** (same paper): the mean distance over *all* references, unmatched ones counted with `stol`, the largest
//!   distance a match can have. Unlike the RMSE it cannot be lowered by matching fewer references.

use std::collections::HashMap;

use druse_crystal::Structure;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    distribution::Bootstrap,
    matcher::{Criterion, Displacement, Outcome, PreparedStructure, SiteCounts, StructureMatcher},
    metric::Metric,
};

/// Match rate and distances, with the number of references they are over.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MatchRate {
    /// References: the denominator of `rate` and `crmse`.
    pub references: usize,
    /// References with a match: the denominator of `rmse`.
    pub matched: usize,
    /// `matched / references`; `None` without references.
    pub rate: Option<f64>,
    /// Mean normalized RMS distance of the matched references; `None` when there are none.
    pub rmse: Option<f64>,
    /// Mean over all references with unmatched ones counted as `stol`; `None` without references.
    pub crmse: Option<f64>,
}

impl MatchRate {
    /// From the distance of each reference, `None` where it is not matched.
    pub fn new(distances: impl IntoIterator<Item = Option<f64>>, stol: f64) -> Self {
        let (mut references, mut matched, mut sum) = (0, 0, 0.0);
        for d in distances {
            references += 1;
            if let Some(d) = d {
                matched += 1;
                sum += d;
            }
        }
        let over = |x: f64, n: usize| (n > 0).then(|| x / n as f64);
        Self {
            references,
            matched,
            rate: over(matched as f64, references),
            rmse: over(sum, matched),
            crmse: over(sum + (references - matched) as f64 * stol, references),
        }
    }
}

/// Distances of candidates to the references they were made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reconstruction {
    /// Displacement of each candidate of each reference; `None` where it does not match or does not count.
    pub displacements: Vec<Vec<Option<Displacement>>>,
    /// References that could not be reduced, by index; nothing matches them.
    pub unreadable: Vec<usize>,
    /// Comparisons that were given up, as (reference, candidate): there may be a closer alignment than the one
    /// counted, or one at all.
    pub unfinished: Vec<(usize, usize)>,
    stol: f64,
}

impl Reconstruction {
    /// Match rate and distances with the best of the first `k` candidates of each reference.
    pub fn at(&self, k: usize) -> MatchRate {
        let best =
            self.displacements.iter().map(|all| all.iter().take(k).flatten().map(|d| d.rms).reduce(f64::min));
        MatchRate::new(best, self.stol)
    }

    /// Largest number of candidates of any reference.
    pub fn max_candidates(&self) -> usize {
        self.displacements.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// Compares each reference with its own candidates, all pairs in parallel.
///
/// `candidates[i]` belong to `references[i]` (a missing tail counts as no candidates); `None` is a candidate that
/// could not be built or is not valid under the protocol, which never matches.
pub fn reconstruct(
    matcher: &StructureMatcher,
    references: &[&Structure],
    candidates: &[Vec<Option<&Structure>>],
) -> Reconstruction {
    let compared: Vec<(bool, Vec<Outcome>)> = references
        .par_iter()
        .enumerate()
        .map(|(i, reference)| {
            let own = candidates.get(i).map_or(&[][..], Vec::as_slice);
            let reference = matcher.prepare(reference);
            let outcomes = own
                .par_iter()
                .map(|candidate| {
                    // The prediction is the first structure, as in CDVAE's evaluation.
                    candidate.map_or(Outcome::Different, |c| {
                        matcher.compare(&matcher.prepare(c), &reference, Criterion::Rms)
                    })
                })
                .collect();
            (reference.error().is_some(), outcomes)
        })
        .collect();
    let mut result = Reconstruction {
        displacements: Vec::new(),
        unreadable: Vec::new(),
        unfinished: Vec::new(),
        stol: matcher.stol,
    };
    for (i, (unreadable, outcomes)) in compared.into_iter().enumerate() {
        if unreadable {
            result.unreadable.push(i);
        }
        let given_up = |o: &Outcome| matches!(o, Outcome::Unfinished(_));
        result
            .unfinished
            .extend(outcomes.iter().enumerate().filter(|(_, o)| given_up(o)).map(|(k, _)| (i, k)));
        result.displacements.push(outcomes.into_iter().map(Outcome::displacement).collect());
    }
    result
}

/// The generated structure closest to each reference.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    /// METRe, RMSE and cRMSE over all references.
    pub rate: MatchRate,
    /// For each reference the index of the closest generated structure (the first of equals) and its displacement.
    pub closest: Vec<Option<(usize, Displacement)>>,
    /// References whose search was given up for some generated structure.
    pub unfinished: Vec<usize>,
}

/// Looks for each reference among all generated structures (METRe). Only structures with equal sites per primitive
/// cell can match, so the work grows with the number of pairs of the same composition.
pub fn match_everyone(
    matcher: &StructureMatcher,
    references: &[PreparedStructure],
    generated: &[PreparedStructure],
) -> Coverage {
    let mut buckets: HashMap<SiteCounts<'_>, Vec<usize>> = HashMap::new();
    for (i, g) in generated.iter().enumerate() {
        if let Some(counts) = g.site_counts() {
            buckets.entry(counts).or_default().push(i);
        }
    }
    let found: Vec<(Option<(usize, Displacement)>, bool)> = references
        .par_iter()
        .map(|reference| {
            let same = reference.site_counts().and_then(|c| buckets.get(&c)).map_or(&[][..], Vec::as_slice);
            let outcomes: Vec<Outcome> =
                same.par_iter().map(|&i| matcher.compare(&generated[i], reference, Criterion::Rms)).collect();
            let unfinished = outcomes.iter().any(|o| matches!(o, Outcome::Unfinished(_)));
            let closest = same
                .iter()
                .zip(outcomes)
                .filter_map(|(&i, o)| Some((i, o.displacement()?)))
                .min_by(|(_, p), (_, q)| p.rms.total_cmp(&q.rms));
            (closest, unfinished)
        })
        .collect();
    Coverage {
        rate: MatchRate::new(found.iter().map(|(c, _)| c.map(|(_, d)| d.rms)), matcher.stol),
        unfinished: (0..found.len()).filter(|&i| found[i].1).collect(),
        closest: found.into_iter().map(|(c, _)| c).collect(),
    }
}

/// Numbers of candidates that metrics are given for, below the largest number of candidates.
const STEPS: [usize; 6] = [1, 5, 10, 20, 50, 100];

/// The candidates of the references, compared with them.
#[derive(Debug, Clone, Copy)]
pub struct Compared<'a> {
    /// The matcher.
    pub matcher: &'a StructureMatcher,
    /// Displacement of each candidate of each reference; `None` where it does not match.
    pub displacements: &'a [Vec<Option<Displacement>>],
    /// For each of these candidates whether it is valid under the protocol.
    pub valid: &'a [Vec<bool>],
}

impl Compared<'_> {
    /// Smallest RMS distance of the first `k` candidates of each reference; `None` where none matches.
    fn best(&self, k: usize, valid_only: bool) -> Vec<Option<f64>> {
        let best = |(found, valid): (&Vec<Option<Displacement>>, &Vec<bool>)| {
            let first = found.iter().zip(valid).take(k).filter(|(_, valid)| !valid_only || **valid);
            first.filter_map(|(d, _)| Some((*d)?.rms)).reduce(f64::min)
        };
        self.displacements.iter().zip(self.valid).map(best).collect()
    }

    /// `match_rate`, `rms_dist` and `crmse` over all candidates; with `candidates` also of the first 1, 5, 10 … of them
    /// (`match_rate_k1` …); and without the condition of validity (`match_rate_without_validity`,
    /// `match_rate_k1_without_validity` …).
    pub fn metrics(&self, candidates: bool, bootstrap: Option<&Bootstrap>) -> Vec<Metric> {
        let largest = self.displacements.iter().map(Vec::len).max().unwrap_or(0);
        let which = match largest {
            0 | 1 => "the valid prediction".to_owned(),
            k => format!("best of up to {k} candidates, valid ones"),
        };
        let three = |suffix: &str, best: Vec<Option<f64>>, which: &str| {
            let keys = ["match_rate", "rms_dist", "crmse"].map(|key| format!("{key}{suffix}"));
            let rule = format!("{which}; matcher {}", self.matcher);
            distance_metrics(keys, &best, self.matcher.stol, None, bootstrap, &rule)
        };
        let mut all = three("", self.best(usize::MAX, true), &which).to_vec();
        if candidates {
            for k in STEPS.into_iter().filter(|&k| k < largest).chain([largest.max(1)]) {
                let which = format!("best of the first {k} candidates, valid ones");
                all.extend(three(&format!("_k{k}"), self.best(k, true), &which));
                let which = format!("best of the first {k} candidates, valid or not");
                let [rate, rms, _] = three(&format!("_k{k}_without_validity"), self.best(k, false), &which);
                all.extend([rate, rms]);
            }
        }
        all.extend(three("_without_validity", self.best(usize::MAX, false), "valid or not"));
        all
    }
}

/// `template_match`, and with `candidates` `template_match_k1` …: the fraction of the references whose template that of any
/// of their (first k) predictions is. `same` says it of each prediction of each reference, `rule` what it is measured by.
pub fn template_metrics(
    same: &[Vec<bool>],
    candidates: bool,
    bootstrap: Option<&Bootstrap>,
    rule: &str,
) -> Vec<Metric> {
    let largest = same.iter().map(Vec::len).max().unwrap_or(0);
    let of = |suffix: &str, k: usize, which: &str| {
        let flags = same.iter().map(|same| same.iter().take(k).any(|same| *same));
        let protocol = format!("all references; {which}, valid or not; {rule}");
        Metric::fraction(format!("template_match{suffix}"), flags, None, bootstrap, protocol)
    };
    let mut all = vec![match largest {
        0 | 1 => of("", usize::MAX, "the prediction"),
        k => of("", usize::MAX, &format!("any of up to {k} candidates")),
    }];
    if candidates {
        let steps = STEPS.into_iter().filter(|&k| k < largest).chain([largest.max(1)]);
        all.extend(steps.map(|k| of(&format!("_k{k}"), k, &format!("any of the first {k} candidates"))));
    }
    all
}

/// `metre`, `metre_rms_dist` and `metre_crmse` from the RMS distance of the closest of `generated` valid structures to each
/// reference ([`match_everyone`]), `None` where none matches.
pub fn metre_metrics(
    matcher: &StructureMatcher,
    closest: &[Option<f64>],
    generated: usize,
    bootstrap: Option<&Bootstrap>,
) -> [Metric; 3] {
    let keys = ["metre", "metre_rms_dist", "metre_crmse"].map(str::to_owned);
    let rule = format!("any valid prediction may match; matcher {matcher}");
    distance_metrics(keys, closest, matcher.stol, Some(generated), bootstrap, &rule)
}

/// Fraction of the references that are matched, mean distance of those, mean distance of all with unmatched ones at `stol`.
fn distance_metrics(
    [rate, rms, crmse]: [String; 3],
    distances: &[Option<f64>],
    stol: f64,
    against: Option<usize>,
    bootstrap: Option<&Bootstrap>,
    rule: &str,
) -> [Metric; 3] {
    let matched: Vec<f64> = distances.iter().copied().flatten().collect();
    let counted: Vec<f64> = distances.iter().map(|d| d.unwrap_or(stol)).collect();
    let (of_all, of_matched) = (format!("all references; {rule}"), format!("matched references; {rule}"));
    let of_counted = format!("{of_all}; unmatched ones count {stol}");
    [
        Metric::fraction(rate, distances.iter().map(Option::is_some), against, bootstrap, of_all),
        Metric::mean(rms, &matched, against, bootstrap, of_matched),
        Metric::mean(crmse, &counted, against, bootstrap, of_counted),
    ]
}
