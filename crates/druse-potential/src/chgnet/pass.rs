//! Forward and backward pass over a crystal.

use druse_relax::Evaluation;

use super::angles::{AngleGradients, AngleKept, FeatureGradients, Features};
use super::atoms::{AtomGradients, AtomKept, BondInput};
use super::bases::{Angle, BASIS, BasisRow, Bonds, dot};
use super::graph::Graph;
use super::kernels::{Row, add};
use super::memory::Rows;
use super::network::Network;
use super::portions::{Run, each, split, tiles, within};
use super::readout::Sites;
use super::weights::{BLOCKS, FIRST, TWO, WIDTH};
use crate::real::Real;

/// Edges or angles of a crystal up to which what gates read is kept for the backward pass: 200 MB in 32 bits. It is
/// computed again in larger ones.
const KEPT: usize = 50_000;

/// Functions of all distances and angles, and what weights are made of them.
pub(super) struct Geometry<'a, R: Real> {
    /// Of bonds, of short bonds, of pairs of short edges.
    pub values: [Rows<'a, R, BASIS>; 3],
    slopes: [Rows<'a, R, BASIS>; 3],
    angles: Vec<Angle>,
    /// Weights of bonds in atom layers.
    pub atom_weights: Rows<'a, R, WIDTH>,
    /// Weights of short bonds in bond layers.
    pub bond_weights: Rows<'a, R, WIDTH>,
    /// What is made of pairs of short edges.
    pub pairs: Rows<'a, R, FIRST>,
}

/// What happens in the forward pass, for those who look on: features after the embedding and after each block.
pub(super) trait Watch<R: Real> {
    /// Whether features that change no result are wanted.
    const ALL: bool;
    fn start(&mut self, _geometry: &Geometry<'_, R>) {}
    fn features(&mut self, _atoms: &[Row<R>], _bonds: &[Row<R>], _angles: &[Row<R>]) {}
}

/// Forces (eV/Å) and the derivative of the energy with respect to strain (eV).
type Slopes = (Vec<[f64; 3]>, [[f64; 3]; 3]);

/// Nobody looks on.
pub(super) struct Unwatched;

impl<R: Real> Watch<R> for Unwatched {
    const ALL: bool = false;
}

/// The forward pass of a crystal.
pub(super) struct Forward<'a, R: Real> {
    pub geometry: Geometry<'a, R>,
    pub moments: Vec<f64>,
    pub sites: Sites<R>,
    /// Features of atoms before the last norm.
    atoms: Rows<'a, R, WIDTH>,
    kept: Kept<'a, R>,
}

struct Kept<'a, R: Real> {
    atoms: Vec<AtomKept<'a, R>>,
    bonds: Vec<AngleKept<'a, R>>,
    angles: Vec<AngleKept<'a, R>>,
    /// Features of angles that each block starts with.
    features: Vec<Rows<'a, R, WIDTH>>,
}

impl<'a, R: Real> Geometry<'a, R> {
    fn new(network: &Network<R>, run: Run<'a, R>) -> Self {
        let Run { graph, memory, .. } = run;
        let portions = &graph.portions;
        let rows = [graph.bonds.len(), graph.short_bonds.len(), graph.pairs.len()];
        let (mut values, mut slopes) = (rows.map(|n| memory.zeros(n)), rows.map(|n| memory.zeros(n)));
        let angles: Vec<Angle> = graph.pairs.iter().map(|pair| Angle::new(graph, pair)).collect();
        let mut atom_weights = memory.unset(rows[0]);
        let mut bond_weights = memory.unset(rows[1]);
        let mut pairs = memory.unset(rows[2]);
        let bases = &network.bases;
        {
            let ([all, short, angular], [all_slopes, short_slopes, angular_slopes]) =
                (&mut values, &mut slopes);
            let parts = split(all, portions, |p| &p.bonds)
                .into_iter()
                .zip(split(all_slopes, portions, |p| &p.bonds))
                .zip(split(&mut atom_weights, portions, |p| &p.bonds));
            each(portions, parts, |portion, ((values, slopes), weights)| {
                let bonds = &graph.bonds[portion.bonds.clone()];
                for ((&first, value), slope) in bonds.iter().zip(&mut *values).zip(slopes) {
                    bases.radial(Bonds::All, graph.geometry[first as usize].length, value, slope);
                }
                network.atom_weight.apply(values, weights, false);
            });
            let parts = split(short, portions, |p| &p.short_bonds)
                .into_iter()
                .zip(split(short_slopes, portions, |p| &p.short_bonds))
                .zip(split(&mut bond_weights, portions, |p| &p.short_bonds));
            each(portions, parts, |portion, ((values, slopes), weights)| {
                let bonds = &graph.short_bonds[portion.short_bonds.clone()];
                for ((bond, value), slope) in bonds.iter().zip(&mut *values).zip(slopes) {
                    bases.radial(Bonds::Short, graph.short(bond.shorts[0]).length, value, slope);
                }
                network.bond_weight.apply(values, weights, false);
            });
            let parts = split(angular, portions, |p| &p.pairs)
                .into_iter()
                .zip(split(angular_slopes, portions, |p| &p.pairs))
                .zip(split(&mut pairs, portions, |p| &p.pairs));
            each(portions, parts, |portion, ((values, slopes), pairs)| {
                let own = &angles[portion.pairs.clone()];
                for ((angle, value), slope) in own.iter().zip(&mut *values).zip(slopes) {
                    bases.angular(angle.theta, value, slope);
                }
                for range in tiles(0..pairs.len()) {
                    network.angle_embedding.apply(&values[range.clone()], &mut pairs[range], false);
                }
            });
        }
        Self { values, slopes, angles, atom_weights, bond_weights, pairs }
    }
}

