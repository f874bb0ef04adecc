//! What needs no model: the figures that those of a model are to be read beside.

use std::sync::atomic::AtomicBool;

use druse_crystal::{Composition, Structure};
use druse_data::Listing;
use druse_data::substitution::{Library, Parent};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::Protocol;
use druse_metrics::matcher::{Displacement, StructureMatcher};
use druse_metrics::reconstruction::{Compared, reconstruct};
use druse_metrics::{BASELINE_PREFIX, Metric};
use rayon::prelude::*;

use crate::parallel::check;
use crate::{EvaluateError, Observer, Progress};

/// References worked on between two looks at the stop flag.
const CHUNK: usize = 64;

/// A way to predict structures that learns nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// Crystals of the training set with other elements, those of the nearest compositions first
    /// ([`druse_data::substitution`]).
    Substitute,
}

/// How predictions and baselines are judged.
pub(crate) struct Judge<'a> {
    pub matcher: &'a StructureMatcher,
    pub protocol: &'a Protocol,
    pub bootstrap: Option<&'a Bootstrap>,
    /// Whether there are metrics of the first 1, 5, 10 … candidates.
    pub candidates: bool,
}

/// The metrics of substitution from a training set for these references, with up to `count` candidates each, and a remark.
///
/// # Errors
/// [`EvaluateError::NoStructures`] for a training set without structures, [`EvaluateError::Interrupted`].
pub(crate) fn substitution(
    train: &Listing,
    references: &[&Structure],
    count: usize,
    judge: &Judge<'_>,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<(Vec<Metric>, String), EvaluateError> {
    crate::rows::some_structures(train, "training")?;
    let parents = train.items.iter().filter_map(|i| Some(Parent::new(i.id.as_str(), i.structure()?.clone())));
    let library = Library::new(parents);
    let (mut displacements, mut valid): (Vec<Vec<Option<Displacement>>>, Vec<Vec<bool>>) = Default::default();
    let mut without = 0;
    for chunk in references.chunks(CHUNK) {
        check(stop)?;
        let candidates = |reference: &&Structure| -> Vec<Structure> {
            let found = library.candidates(&Composition::from_species(&reference.species), None);
            found.into_iter().flatten().take(count).filter_map(|c| c.structure().ok()).collect()
        };
        let found: Vec<Vec<Structure>> = chunk.par_iter().map(candidates).collect();
        without += found.iter().filter(|candidates| candidates.is_empty()).count();
        let own: Vec<Vec<Option<&Structure>>> =
            found.iter().map(|candidates| candidates.iter().map(Some).collect()).collect();
        let compared = reconstruct(judge.matcher, chunk, &own);
        let pairs = found.par_iter().zip(&compared.displacements);
        valid.par_extend(pairs.map(|(candidates, displacements)| {
            let pairs = candidates.iter().zip(displacements);
            // Whether one is valid that matches nothing is of no interest.
            pairs
                .map(|(candidate, d)| d.is_some() && is_valid(candidate, judge.protocol))
                .collect::<Vec<bool>>()
        }));
        displacements.extend(compared.displacements);
        let (done, total) = (displacements.len(), references.len());
        watch.observe(Progress { stage: "baseline: substitution", done, total });
    }
    let compared = Compared { matcher: judge.matcher, displacements: &displacements, valid: &valid };
    let mut metrics = compared.metrics(judge.candidates, judge.bootstrap);
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

fn is_valid(structure: &Structure, protocol: &Protocol) -> bool {
    let wanted = DescriptorSettings { fingerprint: protocol.fingerprint, symprec: None };
    let described = Descriptors::of(structure, &wanted);
    described.invalid_because(protocol.composition, protocol.structure, protocol.fingerprint).is_none()
}
