//! What needs no model: the figures that those of a model are to be read beside.

use std::sync::atomic::AtomicBool;

use druse_crystal::{Composition, Structure};
use druse_data::Listing;
use druse_data::substitution::{Arrangement, Candidate, Library, Parent, SYMPREC};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::generation::Protocol;
use druse_metrics::matcher::Displacement;
use druse_metrics::reconstruction::{Compared, reconstruct, template_metrics};
use druse_metrics::{BASELINE_PREFIX, Metric};
use rayon::prelude::*;

use crate::judge::Judge;
use crate::parallel::check;
use crate::rows::some_structures;
use crate::{EvaluateError, Observer, Progress, templates};

/// References worked on between two looks at the stop flag.
const CHUNK: usize = 64;

/// A way to predict structures that learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Crystals of the training set with other elements, those of the nearest compositions first
    /// ([`druse_data::substitution`]).
    Substitute,
}

/// What is looked for: structures, and their templates where these are compared.
#[derive(Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub structures: &'a [&'a Structure],
    pub templates: Option<&'a [Arrangement]>,
}

/// The metrics of substitution from a training set for these references, with up to `count` candidates each, and a remark.
///
/// # Errors
/// [`EvaluateError::NoStructures`] for a training set without structures, [`EvaluateError::Interrupted`].
pub(crate) fn substitution(
    train: &Listing,
    wanted: Wanted<'_>,
    count: usize,
    judge: &Judge<'_>,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<(Vec<Metric>, String), EvaluateError> {
    some_structures(train, "training")?;
    let parents = train.items.iter().filter_map(|i| Some(Parent::new(i.id.as_str(), i.structure()?.clone())));
    let library = Library::new(parents);
    let total = wanted.structures.len();
    let (mut displacements, mut valid) = (Vec::with_capacity(total), Vec::with_capacity(total));
    let (mut same, mut without) = (Vec::with_capacity(total), 0);
    for start in (0..total).step_by(CHUNK) {
        check(stop)?;
        let chunk = start..(start + CHUNK).min(total);
        let found: Vec<Vec<Predicted>> =
            chunk.clone().into_par_iter().map(|i| predicted(&library, wanted, i, count, judge)).collect();
        without += found.iter().filter(|candidates| candidates.is_empty()).count();
        let own: Vec<Vec<Option<&Structure>>> =
            found.iter().map(|candidates| candidates.iter().map(|c| Some(&c.structure)).collect()).collect();
        let compared = reconstruct(judge.matcher, &wanted.structures[chunk], &own).displacements;
        let validity = |(candidates, displacements): (&Vec<Predicted>, &Vec<Option<Displacement>>)| {
            let pairs = candidates.iter().zip(displacements);
            // Whether one is valid that matches nothing is of no interest.
            pairs.map(|(c, d)| d.is_some() && is_valid(&c.structure, judge.protocol)).collect::<Vec<bool>>()
        };
        valid.par_extend(found.par_iter().zip(&compared).map(validity));
        same.extend(found.iter().map(|candidates| candidates.iter().map(|c| c.same_template).collect()));
        displacements.extend(compared);
        watch.observe(Progress { stage: "baseline: substitution", done: displacements.len(), total });
    }
    let compared = Compared { matcher: judge.matcher, displacements: &displacements, valid: &valid };
    let mut metrics = compared.metrics(judge.candidates, judge.bootstrap);
    if let Some(symprec) = judge.symprec {
        metrics.extend(template_metrics(&same, judge.candidates, judge.bootstrap, &templates::rule(symprec)));
    }
    let structures = library.parents().len();
    for metric in &mut metrics {
        metric.key.insert_str(0, BASELINE_PREFIX);
        metric.against = Some(structures);
        metric.protocol = format!("baseline, substitution from {}: {}", train.name, metric.protocol);
    }
    let mut remark = format!(
        "the baseline substitutes elements in the {structures} structures of {}, up to {count} candidates for each reference",
        train.name
    );
    if without > 0 {
        remark += &format!("; {without} references have the atom counts of no structure there");
    }
    Ok((metrics, remark))
}

/// A candidate for a reference.
struct Predicted {
    structure: Structure,
    /// Whether its template is that of the reference.
    same_template: bool,
}

/// The candidates for reference `i`.
fn predicted(
    library: &Library,
    wanted: Wanted<'_>,
    i: usize,
    count: usize,
    judge: &Judge<'_>,
) -> Vec<Predicted> {
    let template = wanted.templates.map(|templates| &templates[i]);
    let is_same = |candidate: &Candidate<'_>, structure: &Structure| match (template, judge.symprec) {
        (Some(template), Some(symprec)) if symprec == SYMPREC => candidate.arrangement() == *template,
        (Some(template), Some(symprec)) => Arrangement::of_structure(structure, symprec) == *template,
        _ => false,
    };
    let one = |candidate: Candidate<'_>| {
        let structure = candidate.structure().ok()?;
        Some(Predicted { same_template: is_same(&candidate, &structure), structure })
    };
    let composition = Composition::from_species(&wanted.structures[i].species);
    library.candidates(&composition, None).into_iter().flatten().take(count).filter_map(one).collect()
}

fn is_valid(structure: &Structure, protocol: &Protocol) -> bool {
    let wanted = DescriptorSettings { fingerprint: protocol.fingerprint, symprec: None };
    let described = Descriptors::of(structure, &wanted);
    described.invalid_because(protocol.composition, protocol.structure, protocol.fingerprint).is_none()
}
