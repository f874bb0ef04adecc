//! Uniqueness among generated structures and novelty against a training set.
//!
//! Two structures are the same when [`StructureMatcher`] says so. That relation is not transitive, and pymatgen's
//! greedy grouping depends on the order of the structures; here **components** are used: structures joined by any
//! chain of matches are one. A match in either direction joins, because the matcher is not exactly symmetric. The
//! result depends neither on the order of the structures nor on the number of threads.

use std::collections::HashMap;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::matcher::{Criterion, Outcome, Prepared, SiteCounts, StructureMatcher};

/// Shares of unique, novel, and unique and novel structures. Structures that could not be reduced stay in the
/// denominator and are neither.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    /// Generated structures N: the denominator of all shares.
    pub structures: usize,
    /// Components among them.
    pub components: usize,
    /// Structures that match nothing in the training set.
    pub novel: usize,
    /// Components of which no member matches anything in the training set.
    pub novel_components: usize,
    /// Component of each structure, numbered in order of first appearance; `None` when it could not be reduced.
    pub component: Vec<Option<usize>>,
    /// First training structure that each structure matches.
    pub training_match: Vec<Option<usize>>,
    /// Structures with a comparison that was given up: they count as different from what they were compared with.
    pub unfinished: Vec<usize>,
}

impl Novelty {
    /// Share of unique structures: components / N. `None` for an empty set, as for the other shares.
    pub fn unique_share(&self) -> Option<f64> {
        self.share(self.components)
    }

    /// Share of structures that match nothing in the training set.
    pub fn novel_share(&self) -> Option<f64> {
        self.share(self.novel)
    }

    /// Components without a training match / N.
    pub fn unique_novel_share(&self) -> Option<f64> {
        self.share(self.novel_components)
    }

    fn share(&self, count: usize) -> Option<f64> {
        (self.structures > 0).then(|| count as f64 / self.structures as f64)
    }
}

/// Uniqueness of `generated` and its novelty against `training`.
pub fn novelty(matcher: &StructureMatcher, generated: &[Prepared], training: &[Prepared]) -> Novelty {
    let (component, mut unfinished) = components(matcher, generated);
    let (training_match, more) = training_matches(matcher, generated, training);
    unfinished.extend(more);
    unfinished.sort_unstable();
    unfinished.dedup();
    let components = component.iter().flatten().max().map_or(0, |c| c + 1);
    let mut known = vec![false; components];
    let mut novel = 0;
    for (component, hit) in component.iter().zip(&training_match) {
        if let Some(c) = *component {
            known[c] |= hit.is_some();
            novel += usize::from(hit.is_none());
        }
    }
    Novelty {
        structures: generated.len(),
        components,
        novel,
        novel_components: known.iter().filter(|k| !**k).count(),
        component,
        training_match,
        unfinished,
    }
}

/// Indices by sites per cell and element: only structures within one bucket can match.
fn buckets(structures: &[Prepared]) -> HashMap<SiteCounts<'_>, Vec<usize>> {
    let mut buckets: HashMap<SiteCounts<'_>, Vec<usize>> = HashMap::new();
    for (i, s) in structures.iter().enumerate() {
        if let Some(counts) = s.site_counts() {
            buckets.entry(counts).or_default().push(i);
        }
    }
    buckets
}

/// Component of each structure in the graph of matches, numbered in order of first appearance (`None`: could not be
/// reduced), and the structures with a comparison that was given up.
///
/// All pairs of equal composition and number of sites are compared unless they are joined already.
pub fn components(matcher: &StructureMatcher, structures: &[Prepared]) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut buckets: Vec<Vec<usize>> = buckets(structures).into_values().filter(|b| b.len() > 1).collect();
    buckets.sort_unstable();
    let joined: Vec<_> = buckets.par_iter().map(|bucket| join(matcher, structures, bucket)).collect();
    let mut sets = DisjointSets::new(structures.len());
    let mut unfinished = Vec::new();
    for (edges, given_up) in joined {
        edges.into_iter().for_each(|(i, j)| sets.join(i, j));
        unfinished.extend(given_up);
    }
    let mut number = HashMap::new();
    let component = (0..structures.len())
        .map(|i| {
            structures[i].site_counts()?;
            let next = number.len();
            Some(*number.entry(sets.root(i)).or_insert(next))
        })
        .collect();
    (component, unfinished)
}

/// Matches that hold one bucket's components together, and structures with unfinished comparisons.
fn join(
    matcher: &StructureMatcher,
    structures: &[Prepared],
    bucket: &[usize],
) -> (Vec<(usize, usize)>, Vec<usize>) {
    let mut sets = DisjointSets::new(bucket.len());
    let (mut edges, mut unfinished) = (Vec::new(), Vec::new());
    for i in 0..bucket.len() {
        let root = sets.root(i);
        let rest: Vec<usize> = (i + 1..bucket.len()).filter(|&j| sets.root(j) != root).collect();
        let outcomes: Vec<(bool, bool)> = rest
            .par_iter()
            .map(|&j| either_way(matcher, &structures[bucket[i]], &structures[bucket[j]]))
            .collect();
        for (j, (same, given_up)) in rest.into_iter().zip(outcomes) {
            if same {
                sets.join(i, j);
                edges.push((bucket[i], bucket[j]));
            } else if given_up {
                unfinished.extend([bucket[i], bucket[j]]);
            }
        }
    }
    (edges, unfinished)
}

/// Whether two structures fit in one direction or the other, and whether a search was given up.
fn either_way(matcher: &StructureMatcher, a: &Prepared, b: &Prepared) -> (bool, bool) {
    let mut unfinished = false;
    for (p, q) in [(a, b), (b, a)] {
        match matcher.compare(p, q, Criterion::Max) {
            Outcome::Match(_) => return (true, false),
            Outcome::Different => {}
            Outcome::Unfinished(_) => unfinished = true,
        }
    }
    (false, unfinished)
}

/// First training structure that each generated structure fits, and the generated structures with a comparison that
/// was given up and no match.
pub fn training_matches(
    matcher: &StructureMatcher,
    generated: &[Prepared],
    training: &[Prepared],
) -> (Vec<Option<usize>>, Vec<usize>) {
    let buckets = buckets(training);
    let found: Vec<(Option<usize>, bool)> = generated
        .par_iter()
        .map(|g| {
            let same = g.site_counts().and_then(|c| buckets.get(&c)).map_or(&[][..], Vec::as_slice);
            let mut unfinished = false;
            for &i in same {
                match either_way(matcher, g, &training[i]) {
                    (true, _) => return (Some(i), false),
                    (false, given_up) => unfinished |= given_up,
                }
            }
            (None, unfinished)
        })
        .collect();
    let unfinished = (0..found.len()).filter(|&i| found[i].1).collect();
    (found.into_iter().map(|(hit, _)| hit).collect(), unfinished)
}

/// Union–find with path halving; the smaller index is the root, so results do not depend on the order of joins.
struct DisjointSets(Vec<usize>);

impl DisjointSets {
    fn new(n: usize) -> Self {
        Self((0..n).collect())
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, i: usize, j: usize) {
        let (i, j) = (self.root(i), self.root(j));
        self.0[i.max(j)] = i.min(j);
    }
}
