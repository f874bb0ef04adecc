//! Internal consistency of CrysTens image tensors.
//!
//! A CrysTens (Alverson et al., Digital Discovery 3, 62, 2024) states each number of a crystal many times: an image of
//! 64×64 pixels and 4 channels, in which rows and columns 0..=10 hold atomic number, x, y, z, a, b, c, alpha, beta, gamma
//! and the space-group number of the atoms in slots 12..=63, and pixel (12 + s, 12 + q) the fractional distance of atoms s
//! and q (channel 0) and its components `f_s − f_q` (channels 1–3). How far a generated tensor contradicts itself is a
//! measure of the generator. All statistics here are taken of the tensor as it is, before any symmetrization.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Pixels along an edge.
pub const EDGE: usize = 64;
/// Channels of a pixel.
pub const CHANNELS: usize = 4;
/// Numbers in a tensor.
pub const TENSOR_LEN: usize = EDGE * EDGE * CHANNELS;
/// First slot of an atom.
const FIRST_SLOT: usize = 12;
/// Attribute rows.
const X: usize = 1;
const A: usize = 4;
const ALPHA: usize = 7;
const SPACE_GROUP: usize = 10;
/// Relative difference from the alpha of the first slot at which a slot counts as empty.
const EMPTY_SLOT: f64 = 0.2;

/// What the statistics cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsistencySettings {
    /// Axes that enter the variance of coordinates: the first `axes` of x, y, z.
    pub axes: usize,
    /// Most atoms that are decoded.
    pub max_atoms: usize,
}

impl ConsistencySettings {
    /// All three axes, all 52 slots.
    pub const ALL_AXES: Self = Self { axes: 3, max_atoms: EDGE - FIRST_SLOT };
    /// As the published script: z is left out of the variance of coordinates, and the last slot is never decoded.
    pub const PUBLISHED: Self = Self { axes: 2, max_atoms: EDGE - FIRST_SLOT - 1 };
}

impl Default for ConsistencySettings {
    fn default() -> Self {
        Self::ALL_AXES
    }
}

/// Why tensors cannot be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// The numbers do not make up whole tensors.
    #[error("{0} numbers do not make up tensors of 64×64×4, or are not the tensors promised")]
    Shape(usize),
}

/// A mean over all collected values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    /// Sum of the values.
    pub sum: f64,
    /// Number of values.
    pub count: usize,
}

impl Collected {
    fn push(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
    }

    /// The mean; `None` without values.
    pub fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// The consistency statistics of a stack of tensors. With A the number of atoms of a tensor, an attribute of an atom
/// occurs 8 times (row and column, 4 channels), one of the cell 8 A times; variances are those of all entries
/// (denominator n).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Variance of the 8 A entries, of each of a, b, c of each tensor (Å²).
    pub length_variance: Collected,
    /// The same of alpha, beta, gamma (degrees²).
    pub angle_variance: Collected,
    /// The same of the space-group number.
    pub space_group_variance: Collected,
    /// Variance of the 8 entries of each fractional coordinate of each atom.
    pub coordinate_variance: Collected,
    /// `|f_own − f_final| / A` of each coordinate of each atom: how far what an atom says of itself is from what all
    /// say of it ([`final_coordinates`]).
    pub coordinate_difference: Collected,
    /// `Σ |channel 0 − |f_s − f_q|| / A` over all ordered pairs of atoms, of each tensor, with the final coordinates.
    pub pairwise_difference: Collected,
    /// Number of atoms decoded from each tensor; `None` where there are none to decode (a number that is not finite, or
    /// an angle alpha of the first atom that is not positive). Such a tensor enters no statistic.
    pub atoms: Vec<Option<usize>>,
}

/// One un-normalized tensor, `[row, column, channel]`.
#[derive(Debug, Clone, Copy)]
struct Tensor<'a>(&'a [f32]);

