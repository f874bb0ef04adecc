//! What is known of an exchange of elements, as numbers.

use std::sync::OnceLock;

use burn::tensor::{Device, Tensor};
use druse_crystal::{Composition, Element};
use druse_data::substitution::Near;
use druse_nn::graph::Index;
use druse_nn::ops::matrix;

/// Numbers of an element: Mendeleev number, group, row, electronegativity, radius, and which of them are transition metals,
/// which rare earths.
pub(in super::super) const NUMBERS: usize = 7;
/// Those that compositions are described with.
const DESCRIBED: usize = 5;
/// Numbers of a known crystal: of the exchange, and of the composition asked for.
pub(super) const KNOWN: usize = 6 + 2 + 2 * DESCRIBED;

/// The numbers of all elements, by Z, with mean 0 and variance 1; row 0 is zero.
fn numbers() -> &'static [[f32; NUMBERS]] {
    static TABLE: OnceLock<Vec<[f32; NUMBERS]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let yes = |is: bool| if is { 1.0 } else { 0.0 };
        let of = |e: Element| {
            let rare_earth = matches!(e.z(), 21 | 39 | 57..=71 | 89..=103);
            [
                e.mendeleev_number().map(f64::from),
                Some(f64::from(e.group())),
                Some(f64::from(e.row())),
                e.electronegativity(),
                e.atomic_radius().or_else(|| e.covalent_radius()),
                Some(yes((3..=12).contains(&e.group()) && !rare_earth)),
                Some(yes(rare_earth)),
            ]
        };
        let all: Vec<_> = Element::all().map(of).collect();
        let mut table = vec![[0.0; NUMBERS]; all.len() + 1];
        for k in 0..NUMBERS {
            let known: Vec<f64> = all.iter().filter_map(|numbers| numbers[k]).collect();
            let mean = known.iter().sum::<f64>() / known.len() as f64;
            let variance = known.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / known.len() as f64;
            for (row, numbers) in table[1..].iter_mut().zip(&all) {
                // What is not known counts as the mean.
                row[k] = numbers[k].map_or(0.0, |x| ((x - mean) / variance.sqrt()) as f32);
            }
        }
        table
    })
}

/// The numbers of all elements: (elements + 1, [`NUMBERS`]).
pub(in super::super) fn element_numbers(device: &Device) -> Tensor<2> {
    matrix(numbers().as_flattened().to_vec(), NUMBERS, device)
}

/// What is known of a composition.
fn of_composition(composition: &Composition) -> [f32; 2 + 2 * DESCRIBED] {
    let atoms = composition.num_atoms() as f32;
    let table = numbers();
    let mut facts = [0.0; 2 + 2 * DESCRIBED];
    facts[0] = atoms.ln() - 2.0;
    facts[1] = composition.iter().count() as f32 - 2.5;
    for k in 0..DESCRIBED {
        let of = |e: Element| table[usize::from(e.z())][k];
        let [mut mean, mut least, mut most] = [0.0, f32::INFINITY, f32::NEG_INFINITY];
        for (e, n) in composition.iter() {
            mean += of(e) * n as f32 / atoms;
            (least, most) = (least.min(of(e)), most.max(of(e)));
        }
        facts[2 + 2 * k] = mean;
        facts[3 + 2 * k] = most - least;
    }
    facts
}

/// Rows of numbers, one for each known crystal.
#[derive(Debug)]
pub(in super::super) struct Facts {
    known: Vec<f32>,
    distances: Vec<f32>,
    /// (old, new, share of the atoms) of each exchange, row by row, as many in each row as the longest has.
    exchanges: Vec<(u8, u8, f32)>,
    pairs: usize,
    old: Index,
    new: Index,
}

impl Facts {
    /// Of known crystals near compositions.
    pub fn new<'n>(asked: impl IntoIterator<Item = (&'n Composition, &'n [Near], &'n [usize])>) -> Self {
        let asked: Vec<_> = asked.into_iter().collect();
        let longest = asked.iter().map(|(composition, ..)| composition.iter().count()).max();
        let none = || std::iter::empty::<u32>().collect();
        let (known, distances, exchanges) = (Vec::new(), Vec::new(), Vec::new());
        let pairs = longest.unwrap_or(0).max(1);
        let mut facts = Self { known, distances, exchanges, pairs, old: none(), new: none() };
        for (composition, near, kept) in asked {
            let of_composition = of_composition(composition);
            let nearest = kept.first().map_or(0.0, |&k| near[k].distance);
            for &k in kept {
                facts.push(composition, &of_composition, &near[k], k, nearest);
            }
        }
        let index = |of: fn(&(u8, u8, f32)) -> u8| facts.exchanges.iter().map(|e| u32::from(of(e))).collect();
        (facts.old, facts.new) = (index(|e| e.0), index(|e| e.1));
        facts
    }

    fn push(&mut self, composition: &Composition, of: &[f32], near: &Near, place: usize, nearest: f64) {
        let elements = near.exchange.len().max(1) as f32;
        let exchanged = near.exchange.iter().filter(|(old, new)| old != new).count() as f32;
        self.known.extend([
            near.distance as f32 / 5.0,
            (near.distance - nearest) as f32 / 3.0,
            ((1 + place) as f32).ln() / 2.0 - 1.0,
            near.scale.ln() as f32 * 3.0,
            exchanged / elements,
            if exchanged == 0.0 { 1.0 } else { 0.0 },
        ]);
        self.known.extend(of);
        self.distances.push(near.distance as f32);
        let atoms = composition.num_atoms().max(1) as f32;
        let end = self.exchanges.len() + self.pairs;
        let share = |e: Element| composition.count(e) as f32 / atoms;
        self.exchanges.extend(near.exchange.iter().map(|&(old, new)| (old.z(), new.z(), share(new))));
        self.exchanges.resize(end, (0, 0, 0.0));
    }

    /// Known crystals.
    pub fn rows(&self) -> usize {
        self.distances.len()
    }

    /// Exchanges of a row.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    pub fn old(&self) -> &Index {
        &self.old
    }

    pub fn new_elements(&self) -> &Index {
        &self.new
    }

    /// (rows, [`KNOWN`]).
    pub fn known(&self, device: &Device) -> Tensor<2> {
        matrix(self.known.clone(), KNOWN, device)
    }

    /// (rows, 1).
    pub fn distances(&self, device: &Device) -> Tensor<2> {
        matrix(self.distances.clone(), 1, device)
    }

    /// 1 for each exchange that there is: (rows, pairs).
    pub fn there(&self, device: &Device) -> Tensor<2> {
        let there = |&(old, ..): &(u8, u8, f32)| if old == 0 { 0.0 } else { 1.0 };
        matrix(self.exchanges.iter().map(there).collect(), self.pairs, device)
    }

    /// The share of the atoms that an exchange is of: (rows, pairs).
    pub fn shares(&self, device: &Device) -> Tensor<2> {
        matrix(self.exchanges.iter().map(|e| e.2).collect(), self.pairs, device)
    }
}
