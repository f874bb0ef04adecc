//! Forward and backward pass over a batch.
//!
//! Between two convolutions everything is done portion by portion while it is in the caches. What the backward pass needs
//! is what the gates read and the features that messages are made of; radial weights and messages are never kept.

use druse_relax::Evaluation;
use rayon::prelude::*;

use super::convolution::{EdgeGradients, RadialRows};
use super::graph::{Batch, Graph, Portion};
use super::harmonics::{components, gradients};
use super::network::{Block, Network};
use super::radial::{RadialScratch, RadialWeights};
use crate::real::Real;

/// Memory of a thread, kept from portion to portion.
#[derive(Debug, Default)]
pub(super) struct Scratch<R> {
    radial: RadialRows<R>,
    radial_scratch: RadialScratch<R>,
    messages: Vec<R>,
    features: Vec<R>,
    gradient: Vec<R>,
    active: Vec<R>,
}

/// Numbers of all atoms or edges in the parts of the portions.
fn parts<T>(mut all: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let cut = |length| {
        let (own, rest) = std::mem::take(&mut all).split_at_mut(length);
        all = rest;
        own
    };
    lengths.map(cut).collect()
}

/// Runs `work` for each portion with its part of some arrays: on this thread where there is one portion.
fn each<R: Real, T: Send>(
    batch: &Batch<R>,
    parts: Vec<T>,
    scratch: &mut Scratch<R>,
    work: impl Fn(&Portion, T, &mut Scratch<R>) + Send + Sync,
) {
    if batch.portions.len() == 1 {
        batch.portions.iter().zip(parts).for_each(|(portion, part)| work(portion, part, scratch));
    } else {
        let all = batch.portions.par_iter().zip(parts.into_par_iter());
        all.for_each_init(Scratch::default, |scratch, (portion, part)| work(portion, part, scratch));
    }
}

impl<R: Real> RadialRows<R> {
    fn fill(
        &mut self,
        weights: &RadialWeights<R>,
        portion: &Portion,
        slopes: bool,
        scratch: &mut RadialScratch<R>,
    ) {
        let len = portion.distances.len() * weights.len();
        self.values.resize(len.max(self.values.len()), R::default());
        let slopes = slopes.then(|| {
            self.slopes.resize(len.max(self.slopes.len()), R::default());
            &mut self.slopes[..len]
        });
        weights.evaluate(&portion.distances, &mut self.values[..len], slopes, scratch);
    }
}

/// Memory of this length whose content is of no meaning.
fn memory<R: Real>(vec: &mut Vec<R>, len: usize) -> &mut [R] {
    vec.resize(len.max(vec.len()), R::default());
    &mut vec[..len]
}

/// A block whose messages' gradients are known, but not what follows from them.
struct Above<'a, R: Real> {
    block: &'a Block<R>,
    /// Gradients of what its gate read.
    gated: Vec<R>,
    /// Gradients of its sums of messages.
    messages: Vec<R>,
    /// What its messages are made of.
    features: Vec<R>,
}

/// What is kept of the forward pass.
struct Kept<R> {
    /// What the gate of each block read.
    gated: Vec<Vec<R>>,
    /// What messages are made of in each block from the second on.
    features: Vec<Vec<R>>,
}

impl<R: Real> Network<R> {
    /// Energy, forces and stress of the crystals of a batch.
    pub fn run(&self, batch: &Batch<R>, graphs: &[&Graph], scratch: &mut Scratch<R>) -> Vec<Evaluation> {
        let (energies, kept) = self.forward(batch, scratch);
        let edges = self.backward(batch, kept, scratch);
        let (mut atom, mut evaluations) = (0, Vec::new());
        for graph in graphs {
            let atoms = atom..atom + graph.len();
            evaluations.push(self.collect(batch, atoms.clone(), graph.volume, &energies, &edges));
            atom = atoms.end;
        }
        evaluations
    }

