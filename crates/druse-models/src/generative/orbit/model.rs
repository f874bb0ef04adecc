//! The model: network, and what it knows of its training set.

use std::num::NonZeroU32;
use std::sync::Arc;

use druse_crystal::{
    Composition, EnumerateError, EnumerateOptions, LatticeSystem, SpaceGroup, Structure, SymmetricStructure,
    Template, WyckoffPosition, enumerate_templates,
};
use druse_nn::{ParamBuilder, ParamSpec};
use serde::{Deserialize, Serialize};

use super::candidates::FoundCandidates;
use super::cell::{self, COORDINATES};
use super::config::{OrbitConfig, OrbitSampling};
use super::denovo::DeNovo;
use super::judge::{Ballot, Judge};
use super::network::Network;
use super::pairs::Radial;
use super::paths::Described;
use super::proposal::Proposal;
use super::recent::Recent;
use super::site_by_site::FoundExchanges;
use super::tokens::Frame;
use super::writer::{Ground, Writer};
use crate::identity::FoundOnce;
use crate::known_crystals::KnownCrystals;
use crate::process::Noise;
use crate::settings::Settings;
use crate::structure_types::PositionSets;
use crate::{Conditions, ModelError, Site};

/// Spread of cell numbers of a lattice system with fewer than two crystals.
const UNKNOWN_SPREAD: f64 = 0.15;
/// Smallest spread.
const LEAST_SPREAD: f64 = 1e-3;

/// Mean and standard deviation of the cell numbers of a lattice system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellScale {
    /// Means. The first is of ⅓ ln(V / Σ v), v the volumes of the elements.
    pub mean: [f64; COORDINATES],
    /// Standard deviations.
    pub std: [f64; COORDINATES],
}

impl Default for CellScale {
    fn default() -> Self {
        Self { mean: [0.0; COORDINATES], std: [UNKNOWN_SPREAD; COORDINATES] }
    }
}

/// What the model keeps of its training set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Cell numbers of each lattice system, from triclinic to cubic.
    pub cells: [CellScale; 6],
    /// Atoms in the primitive cell of the largest crystal; 0 before training.
    pub max_atoms: usize,
    /// Combinations of Wyckoff positions in canonical form, the most frequent first.
    pub positions: PositionSets,
}

/// An orbit model without its parameters.
pub struct Orbit {
    pub(super) config: OrbitConfig,
    pub(super) sampling: OrbitSampling,
    pub(super) specs: Vec<ParamSpec>,
    pub(super) network: Network,
    pub(super) radial: Radial,
    pub(super) judge: Judge,
    pub(super) writer: Option<Writer>,
    pub(super) statistics: Statistics,
    pub(super) known: KnownCrystals,
    /// The votes on the structures met so far.
    pub(super) ballots: FoundOnce<Ballot>,
    /// What the writer begins with for the structures met so far.
    pub(super) grounds: FoundOnce<Ground>,
    /// Exchanges site by site of the compositions met so far.
    pub(super) exchanges: FoundExchanges,
    /// Candidates of the compositions met so far.
    pub(super) candidates: FoundCandidates,
    /// Known crystals on the sites of the templates met so far.
    pub(super) same_sites: Recent<Template, Vec<Proposal>>,
    /// What is drawn without a composition.
    pub(super) denovo: DeNovo,
    described: FoundOnce<Result<Described, String>>,
}

impl Orbit {
    /// Builds the network.
    ///
    /// # Errors
    /// [`ModelError::Config`] when the configuration is impossible.
    pub fn new(config: OrbitConfig) -> Result<Self, ModelError> {
        config.validate()?;
        let mut builder = ParamBuilder::default();
        let network = Network::new(&mut builder, "flow.", &config.network);
        let judge = Judge::new(&mut builder, "judge.", &config.judge);
        let writer = (config.writer.width > 0).then(|| Writer::new(&mut builder, "writer.", &config.writer));
        Ok(Self {
            radial: Radial::new(&config.network),
            known: KnownCrystals::default(),
            ballots: FoundOnce::default(),
            grounds: FoundOnce::default(),
            exchanges: FoundExchanges::default(),
            candidates: FoundCandidates::default(),
            same_sites: Recent::default(),
            denovo: DeNovo::default(),
            judge,
            writer,
            specs: builder.finish(),
            sampling: OrbitSampling::default(),
            statistics: Statistics::default(),
            described: FoundOnce::default(),
            config,
            network,
        })
    }

