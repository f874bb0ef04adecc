//! Drawing crystals under conditions, and how likely they were.
//!
//! A variant v of a known crystal is drawn by its probability p(v), then an element for each of its classes, none twice:
//!
//! p(z | v) = (1 - [`FREE`]) Π P(z_c | old_c, role) + [`FREE`] Π P(z_c | old_c),
//!
//! each factor divided by what the elements before it leave. Different variants may become one template; its probability is
//! the sum over all of them, Σ p(v) p(z | v), over those of its pattern, since no others become it. A condition selects: numbers
//! of atoms and space groups select variants, a chemical system the elements. The probability given the condition is that of
//! the template over that of the condition, both known exactly.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use druse_crystal::Element;

use super::exchange::Exchange;
use super::variants::{Variant, Variants};
use crate::process::Noise;

/// The share of crystals whose elements are drawn whatever their roles. The mean ln p of the 622 validation structures of
/// `mp_20_bt` whose structure type is known is -14.17, -14.10 and -14.10 with 0.1, 0.3 and 1; of what is drawn 89.3, 88.7 and
/// 84.5 % have charges that balance, 90.3 % without any, where the training set has 89.3 %.
const FREE: f64 = 0.05;

/// Most conditions that what they select is kept for.
const MOST_KEPT: usize = 64;

/// 1 / φ: multiples of it modulo 1 fill the unit interval evenly.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// What a crystal is asked to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(in super::super) struct Wanted {
    /// Atoms of the primitive cell.
    pub atoms: Option<usize>,
    pub group: Option<u16>,
    /// All of its elements, and no others.
    pub system: Option<BTreeSet<Element>>,
}

/// What conditions leave.
#[derive(Debug)]
struct Selection {
    /// Variants, and the sums of their probabilities up to and with each: p(v) times what the system leaves of p(z | v).
    variants: Vec<usize>,
    sums: Vec<f64>,
}

/// A crystal that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct Drawn {
    /// Its place among the variants.
    pub variant: usize,
    /// The element of each class.
    pub elements: Vec<Element>,
    /// ln p(template, elements | conditions).
    pub log_probability: f64,
}

/// Which table an element is drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    InRole,
    Free,
}

impl Way {
    const BOTH: [(Self, f64); 2] = [(Self::InRole, 1.0 - FREE), (Self::Free, FREE)];
}

/// A draw among known crystals and elements.
#[derive(Debug)]
pub(in super::super) struct Draws {
    variants: Arc<Variants>,
    exchange: Exchange,
    selections: Mutex<HashMap<Wanted, Arc<Selection>>>,
}

impl Draws {
    pub(super) fn new(variants: Arc<Variants>, exchange: Exchange) -> Self {
        Self { variants, exchange, selections: Mutex::default() }
    }

    /// The variants that it draws from.
    pub fn variants(&self) -> &Variants {
        &self.variants
    }

    /// A crystal under conditions; `None` where there is none. `index` is its place in a run: the structures of a run are
    /// spread evenly over the variants, each by itself being a draw like any other.
    pub fn draw(&self, wanted: &Wanted, seed: u64, index: u64, noise: &mut Noise) -> Option<Drawn> {
        let selection = self.selection(wanted);
        let total = *selection.sums.last()?;
        // The same for the whole run.
        let offset = Noise::new(seed, u64::MAX).uniform();
        let even = (offset + (index as f64 * GOLDEN).fract()).fract();
        let place = selection.sums.partition_point(|&sum| sum <= even * total);
        let variant = selection.variants[place.min(selection.variants.len() - 1)];
        let v = &self.variants.all()[variant];
        let elements = match &wanted.system {
            Some(system) => self.assigned(v, system, noise)?,
            None => self.elements(v, noise)?,
        };
        let log_probability = self.probability(v, &elements).ln() - total.ln();
        Some(Drawn { variant, elements, log_probability })
    }

    /// The probability of the template that a variant becomes with elements, without conditions.
    pub fn probability(&self, variant: &Variant, elements: &[Element]) -> f64 {
        let (automorphisms, alike) = self.variants.alike(variant);
        let mut by_slot = vec![elements[0]; elements.len()];
        variant.slots.iter().zip(elements).for_each(|(&slot, &e)| by_slot[usize::from(slot)] = e);
        let mut sum = 0.0;
        let mut own = vec![elements[0]; elements.len()];
        for v in alike {
            for moved in automorphisms {
                for (e, &slot) in own.iter_mut().zip(&v.slots) {
                    *e = by_slot[usize::from(moved[usize::from(slot)])];
                }
                sum += v.probability * self.given(v, &own);
            }
        }
        sum
    }

    /// p(z | v).
    fn given(&self, v: &Variant, elements: &[Element]) -> f64 {
        Way::BOTH
            .iter()
            .map(|&(way, share)| {
                let factors = (0..elements.len()).map(|class| {
                    let row = self.row(v, class, way, &elements[..class]);
                    self.of(row, elements[class]) / left(row, &elements[..class])
                });
                share * factors.product::<f64>()
            })
            .sum()
    }

    /// What a row says of an element, or of the one that stands for it.
    fn of(&self, row: &[f64], element: Element) -> f64 {
        row[usize::from(self.variants.stand_in(element).z())]
    }

    /// The probabilities of the elements of a class, before those of the classes before it are taken out. Where a role has no
    /// others, any may come.
    fn row(&self, v: &Variant, class: usize, way: Way, taken: &[Element]) -> &[f64] {
        let (old, role) = v.old[class];
        let free = self.exchange.free(old);
        let in_role = match way {
            Way::InRole => self.exchange.in_role(role, old),
            Way::Free => free,
        };
        if left(in_role, taken) > 0.0 { in_role } else { free }
    }

