//! Uniqueness among generated structures and novelty against a training set.
//!
//! Two structures are the same when [`StructureMatcher`] says so. That relation is not transitive, and pymatgen's
//! greedy grouping depends on the order of the structures; here **components** are used: structures joined by any
//! chain of matches are one. A match in either direction joins, because the matcher is not exactly symmetric. The
//! result depends neither on the order of the structures nor on the number of threads.

use std::collections::HashMap;

use druse_crystal::Composition;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    distribution::Bootstrap,
    matcher::{
        CellBounds, Criterion, Outcome, PreparedStructure, SiteCounts, StructureMatcher, Substitution,
    },
    metric::Metric,
};

/// Which generated structures are the same, and which are in the training set.
///
/// Structures that could not be reduced belong to no component: they are neither unique nor novel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Novelty {
    /// Component of each structure, numbered in order of first appearance; `None` when it could not be reduced.
    pub component: Vec<Option<usize>>,
    /// First training structure that each structure matches; `None` without a training set.
    pub training_match: Option<Vec<Option<usize>>>,
    /// Structures with a comparison that was given up: they count as different from what they were compared with.
    pub unfinished: Vec<usize>,
}

/// What the fractions of [`Novelty::metrics`] are taken of.
#[derive(Debug, Clone, Copy)]
pub struct NoveltyRows<'a> {
    /// For each row of the generated set why it is invalid, `None` for the valid ones. All of them are in the
    /// denominators, those that give no structure included.
    pub invalid: &'a [Option<String>],
    /// Row of each structure that was compared.
    pub compared: &'a [usize],
    /// Training structures; `None` without a training set.
    pub training: Option<usize>,
}

impl Novelty {
    /// From what [`components`] and, with a training set, [`training_matches`] found of the same structures.
    pub fn new(
        (component, mut unfinished): (Vec<Option<usize>>, Vec<usize>),
        training: Option<(Vec<Option<usize>>, Vec<usize>)>,
    ) -> Self {
        let training_match = training.map(|(found, more)| {
            unfinished.extend(more);
            found
        });
        unfinished.sort_unstable();
        unfinished.dedup();
        Self { component, training_match, unfinished }
    }

    /// Number of different structures.
    pub fn num_components(&self) -> usize {
        self.component.iter().flatten().max().map_or(0, |c| c + 1)
    }

    /// For each structure whether it matches nothing in the training set; `None` without one.
    pub fn novel(&self) -> Option<Vec<bool>> {
        let hits = self.training_match.as_ref()?;
        Some(self.component.iter().zip(hits).map(|(c, hit)| c.is_some() && hit.is_none()).collect())
    }

    /// For each component whether no member matches anything in the training set; `None` without one.
    pub fn novel_components(&self) -> Option<Vec<bool>> {
        let mut novel = vec![true; self.num_components()];
        for (component, hit) in self.component.iter().zip(self.training_match.as_ref()?) {
            if let Some(c) = *component {
                novel[c] &= hit.is_none();
            }
        }
        Some(novel)
    }

    /// `unique`, and with a training set `novel`, `unique_novel` and `valid_unique_novel`, all over all rows.
    pub fn metrics(
        &self,
        matcher: &StructureMatcher,
        rows: NoveltyRows<'_>,
        bootstrap: Option<&Bootstrap>,
    ) -> Vec<Metric> {
        let of = rows.invalid.len();
        let rule = format!("over all generated; matcher {matcher}; structures joined by matches are one");
        let fraction = |key: &str, count: usize, protocol: &str| {
            Metric::new(
                key,
                Ok(count as f64 / of as f64),
                of,
                rows.training.filter(|_| key != "unique"),
                protocol,
            )
        };
        let mut all = vec![fraction("unique", self.num_components(), &rule)];
        let (Some(training), Some(novel), Some(novel_components)) =
            (rows.training, self.novel(), self.novel_components())
        else {
            return all;
        };
        let mut flags = vec![false; of];
        let mut valid = vec![false; novel_components.len()];
        for ((&row, novel), component) in rows.compared.iter().zip(novel).zip(&self.component) {
            flags[row] = novel;
            if let Some(c) = *component {
                valid[c] |= rows.invalid[row].is_none();
            }
        }
        let unmatched = format!("no match among {training} training structures; {rule}");
        let count = |keep: &dyn Fn(usize) -> bool| {
            (0..novel_components.len()).filter(|&c| novel_components[c] && keep(c)).count()
        };
        all.push(Metric::fraction("novel", flags, Some(training), bootstrap, unmatched.as_str()));
        all.push(fraction("unique_novel", count(&|_| true), &unmatched));
        let with_valid = format!("a member is valid; {unmatched}");
        all.push(fraction("valid_unique_novel", count(&|c| valid[c]), &with_valid));
        all
    }
}

