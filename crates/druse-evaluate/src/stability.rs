//! Relaxed structures against a hull and known structures: stable, unique, novel.

use std::collections::HashMap;
use std::sync::atomic::AtomicBool;

use druse_crystal::{Composition, Element, Structure};
use druse_data::{Item, Listing};
use druse_metrics::descriptors::{DescriptorSettings, Descriptors};
use druse_metrics::distribution::Bootstrap;
use druse_metrics::generation::{Population, Protocol};
use druse_metrics::matcher::PreparedStructure;
use druse_metrics::phase_diagram::{ChemicalSystem, HullError};
use druse_metrics::stability::{
    StabilityDefinition, StabilityMasks, StabilityRows, StabilitySources, Tested,
};
use druse_metrics::validity::{MIN_VOLUME, StructureRule};
use rayon::prelude::*;

use crate::evaluation::{Evaluation, FORMAT, RowReason, SetSummary, StabilityReport, StabilityRow, Task};
use crate::hull::{Contradictions, EnergyChoice, EnergyColumn, Hull, HullEntries, OPTIMISTIC, composition};
use crate::parallel::in_chunks;
use crate::prepared::prepare;
use crate::{Chart, EvaluateError, Observer, Progress, Sets, above_hull_chart};

/// How stability is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct StabilitySettings {
    /// What is stable, unique and novel.
    pub definition: StabilityDefinition,
    /// How energies of the structures and of the hull's entries are read, a pair a potential; their mean counts.
    pub energies: Vec<[EnergyChoice; 2]>,
    /// What becomes of entries that contradict themselves.
    pub contradictions: Contradictions,
    /// Whether energies on different scales are compared.
    pub force_scale: bool,
    /// Structures that were submitted, those that never came to the set included; `None` for the rows of the set.
    pub submitted: Option<usize>,
    /// Resamples of the bootstrap; `None` for no intervals.
    pub bootstrap: Option<Bootstrap>,
}

impl StabilitySettings {
    /// By a definition, with the usual columns of energies and 95 % intervals of 1,000 resamples.
    pub fn new(definition: StabilityDefinition) -> Self {
        Self {
            definition,
            energies: vec![Default::default()],
            contradictions: Contradictions::Refuse,
            force_scale: false,
            submitted: None,
            bootstrap: Some(Bootstrap::default()),
        }
    }
}