impl<R: Real> Network<R> {
    /// Energy, forces and stress of a crystal, and magnetic moments.
    pub fn run(&self, graph: &Graph) -> Evaluation {
        let keep = graph.edges.len().max(graph.angles.len()) <= KEPT;
        let run = Run { graph, memory: &self.memory, keep };
        let forward = self.forward(run, &mut Unwatched);
        let energy = forward.sites.energies.iter().zip(self.references(graph)).map(|(e, r)| e + r).sum();
        let moments = forward.moments.clone();
        let (forces, virial) = self.backward(run, forward);
        let stress = std::array::from_fn(|c| {
            std::array::from_fn(|d| 0.5 * (virial[c][d] + virial[d][c]) / graph.volume)
        });
        Evaluation { energy, forces, stress, magnetic_moments: Some(moments) }
    }

    /// The forward pass.
    pub fn forward<'a, W: Watch<R>>(&self, run: Run<'a, R>, watch: &mut W) -> Forward<'a, R> {
        let Run { graph, memory, .. } = run;
        let portions = &graph.portions;
        let geometry = Geometry::new(self, run);
        let mut atoms = memory.unset(graph.len());
        for (row, &element) in atoms.iter_mut().zip(&graph.types) {
            *row = self.embedding[usize::from(element)];
        }
        let mut bonds = memory.unset(graph.bonds.len());
        each(portions, split(&mut bonds, portions, |p| &p.bonds), |portion, bonds| {
            // Layers see long bonds through their radial functions.
            let own = if W::ALL { portion.bonds.clone() } else { portion.first_bonds() };
            let rows = own.len();
            self.bond_embedding.apply(&geometry.values[0][own], &mut bonds[..rows], false);
        });
        let mut angles: Rows<'a, R, WIDTH> = memory.unset(graph.angles.len());
        for (row, angle) in angles.iter_mut().zip(&graph.angles) {
            *row = geometry.pairs[angle.pair as usize].as_chunks::<WIDTH>().0[0];
        }
        watch.start(&geometry);
        watch.features(&atoms, &bonds, &angles);
        let mut kept =
            Kept { atoms: Vec::new(), bonds: Vec::new(), angles: Vec::new(), features: Vec::new() };
        let (basis, weights) = (&*geometry.values[0], &*geometry.atom_weights);
        for t in 0..BLOCKS {
            let input = BondInput { features: &bonds, basis, weights };
            kept.atoms.push(self.atoms[t].forward(run, &mut atoms, input));
            if !graph.angles.is_empty() {
                let features = |begin| match t {
                    0 => Features::Pairs(&geometry.pairs, begin),
                    _ => Features::Angles(&angles),
                };
                let weights = &geometry.bond_weights;
                let layer = &self.bonds[t];
                kept.bonds.push(layer.forward(run, &atoms, &mut bonds, features(WIDTH), weights));
                let mut new = memory.unset(0);
                if t + 1 < BLOCKS || W::ALL {
                    new = memory.unset(angles.len());
                    new.copy_from_slice(&angles);
                    let features = features(WIDTH + TWO);
                    let layer = &self.angles[t];
                    kept.angles.push(layer.update(run, &atoms, &bonds, features, &mut new));
                }
                kept.features.push(std::mem::replace(&mut angles, new));
            }
            watch.features(&atoms, &bonds, &angles);
        }
        let moments = self.moments(&atoms);
        let input = BondInput { features: &bonds, basis, weights };
        kept.atoms.push(self.atoms[BLOCKS].forward(run, &mut atoms, input));
        watch.features(&atoms, &bonds, &[]);
        let sites = self.readout.forward(&atoms);
        drop(bonds);
        Forward { geometry, moments, sites, atoms, kept }
    }

    /// Forces, and the derivative of the energy with respect to strain (eV).
    fn backward(&self, run: Run<'_, R>, forward: Forward<'_, R>) -> Slopes {
        let Forward { geometry, sites, atoms, mut kept, .. } = forward;
        let Run { graph, memory, .. } = run;
        let mut atoms = self.readout.backward(&atoms, &sites);
        let mut gradients = Gradients {
            bonds: memory.zeros(graph.bonds.len()),
            basis: memory.zeros(graph.bonds.len()),
            atom_weights: memory.zeros(graph.edges.len()),
            bond_weights: memory.zeros(graph.shorts.len()),
            pairs: memory.zeros(graph.pairs.len()),
        };
        let Gradients { bonds, basis, atom_weights, bond_weights, pairs } = &mut gradients;
        let mut angles: Rows<'_, R, WIDTH> = memory.zeros(graph.angles.len());
        for t in (0..=BLOCKS).rev() {
            if t < BLOCKS && !graph.angles.is_empty() {
                let Some(old) = kept.features.pop() else { break };
                let features = |begin| match t {
                    0 => Features::Pairs(&geometry.pairs, begin),
                    _ => Features::Angles(&old),
                };
                if t + 1 < BLOCKS
                    && let Some(kept) = kept.angles.pop()
                {
                    let mut new = memory.unset(angles.len());
                    new.copy_from_slice(&angles);
                    let gradients = AngleGradients {
                        atoms: &mut atoms,
                        bonds: &mut *bonds,
                        angles: target(t, pairs, WIDTH + TWO, &mut angles),
                    };
                    self.angles[t].update_backward(run, kept, features(WIDTH + TWO), &new, gradients);
                }
                if let Some(kept) = kept.bonds.pop() {
                    let gradients = AngleGradients {
                        atoms: &mut atoms,
                        bonds: &mut *bonds,
                        angles: target(t, pairs, WIDTH, &mut angles),
                    };
                    let weights = (&*geometry.bond_weights, &mut **bond_weights);
                    self.bonds[t].backward(run, kept, features(WIDTH), weights, gradients);
                }
            }
            if let Some(kept) = kept.atoms.pop() {
                let gradients = AtomGradients {
                    atoms: &mut atoms,
                    bonds: &mut *bonds,
                    basis: &mut *basis,
                    weights: &mut *atom_weights,
                };
                self.atoms[t].backward(run, kept, &geometry.atom_weights, gradients);
            }
        }
        for (pair, gradient) in graph.pairs.iter().zip(pairs.iter_mut()) {
            let embedded = &mut gradient.as_chunks_mut::<WIDTH>().0[0];
            pair.angles.iter().for_each(|&angle| add(embedded, &angles[angle as usize]));
        }
        self.collect(run, &geometry, &mut gradients)
    }

    /// From gradients of embeddings and weights to forces and virial.
    fn collect(
        &self,
        run: Run<'_, R>,
        geometry: &Geometry<'_, R>,
        gradients: &mut Gradients<'_, R>,
    ) -> Slopes {
        let Run { graph, memory, .. } = run;
        let Gradients { bonds, basis, atom_weights, bond_weights, pairs } = gradients;
        let portions = &graph.portions;
        // Slopes of the energy in the lengths of bonds, of short bonds, and in angles.
        let (mut lengths, mut short_lengths) =
            (vec![0.0; graph.bonds.len()], vec![0.0; graph.short_bonds.len()]);
        let mut turns = vec![0.0; graph.pairs.len()];
        let [all, short, angular] = &geometry.slopes;
        let parts = split(&mut lengths, portions, |p| &p.bonds)
            .into_iter()
            .zip(split(&mut short_lengths, portions, |p| &p.short_bonds))
            .zip(split(&mut turns, portions, |p| &p.pairs))
            .zip(split(basis, portions, |p| &p.bonds));
        each(portions, parts, |portion, (((lengths, short_lengths), turns), basis)| {
            let both = |&first: &u32| {
                let mut sum = atom_weights[first as usize];
                add(&mut sum, &atom_weights[graph.edges[first as usize].reverse as usize]);
                sum
            };
            let weights: Vec<Row<R>> = graph.bonds[portion.bonds.clone()].iter().map(both).collect();
            let short_bonds = portion.short_bonds.len();
            self.bond_embedding.back(&bonds[portion.first_bonds()], &mut basis[..short_bonds], true);
            self.atom_weight.back(&weights, basis, true);
            slopes(basis, &all[portion.bonds.clone()], lengths);
            let both = |shorts: [u32; 2]| {
                let mut sum = bond_weights[shorts[0] as usize];
                add(&mut sum, &bond_weights[shorts[1] as usize]);
                sum
            };
            let own = &graph.short_bonds[portion.short_bonds.clone()];
            let weights: Vec<Row<R>> = own.iter().map(|bond| both(bond.shorts)).collect();
            let mut basis: Rows<'_, R, BASIS> = memory.zeros(weights.len());
            self.bond_weight.back(&weights, &mut basis, false);
            slopes(&basis, &short[portion.short_bonds.clone()], short_lengths);
            let mut basis: Rows<'_, R, BASIS> = memory.zeros(turns.len());
            for range in tiles(portion.pairs.clone()) {
                let own = within(&range, portion.pairs.start);
                self.angle_embedding.back(&pairs[range], &mut basis[own], false);
            }
            slopes(&basis, &angular[portion.pairs.clone()], turns);
        });
        let mut vectors = vec![[0.0; 3]; graph.edges.len()];
        for (&first, slope) in graph.bonds.iter().zip(lengths) {
            along(graph, first, slope, &mut vectors);
        }
        for (bond, slope) in graph.short_bonds.iter().zip(short_lengths) {
            along(graph, graph.bonds[bond.bond as usize], slope, &mut vectors);
        }
        for ((pair, angle), slope) in graph.pairs.iter().zip(&geometry.angles).zip(turns) {
            for (short, gradient) in pair.shorts.into_iter().zip(angle.gradients(slope)) {
                let edge = graph.shorts[short as usize].edge;
                (0..3).for_each(|c| vectors[edge as usize][c] += gradient[c]);
            }
        }
        let mut forces = vec![[0.0; 3]; graph.len()];
        let mut virial = [[0.0; 3]; 3];
        for ((edge, shape), gradient) in graph.edges.iter().zip(&graph.geometry).zip(vectors) {
            for c in 0..3 {
                forces[edge.center as usize][c] += gradient[c];
                forces[edge.neighbor as usize][c] -= gradient[c];
                (0..3).for_each(|d| virial[c][d] += shape.vector[c] * gradient[d]);
            }
        }
        (forces, virial)
    }
}