/// Uniqueness of `generated` and, with a training set, its novelty.
pub fn novelty(
    matcher: &StructureMatcher,
    generated: &[PreparedStructure],
    training: Option<&[PreparedStructure]>,
) -> Novelty {
    let found = training.map(|training| training_matches(matcher, generated, training));
    Novelty::new(components(matcher, generated), found)
}

/// Indices by sites per cell and element: only structures within one bucket can match.
fn buckets(structures: &[PreparedStructure]) -> HashMap<SiteCounts<'_>, Vec<usize>> {
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
/// All pairs of equal composition and number of sites are compared unless they are joined already, or their cells
/// exclude a match ([`CellBounds`]). Structures whose compared cells agree in every bit are compared as one. Neither
/// changes a result.
pub fn components(
    matcher: &StructureMatcher,
    structures: &[PreparedStructure],
) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut buckets: Vec<Vec<usize>> = buckets(structures).into_values().filter(|b| b.len() > 1).collect();
    buckets.sort_unstable();
    let joined: Vec<_> = buckets.par_iter().map(|bucket| join(matcher, structures, bucket)).collect();
    let mut sets = DisjointSets::new(structures.len());
    let mut unfinished = Vec::new();
    for (edges, given_up) in joined {
        for (i, j) in edges {
            sets.join(i, j);
        }
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
    structures: &[PreparedStructure],
    bucket: &[usize],
) -> (Vec<(usize, usize)>, Vec<usize>) {
    let (mut edges, mut unfinished) = (Vec::new(), Vec::new());
    let mut kinds: Vec<(Candidate<'_>, Vec<usize>)> = Vec::new();
    for members in identical(structures, bucket) {
        let candidate = Candidate::new(matcher, &structures[members[0]]);
        match &members[..] {
            // That a structure matches itself is all but certain, and decides about its copies.
            [_, _, ..] if either_way(matcher, &candidate, &candidate) == (true, false) => {
                edges.extend(members.windows(2).map(|pair| (pair[0], pair[1])));
                kinds.push((candidate, members));
            }
            _ => kinds.extend(members.into_iter().map(|i| (candidate, vec![i]))),
        }
    }
    kinds.sort_by_key(|(_, members)| members[0]);
    let mut sets = DisjointSets::new(kinds.len());
    let mut left = kinds.len();
    for i in 0..kinds.len() {
        if left == 1 {
            break;
        }
        let root = sets.root(i);
        let may_match = |j: &usize| kinds[i].0.may_match(&kinds[*j].0);
        let rest: Vec<usize> =
            (i + 1..kinds.len()).filter(|&j| sets.root(j) != root).filter(may_match).collect();
        let outcomes: Vec<(bool, bool)> =
            rest.par_iter().map(|&j| either_way(matcher, &kinds[i].0, &kinds[j].0)).collect();
        for (j, (same, given_up)) in rest.into_iter().zip(outcomes) {
            if same {
                left -= usize::from(sets.join(i, j));
                edges.push((kinds[i].1[0], kinds[j].1[0]));
            } else if given_up {
                unfinished.extend(kinds[i].1.iter().chain(&kinds[j].1));
            }
        }
    }
    (edges, unfinished)
}

/// The structures of a bucket by what is the same in every bit, in order.
fn identical(structures: &[PreparedStructure], bucket: &[usize]) -> Vec<Vec<usize>> {
    let mut kinds: Vec<Vec<usize>> = Vec::with_capacity(bucket.len());
    let mut by_number: HashMap<u64, Vec<usize>> = HashMap::with_capacity(bucket.len());
    for &i in bucket {
        let alike = by_number.entry(structures[i].fingerprint()).or_default();
        match alike.iter().find(|&&k| structures[kinds[k][0]].is_identical(&structures[i])) {
            Some(&k) => kinds[k].push(i),
            None => {
                alike.push(kinds.len());
                kinds.push(vec![i]);
            }
        }
    }
    kinds
}

/// A structure with what decides about most of its comparisons beforehand.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    structure: &'a PreparedStructure,
    bounds: Option<CellBounds>,
}