    /// With other settings of sampling.
    ///
    /// # Errors
    /// [`ModelError::Config`] when they are impossible.
    pub fn with_sampling(self, sampling: &OrbitSampling) -> Result<Self, ModelError> {
        sampling.validate()?;
        Ok(Self { sampling: sampling.clone(), candidates: FoundCandidates::default(), ..self })
    }

    /// Hyper-parameters.
    pub fn config(&self) -> &OrbitConfig {
        &self.config
    }

    /// What the model knows of its training set.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// A structure by its distinct sites, or why there are none, found once.
    pub(super) fn described(&self, structure: &Structure) -> Arc<Result<Described, String>> {
        self.described.get(structure, || {
            SymmetricStructure::from_structure(structure, self.config.tolerance)
                .map(|crystal| Described::new(crystal, self.config.flow.coupling))
                .map_err(|e| e.kind().to_owned())
        })
    }

    /// Σ v of a conventional cell, Å³.
    fn expected_volume(&self, frame: &Frame) -> f64 {
        let sites = frame.elements.iter().zip(&frame.positions);
        sites.map(|(&e, w)| self.known.library().volumes().of(e) * w.multiplicity() as f64).sum()
    }

    fn scale(&self, system: LatticeSystem) -> &CellScale {
        let index = LatticeSystem::ALL.iter().position(|&s| s == system);
        &self.statistics.cells[index.expect("all systems are listed")]
    }

    /// Standardized numbers of a cell; those that are fixed are zero.
    pub(super) fn normalized(&self, frame: &Frame, mut numbers: [f64; COORDINATES]) -> [f64; COORDINATES] {
        let system = frame.group.lattice_system();
        let scale = self.scale(system);
        numbers[0] -= self.expected_volume(frame).ln() / 3.0;
        let mut normalized = [0.0; COORDINATES];
        for &i in cell::free(system) {
            normalized[i] = (numbers[i] - scale.mean[i]) / scale.std[i];
        }
        normalized
    }

    /// The numbers of a cell that standardized ones stand for.
    pub(super) fn restored(&self, frame: &Frame, normalized: [f64; COORDINATES]) -> [f64; COORDINATES] {
        let scale = self.scale(frame.group.lattice_system());
        let mut numbers: [f64; COORDINATES] =
            std::array::from_fn(|i| normalized[i] * scale.std[i] + scale.mean[i]);
        numbers[0] += self.expected_volume(frame).ln() / 3.0;
        numbers
    }

    /// What was found with other known crystals counts no longer.
    pub(super) fn forget(&mut self) {
        self.ballots = FoundOnce::default();
        self.grounds = FoundOnce::default();
        self.exchanges = FoundExchanges::default();
        self.candidates = FoundCandidates::default();
        self.same_sites = Recent::default();
        self.denovo = DeNovo::default();
    }

    /// Takes volumes, cells and positions from a training set.
    pub(super) fn fit(&mut self, training: &[(&str, &Structure)]) -> Result<(), ModelError> {
        self.known.fit(training)?;
        self.forget();
        let crystals: Vec<_> = training
            .iter()
            .map(|(_, s)| {
                let described = self.described(s);
                match described.as_ref() {
                    Ok(_) => Ok(described),
                    Err(reason) => Err(unusable(s, reason)),
                }
            })
            .collect::<Result<_, _>>()?;
        let crystals = || crystals.iter().filter_map(|d| d.as_ref().as_ref().ok());
        let mut statistics = Statistics::default();
        for d in crystals() {
            statistics.max_atoms = statistics.max_atoms.max(d.crystal.num_primitive_atoms());
        }
        let canonical = |d: &Described| d.crystal.template().sequence().canonical();
        statistics.positions = PositionSets::count(crystals().map(canonical));
        self.statistics = statistics;
        let mut rows: [Vec<[f64; COORDINATES]>; 6] = Default::default();
        for d in crystals() {
            let frame = Frame::new(&d.crystal.template());
            let system = frame.group.lattice_system();
            let index = LatticeSystem::ALL.iter().position(|&s| s == system);
            let mut numbers = d.cell;
            numbers[0] -= self.expected_volume(&frame).ln() / 3.0;
            rows[index.expect("all systems are listed")].push(numbers);
        }
        self.statistics.cells = rows.map(|rows| fitted_scale(&rows));
        Ok(())
    }

