//! How many floating-point operations an evaluation takes.

use super::config::{Config, Path};
use super::harmonics::components;
use super::layout::Layout;

/// Multiplications with addition of energy, forces and stress, with tables of radial weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Count {
    atom: usize,
    edge: usize,
    /// For each distance: both directions of a pair of atoms.
    pair: usize,
}

impl Config {
    /// Floating-point operations (two for each multiplication with addition) that energy, forces and stress take for an
    /// atom with so many neighbors: maps of features and their gradients, tables, tensor products and theirs. Activations
    /// and what depends on the direction of an edge alone are some hundredths more and not counted.
    pub fn operations(&self, neighbors: f64) -> f64 {
        let count = (0..self.blocks).map(|t| self.count(t)).fold(Count::default(), |a, b| Count {
            atom: a.atom + b.atom,
            edge: a.edge + b.edge,
            pair: a.pair + b.pair,
        });
        2.0 * (count.atom as f64 + neighbors * (count.edge as f64 + 0.5 * count.pair as f64))
    }

    fn count(&self, t: usize) -> Count {
        let paths = self.paths(t);
        let (input, gated) = (self.input(t), self.gated(t));
        // Values in the forward pass; values and slopes in the backward pass.
        let pair = (3 + 7) * paths.weights;
        if t == 0 {
            let width = components(self.max_degree()) * self.channels[0];
            let after = linear(&paths.messages, &gated);
            return Count { atom: 2 * after + 2 * width, edge: 3 * width, pair };
        }
        let maps = linear(&input, &gated) + linear(&input, &input) + linear(&paths.messages, &gated);
        let edge = paths.list.iter().map(|p| forward(p) + backward(p)).sum();
        Count { atom: 2 * maps, edge, pair }
    }
}

fn linear(from: &Layout, to: &Layout) -> usize {
    let channels = from.channels().iter().zip(to.channels()).enumerate();
    channels.map(|(l, (a, b))| (2 * l + 1) * a * b).sum()
}

fn forward(path: &Path) -> usize {
    let (x, y) = (2 * path.l1 + 1, 2 * path.l3 + 1);
    let matrix = if path.l1 == 0 || path.l2 == 0 { 1 } else { x * y };
    path.channels * (matrix + y)
}

fn backward(path: &Path) -> usize {
    let (x, y) = (2 * path.l1 + 1, 2 * path.l3 + 1);
    path.channels * if path.l2 == 0 { 2 * y + 3 } else { 2 * x * y + 3 * x + 1 }
}

#[cfg(test)]
mod tests {
    use crate::sevennet::config::tests::published;

    #[test]
    fn an_atom_of_sevennet_0_takes_less_than_25_million_operations() {
        let config = published(&[128, 64, 32]);
        // The mean of the reference structures is 33 neighbors, of the 32 that are timed 37.
        let (at_33, at_37) = (config.operations(33.0), config.operations(37.0));
        assert!((10e6..15e6).contains(&at_33), "{at_33:e}");
        assert!(at_37 < 25e6, "{at_37:e}");
        // Without neighbors the maps of features remain, there and back: 260,000 in each of three blocks alone.
        let alone = config.operations(0.0);
        assert!((4.0 * 3.0 * 260e3..4.0 * 4.0 * 260e3).contains(&alone), "{alone:e}");
        assert!(published(&[128, 64, 32, 32]).operations(33.0) > 1.5 * at_33);
    }
}
