//! How often an element takes the place of another.
//!
//! The probability P(new | old) keeps the frequencies of the elements: Σ_old π(old) P(new | old) = π(new), π being their shares
//! in the known crystals. So what is drawn has, on the average, the elements of the training set, its densities, its volumes.
//! It is made of
//!
//! 1. distances of the elements, exp(-d / [`TEMPERATURE`]), scaled to these marginals (Sinkhorn and Knopp 1967),
//! 2. what the known crystals themselves say: each is explained by the others of its structure type, and the exchanges that
//!    this takes are counted (expectation maximization), the first P counting as much as [`PRIOR`] of them.
//!
//! An element in a role (a metal among metals, an ion of a charge) takes the place of one in the same role: the same with the
//! marginals of the role.

use std::collections::BTreeMap;

use druse_crystal::Element;

use super::roles::Role;

/// Elements in a table: none, and H to Og.
pub(super) const SIZE: usize = Element::MAX_Z as usize + 1;

/// Of the learned distances. The mean ln p of the 622 validation structures of `mp_20_bt` whose structure type is known is
/// -15.3, -14.5, -14.7, -15.3 and -16.2 with 0.15, 0.25, 0.35, 0.5 and 1.
const TEMPERATURE: f64 = 0.25;

/// How many counted exchanges the distances are worth. The mean ln p is -14.11, -14.10, -14.10 and -14.13 with 300, 1000, 3000
/// and 10,000.
const PRIOR: f64 = 3000.0;

/// How often exchanges are counted; the mean ln p is -14.50, -14.15, -14.10 and -14.10 after 0, 1, 2 and 3 times.
const COUNTED: usize = 2;

/// Steps of the scaling to given marginals, and when it has arrived.
const MOST_SCALINGS: usize = 2000;
const SCALED: f64 = 1e-10;

/// Crystals of one structure type.
pub(super) struct Family {
    /// The elements of each crystal, by the slots of the type.
    pub members: Vec<Vec<u8>>,
    /// Permutations of the slots that leave the type as it is.
    pub automorphisms: Vec<Vec<u8>>,
}

/// A number for each pair of elements, row by row.
type Table = Vec<f64>;

/// Probabilities of exchanges.
#[derive(Debug)]
pub(super) struct Exchange {
    free: Table,
    in_role: BTreeMap<Role, Table>,
}

impl Exchange {
    /// Of known crystals.
    ///
    /// `counts`: in how many crystals each element has each role; `distance`: of two elements, by their atomic numbers;
    /// `families`: the crystals of each structure type.
    pub fn fit(
        counts: &BTreeMap<Role, Vec<f64>>,
        distance: impl Fn(usize, usize) -> f64,
        families: &[Family],
    ) -> Self {
        let all: Vec<f64> = (0..SIZE).map(|z| counts.values().map(|of_role| of_role[z]).sum()).collect();
        let near = table(|a, b| if a == b { 1.0 } else { (-distance(a, b) / TEMPERATURE).exp() });
        let prior = joint(&near, &all);
        let mut free = conditional(&prior);
        let mut together = prior.clone();
        for _ in 0..COUNTED {
            let counted = counted(&free, families);
            let both = table(|a, b| {
                0.5 * (counted[a * SIZE + b] + counted[b * SIZE + a]) + PRIOR * prior[a * SIZE + b]
            });
            together = joint(&both, &all);
            free = conditional(&together);
        }
        // How much more often than by chance two elements take each other's places.
        let total: f64 = all.iter().sum();
        let affinity = table(|a, b| match all[a] * all[b] {
            0.0 => 0.0,
            chance => together[a * SIZE + b] * total * total / chance,
        });
        let of_role = |(role, counts): (&Role, &Vec<f64>)| {
            let within = table(|a, b| affinity[a * SIZE + b] * counts[a] * counts[b]);
            (*role, conditional(&joint(&within, counts)))
        };
        Self { in_role: counts.iter().map(of_role).collect(), free }
    }

    /// The probabilities of what takes the place of an element, by atomic numbers.
    pub fn free(&self, old: Element) -> &[f64] {
        row(&self.free, old)
    }

    /// The same for an element in a role, if a known crystal has it.
    pub fn in_role(&self, role: Role, old: Element) -> &[f64] {
        self.in_role.get(&role).map_or(&[], |table| row(table, old))
    }
}

fn table(value: impl Fn(usize, usize) -> f64) -> Table {
    (0..SIZE * SIZE).map(|i| value(i / SIZE, i % SIZE)).collect()
}

fn row(table: &[f64], element: Element) -> &[f64] {
    &table[usize::from(element.z()) * SIZE..][..SIZE]
}

