//! Weights of messages as functions of the distance.

mod net;
mod table;

use self::net::{Hidden, Net};
use self::table::Table;
use super::config::Config;
use super::weights::{Weights, names};
use crate::basis::Basis;
use crate::real::Real;

/// How radial weights are computed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Radial {
    /// By the networks, for every pair.
    Exact,
    /// From tables of the networks: cubic pieces of about this length (Å), half of it below 1.5 Å.
    Tables {
        /// Length of a piece (Å).
        step: f64,
    },
}

impl Radial {
    /// Tables whose error is that of 32-bit numbers.
    pub const TABLES: Self = Self::Tables { step: 0.0125 };
}

impl Default for Radial {
    fn default() -> Self {
        Self::TABLES
    }
}

/// Shortest piece of a table (Å): tables of 300 MB in 32 bits.
const LEAST_STEP: f64 = 1e-3;

/// The radial weights of one block.
#[derive(Debug)]
pub(super) struct RadialWeights<R: Real> {
    basis: Basis,
    net: Net<R>,
    table: Option<Table<R>>,
}

/// Memory for intermediate values, kept from call to call.
#[derive(Debug, Default)]
pub(super) struct RadialScratch<R> {
    hidden: Hidden<R>,
}

impl<R: Real> RadialWeights<R> {
    pub fn new(weights: &Weights, config: &Config, t: usize, radial: Radial) -> Self {
        let layers = [0, 1, 2].map(|layer| weights.get(&names::radial(t, layer)));
        let layers = layers.each_ref().map(Vec::as_slice);
        let (inputs, width, scale) = (config.radial_functions, config.radial_width, config.silu_scale);
        let basis = Basis {
            frequencies: weights.get(names::FREQUENCIES),
            cutoff: config.cutoff,
            norm: 2.0 / config.cutoff,
            function: config.cutoff_function,
        };
        let table = match radial {
            Radial::Exact => None,
            Radial::Tables { step } => {
                let wide = Net::new(layers, inputs, width, scale);
                Some(Table::new(&wide, &basis, step.max(LEAST_STEP)))
            }
        };
        Self { net: Net::new(layers, inputs, width, scale), basis, table }
    }

    /// Number of weights at a distance.
    pub fn len(&self) -> usize {
        self.net.outputs
    }

    /// Writes weights at some distances, a row each, and their slopes (1/Å) where they are asked for.
    pub fn evaluate(
        &self,
        distances: &[f64],
        values: &mut [R],
        mut slopes: Option<&mut [R]>,
        scratch: &mut RadialScratch<R>,
    ) {
        let Some(table) = &self.table else {
            return self.net.evaluate(&self.basis, distances, values, slopes, &mut scratch.hidden);
        };
        let len = self.len();
        for (row, &r) in distances.iter().enumerate() {
            let part = row * len..(row + 1) * len;
            let slopes = slopes.as_deref_mut().map(|s| &mut s[part.clone()]);
            if table.covers(r) {
                table.at(r, &mut values[part], slopes);
            } else {
                self.net.evaluate(&self.basis, &[r], &mut values[part], slopes, &mut scratch.hidden);
            }
        }
    }
}
