//! The relaxation of one crystal, step by step.

use druse_crystal::{Structure, within_cutoff};

use crate::filter::{CellFilter, Row, largest};
use crate::optimizer::Running;
use crate::outcome::gigapascals;
use crate::symmetry::Symmetry;
use crate::{Displacement, End, Evaluation, Figures, Frame, PotentialError, RelaxSettings, Relaxed};

/// The relaxation of one crystal: it asks for the evaluation of a structure, moves, and asks again, until it ends.
///
/// ```
/// use druse_crystal::{Element, Lattice, Structure};
/// use druse_relax::pair::{LennardJones, PairPotential};
/// use druse_relax::{End, Potential, RelaxSettings, Relaxation};
///
/// let argon = Element::from_symbol("Ar")?;
/// let potential = PairPotential::new("argon", 9.0)
///     .with(argon, argon, LennardJones { epsilon: 0.0103, sigma: 3.4 });
/// let (h, settings) = (2.9, RelaxSettings { fmax: 1e-4, ..RelaxSettings::default() });
/// let start = Structure::new(
///     Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]])?,
///     vec![argon],
///     vec![[0.0; 3]],
/// )?;
/// let mut relaxation = Relaxation::new(start, &settings);
/// while let Some(structure) = relaxation.structure() {
///     let evaluation = potential.evaluate(std::slice::from_ref(structure)).remove(0);
///     relaxation.advance(evaluation);
/// }
/// let relaxed = relaxation.finish();
/// assert_eq!(relaxed.end, End::Converged);
/// assert!((relaxed.structure.lattice.lengths()[0] - 1.09 * 3.4).abs() < 0.05);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Relaxation {
    settings: RelaxSettings,
    filter: CellFilter,
    optimizer: Running,
    symmetry: Option<Symmetry>,
    /// As it was given.
    start: Structure,
    /// The structure that waits for its evaluation.
    current: Structure,
    steps: usize,
    start_energy: f64,
    last: Option<Evaluated>,
    trajectory: Vec<Frame>,
    end: Option<End>,
}

/// The last structure that was evaluated.
#[derive(Debug, Clone)]
struct Evaluated {
    structure: Structure,
    evaluation: Evaluation,
    fmax: f64,
}

impl Relaxation {
    /// Begins with a structure. One with overlapping atoms, or without the space group that should be kept, has ended at once.
    pub fn new(start: Structure, settings: &RelaxSettings) -> Self {
        let (mut symmetry, mut end, mut exact) = (None, None, None);
        match settings.symprec.map(|symprec| Symmetry::find(&start, symprec)) {
            Some(Ok((found, structure))) => (symmetry, exact) = (Some(found), Some(structure)),
            Some(Err(e)) => end = Some(End::Symmetry(e)),
            None => {}
        }
        let current = exact.unwrap_or_else(|| start.clone());
        let mut new = Self {
            filter: CellFilter::new(current.clone(), settings.cell, settings.pressure),
            optimizer: Running::new(&settings.optimizer),
            settings: settings.clone(),
            symmetry,
            start,
            current,
            steps: 0,
            start_energy: f64::NAN,
            last: None,
            trajectory: Vec::new(),
            end,
        };
        if new.end.is_none() {
            new.end = new.overlap();
        }
        new
    }

    /// The structure that is to be evaluated next; `None` when the relaxation has ended.
    pub fn structure(&self) -> Option<&Structure> {
        self.end.is_none().then_some(&self.current)
    }

    /// Steps made so far.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// Length of the longest row of the generalized forces at the last evaluation (eV/Å).
    pub fn fmax(&self) -> Option<f64> {
        self.last.as_ref().map(|last| last.fmax)
    }

