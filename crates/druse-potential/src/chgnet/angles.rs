//! Bond and angle layers: messages over angles.
//!
//! Angles are sorted by their center, and everything that belongs to a center is in one portion, so that sums over angles
//! stay within it.

use std::ops::Range;

use super::graph::Portion;
use super::kernels::{AngleInput, Four, Row, Two, add, angle_messages, gate_backward};
use super::memory::Rows;
use super::network::{BondLayer, Messages};
use super::portions::{Run, each, split, split_kept, tiles, within};
use super::weights::{FIRST, FOUR, TWO, WIDTH};
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
pub(super) struct AngleKept<'a, R: Real> {
    ends: Rows<'a, R, FOUR>,
    atoms: Rows<'a, R, TWO>,
    /// What bonds, angle and atom bring, and what gates read, where memory is spent on them.
    hidden: Rows<'a, R, TWO>,
    y: Rows<'a, R, TWO>,
}

/// Gradients that both layers add to.
pub(super) struct AngleGradients<'a, R> {
    pub atoms: &'a mut [Row<R>],
    pub bonds: &'a mut [Row<R>],
    pub angles: FeatureGradients<'a, R>,
}

impl<R: Real> Messages<R> {
    /// What bonds and atoms bring.
    fn brought<'a>(
        &self,
        run: Run<'a, R>,
        atoms: &[Row<R>],
        bonds: &[Row<R>],
        bias: Option<&Two<R>>,
    ) -> (Rows<'a, R, FOUR>, Rows<'a, R, TWO>) {
        let Run { graph, memory, .. } = run;
        let portions = &graph.portions;
        let (mut ends, mut centers) = (memory.unset(graph.short_bonds.len()), memory.unset(graph.len()));
        let parts = split(&mut ends, portions, |p| &p.short_bonds).into_iter().zip(split(
            &mut centers,
            portions,
            |p| &p.atoms,
        ));
        each(portions, parts, |portion, (ends, centers)| {
            self.ends.apply(&bonds[portion.first_bonds()], ends, false);
            self.atom.apply(&atoms[portion.atoms.clone()], centers, false);
            if let Some(bias) = bias {
                centers.iter_mut().for_each(|row| add(row, bias));
            }
        });
        (ends, centers)
    }

    /// Writes what angles bring.
    fn angles(
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
    fn gather(&self, run: Run<'_, R>, ends: &[Four<R>], atoms: &mut [Row<R>], bonds: &mut [Row<R>]) {
        let Run { graph, memory, .. } = run;
        let portions = &graph.portions;
        let parts =
            split(atoms, portions, |p| &p.atoms).into_iter().zip(split(bonds, portions, |p| &p.bonds));
        each(portions, parts, |portion, (atoms, bonds)| {
            let mut centers: Rows<'_, R, TWO> = memory.zeros(atoms.len());
            for at in portion.shorts.clone() {
                let center = graph.edges[graph.shorts[at].edge as usize].center as usize;
                add(&mut centers[center - portion.atoms.start], &ends[at].as_chunks::<TWO>().0[0]);
            }
            self.atom.back(&centers, atoms, true);
            let both: Rows<'_, R, FOUR> = both_directions(run, portion, ends);
            self.ends.back(&both, &mut bonds[..both.len()], true);
        });
    }
}

/// Sums of the rows of the two directions of the short bonds of a portion.
fn both_directions<'a, R: Real, const N: usize>(
    run: Run<'a, R>,
    portion: &Portion,
    shorts: &[[R; N]],
) -> Rows<'a, R, N> {
    let own = &run.graph.short_bonds[portion.short_bonds.clone()];
    let mut sums = run.memory.unset(own.len());
    for (sum, bond) in sums.iter_mut().zip(own) {
        let [a, b] = bond.shorts.map(|short| &shorts[short as usize]);
        *sum = *a;
        add(sum, b);
    }
    sums
}