/// a(i) S(i, j) a(j) with row sums in the proportions of `marginals`, its sum 1. S is symmetric; elements without a share have
/// no row.
fn joint(symmetric: &[f64], marginals: &[f64]) -> Table {
    let total: f64 = marginals.iter().sum();
    let present: Vec<usize> = (0..SIZE).filter(|&z| marginals[z] > 0.0).collect();
    let mut scale = vec![0.0; SIZE];
    present.iter().for_each(|&z| scale[z] = 1.0);
    for _ in 0..MOST_SCALINGS {
        let mut off: f64 = 0.0;
        let sums: Vec<f64> = present
            .iter()
            .map(|&i| present.iter().map(|&j| symmetric[i * SIZE + j] * scale[j]).sum())
            .collect();
        for (&i, sum) in present.iter().zip(sums) {
            // The geometric mean of the old and the new factor: the alternation of plain steps is damped.
            let new = (scale[i] * marginals[i] / total / f64::max(sum, f64::MIN_POSITIVE)).sqrt();
            off = off.max((new / scale[i] - 1.0).abs());
            scale[i] = new;
        }
        if off < SCALED {
            break;
        }
    }
    let mut joint = table(|i, j| scale[i] * symmetric[i * SIZE + j] * scale[j]);
    let sum: f64 = joint.iter().sum();
    if sum > 0.0 {
        joint.iter_mut().for_each(|x| *x /= sum);
    }
    joint
}

/// The rows, each with the sum 1.
fn conditional(joint: &[f64]) -> Table {
    let mut rows = joint.to_vec();
    for row in rows.chunks_mut(SIZE) {
        let sum: f64 = row.iter().sum();
        if sum > 0.0 {
            row.iter_mut().for_each(|x| *x /= sum);
        }
    }
    rows
}

/// Expected numbers of exchanges old → new that make each crystal of another one of its family.
fn counted(probability: &[f64], families: &[Family]) -> Table {
    let mut counts = vec![0.0; SIZE * SIZE];
    let mut ways: Vec<f64> = Vec::new();
    for Family { members, automorphisms } in families.iter().filter(|family| family.members.len() > 1) {
        for (k, child) in members.iter().enumerate() {
            let place = |old: u8, new: u8| usize::from(old) * SIZE + usize::from(new);
            let exchanges = |parent: usize, moved: usize| {
                let new = automorphisms[moved].iter().map(|&slot| child[usize::from(slot)]);
                members[parent].iter().copied().zip(new).map(|(old, new)| place(old, new))
            };
            ways.clear();
            for parent in 0..members.len() {
                for moved in 0..automorphisms.len() {
                    let is_other = if parent == k { 0.0 } else { 1.0 };
                    ways.push(exchanges(parent, moved).fold(is_other, |p, at| p * probability[at]));
                }
            }
            let total: f64 = ways.iter().sum();
            if total <= 0.0 {
                continue;
            }
            for (i, way) in ways.iter().enumerate().filter(|(_, way)| **way > 0.0) {
                let (parent, moved) = (i / automorphisms.len(), i % automorphisms.len());
                exchanges(parent, moved).for_each(|at| counts[at] += way / total);
            }
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    const METALS: [usize; 4] = [3, 11, 19, 37];

    fn fitted(families: &[Family]) -> (Exchange, Vec<f64>) {
        let mut metals = vec![0.0; SIZE];
        METALS.iter().zip([5.0, 3.0, 1.0, 1.0]).for_each(|(&z, n)| metals[z] = n);
        let mut halogens = vec![0.0; SIZE];
        (halogens[9], halogens[17]) = (6.0, 4.0);
        let all = metals.iter().zip(&halogens).map(|(a, b)| a + b).collect();
        let counts = BTreeMap::from([(Role::Ion(1), metals), (Role::Ion(-1), halogens)]);
        (Exchange::fit(&counts, |a, b| a.abs_diff(b) as f64 / 20.0, families), all)
    }

    fn element(z: usize) -> Element {
        Element::from_z(z as i64).unwrap()
    }

    #[test]
    fn frequencies_of_elements_stay() {
        let (exchange, all) = fitted(&[]);
        let total: f64 = all.iter().sum();
        for z in 1..SIZE {
            let kept: f64 = (1..SIZE).map(|old| all[old] * exchange.free(element(old))[z]).sum();
            assert!((kept - all[z]).abs() < 1e-6 * total, "{z}: {kept} {}", all[z]);
            let sum: f64 = exchange.free(element(z)).iter().sum();
            assert!(if all[z] > 0.0 { (sum - 1.0).abs() < 1e-12 } else { sum == 0.0 }, "{z}: {sum}");
        }
        // Within a role, nothing else comes.
        let sodium = exchange.in_role(Role::Ion(1), element(11));
        assert!((METALS.iter().map(|&z| sodium[z]).sum::<f64>() - 1.0).abs() < 1e-12);
        assert!(exchange.in_role(Role::Ion(2), element(11)).is_empty());
    }

    /// Lithium is nearer to sodium than to rubidium, but in every structure type it is rubidium that stands beside it.
    #[test]
    fn known_crystals_teach_exchanges() {
        let pair =
            |a: u8, b: u8| Family { members: vec![vec![a, 9], vec![b, 9]], automorphisms: vec![vec![0, 1]] };
        let families: Vec<Family> = (0..20_000).map(|_| pair(3, 37)).collect();
        let (taught, _) = fitted(&families);
        let (plain, _) = fitted(&[]);
        let of = |e: &Exchange, z: usize| e.free(element(3))[z];
        assert!(of(&taught, 37) > 3.0 * of(&plain, 37), "{} {}", of(&taught, 37), of(&plain, 37));
    }
}