/// Gradients of the energy in what layers read of bonds, weights and pairs.
struct Gradients<'a, R: Real> {
    /// Features of short bonds.
    bonds: Rows<'a, R, WIDTH>,
    /// Radial functions.
    basis: Rows<'a, R, BASIS>,
    /// Weights of directed edges.
    atom_weights: Rows<'a, R, WIDTH>,
    /// Weights of short edges.
    bond_weights: Rows<'a, R, WIDTH>,
    pairs: Rows<'a, R, FIRST>,
}

/// Where a layer's gradients of the features of angles go.
fn target<'a, R>(
    block: usize,
    pairs: &'a mut [[R; FIRST]],
    begin: usize,
    angles: &'a mut [Row<R>],
) -> FeatureGradients<'a, R> {
    match block {
        0 => FeatureGradients::Pairs(pairs, begin),
        _ => FeatureGradients::Angles(angles),
    }
}

/// Sums of gradients of functions times their slopes.
fn slopes<R: Real>(gradients: &[BasisRow<R>], slopes: &[BasisRow<R>], out: &mut [f64]) {
    for ((out, g), s) in out.iter_mut().zip(gradients).zip(slopes) {
        *out = dot(g, s);
    }
}

/// Adds the gradient of something that depends on the length of an edge to that of its vector.
fn along(graph: &Graph, edge: u32, slope: f64, vectors: &mut [[f64; 3]]) {
    let shape = &graph.geometry[edge as usize];
    let vector = &mut vectors[edge as usize];
    (0..3).for_each(|c| vector[c] += slope * shape.vector[c] / shape.length);
}
