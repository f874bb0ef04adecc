//! What the network makes of a crystal on the way to its energy.

use super::bases::BasisRow;
use super::graph::Graph;
use super::kernels::Row;
use super::network::Network;
use super::pass::{Geometry, Watch};
use super::portions::Run;
use super::weights::{ANGULAR, RADIAL, WIDTH};
use crate::real::Real;

/// Graph, features, and site energies of a crystal.
///
/// A row belongs to an atom, an undirected bond, or an angle: an ordered pair of different edges with one center.
#[derive(Debug, Clone, PartialEq)]
pub struct Details {
    /// Center, other end, and the bond of each directed edge below 6 Å, sorted by center.
    pub edges: Vec<[usize; 3]>,
    /// Lattice translation of the other end of each directed edge.
    pub images: Vec<[i32; 3]>,
    /// Center, first bond and second bond of each angle between edges below 3 Å.
    pub angles: Vec<[usize; 3]>,
    /// Energy of each site (eV), the reference of its element included.
    pub site_energies: Vec<f64>,
    /// Reference energy of each site (eV).
    pub references: Vec<f64>,
    /// Magnetic moment of each site (Bohr magnetons).
    pub magnetic_moments: Vec<f64>,
    /// Sum over the atoms of their last, normalized features: 64 numbers.
    pub crystal_feature: Vec<f64>,
    /// The last, normalized features of each atom: 64 numbers.
    pub atom_features: Vec<Vec<f64>>,
    /// Radial functions of each bond below 6 Å, 31 numbers.
    pub radial: Vec<Vec<f64>>,
    /// Radial functions of each bond below 3 Å; zeros of longer ones.
    pub short_radial: Vec<Vec<f64>>,
    /// Functions of each angle, 31 numbers.
    pub angular: Vec<Vec<f64>>,
    /// Weights of each bond in atom layers.
    pub atom_weights: Vec<Vec<f64>>,
    /// Weights of each bond in bond layers; zeros of bonds of 3 Å and more.
    pub bond_weights: Vec<Vec<f64>>,
    /// Features after the embedding, after each of three blocks, and after the last atom layer (without angles).
    pub blocks: Vec<Blocks>,
}

/// Features at some stage: 64 numbers a row.
#[derive(Debug, Clone, PartialEq)]
pub struct Blocks {
    /// Of each atom.
    pub atoms: Vec<Vec<f64>>,
    /// Of each bond.
    pub bonds: Vec<Vec<f64>>,
    /// Of each angle.
    pub angles: Vec<Vec<f64>>,
}

fn wide<R: Real, const N: usize>(rows: &[[R; N]], len: usize) -> Vec<Vec<f64>> {
    rows.iter().map(|row| row[..len].iter().map(|x| x.wide()).collect()).collect()
}

/// Rows of short bonds among those of all bonds.
fn among<R: Real, const N: usize>(graph: &Graph, rows: &[[R; N]], len: usize) -> Vec<Vec<f64>> {
    let mut all = vec![vec![0.0; len]; graph.bonds.len()];
    for (bond, row) in graph.short_bonds.iter().zip(wide(rows, len)) {
        all[bond.bond as usize] = row;
    }
    all
}

struct Watcher<'a> {
    graph: &'a Graph,
    details: Details,
}

impl<R: Real> Watch<R> for Watcher<'_> {
    const ALL: bool = true;

    fn start(&mut self, geometry: &Geometry<'_, R>) {
        let [all, short, pairs] = &geometry.values;
        let angular: Vec<BasisRow<R>> =
            self.graph.angles.iter().map(|angle| pairs[angle.pair as usize]).collect();
        self.details.radial = wide(all, RADIAL);
        self.details.short_radial = among(self.graph, short, RADIAL);
        self.details.angular = wide(&angular, ANGULAR);
        self.details.atom_weights = wide(&geometry.atom_weights, WIDTH);
        self.details.bond_weights = among(self.graph, &geometry.bond_weights, WIDTH);
    }

    fn features(&mut self, atoms: &[Row<R>], bonds: &[Row<R>], angles: &[Row<R>]) {
        let [atoms, bonds, angles] = [atoms, bonds, angles].map(|rows| wide(rows, WIDTH));
        self.details.blocks.push(Blocks { atoms, bonds, angles });
    }
}

impl Details {
    pub(super) fn new<R: Real>(network: &Network<R>, graph: &Graph) -> Self {
        let places =
            |edge: &super::graph::EdgeIndex| [edge.center, edge.neighbor, edge.bond].map(|x| x as usize);
        let short = |bond: u32| graph.short_bonds[bond as usize].bond as usize;
        let angles = graph.angles.iter().map(|a| [a.center as usize, short(a.bonds[0]), short(a.bonds[1])]);
        let details = Self {
            edges: graph.edges.iter().map(places).collect(),
            images: graph.geometry.iter().map(|edge| edge.image).collect(),
            angles: angles.collect(),
            site_energies: Vec::new(),
            references: network.references(graph),
            magnetic_moments: Vec::new(),
            crystal_feature: Vec::new(),
            atom_features: Vec::new(),
            radial: Vec::new(),
            short_radial: Vec::new(),
            angular: Vec::new(),
            atom_weights: Vec::new(),
            bond_weights: Vec::new(),
            blocks: Vec::new(),
        };
        let mut watcher = Watcher { graph, details };
        let run = Run { graph, memory: &network.memory, keep: false };
        let forward = network.forward(run, &mut watcher);
        let mut details = watcher.details;
        let energies = forward.sites.energies.iter().zip(&details.references);
        details.site_energies = energies.map(|(e, r)| e + r).collect();
        details.magnetic_moments = forward.moments;
        details.atom_features = wide(&forward.sites.features, WIDTH);
        let column = |k: usize| details.atom_features.iter().map(|row| row[k]).sum();
        details.crystal_feature = (0..WIDTH).map(column).collect();
        details
    }
}