/// Evaluates relaxed structures ([`Sets::generated`]) against the hull of entries ([`Sets::reference`], structures or formulas with
/// energies) and, for novelty, known structures ([`Sets::train`]). `unrelaxed` are the structures before relaxation under the same
/// identifiers: what a definition compares that tests structures as generated, and the denominator.
///
/// # Errors
/// [`EvaluateError::Hull`] for energies that are missing, contradict each other or are on different scales;
/// [`EvaluateError::Pairing`] when relaxed structures have no counterpart; [`EvaluateError::Interrupted`].
pub fn stability(
    sets: Sets<'_>,
    unrelaxed: Option<&Listing>,
    settings: &StabilitySettings,
    watch: &mut dyn Observer,
    stop: &AtomicBool,
) -> Result<Evaluation, EvaluateError> {
    let definition = &settings.definition;
    let mut remarks = Vec::new();
    let rows = Rows::of(sets.generated, unrelaxed, definition.tested, &mut remarks)?;
    let submitted = rows.submitted(settings.submitted, unrelaxed)?;
    watch.observe(Progress { stage: "hulls", done: 0, total: 0 });
    let energies = Energies::of(sets, &rows, settings, &mut remarks)?;

    let invalid = rows.invalid(definition, watch, stop)?;
    let valid: Vec<bool> = invalid.iter().map(Option::is_none).collect();
    let structures = rows.prepared(definition, watch, stop)?;
    let (known, known_name) = match sets.train {
        Some(train) => (Some(train), train.name.clone()),
        // The published evaluation has one reference for both.
        None if definition.novel_to_reference => {
            let has_structures = sets.reference.items.iter().any(|i| i.structure().is_some());
            (
                has_structures.then_some(sets.reference),
                format!("{}, the reference of the hull", sets.reference.name),
            )
        }
        None => (None, String::new()),
    };
    let known = match known {
        None => None,
        Some(set) => Some(prepare(&definition.sameness.matcher, set, "reducing known cells", watch, stop)?.1),
    };
    watch.observe(Progress { stage: "comparing structures", done: 0, total: 0 });
    let masks = definition.masks(StabilityRows {
        structures: &structures,
        above_hull: &energies.above,
        has_energy: &energies.has_energy,
        valid: &valid,
        known: known.as_deref(),
    });
    if !masks.unfinished.is_empty() {
        remarks.push(format!(
            "{} structures have comparisons that were given up and count as different",
            masks.unfinished.len()
        ));
    }
    let sources = StabilitySources {
        hull: energies.hulls.join("; "),
        entries: energies.entries,
        energies: energies.words.clone(),
        known: known.as_ref().map(|known| (known_name, known.len())),
        submitted,
        no_energies: energies.missing_elements.clone().filter(|_| definition.all_elements_needed),
    };
    let metrics = definition.metrics(&masks, &energies.above, &sources, settings.bootstrap.as_ref());
    remarks.push(OPTIMISTIC.to_owned());
    let report = StabilityReport {
        definition: definition.clone(),
        hulls: energies.hulls.clone(),
        submitted,
        rows: rows.report(&masks, &energies, &valid),
    };
    let bad = |(i, reason): (usize, &Option<String>)| {
        let reason = reason.clone().or_else(|| energies.problems[i].clone())?;
        Some(RowReason::of(rows.listing, i, reason))
    };
    let evaluation = Evaluation {
        format: FORMAT,
        druse: env!("CARGO_PKG_VERSION").to_owned(),
        task: Task::Stability,
        generated: SetSummary::of(sets.generated),
        reference: SetSummary::of(sets.reference),
        train: sets.train.map(SetSummary::of),
        protocol: protocol(definition),
        remarks,
        values: Default::default(),
        metrics,
        invalid: invalid.iter().enumerate().filter_map(bad).collect(),
        left_out: Vec::new(),
        best: Vec::new(),
        worst: Vec::new(),
        symmetry: None,
        charts: energies.charts.clone(),
        stability: Some(report),
    };
    Ok(evaluation.with_values())
}

/// The definition as a protocol of sets: its name, and what counts as valid.
fn protocol(definition: &StabilityDefinition) -> Protocol {
    Protocol {
        name: definition.name.clone(),
        composition: definition.validity.map(|(composition, _)| composition),
        structure: definition.validity.map_or(StructureRule::Strict, |(_, structure)| structure),
        fingerprint: false,
        sample: None,
        cutoffs: None,
        coverage_on: Population::All,
        density_on: Population::All,
        elements_on: Population::All,
        frechet_on: Population::All,
    }
}

/// The rows that are evaluated: structures to be compared, with the row of the relaxed set that has the energy.
struct Rows<'a> {
    /// The set whose rows they are.
    listing: &'a Listing,
    /// The row of the relaxed set of each; `None` where relaxation gave none.
    relaxed: Vec<Option<&'a Item>>,
}

impl<'a> Rows<'a> {
    fn of(
        relaxed: &'a Listing,
        unrelaxed: Option<&'a Listing>,
        tested: Tested,
        remarks: &mut Vec<String>,
    ) -> Result<Self, EvaluateError> {
        let own = || Self { listing: relaxed, relaxed: relaxed.items.iter().map(Some).collect() };
        let Some(unrelaxed) = unrelaxed else {
            if tested == Tested::Generated {
                remarks.push(
                    "the definition compares structures as they were generated; relaxed ones are compared, as no others are given"
                        .to_owned(),
                );
            }
            return Ok(own());
        };
        let mut by_id: HashMap<&str, &Item> = HashMap::new();
        for item in &relaxed.items {
            if by_id.insert(&item.id, item).is_some() {
                return Err(EvaluateError::Pairing(format!(
                    "two relaxed structures are named `{}`",
                    item.id
                )));
            }
        }
        let found: Vec<Option<&Item>> =
            unrelaxed.items.iter().map(|item| by_id.remove(item.id.as_str())).collect();
        if let Some(id) = by_id.keys().min() {
            let text = format!("the relaxed structure `{id}` is none of `{}`", unrelaxed.name);
            return Err(EvaluateError::Pairing(text));
        }
        Ok(match tested {
            Tested::Relaxed => own(),
            Tested::Generated => Self { listing: unrelaxed, relaxed: found },
        })
    }

