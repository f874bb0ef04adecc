//! Bond and angle layers: messages over angles.
//!
//! Angles are sorted by their center, and everything that belongs to a center is in one portion, so that sums over angles
//! stay within it.

use std::ops::Range;

use super::graph::{Graph, Portion};
use super::kernels::{AngleInput, Four, Row, Two, add, angle_messages, gate_backward};
use super::network::{BondLayer, FIRST, FOUR, Messages, TWO};
use super::portions::{each, split, split_kept, tile, tiles, within, zeros};
use super::weights::WIDTH;
use crate::real::Real;

/// Features of angles.
#[derive(Clone, Copy)]
pub(super) enum Features<'a, R> {
    /// Of the first block, with what its layers make of them: a row for each pair of edges. Those of the layer begin at a
    /// number.
    Pairs(&'a [[R; FIRST]], usize),
    /// A row for each angle.
    Angles(&'a [Row<R>]),
}

/// Where gradients of [`Features`] are added to, for the angles of a portion.
enum Target<'a, R> {
    Pairs(&'a mut [[R; FIRST]], usize),
    Angles(&'a mut [Row<R>]),
}

/// Gradients of [`Features`].
pub(super) enum FeatureGradients<'a, R> {
    Pairs(&'a mut [[R; FIRST]], usize),
    Angles(&'a mut [Row<R>]),
}

impl<'a, R> FeatureGradients<'a, R> {
    fn split(self, portions: &[Portion]) -> Vec<Target<'a, R>> {
        match self {
            Self::Pairs(all, begin) => {
                split(all, portions, |p| &p.pairs).into_iter().map(|own| Target::Pairs(own, begin)).collect()
            }
            Self::Angles(all) => {
                split(all, portions, |p| &p.angles).into_iter().map(Target::Angles).collect()
            }
        }
    }
}

/// What is kept of the forward pass of a bond or angle layer.
pub(super) struct AngleKept<R> {
    ends: Vec<Four<R>>,
    atoms: Vec<Two<R>>,
    /// What bonds, angle and atom bring, and what gates read, where memory is spent on them.
    hidden: Vec<Two<R>>,
    y: Vec<Two<R>>,
}

/// Gradients that both layers add to.
pub(super) struct AngleGradients<'a, R> {
    pub atoms: &'a mut [Row<R>],
    pub bonds: &'a mut [Row<R>],
    pub angles: FeatureGradients<'a, R>,
}

impl<R: Real> Messages<R> {
    /// What bonds and atoms bring.
    fn brought(
        &self,
        graph: &Graph,
        atoms: &[Row<R>],
        bonds: &[Row<R>],
        bias: Option<&Two<R>>,
    ) -> (Vec<Four<R>>, Vec<Two<R>>) {
        let portions = &graph.portions;
        let (mut ends, mut centers) = (zeros(graph.short_bonds.len()), zeros(graph.len()));
        let parts = split(&mut ends, portions, |p| &p.short_bonds).into_iter().zip(split(
            &mut centers,
            portions,
            |p| &p.atoms,
        ));
        each(portions, parts, |portion, (ends, centers)| {
            let short: Vec<Row<R>> = gathered(graph, portion, bonds);
            self.ends.apply(&short, ends, false);
            self.atom.apply(&atoms[portion.atoms.clone()], centers, false);
            if let Some(bias) = bias {
                centers.iter_mut().for_each(|row| add(row, bias));
            }
        });
        (ends, centers)
    }

    /// Writes what bonds, angles and atom bring together.
    fn sum(
        &self,
        input: &AngleInput<'_, R>,
        features: Features<'_, R>,
        range: Range<usize>,
        hidden: &mut [Two<R>],
    ) {
        match features {
            Features::Angles(rows) => self.angle.apply(&rows[range], hidden, false),
            Features::Pairs(rows, begin) => {
                for (hidden, angle) in hidden.iter_mut().zip(input.angles) {
                    hidden.copy_from_slice(&rows[angle.pair as usize][begin..begin + TWO]);
                }
            }
        }
        input.add(hidden);
    }

    /// Adds gradients of what was brought to those of short edges and angles.
    fn spread(
        &self,
        portion: &Portion,
        input: &AngleInput<'_, R>,
        own: &Range<usize>,
        hidden: &[Two<R>],
        (ends, target): (&mut [Four<R>], &mut Target<'_, R>),
    ) {
        input.spread(hidden, portion.shorts.start, ends);
        match target {
            Target::Angles(rows) => self.angle.back(hidden, &mut rows[own.clone()], true),
            Target::Pairs(rows, begin) => {
                for (hidden, angle) in hidden.iter().zip(input.angles) {
                    let row = &mut rows[angle.pair as usize - portion.pairs.start];
                    row[*begin..*begin + TWO].iter_mut().zip(hidden).for_each(|(sum, &h)| *sum += h);
                }
            }
        }
    }

    /// From gradients of what short edges brought to those of atoms and bonds.
    fn gather(&self, graph: &Graph, ends: &[Four<R>], atoms: &mut [Row<R>], bonds: &mut [Row<R>]) {
        let portions = &graph.portions;
        let parts =
            split(atoms, portions, |p| &p.atoms).into_iter().zip(split(bonds, portions, |p| &p.bonds));
        each(portions, parts, |portion, (atoms, bonds)| {
            let mut centers: Vec<Two<R>> = zeros(atoms.len());
            for at in portion.shorts.clone() {
                let center = graph.edges[graph.shorts[at].edge as usize].center as usize;
                add(&mut centers[center - portion.atoms.start], &ends[at].as_chunks::<TWO>().0[0]);
            }
            self.atom.back(&centers, atoms, true);
            let both: Vec<[R; FOUR]> = both_directions(graph, portion, ends);
            let mut short: Vec<Row<R>> = zeros(both.len());
            self.ends.back(&both, &mut short, false);
            scatter(graph, portion, &short, bonds);
        });
    }
}

/// Rows of the short bonds of a portion among those of all bonds.
fn gathered<R: Real>(graph: &Graph, portion: &Portion, bonds: &[Row<R>]) -> Vec<Row<R>> {
    graph.short_bonds[portion.short_bonds.clone()].iter().map(|short| bonds[short.bond as usize]).collect()
}

/// Sums of the rows of the two directions of the short bonds of a portion.
fn both_directions<R: Real, const N: usize>(
    graph: &Graph,
    portion: &Portion,
    shorts: &[[R; N]],
) -> Vec<[R; N]> {
    let sum = |[a, b]: [u32; 2]| {
        let mut sum = shorts[a as usize];
        add(&mut sum, &shorts[b as usize]);
        sum
    };
    graph.short_bonds[portion.short_bonds.clone()].iter().map(|short| sum(short.shorts)).collect()
}

/// Adds rows of the short bonds of a portion to those of its bonds.
fn scatter<R: Real>(graph: &Graph, portion: &Portion, short: &[Row<R>], bonds: &mut [Row<R>]) {
    for (row, at) in short.iter().zip(&graph.short_bonds[portion.short_bonds.clone()]) {
        add(&mut bonds[at.bond as usize - portion.bonds.start], row);
    }
}

impl<R: Real> BondLayer<R> {
    /// Adds messages to the features of short bonds.
    pub fn forward(
        &self,
        graph: &Graph,
        atoms: &[Row<R>],
        bonds: &mut [Row<R>],
        features: Features<'_, R>,
        weights: &[Row<R>],
        keep: bool,
    ) -> AngleKept<R> {
        let portions = &graph.portions;
        let (ends, centers) = self.messages.brought(graph, atoms, bonds, Some(&self.hidden));
        let rows = if keep { graph.angles.len() } else { 0 };
        let mut kept = AngleKept { ends, atoms: centers, hidden: zeros(rows), y: zeros(rows) };
        let mut sums: Vec<Row<R>> = zeros(graph.shorts.len());
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights };
        let parts = split(&mut sums, portions, |p| &p.shorts)
            .into_iter()
            .zip(split_kept(&mut kept.hidden, portions, |p| &p.angles))
            .zip(split_kept(&mut kept.y, portions, |p| &p.angles));
        each(portions, parts, |portion, ((sums, kept_hidden), kept_y)| {
            let mut scratch = [tile(), tile(), tile()];
            for range in tiles(portion.angles.clone()) {
                let own = within(&range, portion.angles.start);
                let [active, hidden, y] = &mut scratch;
                let (hidden, y) = match keep {
                    true => (&mut kept_hidden[own.clone()], &mut kept_y[own]),
                    false => (&mut hidden[..range.len()], &mut y[..range.len()]),
                };
                let input = input.tile(range.clone());
                self.gated(&input, features, range, active, hidden, y);
                input.messages(&self.messages.gate, y, portion.shorts.start, sums);
            }
        });
        each(portions, split(bonds, portions, |p| &p.bonds), |portion, bonds| {
            let both: Vec<Row<R>> = both_directions(graph, portion, &sums);
            let mut short: Vec<Row<R>> = zeros(both.len());
            self.out.apply(&both, &mut short, false);
            scatter(graph, portion, &short, bonds);
        });
        kept
    }

    /// Writes what the hidden layer and what gates read.
    fn gated(
        &self,
        input: &AngleInput<'_, R>,
        features: Features<'_, R>,
        range: Range<usize>,
        active: &mut [Two<R>],
        hidden: &mut [Two<R>],
        y: &mut [Two<R>],
    ) {
        self.messages.sum(input, features, range, hidden);
        let active = &mut active[..hidden.len()];
        active.copy_from_slice(hidden);
        R::silu(active.as_flattened_mut());
        for (net, map) in self.second.iter().enumerate() {
            map.apply_from(net * WIDTH, active, net * WIDTH, y, false);
        }
    }

    /// Turns gradients of what the layer gave into those of what it read; adds those of the weights of short edges.
    pub fn backward(
        &self,
        graph: &Graph,
        mut kept: AngleKept<R>,
        features: Features<'_, R>,
        (weights, weight_gradients): (&[Row<R>], &mut [Row<R>]),
        gradients: AngleGradients<'_, R>,
    ) {
        let portions = &graph.portions;
        let keep = !kept.y.is_empty();
        let mut sums: Vec<Row<R>> = zeros(graph.short_bonds.len());
        each(portions, split(&mut sums, portions, |p| &p.short_bonds), |portion, sums| {
            let short: Vec<Row<R>> = gathered(graph, portion, gradients.bonds);
            self.out.back(&short, sums, false);
        });
        let mut ends: Vec<Four<R>> = zeros(graph.shorts.len());
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights };
        let parts = split(&mut ends, portions, |p| &p.shorts)
            .into_iter()
            .zip(split(weight_gradients, portions, |p| &p.shorts))
            .zip(split_kept(&mut kept.hidden, portions, |p| &p.angles))
            .zip(split_kept(&mut kept.y, portions, |p| &p.angles))
            .zip(gradients.angles.split(portions));
        each(portions, parts, |portion, ((((ends, weights), kept_hidden), kept_y), mut target)| {
            let (mut scratch, mut active) = ([tile(), tile()], tile());
            for range in tiles(portion.angles.clone()) {
                let own = within(&range, portion.angles.start);
                let rows = own.len();
                let input = input.tile(range.clone());
                let [hidden, y] = &mut scratch;
                let (hidden, y) = match keep {
                    true => (&mut kept_hidden[own.clone()], &mut kept_y[own.clone()]),
                    false => {
                        let (hidden, y) = (&mut hidden[..rows], &mut y[..rows]);
                        self.gated(&input, features, range, &mut active, hidden, y);
                        (hidden, y)
                    }
                };
                input.messages_backward(&self.messages.gate, y, &sums, portion.shorts.start, weights);
                let gradient = &mut active[..rows];
                for (net, map) in self.second.iter().enumerate() {
                    map.back_from(net * WIDTH, y, net * WIDTH, gradient, false);
                }
                R::silu_backward(hidden.as_flattened(), gradient.as_flattened_mut());
                self.messages.spread(portion, &input, &own, gradient, (ends, &mut target));
            }
        });
        self.messages.gather(graph, &ends, gradients.atoms, gradients.bonds);
    }
}

