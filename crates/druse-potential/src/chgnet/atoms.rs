//! Atom layers: messages over directed edges.

use super::graph::Graph;
use super::kernels::{AtomInput, Four, Row, Two, add};
use super::network::{AtomLayer, TWO};
use super::portions::{each, split, split_kept, tile, tiles, within, zeros};
use super::weights::WIDTH;
use crate::real::Real;

/// What is kept of an atom layer's forward pass.
pub(super) struct AtomKept<R> {
    ends: Vec<Four<R>>,
    bonds: Vec<Two<R>>,
    /// What gates read, where memory is spent on it.
    y: Vec<Two<R>>,
}

/// Gradients that an atom layer adds to.
pub(super) struct AtomGradients<'a, R> {
    pub atoms: &'a mut [Row<R>],
    pub bonds: &'a mut [Row<R>],
    /// Of the weights of each directed edge.
    pub weights: &'a mut [Row<R>],
}

impl<R: Real> AtomLayer<R> {
    /// Adds messages to the features of atoms.
    pub fn forward(
        &self,
        graph: &Graph,
        atoms: &mut [Row<R>],
        bonds: &[Row<R>],
        weights: &[Row<R>],
        keep: bool,
    ) -> AtomKept<R> {
        let portions = &graph.portions;
        let mut kept = AtomKept {
            ends: zeros(graph.len()),
            bonds: zeros(graph.bonds.len()),
            y: zeros(if keep { graph.edges.len() } else { 0 }),
        };
        let parts = split(&mut kept.ends, portions, |p| &p.atoms).into_iter().zip(split(
            &mut kept.bonds,
            portions,
            |p| &p.bonds,
        ));
        each(portions, parts, |portion, (ends, brought)| {
            self.ends.apply(&atoms[portion.atoms.clone()], ends, false);
            for row in ends {
                row.iter_mut().zip(&self.hidden).for_each(|(x, &bias)| *x += bias);
            }
            self.bond.apply(&bonds[portion.bonds.clone()], brought, false);
        });
        let input = AtomInput { edges: &graph.edges, ends: &kept.ends, bonds: &kept.bonds, weights };
        let parts =
            split(atoms, portions, |p| &p.atoms)
                .into_iter()
                .zip(split_kept(&mut kept.y, portions, |p| &p.edges));
        each(portions, parts, |portion, (atoms, kept)| {
            let mut sums = zeros(portion.atoms.len());
            let (mut active, mut scratch) = (tile(), tile());
            for range in tiles(portion.edges.clone()) {
                let y = match keep {
                    true => &mut kept[within(&range, portion.edges.start)],
                    false => &mut scratch[..range.len()],
                };
                let input = input.tile(range);
                self.gated(&input, &mut active, y);
                input.messages(&self.gate, y, portion.atoms.start, &mut sums);
            }
            self.out.apply(&sums, atoms, true);
        });
        kept
    }

    /// Writes what gates read.
    fn gated(&self, input: &AtomInput<'_, R>, active: &mut [Two<R>], y: &mut [Two<R>]) {
        let active = &mut active[..y.len()];
        input.hidden(active);
        for (net, map) in self.second.iter().enumerate() {
            map.apply_from(net * WIDTH, active, net * WIDTH, y, false);
        }
    }

    /// Turns gradients of what the layer gave into those of what it read.
    pub fn backward(
        &self,
        graph: &Graph,
        mut kept: AtomKept<R>,
        weights: &[Row<R>],
        gradients: AtomGradients<'_, R>,
    ) {
        let portions = &graph.portions;
        let keep = !kept.y.is_empty();
        let mut sums: Vec<Row<R>> = zeros(graph.len());
        each(portions, split(&mut sums, portions, |p| &p.atoms), |portion, sums| {
            self.out.back(&gradients.atoms[portion.atoms.clone()], sums, false);
        });
        let mut hidden: Vec<Two<R>> = zeros(graph.edges.len());
        let input = AtomInput { edges: &graph.edges, ends: &kept.ends, bonds: &kept.bonds, weights };
        let parts = split(&mut hidden, portions, |p| &p.edges)
            .into_iter()
            .zip(split(gradients.weights, portions, |p| &p.edges))
            .zip(split_kept(&mut kept.y, portions, |p| &p.edges));
        each(portions, parts, |portion, ((hidden, weights), kept)| {
            let (mut active, mut scratch) = (tile(), tile());
            for range in tiles(portion.edges.clone()) {
                let own = within(&range, portion.edges.start);
                let input = input.tile(range);
                let y = if keep {
                    &mut kept[own.clone()]
                } else {
                    let y = &mut scratch[..own.len()];
                    self.gated(&input, &mut active, y);
                    y
                };
                input.messages_backward(&self.gate, y, &sums, &mut weights[own.clone()]);
                let hidden = &mut hidden[own];
                for (net, map) in self.second.iter().enumerate() {
                    map.back_from(net * WIDTH, y, net * WIDTH, hidden, false);
                }
                input.hidden_backward(hidden);
            }
        });
        let parts = split(gradients.atoms, portions, |p| &p.atoms).into_iter().zip(split(
            gradients.bonds,
            portions,
            |p| &p.bonds,
        ));
        each(portions, parts, |portion, (atoms, bonds)| {
            let mut ends: Vec<Four<R>> = zeros(atoms.len());
            for at in portion.edges.clone() {
                let edge = &graph.edges[at];
                let (sums, _) = ends[edge.center as usize - portion.atoms.start].as_chunks_mut::<TWO>();
                add(&mut sums[0], &hidden[at]);
                add(&mut sums[1], &hidden[edge.reverse as usize]);
            }
            self.ends.back(&ends, atoms, true);
            let mut both: Vec<Two<R>> = tile();
            for range in tiles(portion.bonds.clone()) {
                let both = &mut both[..range.len()];
                for (both, &first) in both.iter_mut().zip(&graph.bonds[range.clone()]) {
                    *both = hidden[first as usize];
                    add(both, &hidden[graph.edges[first as usize].reverse as usize]);
                }
                self.bond.back(both, &mut bonds[within(&range, portion.bonds.start)], true);
            }
        });
    }
}