impl<R: Real> BondLayer<R> {
    /// Adds messages to the features of short bonds.
    pub fn forward<'a>(
        &self,
        run: Run<'a, R>,
        atoms: &[Row<R>],
        bonds: &mut [Row<R>],
        features: Features<'_, R>,
        weights: &[Row<R>],
    ) -> AngleKept<'a, R> {
        let Run { graph, memory, keep } = run;
        let portions = &graph.portions;
        let (ends, centers) = self.messages.brought(run, atoms, bonds, Some(&self.hidden));
        let rows = graph.angles.len();
        let mut kept = AngleKept { ends, atoms: centers, hidden: run.kept(rows), y: run.kept(rows) };
        let mut sums: Rows<'_, R, WIDTH> = memory.zeros(graph.shorts.len());
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights };
        let parts = split(&mut sums, portions, |p| &p.shorts)
            .into_iter()
            .zip(split_kept(&mut kept.hidden, portions, |p| &p.angles))
            .zip(split_kept(&mut kept.y, portions, |p| &p.angles));
        each(portions, parts, |portion, ((sums, kept_hidden), kept_y)| {
            let mut scratch = [run.tile(), run.tile(), run.tile()];
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
            let both: Rows<'_, R, WIDTH> = both_directions(run, portion, &sums);
            self.out.apply(&both, &mut bonds[..both.len()], true);
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
        self.messages.angles(input, features, range, hidden);
        let active = &mut active[..hidden.len()];
        input.add_hidden(hidden, active);
        for (net, map) in self.second.iter().enumerate() {
            map.apply_from(net * WIDTH, active, net * WIDTH, y, false);
        }
    }

    /// Turns gradients of what the layer gave into those of what it read; adds those of the weights of short edges.
    pub fn backward(
        &self,
        run: Run<'_, R>,
        mut kept: AngleKept<'_, R>,
        features: Features<'_, R>,
        (weights, weight_gradients): (&[Row<R>], &mut [Row<R>]),
        gradients: AngleGradients<'_, R>,
    ) {
        let Run { graph, memory, keep } = run;
        let portions = &graph.portions;
        let mut sums: Rows<'_, R, WIDTH> = memory.unset(graph.short_bonds.len());
        each(portions, split(&mut sums, portions, |p| &p.short_bonds), |portion, sums| {
            self.out.back(&gradients.bonds[portion.first_bonds()], sums, false);
        });
        let mut ends: Rows<'_, R, FOUR> = memory.zeros(graph.shorts.len());
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights };
        let parts = split(&mut ends, portions, |p| &p.shorts)
            .into_iter()
            .zip(split(weight_gradients, portions, |p| &p.shorts))
            .zip(split_kept(&mut kept.hidden, portions, |p| &p.angles))
            .zip(split_kept(&mut kept.y, portions, |p| &p.angles))
            .zip(gradients.angles.split(portions));
        each(portions, parts, |portion, ((((ends, weights), kept_hidden), kept_y), mut target)| {
            let (mut scratch, mut active) = ([run.tile(), run.tile()], run.tile());
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
        self.messages.gather(run, &ends, gradients.atoms, gradients.bonds);
    }
}

impl<R: Real> Messages<R> {
    /// An angle layer: adds messages to the features of angles, `t`, which are those that are read.
    pub fn update<'a>(
        &self,
        run: Run<'a, R>,
        atoms: &[Row<R>],
        bonds: &[Row<R>],
        features: Features<'_, R>,
        t: &mut [Row<R>],
    ) -> AngleKept<'a, R> {
        let Run { graph, memory, keep } = run;
        let portions = &graph.portions;
        let (ends, centers) = self.brought(run, atoms, bonds, None);
        let y = run.kept(graph.angles.len());
        let mut kept = AngleKept { ends, atoms: centers, hidden: memory.unset(0), y };
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights: &[] };
        let parts =
            split(t, portions, |p| &p.angles)
                .into_iter()
                .zip(split_kept(&mut kept.y, portions, |p| &p.angles));
        each(portions, parts, |portion, (t, kept)| {
            let mut scratch = run.tile();
            for range in tiles(portion.angles.clone()) {
                let own = within(&range, portion.angles.start);
                let y = match keep {
                    true => &mut kept[own.clone()],
                    false => &mut scratch[..own.len()],
                };
                let input = input.tile(range.clone());
                self.angles(&input, features, range, y);
                input.add(y);
                angle_messages(&self.gate, y, &mut t[own]);
            }
        });
        kept
    }

    /// Backward pass of [`Messages::update`]. `t` are gradients of the new features of angles, which are added to those of
    /// the old ones by the caller where they are not the same rows.
    pub fn update_backward(
        &self,
        run: Run<'_, R>,
        mut kept: AngleKept<'_, R>,
        features: Features<'_, R>,
        t: &[Row<R>],
        gradients: AngleGradients<'_, R>,
    ) {
        let Run { graph, memory, keep } = run;
        let portions = &graph.portions;
        let mut ends: Rows<'_, R, FOUR> = memory.zeros(graph.shorts.len());
        let input = AngleInput { angles: &graph.angles, ends: &kept.ends, atoms: &kept.atoms, weights: &[] };
        let parts = split(&mut ends, portions, |p| &p.shorts)
            .into_iter()
            .zip(split_kept(&mut kept.y, portions, |p| &p.angles))
            .zip(gradients.angles.split(portions));
        each(portions, parts, |portion, ((ends, kept), mut target)| {
            let mut scratch = run.tile();
            for range in tiles(portion.angles.clone()) {
                let own = within(&range, portion.angles.start);
                let input = input.tile(range.clone());
                let y = if keep {
                    &mut kept[own.clone()]
                } else {
                    let y = &mut scratch[..own.len()];
                    self.angles(&input, features, range.clone(), y);
                    input.add(y);
                    y
                };
                gate_backward(&self.gate, y, &t[range]);
                self.spread(portion, &input, &own, y, (ends, &mut target));
            }
        });
        self.gather(run, &ends, gradients.atoms, gradients.bonds);
    }
}