impl<'a> Candidate<'a> {
    fn new(matcher: &StructureMatcher, structure: &'a PreparedStructure) -> Self {
        Self { structure, bounds: matcher.cell_bounds(structure) }
    }

    /// Whether the cells leave it open that this structure fits the other one.
    fn may_fit(&self, other: &Self) -> bool {
        self.bounds.zip(other.bounds).is_none_or(|(a, b)| a.may_fit(&b))
    }

    fn may_match(&self, other: &Self) -> bool {
        self.may_fit(other) || other.may_fit(self)
    }
}

/// Whether two structures fit in one direction or the other, and whether a search was given up.
fn either_way(matcher: &StructureMatcher, a: &Candidate<'_>, b: &Candidate<'_>) -> (bool, bool) {
    let mut unfinished = false;
    for (p, q) in [(a, b), (b, a)] {
        match one_way(matcher, p, q) {
            (true, _) => return (true, false),
            (false, given_up) => unfinished |= given_up,
        }
    }
    (false, unfinished)
}

/// Whether two structures fit, the first onto the second, and whether the search was given up.
fn one_way(matcher: &StructureMatcher, a: &Candidate<'_>, b: &Candidate<'_>) -> (bool, bool) {
    if !a.may_fit(b) {
        return (false, false);
    }
    match matcher.compare(a.structure, b.structure, Criterion::Max) {
        Outcome::Match(_) => (true, false),
        Outcome::Different => (false, false),
        Outcome::Unfinished(_) => (false, true),
    }
}

/// Which comparison of two structures, which is not exactly symmetric, counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The later structure, or the generated one, is brought onto the other.
    OneWay,
    /// A match in either direction.
    EitherWay,
}

/// When two structures are the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sameness {
    /// Tolerances.
    pub matcher: StructureMatcher,
    /// Which direction counts.
    pub comparison: Comparison,
    /// Elements that may take each other's places: structures that do not match as they are are tried again with the first one
    /// disordered; `None` for no second trial.
    pub substitution: Option<Substitution>,
}

impl Sameness {
    /// Whether two structures match, and whether a search was given up.
    fn same(&self, a: &Candidate<'_>, b: &Candidate<'_>) -> (bool, bool) {
        let (same, given_up) = match self.comparison {
            Comparison::OneWay => one_way(&self.matcher, a, b),
            Comparison::EitherWay => either_way(&self.matcher, a, b),
        };
        match &self.substitution {
            Some(rule) if !same => match self.matcher.compare_disordered(rule, a.structure, b.structure) {
                Outcome::Match(_) => (true, false),
                Outcome::Different => (false, given_up),
                Outcome::Unfinished(_) => (false, true),
            },
            _ => (same, given_up),
        }
    }

    /// Indices by what two structures need to have in common to match.
    fn buckets<'a>(&self, structures: &'a [PreparedStructure]) -> HashMap<Key<'a>, Vec<usize>> {
        let mut buckets: HashMap<Key<'a>, Vec<usize>> = HashMap::new();
        for (i, s) in structures.iter().enumerate() {
            if let Some(key) = self.key(s) {
                buckets.entry(key).or_default().push(i);
            }
        }
        buckets
    }

    fn key<'a>(&self, s: &'a PreparedStructure) -> Option<Key<'a>> {
        if self.substitution.is_some() {
            let composition = Composition::from_species(&s.structure()?.species);
            return Some(Key::Ratio(composition.reduced().0));
        }
        s.site_counts().map(Key::Sites)
    }

    fn candidates<'a>(&self, structures: &'a [PreparedStructure]) -> Vec<Candidate<'a>> {
        structures.par_iter().map(|s| Candidate::new(&self.matcher, s)).collect()
    }
}