    fn submitted(&self, asked: Option<usize>, unrelaxed: Option<&Listing>) -> Result<usize, EvaluateError> {
        let least = self.listing.len().max(unrelaxed.map_or(0, Listing::len));
        match asked {
            Some(n) if n < least => Err(EvaluateError::Pairing(format!(
                "{n} structures are said to be submitted, but the set has {least} rows"
            ))),
            asked => Ok(asked.unwrap_or(least)),
        }
    }

    fn compositions(&self) -> Vec<Option<Composition>> {
        let of = |(item, relaxed): (&Item, &Option<&Item>)| {
            relaxed.and_then(|r| composition(r).ok()).or_else(|| composition(item).ok())
        };
        self.listing.items.iter().zip(&self.relaxed).map(of).collect()
    }

    /// Why each row is no valid structure by the rules of the definition; `None` for valid ones.
    fn invalid(
        &self,
        definition: &StabilityDefinition,
        watch: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<Option<String>>, EvaluateError> {
        let wanted = DescriptorSettings { fingerprint: false, symprec: None };
        let of = |item: &Item| match (&item.outcome, definition.validity) {
            (Err(absent), _) => Some(absent.reason.clone()),
            (Ok(_), None) => None,
            (Ok(structure), Some((composition, rule))) => {
                Descriptors::of(structure, &wanted).invalid_because(Some(composition), rule, false)
            }
        };
        in_chunks(&self.listing.items, "validity", watch, stop, of)
    }

    fn prepared(
        &self,
        definition: &StabilityDefinition,
        watch: &mut dyn Observer,
        stop: &AtomicBool,
    ) -> Result<Vec<Option<PreparedStructure>>, EvaluateError> {
        let of = |item: &Item| {
            let structure: Option<&Structure> = item.structure().filter(|s| s.lattice.volume() >= MIN_VOLUME);
            structure.map(|s| definition.sameness.matcher.prepare(s))
        };
        in_chunks(&self.listing.items, "reducing cells", watch, stop, of)
    }

    fn report(&self, masks: &StabilityMasks, energies: &Energies, valid: &[bool]) -> Vec<StabilityRow> {
        let row = |(i, composition): (usize, Option<Composition>)| StabilityRow {
            id: self.listing.items[i].id.clone(),
            formula: composition.map(|c| c.reduced_formula()).unwrap_or_default(),
            e_above_hull: energies.above[i],
            evaluated: masks.evaluated[i],
            valid: valid[i],
            stable: masks.stable[i],
            metastable: masks.metastable[i],
            unique: masks.unique[i],
            novel: masks.novel.as_ref().map(|m| m[i]),
            sun: masks.sun.as_ref().map(|m| m[i]),
            problem: self.listing.items[i]
                .reason()
                .map(str::to_owned)
                .or_else(|| energies.problems[i].clone()),
        };
        self.compositions().into_iter().enumerate().map(row).collect()
    }
}

/// How many structures are compared with next to nothing.
fn few_references(hull: &Hull, compositions: &[Option<Composition>], has_energy: &[bool]) -> Option<String> {
    let with_energy =
        || compositions.iter().zip(has_energy).filter(|(_, has)| **has).filter_map(|(c, _)| c.as_ref());
    let few = |c: &&Composition| hull.diagram.num_compounds(ChemicalSystem::from(*c)) < c.num_elements();
    // An element is compared with itself.
    let count = with_energy().filter(|c| c.num_elements() > 1).filter(few).count();
    (count > 0).then(|| {
        let of = with_energy().count();
        format!(
            "{count} of {of} structures are in chemical systems with fewer compounds among the entries than elements: next to nothing competes with them"
        )
    })
}

/// Energies above hull of the rows.
struct Energies {
    /// Mean over the potentials (eV/atom).
    above: Vec<Option<f64>>,
    has_energy: Vec<bool>,
    /// Why a row has none.
    problems: Vec<Option<String>>,
    /// The elements that a row needs and no entry consists of, in words.
    missing_elements: Option<String>,
    /// The hulls in words.
    hulls: Vec<String>,
    /// Entries of the first hull.
    entries: usize,
    /// Where the energies are from.
    words: String,
    /// Energies above hull of the structures and of the entries of the first hull.
    charts: Vec<Chart>,
}

impl Energies {
    fn of(
        sets: Sets<'_>,
        rows: &Rows<'_>,
        settings: &StabilitySettings,
        remarks: &mut Vec<String>,
    ) -> Result<Self, EvaluateError> {
        let compositions = rows.compositions();
        let n = compositions.len();
        let mut sums = vec![(0.0, 0usize); n];
        let (mut problems, mut has_energy) = (vec![None; n], vec![false; n]);
        let (mut hulls, mut words, mut entries, mut missing) = (Vec::new(), Vec::new(), 0, None);
        let mut entries_above: Vec<f64> = Vec::new();
        for [of_structures, of_entries] in &settings.energies {
            let column = EnergyColumn::of(&[sets.generated], of_structures)?;
            let reference = EnergyColumn::of(&[sets.reference], of_entries)?;
            let read = HullEntries::of(&[sets.reference], &reference, settings.contradictions)?;
            if !read.left_out.is_empty() {
                remarks.push(format!(
                    "{} rows of the reference have no energy or composition",
                    read.left_out.len()
                ));
            }
            let elements = compositions.iter().flatten().flat_map(|c| c.elements().collect::<Vec<Element>>());
            let hull = Hull::new(read, elements)?;
            hull.accept(&column, settings.force_scale)?;
            if column.scale != hull.scale {
                remarks.push(format!(
                    "energies on different scales are compared: {} and {}",
                    column.scale, hull.scale
                ));
            }
            for (i, composition) in compositions.iter().enumerate() {
                let (Some(item), Some(composition)) = (rows.relaxed[i], composition) else {
                    problems[i].get_or_insert_with(|| "no relaxed structure".to_owned());
                    continue;
                };
                let energy = match column.energy_per_atom(item, composition.num_atoms()) {
                    Ok(energy) => energy,
                    Err(reason) => {
                        problems[i].get_or_insert(reason);
                        continue;
                    }
                };
                has_energy[i] = true;
                match hull.diagram.energy_above_hull(composition, energy) {
                    Ok(above) => sums[i] = (sums[i].0 + above, sums[i].1 + 1),
                    Err(e) => {
                        if let HullError::MissingElements { .. } = &e {
                            missing.get_or_insert_with(|| e.to_string());
                        }
                        problems[i].get_or_insert_with(|| e.to_string());
                    }
                }
            }
            if hulls.is_empty() {
                entries = hull.diagram.entries().len();
                let compound = |i: &usize| hull.diagram.entries()[*i].composition.num_elements() > 1;
                let above = |i: usize| hull.diagram.entry_above_hull(i).ok();
                let compounds = (0..entries).into_par_iter().filter(compound);
                entries_above = compounds.filter_map(above).collect();
                remarks.extend(few_references(&hull, &compositions, &has_energy));
            }
            hulls.push(hull.describe());
            words.push(format!("energies `{}`, {}", column.name, column.scale));
        }
        let wanted = settings.definition.potentials;
        let given = settings.energies.len();
        if given < wanted {
            remarks.push(format!(
                "the definition asks for energies of {wanted} potentials or more; those of {given} are given"
            ));
        }
        let needed = wanted.min(given).max(1);
        let mean = |(sum, count): (f64, usize)| (count >= needed).then(|| sum / count as f64);
        let above: Vec<Option<f64>> = sums.into_iter().map(mean).collect();
        let known: Vec<f64> = above.iter().flatten().copied().collect();
        let charts =
            (!known.is_empty()).then(|| above_hull_chart(&known, &entries_above)).into_iter().collect();
        Ok(Self {
            charts,
            above,
            has_energy,
            problems,
            missing_elements: missing,
            hulls,
            entries,
            words: match given {
                1 => words.join(""),
                _ => format!("mean over {given} potentials: {}", words.join("; ")),
            },
        })
    }
}