    /// Takes the evaluation of [`Self::structure`] and makes a step, unless it is the last; `Some` when the relaxation has
    /// ended. After the end it changes nothing.
    ///
    /// # Panics
    /// When there is not one force a site.
    pub fn advance(&mut self, evaluation: Result<Evaluation, PotentialError>) -> Option<&End> {
        if self.end.is_none() {
            self.end = match evaluation {
                Ok(evaluation) => self.take(evaluation),
                Err(e) => Some(End::Potential(e)),
            };
        }
        self.end.as_ref()
    }

    fn take(&mut self, evaluation: Evaluation) -> Option<End> {
        assert_eq!(evaluation.forces.len(), self.current.len(), "one force a site");
        if let Some(what) = evaluation.not_finite() {
            return Some(End::NotFinite(what));
        }
        let volume = self.current.lattice.volume();
        let mut forces = self.filter.forces(&evaluation, volume);
        if let Some(symmetry) = &self.symmetry {
            symmetry.project(&mut forces);
        }
        let value = self.filter.value(&evaluation, volume);
        let fmax = largest(&forces);
        if self.steps == 0 {
            self.start_energy = evaluation.energy;
        }
        if self.settings.trajectory {
            let (structure, evaluation) = (self.current.clone(), evaluation.clone());
            self.trajectory.push(Frame { step: self.steps, structure, evaluation, fmax });
        }
        self.last = Some(Evaluated { structure: self.current.clone(), evaluation, fmax });
        if fmax < self.settings.fmax {
            return Some(End::Converged);
        }
        if self.steps >= self.settings.steps {
            return Some(End::StepLimit(self.steps));
        }
        self.step(value, &forces)
    }

    fn step(&mut self, value: f64, forces: &[Row]) -> Option<End> {
        let Some(displacements) = self.optimizer.step(value, forces) else { return Some(End::Stalled) };
        self.filter.advance(&displacements);
        self.steps += 1;
        match self.filter.structure() {
            Ok(structure) => self.current = structure,
            Err(e) => return Some(End::Collapsed(e.to_string())),
        }
        let share = self.current.lattice.volume() / self.start.lattice.volume();
        if share > self.settings.largest_volume {
            return Some(End::Exploded(share));
        }
        if share < self.settings.smallest_volume {
            return Some(End::Collapsed(format!("its volume shrank to {share:.3} of the start's")));
        }
        self.overlap()
    }

    /// Whether two atoms of the current structure are too close.
    fn overlap(&self) -> Option<End> {
        let least = self.settings.min_distance;
        let list = match within_cutoff(&self.current.lattice, &self.current.frac_coords, least) {
            Ok(list) => list,
            Err(e) => return Some(End::Collapsed(e.to_string())),
        };
        let close = (0..list.len()).flat_map(|i| list.of(i).iter().map(move |n| (i, n)));
        let (first, nearest) = close.min_by(|a, b| a.1.distance.total_cmp(&b.1.distance))?;
        Some(End::Overlap { first, second: nearest.site as usize, distance: nearest.distance })
    }

    /// What it came to; one that was not brought to its end counts as stopped by the limit of steps.
    pub fn finish(self) -> Relaxed {
        let end = self.end.unwrap_or(End::StepLimit(self.steps));
        let (structure, figures) = match self.last {
            None => (self.start, None),
            Some(Evaluated { structure, evaluation, fmax }) => {
                let figures = Figures {
                    energy: evaluation.energy,
                    start_energy: self.start_energy,
                    atoms: structure.len(),
                    fmax,
                    max_force: largest(&evaluation.forces),
                    stress: gigapascals(&evaluation),
                    start_volume: self.start.lattice.volume(),
                    volume: structure.lattice.volume(),
                    displacement: Displacement::between(&self.start, &structure),
                    magnetic_moments: evaluation.magnetic_moments,
                };
                (structure, Some(figures))
            }
        };
        let space_group = self.symmetry.map(|symmetry| symmetry.number());
        let (steps, trajectory) = (self.steps, self.trajectory);
        Relaxed { end, steps, structure, figures, space_group, trajectory, opinions: Vec::new() }
    }
}
