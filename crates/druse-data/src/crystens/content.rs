//! What an image says when everything that it says several times is averaged.

use super::encode::drawn;
use super::error::DecodeError;
use super::image::{A, ALPHA, FIRST_SLOT, Image, NUMBER, REPEATS, SLOTS, SPACE_GROUP, X};
use super::normalization::Normalization;
use super::scale::length;

/// Relative difference from the alpha of the first slot at which the published script takes a slot for empty.
const ANOTHER_ALPHA: f64 = 0.2;
/// Weight of the differences beside the attributes of the cell in telling atoms from empty slots: with the published
/// constants both have squares of about 1.
const WEIGHT_OF_DIFFERENCES: f64 = 4.0;
/// Normalized attributes of a cell below this length are those of no atom.
const NO_CELL: f64 = 0.01;

/// How the atoms of an image are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// By all that is the same for every atom, in normalized numbers: a slot holds an atom if the cell that it states, and
    /// what its differences to the slots before and their opposites average to (half the range, for they cancel), are
    /// nearer to those of the first slot than to the zeros of an empty one.
    Slots,
    /// As the published script: up to the first slot whose angle alpha differs from that of the first by a fifth or more,
    /// after un-normalizing. With the published constants an empty slot that is not exactly zero reads as 59.8°, so every
    /// crystal with alpha between 49.8° and 74.7° has as many atoms as there are slots.
    Alpha,
}

/// How the two statements `d_ij` and `d_ji` of a difference become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Antisymmetry {
    /// `(d_ij − d_ji) / 2`; that of an atom to itself is 0.
    Mean,
    /// As the published script: the mean of their magnitudes (the entry whose turn it is as it is), with the sign of the
    /// entry of the earlier atom. Two errors of equal sign on a true 0 do not cancel, and a positive difference of an atom
    /// to itself becomes negative.
    Magnitudes,
}

/// What an image says, averaged over all places that say it.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// Atomic number of each atom: mean of its eight entries.
    pub numbers: Vec<f64>,
    /// Fractional coordinates that each atom states of itself: means of their eight entries.
    pub own: Vec<[f64; 3]>,
    /// Fractional coordinates on which all atoms agree, not wrapped: `(1 − w) f_j + w mean_i(f_i − d_ij)`.
    pub agreed: Vec<[f64; 3]>,
    /// `a, b, c` (Å), `alpha, beta, gamma` (degrees): means over all entries of all atoms.
    pub cell: [f64; 6],
    /// Space-group number, the same mean; not rounded.
    pub space_group: f64,
    /// `Σ |channel 0 − |f_s − f_q|| / A` over ordered pairs of atoms, with the agreed coordinates and the mean of the two
    /// statements of each distance.
    pub pairwise_difference: f64,
}

/// How [`Content`] is averaged from all that an image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Averaging {
    /// How atoms are counted.
    pub counting: Counting,
    /// Most atoms that are counted: 52, or 51 as in the published script, whose scan ends one slot early.
    pub most_atoms: usize,
    /// How differences are made antisymmetric.
    pub antisymmetry: Antisymmetry,
    /// Weight `w` of the predictions of all atoms against what an atom states of itself.
    pub predictions: Predictions,
}

/// Weight of the predictions of a coordinate by all atoms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Predictions {
    /// `w = 1 − 1 / (12 + A)`: the published script.
    Weighted,
    /// `w = 1`: the mean of the A predictions (the paper, section 3.2).
    Mean,
}

impl Predictions {
    fn weight(self, atoms: usize) -> f64 {
        match self {
            Self::Weighted => 1.0 - 1.0 / (12 + atoms) as f64,
            Self::Mean => 1.0,
        }
    }
}

/// Number of atoms of a normalized image, and the image in crystallographic numbers.
///
/// # Errors
/// [`DecodeError::NotFinite`], [`DecodeError::Blank`], [`DecodeError::NoAtoms`].
pub fn atoms_of(
    image: &Image,
    normalization: &Normalization,
    counting: Counting,
    most_atoms: usize,
) -> Result<(usize, Image), DecodeError> {
    if let Some([row, column, channel]) = image.not_finite() {
        return Err(DecodeError::NotFinite { row, column, channel });
    }
    if let Some(value) = image.constant() {
        return Err(DecodeError::Blank(value));
    }
    let most = most_atoms.clamp(1, SLOTS);
    let mut raw = image.clone();
    let atoms = match counting {
        Counting::Slots => {
            let atoms = slots_with_atoms(image, normalization.zero_difference(), most);
            normalization.unnormalize(&mut raw, atoms);
            atoms
        }
        Counting::Alpha => {
            normalization.unnormalize_published(&mut raw);
            slots_of_equal_alpha(&raw, most)
        }
    };
    if atoms == 0 { Err(DecodeError::NoAtoms) } else { Ok((atoms, raw)) }
}