    /// An element for each class.
    fn elements(&self, v: &Variant, noise: &mut Noise) -> Option<Vec<Element>> {
        let way = if noise.uniform() < FREE { Way::Free } else { Way::InRole };
        let mut elements: Vec<Element> = Vec::with_capacity(v.old.len());
        for class in 0..v.old.len() {
            let row = self.row(v, class, way, &elements);
            let candidates = self.variants.seen().iter().filter(|e| !elements.contains(e));
            let weights: Vec<(Element, f64)> = candidates.map(|&e| (e, row[usize::from(e.z())])).collect();
            elements.push(chosen(&weights, noise)?);
        }
        Some(elements)
    }

    /// The elements of a system, one for each class, by p(z | v).
    fn assigned(&self, v: &Variant, system: &BTreeSet<Element>, noise: &mut Noise) -> Option<Vec<Element>> {
        let system: Vec<Element> = system.iter().copied().collect();
        let ways = Way::BOTH.map(|(way, share)| {
            (way, share * self.assignments(v, &system, way).last().copied().unwrap_or(0.0))
        });
        let way = chosen(&ways, noise)?;
        let sums = self.assignments(v, &system, way);
        // Backwards: which element came last, given all that came.
        let mut taken = sums.len() - 1;
        let mut elements = Vec::with_capacity(system.len());
        while taken != 0 {
            let before = |i: usize| taken & !(1 << i);
            let weight = |i: usize| sums[before(i)] * self.factor(v, &system, before(i), i, way);
            let weights: Vec<(usize, f64)> =
                (0..system.len()).filter(|i| taken >> i & 1 == 1).map(|i| (i, weight(i))).collect();
            let last = chosen(&weights, noise)?;
            elements.push(system[last]);
            taken = before(last);
        }
        elements.reverse();
        Some(elements)
    }

    /// The probability that the first classes get the elements of a subset of a system, for each subset (by its bits).
    fn assignments(&self, v: &Variant, system: &[Element], way: Way) -> Vec<f64> {
        let mut sums = vec![0.0; 1 << system.len()];
        sums[0] = 1.0;
        for taken in 0..sums.len() {
            for i in (0..system.len()).filter(|i| taken >> i & 1 == 0) {
                let p = sums[taken];
                if p > 0.0 {
                    sums[taken | 1 << i] += p * self.factor(v, system, taken, i, way);
                }
            }
        }
        sums
    }

    /// The probability of an element for the class that comes after those of a subset.
    fn factor(&self, v: &Variant, system: &[Element], taken: usize, i: usize, way: Way) -> f64 {
        let before: Vec<Element> =
            (0..system.len()).filter(|j| taken >> j & 1 == 1).map(|j| system[j]).collect();
        let row = self.row(v, before.len(), way, &before);
        self.of(row, system[i]) / left(row, &before)
    }

    fn selection(&self, wanted: &Wanted) -> Arc<Selection> {
        // Kept locked: who comes second waits for the first.
        let mut all = self.selections.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = all.get(wanted) {
            return found.clone();
        }
        if all.len() >= MOST_KEPT {
            all.clear();
        }
        let found = Arc::new(self.select(wanted));
        all.insert(wanted.clone(), found.clone());
        found
    }

    fn select(&self, wanted: &Wanted) -> Selection {
        let system: Option<Vec<Element>> = wanted.system.as_ref().map(|s| s.iter().copied().collect());
        let (mut variants, mut sums, mut sum) = (Vec::new(), Vec::new(), 0.0);
        for (i, v) in self.variants.all().iter().enumerate().filter(|(_, v)| self.variants.suits(v, wanted)) {
            let of_system = match &system {
                None => 1.0,
                Some(system) => Way::BOTH
                    .iter()
                    .map(|&(way, share)| {
                        share * self.assignments(v, system, way).last().copied().unwrap_or(0.0)
                    })
                    .sum(),
            };
            if of_system > 0.0 {
                sum += v.probability * of_system;
                variants.push(i);
                sums.push(sum);
            }
        }
        Selection { variants, sums }
    }
}

impl Variants {
    /// Whether a variant has the atoms, the group and the number of elements that are asked for.
    pub fn suits(&self, v: &Variant, wanted: &Wanted) -> bool {
        let (group, atoms) = self.of_parent(v);
        let elements = v.old.len();
        wanted.group.is_none_or(|wanted| wanted == group)
            && wanted.atoms.is_none_or(|wanted| wanted == atoms)
            && wanted.system.as_ref().is_none_or(|system| system.len() == elements)
    }
}

/// What elements that are taken leave of a row.
fn left(row: &[f64], taken: &[Element]) -> f64 {
    let is_taken = |z: usize| taken.iter().any(|e| usize::from(e.z()) == z);
    row.iter().enumerate().filter(|&(z, _)| !is_taken(z)).map(|(_, p)| p).sum()
}

/// One of some things by their weights; `None` where all are zero.
fn chosen<T: Copy>(weights: &[(T, f64)], noise: &mut Noise) -> Option<T> {
    let total: f64 = weights.iter().map(|(_, weight)| weight).sum();
    let mut place = noise.uniform() * total;
    let mut last = None;
    for &(thing, weight) in weights.iter().filter(|(_, weight)| *weight > 0.0) {
        last = Some(thing);
        if place < weight {
            break;
        }
        place -= weight;
    }
    last
}