impl Tensor<'_> {
    fn at(self, row: usize, column: usize, channel: usize) -> f64 {
        f64::from(self.0[(row * EDGE + column) * CHANNELS + channel])
    }

    /// The 8 entries of an attribute of an atom.
    fn entries(self, attribute: usize, atom: usize) -> [f64; 2 * CHANNELS] {
        let slot = FIRST_SLOT + atom;
        std::array::from_fn(|k| {
            if k < CHANNELS { self.at(attribute, slot, k) } else { self.at(slot, attribute, k - CHANNELS) }
        })
    }

    /// Slots up to the first whose alpha differs by a fifth or more from that of slot 0.
    fn atoms(self, most: usize) -> Option<usize> {
        let alpha = |slot: usize| self.at(FIRST_SLOT + slot, ALPHA, 0);
        let reference = alpha(0);
        if reference.is_nan() || reference <= 0.0 || self.0.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let same = |&slot: &usize| (alpha(slot) - reference).abs() < EMPTY_SLOT * reference;
        Some(1 + (1..most.clamp(1, EDGE - FIRST_SLOT)).take_while(same).count())
    }

    /// What each atom says of its own fractional coordinates: the mean of the 8 entries.
    fn own(self, atoms: usize) -> Vec<[f64; 3]> {
        (0..atoms).map(|s| std::array::from_fn(|axis| moments(&self.entries(X + axis, s)).0)).collect()
    }
}

/// Mean and variance (denominator n).
fn moments(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    (mean, values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n)
}

/// Fractional coordinates on which all atoms of one un-normalized tensor agree, not wrapped, with those each atom states
/// itself: `f = (1 − w) f_own + w mean_i(f_own,i − d_i)`, where `d_i` is the antisymmetrized difference to atom i and
/// `w = 1 − 1/(12 + A)`. `None` as in [`Consistency::atoms`].
///
/// # Errors
/// [`ConsistencyError::Shape`] unless there are [`TENSOR_LEN`] numbers.
#[expect(clippy::type_complexity, reason = "final and own coordinates of as many atoms")]
pub fn final_coordinates(
    tensor: &[f32],
    settings: ConsistencySettings,
) -> Result<Option<(Vec<[f64; 3]>, Vec<[f64; 3]>)>, ConsistencyError> {
    if tensor.len() != TENSOR_LEN {
        return Err(ConsistencyError::Shape(tensor.len()));
    }
    let tensor = Tensor(tensor);
    Ok(tensor.atoms(settings.max_atoms).map(|atoms| {
        let own = tensor.own(atoms);
        (agreed(tensor, &own), own)
    }))
}

fn agreed(tensor: Tensor<'_>, own: &[[f64; 3]]) -> Vec<[f64; 3]> {
    let atoms = own.len();
    let weight = 1.0 - 1.0 / (12 + atoms) as f64;
    let mut difference = vec![[0.0; 3]; atoms * atoms];
    for i in 0..atoms {
        for j in 0..=i {
            let at = |p: usize, q: usize, axis: usize| tensor.at(FIRST_SLOT + p, FIRST_SLOT + q, 1 + axis);
            if i == j {
                difference[i * atoms + i] = std::array::from_fn(|axis| at(i, i, axis));
                continue;
            }
            // The earlier atom's entry decides the sign, both the magnitude.
            let mean = std::array::from_fn(|axis| {
                let (d, opposite) = (at(j, i, axis), at(i, j, axis));
                if d > 0.0 { (d + opposite.abs()) / 2.0 } else { -(d.abs() + opposite) / 2.0 }
            });
            difference[j * atoms + i] = mean;
            difference[i * atoms + j] = mean.map(|x| -x);
        }
    }
    (0..atoms)
        .map(|j| {
            std::array::from_fn(|axis| {
                let all: f64 = (0..atoms).map(|i| own[i][axis] - difference[i * atoms + j][axis]).sum();
                (1.0 - weight) * own[j][axis] + weight * all / atoms as f64
            })
        })
        .collect()
}

/// Measures un-normalized tensors of shape `[n, 64, 64, 4]` (channel last, row-major).
///
/// # Errors
/// [`ConsistencyError::Shape`] unless there are `n` × [`TENSOR_LEN`] numbers.
pub fn consistency(
    tensors: &[f32],
    n: usize,
    settings: ConsistencySettings,
) -> Result<Consistency, ConsistencyError> {
    if n.checked_mul(TENSOR_LEN) != Some(tensors.len()) {
        return Err(ConsistencyError::Shape(tensors.len()));
    }
    let parts: Vec<Consistency> =
        tensors.par_chunks_exact(TENSOR_LEN).map(|t| measure(Tensor(t), settings)).collect();
    let mut all = Consistency::default();
    for part in parts {
        all.length_variance.merge(part.length_variance);
        all.angle_variance.merge(part.angle_variance);
        all.space_group_variance.merge(part.space_group_variance);
        all.coordinate_variance.merge(part.coordinate_variance);
        all.coordinate_difference.merge(part.coordinate_difference);
        all.pairwise_difference.merge(part.pairwise_difference);
        all.atoms.extend(part.atoms);
    }
    Ok(all)
}