/// Slots up to the first whose alpha differs by a fifth or more from that of slot 0.
fn slots_of_equal_alpha(raw: &Image, most: usize) -> usize {
    let alpha = |slot: usize| raw.at(FIRST_SLOT + slot, ALPHA, 0);
    let reference = alpha(0);
    if reference <= 0.0 {
        return 0;
    }
    let same = |&slot: &usize| (alpha(slot) - reference).abs() / reference < ANOTHER_ALPHA;
    1 + (1..most).take_while(same).count()
}

/// See [`Counting::Slots`]; `zero` is the normalized difference 0.
fn slots_with_atoms(image: &Image, zero: f64, most: usize) -> usize {
    let cell = |slot: usize| -> [f64; SPACE_GROUP + 1 - A] {
        std::array::from_fn(|k| mean(&image.entries(A + k, slot)))
    };
    // Opposite differences cancel, whatever the atoms are.
    let differences = |slot: usize| -> f64 {
        let sum: f64 = (0..slot)
            .map(|q| {
                let (there, back) = (image.pair(slot, q), image.pair(q, slot));
                (1..4).map(|c| there[c] + back[c]).sum::<f64>()
            })
            .sum();
        sum / (6 * slot) as f64
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
    let first = cell(0);
    let size = dot(&first, &first) + WEIGHT_OF_DIFFERENCES * zero * zero;
    let is_atom = |&slot: &usize| {
        let along = dot(&cell(slot), &first) + WEIGHT_OF_DIFFERENCES * differences(slot) * zero;
        along > 0.5 * size
    };
    let atoms = 1 + (1..most).take_while(is_atom).count();
    if atoms == 1 && dot(&first, &first).sqrt() < NO_CELL { 0 } else { atoms }
}

impl Content {
    /// What the first `atoms` slots of an image in crystallographic numbers say.
    pub fn of(raw: &Image, atoms: usize, averaging: &Averaging) -> Self {
        let per_atom = |attribute: usize| (0..atoms).map(move |s| mean(&raw.entries(attribute, s)));
        let over_all = |attribute: usize| per_atom(attribute).sum::<f64>() / atoms as f64;
        let own: Vec<[f64; 3]> =
            (0..atoms).map(|s| std::array::from_fn(|axis| mean(&raw.entries(X + axis, s)))).collect();
        let agreed = agreed(raw, &own, averaging);
        let mut apart = 0.0;
        for s in 0..atoms {
            for q in 0..atoms {
                let stated = (raw.pair(s, q)[0] + raw.pair(q, s)[0]) / 2.0;
                apart += (stated - length(std::array::from_fn(|i| agreed[s][i] - agreed[q][i]))).abs();
            }
        }
        Self {
            numbers: per_atom(NUMBER).collect(),
            own,
            agreed,
            cell: std::array::from_fn(|k| over_all(A + k)),
            space_group: over_all(SPACE_GROUP),
            pairwise_difference: apart / atoms as f64,
        }
    }

    /// The image, in crystallographic numbers, that says all this without contradiction: each atom where all agree that it
    /// is. Atomic numbers stay as they are, also those of no element.
    pub fn image(&self) -> Image {
        drawn(&self.numbers, &self.agreed, self.cell, self.space_group)
    }
}

fn mean(values: &[f64; REPEATS]) -> f64 {
    values.iter().sum::<f64>() / REPEATS as f64
}

/// The coordinates on which all atoms agree.
fn agreed(raw: &Image, own: &[[f64; 3]], averaging: &Averaging) -> Vec<[f64; 3]> {
    let atoms = own.len();
    let weight = averaging.predictions.weight(atoms);
    // Sums of what all atoms predict of each: f_i − d_ij.
    let total: [f64; 3] = std::array::from_fn(|axis| own.iter().map(|f| f[axis]).sum());
    let mut predicted = vec![total; atoms];
    for i in 0..atoms {
        for j in i..atoms {
            let (there, back) = (raw.pair(i, j), raw.pair(j, i));
            let one: [f64; 3] = std::array::from_fn(|axis| {
                antisymmetric(averaging.antisymmetry, i == j, there[1 + axis], back[1 + axis])
            });
            (0..3).for_each(|axis| predicted[j][axis] -= one[axis]);
            if i != j {
                (0..3).for_each(|axis| predicted[i][axis] += one[axis]);
            }
        }
    }
    let mix = |(own, predicted): (&[f64; 3], [f64; 3])| {
        std::array::from_fn(|axis| (1.0 - weight) * own[axis] + weight * (predicted[axis] / atoms as f64))
    };
    own.iter().zip(predicted).map(mix).collect()
}

/// `d_ij` from its two statements; `diagonal` where both are the same number.
fn antisymmetric(how: Antisymmetry, diagonal: bool, d: f64, opposite: f64) -> f64 {
    match how {
        Antisymmetry::Mean => (d - opposite) / 2.0,
        // Its entry is written twice, the second time as the opposite one.
        Antisymmetry::Magnitudes if diagonal => -d.max(0.0),
        Antisymmetry::Magnitudes if d > 0.0 => (d + opposite.abs()) / 2.0,
        Antisymmetry::Magnitudes => -(d.abs() + opposite) / 2.0,
    }
}