    /// Whether a space group can hold a composition, in the primitive cell.
    pub(super) fn check_group(
        &self,
        composition: &Composition,
        group: Option<u16>,
    ) -> Result<(), ModelError> {
        let Some(number) = group else { return Ok(()) };
        let (unit, units) = composition.reduced();
        let options = EnumerateOptions {
            groups: Some(vec![number]),
            max_atoms: composition.num_atoms(),
            formula_units: NonZeroU32::new(units),
            max_sites: composition.num_atoms(),
            limit: 1,
        };
        match enumerate_templates(composition, &options) {
            Err(e @ EnumerateError::Impossible { .. }) => {
                let cells = SpaceGroup::new(number).map_or(1, |group| group.centring().order() as u32);
                let is_conventional = cells > 1 && units.is_multiple_of(cells);
                let primitive = is_conventional.then(|| unit.multiplied(units / cells)).flatten();
                let hint =
                    primitive.map_or_else(String::new, |c| format!("; of a conventional cell write {c}"));
                Err(ModelError::Condition(format!("{e}{hint}")))
            }
            // Too many atoms to look at all ways: known crystals will tell.
            _ => Ok(()),
        }
    }

    /// What is asked for beyond what [`Capabilities`](crate::Capabilities) say: sites of a group that exist.
    pub(super) fn check_sites(&self, conditions: &Conditions) -> Result<(), ModelError> {
        let (group, sites) = asked(conditions)?;
        let given = sites.iter().filter_map(|site| Some((site.element, site.wyckoff?))).collect::<Vec<_>>();
        if given.is_empty() && !sites.is_empty() {
            return Ok(());
        }
        Template::new(group, given).map(|_| ()).map_err(|e| ModelError::Condition(e.to_string()))
    }

    /// The sites that are asked for, each with a Wyckoff position. Where no site has one, they are those of a combination of
    /// the training set for this group and so many sites, drawn by how often it is there, in an order that is drawn, too. Any
    /// other is drawn from the group's.
    pub(super) fn template(
        &self,
        conditions: &Conditions,
        noise: &mut Noise,
    ) -> Result<Template, ModelError> {
        let (group, sites) = asked(conditions)?;
        let mut letters: Vec<Option<char>> = sites.iter().map(|site| site.wyckoff).collect();
        if letters.iter().all(Option::is_none) {
            letters = self.statistics.positions.drawn_letters(group.number(), sites.len(), noise);
        }
        for i in 0..letters.len() {
            if letters[i].is_none() {
                let is_left = |w: &&WyckoffPosition| !(w.is_fixed() && letters.contains(&Some(w.letter())));
                let left: Vec<&WyckoffPosition> = group.wyckoff_positions().iter().filter(is_left).collect();
                letters[i] = Some(left[noise.below(left.len())].letter());
            }
        }
        let sites = sites.iter().zip(letters).filter_map(|(site, letter)| Some((site.element, letter?)));
        Template::new(group, sites.collect()).map_err(|e| ModelError::Condition(e.to_string()))
    }
}

/// The group and the sites of a request.
fn asked(conditions: &Conditions) -> Result<(&'static SpaceGroup, &[Site]), ModelError> {
    let wrong = ModelError::Condition;
    let (Some(number), Some(sites)) = (conditions.space_group, &conditions.sites) else {
        return Err(wrong("a space group and sites are needed".into()));
    };
    let group = SpaceGroup::new(number).map_err(|e| wrong(e.to_string()))?;
    match sites.is_empty() {
        true => Err(wrong("a list of sites without any".into())),
        false => Ok((group, sites)),
    }
}

/// The error of a structure that the model cannot learn from.
pub(super) fn unusable(structure: &Structure, reason: &str) -> ModelError {
    let what = Composition::from_species(&structure.species).formula();
    ModelError::Unusable { what, reason: reason.to_owned() }
}

fn fitted_scale(rows: &[[f64; COORDINATES]]) -> CellScale {
    let mut scale = CellScale::default();
    let n = rows.len() as f64;
    for i in 0..COORDINATES {
        if !rows.is_empty() {
            scale.mean[i] = rows.iter().map(|r| r[i]).sum::<f64>() / n;
        }
        if rows.len() > 1 {
            let variance = rows.iter().map(|r| (r[i] - scale.mean[i]).powi(2)).sum::<f64>() / n;
            scale.std[i] = variance.sqrt().max(LEAST_SPREAD);
        }
    }
    scale
}