fn measure(tensor: Tensor<'_>, settings: ConsistencySettings) -> Consistency {
    let mut found = Consistency::default();
    let atoms = tensor.atoms(settings.max_atoms);
    found.atoms.push(atoms);
    let Some(atoms) = atoms else { return found };
    for attribute in A..=SPACE_GROUP {
        let entries: Vec<f64> = (0..atoms).flat_map(|s| tensor.entries(attribute, s)).collect();
        let collected = match attribute {
            SPACE_GROUP => &mut found.space_group_variance,
            ALPHA.. => &mut found.angle_variance,
            _ => &mut found.length_variance,
        };
        collected.push(moments(&entries).1);
    }
    for s in 0..atoms {
        for axis in 0..settings.axes.min(3) {
            found.coordinate_variance.push(moments(&tensor.entries(X + axis, s)).1);
        }
    }
    let own = tensor.own(atoms);
    let agreed = agreed(tensor, &own);
    for (own, agreed) in own.iter().zip(&agreed) {
        for axis in 0..3 {
            found.coordinate_difference.push((own[axis] - agreed[axis]).abs() / atoms as f64);
        }
    }
    let mut apart = 0.0;
    for s in 0..atoms {
        for q in 0..atoms {
            let d2: f64 = (0..3).map(|axis| (agreed[s][axis] - agreed[q][axis]).powi(2)).sum();
            apart += (tensor.at(FIRST_SLOT + s, FIRST_SLOT + q, 0) - d2.sqrt()).abs();
        }
    }
    found.pairwise_difference.push(apart / atoms as f64);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tensor of a crystal that says the same everywhere.
    fn encode(frac: &[[f64; 3]], cell: [f64; 6], space_group: f64) -> Vec<f32> {
        let mut t = vec![0.0f32; TENSOR_LEN];
        let mut set = |row: usize, column: usize, channel: usize, x: f64| {
            t[(row * EDGE + column) * CHANNELS + channel] = x as f32;
        };
        for (s, f) in frac.iter().enumerate() {
            let mut attributes = vec![11.0];
            attributes.extend(f);
            attributes.extend(cell);
            attributes.push(space_group);
            for (a, x) in attributes.into_iter().enumerate() {
                for channel in 0..CHANNELS {
                    set(a, FIRST_SLOT + s, channel, x);
                    set(FIRST_SLOT + s, a, channel, x);
                }
            }
            for (q, g) in frac.iter().enumerate() {
                let d: [f64; 3] = std::array::from_fn(|i| f[i] - g[i]);
                set(FIRST_SLOT + s, FIRST_SLOT + q, 0, d.iter().map(|x| x * x).sum::<f64>().sqrt());
                for (axis, d) in d.into_iter().enumerate() {
                    set(FIRST_SLOT + s, FIRST_SLOT + q, 1 + axis, d);
                }
            }
        }
        t
    }

    const FRAC: [[f64; 3]; 3] = [[0.0, 0.25, 0.5], [0.5, 0.75, 0.125], [0.25, 0.5, 0.875]];
    const CELL: [f64; 6] = [4.0, 5.0, 6.0, 90.0, 95.0, 120.0];

    fn of(t: &[f32], settings: ConsistencySettings) -> Consistency {
        consistency(t, t.len() / TENSOR_LEN, settings).unwrap()
    }

    #[test]
    fn a_consistent_tensor_has_no_variance() {
        let t = encode(&FRAC, CELL, 62.0);
        let c = of(&t, ConsistencySettings::default());
        assert_eq!(c.atoms, [Some(3)]);
        for (what, value, count) in [
            ("lengths", c.length_variance, 3),
            ("angles", c.angle_variance, 3),
            ("space group", c.space_group_variance, 1),
            ("coordinates", c.coordinate_variance, 9),
            ("difference", c.coordinate_difference, 9),
            ("pairs", c.pairwise_difference, 1),
        ] {
            assert!(value.mean().unwrap() < 1e-6 && value.count == count, "{what}: {value:?}");
        }
        let (agreed, own) = final_coordinates(&t, ConsistencySettings::default()).unwrap().unwrap();
        for ((a, o), f) in agreed.iter().zip(&own).zip(&FRAC) {
            assert!((0..3).all(|i| (a[i] - f[i]).abs() < 1e-6 && (o[i] - f[i]).abs() < 1e-6));
        }
    }

    #[test]
    fn each_contradiction_shows_in_its_statistic() {
        let clean = encode(&FRAC, CELL, 62.0);
        let with = |row: usize, column: usize, channel: usize, add: f32| {
            let mut t = clean.clone();
            t[(row * EDGE + column) * CHANNELS + channel] += add;
            of(&t, ConsistencySettings::default())
        };
        // One of 24 entries off by 2.4: variance 2.4² · (1/24)(23/24), averaged over three parameters.
        let want = 2.4f64.powi(2) * 23.0 / 24.0 / 24.0 / 3.0;
        let near =
            |got: Collected, want: f64| assert!((got.mean().unwrap() - want).abs() < 1e-5, "{got:?} {want}");
        near(with(4, FIRST_SLOT + 1, 2, 2.4).length_variance, want);
        near(with(FIRST_SLOT, 9, 0, 2.4).angle_variance, want);
        near(with(10, FIRST_SLOT, 3, 2.4).space_group_variance, 3.0 * want);
        // One of 8 entries of one of nine coordinates.
        let c = with(X + 2, FIRST_SLOT, 0, 0.8);
        near(c.coordinate_variance, 0.64 * 7.0 / 64.0 / 9.0);
        // The atom says 0.1 more of itself; the three predictions agree on a third of that for it, …
        let w = 1.0 - 1.0 / 15.0;
        let own_off = 0.1 - ((1.0 - w) * 0.1 + w * 0.1 / 3.0);
        let others_off = w * 0.1 / 3.0;
        near(c.coordinate_difference, (own_off + 2.0 * others_off) / 3.0 / 9.0);
        // A distance alone contradicts the coordinates.
        near(with(FIRST_SLOT, FIRST_SLOT + 2, 0, 0.3).pairwise_difference, 0.1);
    }

    #[test]
    fn published_variant_leaves_out_z_and_the_last_slot() {
        let mut t = encode(&FRAC, CELL, 62.0);
        t[((X + 2) * EDGE + FIRST_SLOT) * CHANNELS] += 0.8;
        let c = of(&t, ConsistencySettings::PUBLISHED);
        assert!(c.coordinate_variance.mean().unwrap() < 1e-9);
        assert_eq!(c.coordinate_variance.count, 6);
        let full: Vec<[f64; 3]> = (0..52).map(|i| [f64::from(i) / 52.0; 3]).collect();
        let t = encode(&full, CELL, 1.0);
        assert_eq!(of(&t, ConsistencySettings::PUBLISHED).atoms, [Some(51)]);
        assert_eq!(of(&t, ConsistencySettings::ALL_AXES).atoms, [Some(52)]);
    }

    #[test]
    fn bad_tensors_are_left_out_and_listed() {
        let good = encode(&FRAC, CELL, 62.0);
        let mut broken = good.clone();
        broken[100] = f32::NAN;
        let stack = [good.clone(), broken, vec![0.0; TENSOR_LEN], good].concat();
        let c = of(&stack, ConsistencySettings::default());
        assert_eq!(c.atoms, [Some(3), None, None, Some(3)]);
        assert_eq!(c.pairwise_difference.count, 2);
        assert_eq!(
            consistency(&stack, 3, ConsistencySettings::default()),
            Err(ConsistencyError::Shape(4 * TENSOR_LEN))
        );
        assert!(
            consistency(&[], 0, ConsistencySettings::default()).unwrap().length_variance.mean().is_none()
        );
        assert!(final_coordinates(&[0.0], ConsistencySettings::default()).is_err());
    }
}