    /// Energies of the atoms (eV), and what the backward pass needs.
    fn forward(&self, batch: &Batch<R>, scratch: &mut Scratch<R>) -> (Vec<f64>, Kept<R>) {
        let atoms = batch.types.len();
        let zeros = |width: usize| vec![R::default(); atoms * width];
        let sizes: Vec<_> =
            std::iter::once(self.first.sizes).chain(self.blocks.iter().map(|b| b.sizes)).collect();
        let mut kept = Kept { gated: Vec::new(), features: Vec::new() };
        let gated = batch.types.iter().flat_map(|&element| {
            let row = usize::from(element) * sizes[0].gated;
            &self.first.self_connection[row..row + sizes[0].gated]
        });
        kept.gated.push(gated.copied().collect());
        let mut energies = vec![0.0; atoms];
        for (t, size) in sizes.iter().enumerate() {
            let next = self.blocks.get(t);
            let mut next_gated = zeros(next.map_or(0, |n| n.sizes.gated));
            let mut next_features = zeros(next.map_or(0, |n| n.sizes.features));
            let lengths = |width: usize| batch.portions.iter().map(move |p| p.atoms.len() * width);
            let own = parts(&mut kept.gated[t], lengths(size.gated));
            let gated = parts(&mut next_gated, lengths(next.map_or(0, |n| n.sizes.gated)));
            let features = parts(&mut next_features, lengths(next.map_or(0, |n| n.sizes.features)));
            let energies = parts(&mut energies, lengths(1));
            let parts: Vec<_> = own.into_iter().zip(gated).zip(features).zip(energies).collect();
            let sent = t.checked_sub(1).map(|before| &kept.features[before]);
            each(batch, parts, scratch, |portion, (((own, gated), features), energies), scratch| {
                let messages = memory(&mut scratch.messages, portion.atoms.len() * size.messages);
                let (radial, hidden) = (&mut scratch.radial, &mut scratch.radial_scratch);
                let after = match t.checked_sub(1).map(|before| &self.blocks[before]).zip(sent) {
                    None => {
                        radial.fill(&self.first.radial, portion, false, hidden);
                        self.first.convolution.forward(batch, portion, radial, messages);
                        (&self.first.after, &self.first.gate)
                    }
                    Some((block, sent)) => {
                        radial.fill(&block.radial, portion, false, hidden);
                        block.convolution.forward(batch, portion, sent, radial, messages);
                        (&block.after, &block.gate)
                    }
                };
                after.0.apply(messages, own, true);
                let output = memory(&mut scratch.features, portion.atoms.len() * size.output);
                after.1.forward(own, output, &mut scratch.active);
                match next {
                    Some(next) => {
                        next.self_connection.apply(output, gated, false);
                        next.before.apply(output, features, false);
                    }
                    None => {
                        let types = &batch.types[portion.atoms.clone()];
                        let rows = output.chunks_exact(size.output).zip(types).zip(energies);
                        rows.for_each(|((x, &element), energy)| *energy = self.readout.energy(x, element));
                    }
                }
            });
            if next.is_some() {
                kept.gated.push(next_gated);
                kept.features.push(next_features);
            }
        }
        (energies, kept)
    }

