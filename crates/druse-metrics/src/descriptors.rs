//! Everything that set metrics need of one crystal.

use druse_crystal::{Composition, Structure, niggli};
use serde::{Deserialize, Serialize};

use crate::{
    fingerprint::{crystalnn, magpie},
    symmetry::SymmetrySummary,
    validity::{self, CompositionRule, CompositionVerdict, StructureFault, StructureRule, StructureValidity},
};

/// Which of the costly descriptors to compute.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct DescriptorSettings {
    /// Whether to compute the CrystalNN fingerprint.
    pub fingerprint: bool,
    /// Tolerance (Å) at which to look for symmetry; `None` for not at all.
    pub symprec: Option<f64>,
}

impl Default for DescriptorSettings {
    fn default() -> Self {
        Self { fingerprint: true, symprec: Some(0.1) }
    }
}

/// Scalars of a crystal that has a cell.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Geometry {
    /// Distances and volume (Å, Å³).
    pub validity: StructureValidity,
    /// Mass density in g/cm³.
    pub density: f64,
    /// Volume per atom in Å³.
    pub volume_per_atom: f64,
    /// `[a, b, c, alpha, beta, gamma]` of the cell as given (Å, degrees).
    pub lattice: [f64; 6],
    /// The same of the Niggli-reduced cell; `None` where the cell cannot be reduced.
    pub niggli: Option<[f64; 6]>,
}

/// What set metrics need of one crystal, without its coordinates. Features of the composition are cheap and therefore
/// computed when asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Descriptors {
    /// Atoms in the cell.
    pub composition: Composition,
    /// Scalars of the cell, or why there is none: the crystal could not be built.
    pub geometry: Result<Geometry, String>,
    /// Mean CrystalNN fingerprint ([`crystalnn::LEN`] numbers) or why it has none; `None` if not computed.
    pub fingerprint: Option<Result<Vec<f64>, String>>,
    /// Symmetry or why none was found; `None` if not looked for.
    pub symmetry: Option<Result<SymmetrySummary, String>>,
}

impl Descriptors {
    /// Describes a crystal that could be built.
    ///
    /// A failure of one descriptor is kept as the reason in its place, as the protocols count them: a crystal of
    /// nearly no volume, say, still has its fingerprint tried.
    pub fn of(structure: &Structure, settings: &DescriptorSettings) -> Self {
        let fingerprint = settings
            .fingerprint
            .then(|| crystalnn::fingerprint(structure).map(|f| f.mean.to_vec()).map_err(|e| e.to_string()));
        let symmetry =
            settings.symprec.map(|tol| SymmetrySummary::of(structure, tol).map_err(|e| e.to_string()));
        let volume = structure.lattice.volume();
        Self {
            composition: Composition::from_species(&structure.species),
            geometry: Ok(Geometry {
                validity: validity::structure(structure),
                density: structure.density(),
                volume_per_atom: volume / structure.len() as f64,
                lattice: structure.lattice.parameters(),
                niggli: niggli(&structure.lattice).ok().map(|r| r.lattice.parameters()),
            }),
            fingerprint,
            symmetry,
        }
    }

    /// Describes a crystal that could not be built (a negative length, angles that enclose no cell …): only its
    /// composition counts.
    pub fn unbuilt(composition: Composition, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            composition,
            fingerprint: Some(Err(reason.clone())),
            symmetry: Some(Err(reason.clone())),
            geometry: Err(reason),
        }
    }

    /// The composition test under a rule.
    pub fn composition_verdict(&self, rule: CompositionRule) -> CompositionVerdict {
        validity::composition_verdict(&self.composition, rule)
    }

    /// Whether the crystal could be built and passes a structure rule.
    pub fn structure_valid(&self, rule: StructureRule) -> bool {
        self.geometry.as_ref().is_ok_and(|g| g.validity.is_valid(rule))
    }

    /// What is wrong with the structure under a rule.
    pub fn structure_fault(&self, rule: StructureRule) -> Option<StructureFault> {
        self.geometry.as_ref().ok().and_then(|g| g.validity.fault(rule))
    }

    /// The fingerprint, where there is one.
    pub fn structure_features(&self) -> Option<&[f64]> {
        match &self.fingerprint {
            Some(Ok(f)) => Some(f),
            _ => None,
        }
    }

    /// Normalized Magpie features of the composition.
    pub fn composition_features(&self) -> [f64; magpie::LEN] {
        magpie::scaled(&magpie::features(&self.composition))
    }

    /// Density in g/cm³, where there is a cell.
    pub fn density(&self) -> Option<f64> {
        self.geometry.as_ref().ok().map(|g| g.density)
    }

    /// Number of different elements.
    pub fn num_elements(&self) -> usize {
        self.composition.num_elements()
    }

    /// The first reason why the crystal is invalid under the rules; `None` when it is valid. The fingerprint counts
    /// where `fingerprint` says so.
    pub fn invalid_because(
        &self,
        composition: Option<CompositionRule>,
        structure: StructureRule,
        fingerprint: bool,
    ) -> Option<String> {
        if let Err(reason) = &self.geometry {
            return Some(format!("not a crystal: {reason}"));
        }
        if let Some(fault) = self.structure_fault(structure) {
            return Some(fault.to_string());
        }
        if let Some(verdict) = composition.map(|r| self.composition_verdict(r)).filter(|v| !v.is_valid()) {
            return Some(format!("{}: {verdict}", self.composition.reduced_formula()));
        }
        match &self.fingerprint {
            Some(Err(reason)) if fingerprint => Some(format!("no fingerprint: {reason}")),
            _ => None,
        }
    }
}