impl<R: Real> Messages<R> {
    /// An angle layer: adds messages to the features of angles, `t`, which are those that are read.
    pub fn update(
        &self,
        graph: &Graph,
        atoms: &[Row<R>],
        bonds: &[Row<R>],
        features: Features<'_, R>,
        t: &mut [Row<R>],
        keep: bool,
    ) -> AngleKept<R> {
        let portions = &graph.portions;
        let (ends, centers) = self.brought(graph, atoms, bonds, None);
        let rows = if keep { graph.angles.len() } else { 0 };
        let mut kept = AngleKept { ends, atoms: centers, hidden: Vec::new(), y: zeros(rows) };
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights: &[] };
        let parts =
            split(t, portions, |p| &p.angles)
                .into_iter()
                .zip(split_kept(&mut kept.y, portions, |p| &p.angles));
        each(portions, parts, |portion, (t, kept)| {
            let mut scratch = tile();
            for range in tiles(portion.angles.clone()) {
                let own = within(&range, portion.angles.start);
                let y = match keep {
                    true => &mut kept[own.clone()],
                    false => &mut scratch[..own.len()],
                };
                self.sum(&input.tile(range.clone()), features, range, y);
                angle_messages(&self.gate, y, &mut t[own]);
            }
        });
        kept
    }

    /// Backward pass of [`Messages::update`]. `t` are gradients of the new features of angles, which are added to those of
    /// the old ones by the caller where they are not the same rows.
    pub fn update_backward(
        &self,
        graph: &Graph,
        mut kept: AngleKept<R>,
        features: Features<'_, R>,
        t: &[Row<R>],
        gradients: AngleGradients<'_, R>,
    ) {
        let portions = &graph.portions;
        let keep = !kept.y.is_empty();
        let mut ends: Vec<Four<R>> = zeros(graph.shorts.len());
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights: &[] };
        let parts = split(&mut ends, portions, |p| &p.shorts)
            .into_iter()
            .zip(split_kept(&mut kept.y, portions, |p| &p.angles))
            .zip(gradients.angles.split(portions));
        each(portions, parts, |portion, ((ends, kept), mut target)| {
            let mut scratch = tile();
            for range in tiles(portion.angles.clone()) {
                let own = within(&range, portion.angles.start);
                let input = input.tile(range.clone());
                let y = if keep {
                    &mut kept[own.clone()]
                } else {
                    let y = &mut scratch[..own.len()];
                    self.sum(&input, features, range.clone(), y);
                    y
                };
                gate_backward(&self.gate, y, &t[range]);
                self.spread(portion, &input, &own, y, (ends, &mut target));
            }
        });
        self.gather(graph, &ends, gradients.atoms, gradients.bonds);
    }
}