/// What structures in one bucket have in common: sites per cell and element, or only their ratio where one may match in another
/// cell.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    Sites(SiteCounts<'a>),
    Ratio(Composition),
}

/// Which structures match none of the **earlier ones that are unique**: of a set of duplicates the first. The result depends
/// on the order of the structures, as in evaluations that count so. Structures that could not be reduced are not unique.
/// Beside it the structures with a comparison that was given up.
pub fn first_of_duplicates(sameness: &Sameness, structures: &[PreparedStructure]) -> (Vec<bool>, Vec<usize>) {
    let buckets: Vec<Vec<usize>> = sameness.buckets(structures).into_values().collect();
    let candidates = sameness.candidates(structures);
    let of_bucket = |bucket: &Vec<usize>| {
        let (mut unique, mut unfinished): (Vec<usize>, Vec<usize>) = Default::default();
        for &i in bucket {
            let compare = |&j: &usize| sameness.same(&candidates[i], &candidates[j]);
            let outcomes: Vec<(bool, bool)> = unique.par_iter().map(compare).collect();
            if outcomes.iter().any(|(same, _)| *same) {
                continue;
            }
            if outcomes.iter().any(|(_, given_up)| *given_up) {
                unfinished.push(i);
            }
            unique.push(i);
        }
        (unique, unfinished)
    };
    let found: Vec<(Vec<usize>, Vec<usize>)> = buckets.par_iter().map(of_bucket).collect();
    let mut mask = vec![false; structures.len()];
    let mut unfinished = Vec::new();
    for (unique, given_up) in found {
        unique.into_iter().for_each(|i| mask[i] = true);
        unfinished.extend(given_up);
    }
    unfinished.sort_unstable();
    (mask, unfinished)
}

/// First training structure that each generated structure fits, and the generated structures with a comparison that
/// was given up and no match.
pub fn training_matches(
    matcher: &StructureMatcher,
    generated: &[PreparedStructure],
    training: &[PreparedStructure],
) -> (Vec<Option<usize>>, Vec<usize>) {
    let (comparison, substitution) = (Comparison::EitherWay, None);
    training_matches_by(&Sameness { matcher: *matcher, comparison, substitution }, generated, training)
}

/// As [`training_matches`], by another rule of what is the same.
pub fn training_matches_by(
    sameness: &Sameness,
    generated: &[PreparedStructure],
    training: &[PreparedStructure],
) -> (Vec<Option<usize>>, Vec<usize>) {
    let mut buckets = sameness.buckets(training);
    // Of copies the first is the one that is found. (Which site comes first may decide about disordered ones.)
    let copies_count = sameness.substitution.is_none();
    buckets.par_iter_mut().filter(|(_, bucket)| copies_count && bucket.len() > 1).for_each(|(_, bucket)| {
        *bucket = identical(training, bucket).into_iter().map(|kind| kind[0]).collect();
    });
    let candidates = sameness.candidates(training);
    let found: Vec<(Option<usize>, bool)> = generated
        .par_iter()
        .map(|g| {
            let same = sameness.key(g).and_then(|key| buckets.get(&key)).map_or(&[][..], Vec::as_slice);
            let g = Candidate::new(&sameness.matcher, g);
            let mut unfinished = false;
            for &i in same {
                match sameness.same(&g, &candidates[i]) {
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

    /// Joins two sets; tells whether they were two.
    fn join(&mut self, i: usize, j: usize) -> bool {
        let (i, j) = (self.root(i), self.root(j));
        self.0[i.max(j)] = i.min(j);
        i != j
    }
}
