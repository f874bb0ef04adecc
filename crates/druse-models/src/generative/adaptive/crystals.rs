//! Crystals as the model learns them: by space group, cell and distinct sites.

use std::sync::{Arc, OnceLock};

use druse_crystal::{Element, NeighborError, SpaceGroup, Structure, SymmetricStructure};
use druse_nn::blocks::dimenet::EdgeDimeNet;
use druse_nn::graph::{CopyRule, GroupOperations, SymmetricEdges};
use rayon::prelude::*;

use super::config::{Groups, SymmetryConfig};
use crate::identity::FoundOnce;

/// The operations of a space group in its primitive cell, found once.
pub(super) fn operations(group: &SpaceGroup) -> &'static GroupOperations {
    static GROUPS: [OnceLock<GroupOperations>; 230] = [const { OnceLock::new() }; 230];
    GROUPS[usize::from(group.number()) - 1].get_or_init(|| {
        GroupOperations::new(group.primitive_operations().to_vec()).expect("a space group is a group")
    })
}

/// How many copies a site is joined with, and how they count.
pub(super) type Joined = (usize, CopyRule);

/// The edges of distinct sites (fractional coordinates in the conventional cell) in their space group.
///
/// # Errors
/// [`NeighborError`] for cells that are too small, flat or long.
pub(super) fn edges(
    group: &SpaceGroup,
    conventional: &druse_crystal::Lattice,
    sites: &[[f64; 3]],
    (neighbors, copies): Joined,
) -> Result<SymmetricEdges, NoEdges> {
    let centring = group.centring();
    let lattice = centring.primitive_lattice(conventional).map_err(|e| NoEdges(e.to_string()))?;
    let sites: Vec<[f64; 3]> = sites.iter().map(|&f| centring.to_primitive(f)).collect();
    let found: Result<_, NeighborError> =
        SymmetricEdges::nearest(&lattice, operations(group), &sites, neighbors, copies);
    found.map_err(|e| NoEdges(e.to_string()))
}

/// Why sites have no edges, in words.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NoEdges(pub String);

/// Why the model cannot learn from a structure, in words that are the same for all structures of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unusable(pub String);

/// A structure by its distinct sites, or why there are none.
fn reduce(structure: &Structure, config: &SymmetryConfig) -> Result<SymmetricStructure, Unusable> {
    if let Some(e) = structure.species.iter().find(|e| e.z() > EdgeDimeNet::MAX_ELEMENT) {
        return Err(Unusable(format!("{} is beyond the elements that the network knows", e.symbol())));
    }
    let reduced = SymmetricStructure::from_structure(structure, config.tolerance)
        .map_err(|e| Unusable(e.kind().to_owned()))?;
    let group = reduced.group();
    if config.groups == Groups::FixedAngles && group.number() < FIRST_FIXED {
        let system = group.lattice_system();
        return Err(Unusable(format!(
            "{system} cells are not learned with symmetry.groups = \"fixed-angles\""
        )));
    }
    Ok(reduced)
}

/// The first space group whose cell has no free angle.
pub(super) const FIRST_FIXED: u16 = 16;

type Reduced = Arc<Result<SymmetricStructure, Unusable>>;

/// The distinct sites of the structures met so far. Threads may share it.
#[derive(Debug, Default)]
pub(super) struct ReducedCache {
    found: FoundOnce<Result<SymmetricStructure, Unusable>>,
}

impl ReducedCache {
    /// The distinct sites of a structure, found if they are not known.
    pub fn get(&self, structure: &Structure, config: &SymmetryConfig) -> Reduced {
        self.found.get(structure, || reduce(structure, config))
    }

    /// Why structures have no distinct sites, found on all threads; `None` for those that have.
    pub fn unusable(&self, structures: &[&Structure], config: &SymmetryConfig) -> Vec<Option<String>> {
        let reason = |s: &&Structure| self.get(s, config).as_ref().as_ref().err().map(|e| e.0.clone());
        structures.par_iter().map(reason).collect()
    }
}

/// Elements of distinct sites.
pub(super) fn species(crystal: &SymmetricStructure) -> Vec<Element> {
    crystal.sites().iter().map(|site| site.element).collect()
}
