//! Atom layers: messages over directed edges.

use super::bases::BasisRow;
use super::kernels::{AtomInput, Row, Two, add};
use super::memory::Rows;
use super::network::AtomLayer;
use super::portions::{Run, each, split, split_kept, tiles, within};
use super::weights::{FOUR, TWO, WIDTH};
use crate::real::Real;

/// What is kept of an atom layer's forward pass.
pub(super) struct AtomKept<'a, R: Real> {
    ends: Rows<'a, R, FOUR>,
    bonds: Rows<'a, R, TWO>,
    /// What gates read, where memory is spent on it.
    y: Rows<'a, R, TWO>,
}

/// What an atom layer reads of bonds.
#[derive(Clone, Copy)]
pub(super) struct BondInput<'a, R> {
    /// Features, of short bonds alone.
    pub features: &'a [Row<R>],
    /// Radial functions.
    pub basis: &'a [BasisRow<R>],
    /// Weights of messages.
    pub weights: &'a [Row<R>],
}

/// Gradients that an atom layer adds to.
pub(super) struct AtomGradients<'a, R> {
    pub atoms: &'a mut [Row<R>],
    /// Of features of short bonds.
    pub bonds: &'a mut [Row<R>],
    /// Of radial functions.
    pub basis: &'a mut [BasisRow<R>],
    /// Of the weights of each directed edge.
    pub weights: &'a mut [Row<R>],
}

impl<R: Real> AtomLayer<R> {
    /// Adds messages to the features of atoms.
    pub fn forward<'a>(
        &self,
        run: Run<'a, R>,
        atoms: &mut [Row<R>],
        bonds: BondInput<'_, R>,
    ) -> AtomKept<'a, R> {
        let Run { graph, memory, keep } = run;
        let portions = &graph.portions;
        let mut kept = AtomKept {
            ends: memory.unset(graph.len()),
            bonds: memory.unset(graph.bonds.len()),
            y: run.kept(graph.edges.len()),
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
            let (short, long) = brought.split_at_mut(portion.short_bonds.len());
            self.bond.apply(&bonds.features[portion.first_bonds()], short, false);
            self.basis.apply(&bonds.basis[portion.first_bonds().end..portion.bonds.end], long, false);
        });
        let (edges, weights) = (graph.edges.as_slice(), bonds.weights);
        let input = AtomInput { edges, ends: &kept.ends, bonds: &kept.bonds, weights };
        let parts =
            split(atoms, portions, |p| &p.atoms)
                .into_iter()
                .zip(split_kept(&mut kept.y, portions, |p| &p.edges));
        each(portions, parts, |portion, (atoms, kept)| {
            let mut sums = memory.zeros(portion.atoms.len());
            let (mut active, mut scratch) = (run.tile(), run.tile());
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
        run: Run<'_, R>,
        mut kept: AtomKept<'_, R>,
        weights: &[Row<R>],
        gradients: AtomGradients<'_, R>,
    ) {
        let Run { graph, memory, keep } = run;
        let portions = &graph.portions;
        let mut sums: Rows<'_, R, WIDTH> = memory.unset(graph.len());
        each(portions, split(&mut sums, portions, |p| &p.atoms), |portion, sums| {
            self.out.back(&gradients.atoms[portion.atoms.clone()], sums, false);
        });
        let mut hidden: Rows<'_, R, TWO> = memory.unset(graph.edges.len());
        let input = AtomInput { edges: &graph.edges, ends: &kept.ends, bonds: &kept.bonds, weights };
        let parts = split(&mut hidden, portions, |p| &p.edges)
            .into_iter()
            .zip(split(gradients.weights, portions, |p| &p.edges))
            .zip(split_kept(&mut kept.y, portions, |p| &p.edges));
        each(portions, parts, |portion, ((hidden, weights), kept)| {
            let (mut active, mut scratch) = (run.tile(), run.tile());
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
        let parts = split(gradients.atoms, portions, |p| &p.atoms)
            .into_iter()
            .zip(split(gradients.bonds, portions, |p| &p.bonds))
            .zip(split(gradients.basis, portions, |p| &p.bonds));
        each(portions, parts, |portion, ((atoms, bonds), basis)| {
            let mut ends: Rows<'_, R, FOUR> = memory.zeros(atoms.len());
            for at in portion.edges.clone() {
                let edge = &graph.edges[at];
                let (sums, _) = ends[edge.center as usize - portion.atoms.start].as_chunks_mut::<TWO>();
                add(&mut sums[0], &hidden[at]);
                add(&mut sums[1], &hidden[edge.reverse as usize]);
            }
            self.ends.back(&ends, atoms, true);
            let mut scratch: Rows<'_, R, TWO> = run.tile();
            let long = portion.first_bonds().end..portion.bonds.end;
            for range in tiles(portion.first_bonds()).chain(tiles(long)) {
                let both = &mut scratch[..range.len()];
                for (both, &first) in both.iter_mut().zip(&graph.bonds[range.clone()]) {
                    *both = hidden[first as usize];
                    add(both, &hidden[graph.edges[first as usize].reverse as usize]);
                }
                let own = within(&range, portion.bonds.start);
                if own.end <= portion.short_bonds.len() {
                    self.bond.back(both, &mut bonds[own], true);
                } else {
                    self.basis.back(both, &mut basis[own], true);
                }
            }
        });
    }
}