    /// Gradients of the energy in lengths and harmonics of edges.
    fn backward(&self, batch: &Batch<R>, mut kept: Kept<R>, scratch: &mut Scratch<R>) -> [Vec<R>; 2] {
        let atoms = batch.types.len();
        let components = components(self.config.max_degree());
        let mut lengths = vec![R::default(); batch.sender.len()];
        let mut harmonics = vec![R::default(); batch.sender.len() * components];
        let atom_parts = |width: usize| batch.portions.iter().map(move |p| p.atoms.len() * width);
        let edge_parts = |width: usize| batch.portions.iter().map(move |p| p.edges.len() * width);
        let mut above: Option<Above<'_, R>> = None;
        for t in (0..self.config.blocks).rev() {
            let block = t.checked_sub(1).map(|before| &self.blocks[before]);
            let (after, gate, size) = match block {
                Some(block) => (&block.after, &block.gate, block.sizes),
                None => (&self.first.after, &self.first.gate, self.first.sizes),
            };
            let mut gated = std::mem::take(&mut kept.gated[t]);
            let mut messages = vec![R::default(); atoms * size.messages];
            let parts: Vec<_> = parts(&mut gated, atom_parts(size.gated))
                .into_iter()
                .zip(parts(&mut messages, atom_parts(size.messages)))
                .zip(parts(&mut lengths, edge_parts(1)))
                .zip(parts(&mut harmonics, edge_parts(components)))
                .collect();
            each(batch, parts, scratch, |portion, (((gated, messages), length), harmonics), scratch| {
                let output = memory(&mut scratch.features, portion.atoms.len() * size.output);
                match &above {
                    None => {
                        let types = &batch.types[portion.atoms.clone()];
                        let rows = output.chunks_exact_mut(size.output).zip(types);
                        rows.for_each(|(x, &element)| self.readout.gradient(x, element));
                    }
                    Some(Above { block, gated, messages, features }) => {
                        let mut edges = EdgeGradients { length, harmonics };
                        let width = block.sizes.features;
                        let gradient = memory(&mut scratch.gradient, portion.atoms.len() * width);
                        scratch.radial.fill(&block.radial, portion, true, &mut scratch.radial_scratch);
                        let given = [features.as_slice(), messages.as_slice()];
                        let radial = &scratch.radial;
                        block.convolution.backward(batch, portion, given, radial, gradient, &mut edges);
                        block.before.backward(gradient, output, false);
                        let width = block.sizes.gated;
                        let own = &gated[portion.atoms.start * width..portion.atoms.end * width];
                        block.self_connection.backward(own, output, true);
                    }
                }
                gate.backward(gated, output, &mut scratch.active);
                after.backward(gated, messages, false);
            });
            match block {
                Some(block) => {
                    let features = std::mem::take(&mut kept.features[t - 1]);
                    above = Some(Above { block, gated, messages, features });
                }
                None => {
                    let parts = parts_of_edges(batch, &mut lengths, &mut harmonics, components);
                    each(batch, parts, scratch, |portion, mut edges, scratch| {
                        scratch.radial.fill(&self.first.radial, portion, true, &mut scratch.radial_scratch);
                        let radial = &scratch.radial;
                        self.first.convolution.backward(batch, portion, &messages, radial, &mut edges);
                    });
                }
            }
        }
        [lengths, harmonics]
    }

    /// Energy, forces and stress of the crystal of some atoms.
    fn collect(
        &self,
        batch: &Batch<R>,
        atoms: std::ops::Range<usize>,
        volume: f64,
        energies: &[f64],
        [lengths, turns]: &[Vec<R>; 2],
    ) -> Evaluation {
        let degree = self.config.max_degree();
        let components = components(degree);
        let mut forces = vec![[0.0; 3]; atoms.len()];
        let mut virial = [[0.0; 3]; 3];
        for atom in atoms.clone() {
            for edge in batch.ptr[atom]..batch.ptr[atom + 1] {
                let (n, r) = (batch.direction[edge], batch.length[edge]);
                let slopes = gradients(n, degree);
                let mut turn = [0.0; 3];
                for (slope, &by) in slopes.iter().zip(&turns[edge * components..][..components]) {
                    (0..3).for_each(|c| turn[c] += by.wide() * slope[c]);
                }
                let along: f64 = (0..3).map(|c| turn[c] * n[c]).sum();
                let radial = lengths[edge].wide();
                let gradient: [f64; 3] =
                    std::array::from_fn(|c| radial * n[c] + (turn[c] - along * n[c]) / r);
                let sender = batch.sender[edge] as usize - atoms.start;
                for c in 0..3 {
                    forces[atom - atoms.start][c] += gradient[c];
                    forces[sender][c] -= gradient[c];
                    (0..3).for_each(|d| virial[c][d] += r * n[c] * gradient[d]);
                }
            }
        }
        let stress =
            std::array::from_fn(|c| std::array::from_fn(|d| 0.5 * (virial[c][d] + virial[d][c]) / volume));
        Evaluation { energy: energies[atoms].iter().sum(), forces, stress, magnetic_moments: None }
    }
}

fn parts_of_edges<'a, R: Real>(
    batch: &Batch<R>,
    lengths: &'a mut [R],
    harmonics: &'a mut [R],
    components: usize,
) -> Vec<EdgeGradients<'a, R>> {
    let counts = || batch.portions.iter().map(|p| p.edges.len());
    let both = parts(lengths, counts()).into_iter().zip(parts(harmonics, counts().map(|n| n * components)));
    both.map(|(length, harmonics)| EdgeGradients { length, harmonics }).collect()
}
