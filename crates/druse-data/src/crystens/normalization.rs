//! Normalization of images: what makes of crystallographic numbers those that a network is trained on.

use druse_crystal::Structure;
use serde::{Deserialize, Serialize};

use super::image::{A, ALPHA, ATTRIBUTES, CHANNELS, FIRST_SLOT, Image, SLOTS, SPACE_GROUP, X};
use super::published;
use super::scale::{Moments, Scale, Scales, length};

/// How images are normalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// By mean and standard deviation, to [0, 1]: the one that the published decoder expects.
    AvgStd,
    /// By numbers near the largest ones, an older form.
    DivideNearMax,
    /// The same as the published script does it: of the pairs, only those of the last slot are normalized, whether there is
    /// an atom or not.
    DivideNearMaxPublished,
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AvgStd, Self::DivideNearMax, Self::DivideNearMaxPublished];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AvgStd => "avg-std",
            Self::DivideNearMax => "divide-near-max",
            Self::DivideNearMaxPublished => "divide-near-max-published",
        }
    }
}

/// A normalization with its constants. It belongs to the images and to every model that was trained on them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// The method.
    pub method: Method,
    /// Its constants.
    pub scales: Scales,
}

/// Constants that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the normalization of `{0}` has a constant that is not finite, or no width")]
pub struct ConstantsError(pub String);

impl Default for Normalization {
    /// [`Normalization::published`].
    fn default() -> Self {
        Self::published()
    }
}

impl Normalization {
    /// `avg-std` with the published constants, those of 53,856 crystals of Pearson's Crystal Data.
    pub const fn published() -> Self {
        Self { method: Method::AvgStd, scales: published::AVG_STD }
    }

    /// `divide-near-max` with the published constants, on attributes and all pairs.
    pub const fn divide_near_max() -> Self {
        Self { method: Method::DivideNearMax, scales: published::DIVIDE_NEAR_MAX }
    }

    /// `divide-near-max` as the published script does it ([`Method::DivideNearMaxPublished`]).
    pub const fn divide_near_max_published() -> Self {
        Self { method: Method::DivideNearMaxPublished, scales: published::DIVIDE_NEAR_MAX }
    }

    /// `avg-std` with the constants of a set of structures and their space-group numbers: the smallest value of a
    /// quantity becomes 0, the largest 1.
    ///
    /// For angles, 0 stands for 0°: an empty slot, which is zero, then reads as 0° and cannot be taken for an atom (with
    /// the published constants it reads as 59.8°, the angle of primitive face-centred cells). Differences are symmetric
    /// about 0, which becomes exactly 0.5.
    pub fn fitted<'a>(crystals: impl IntoIterator<Item = (&'a Structure, u16)>) -> Self {
        let mut attributes = [Moments::default(); ATTRIBUTES.len()];
        let (mut distance, mut largest, mut squares) = (Moments::default(), 0.0f64, 0.0);
        for (structure, space_group) in crystals {
            let structure = structure.right_handed();
            for (k, x) in structure.lattice.parameters().into_iter().enumerate() {
                attributes[A + k].push(x);
            }
            attributes[SPACE_GROUP].push(f64::from(space_group));
            for (s, f) in structure.frac_coords.iter().enumerate() {
                attributes[0].push(f64::from(structure.species[s].z()));
                (0..3).for_each(|axis| attributes[X + axis].push(f[axis]));
                for g in &structure.frac_coords[..s] {
                    let d: [f64; 3] = std::array::from_fn(|axis| f[axis] - g[axis]);
                    largest = d.iter().fold(largest, |m, x| m.max(x.abs()));
                    squares += d.iter().map(|x| x * x).sum::<f64>();
                    distance.push(length(d));
                }
            }
        }
        // With each difference comes the opposite one: the mean is 0.
        let std = (squares / (3 * distance.count) as f64).sqrt();
        let difference = match largest > 0.0 {
            true => Scale { mean: 0.0, std, low: largest / std, high: largest / std },
            false => Scale { mean: 0.0, std: 1.0, low: 0.5, high: 0.5 },
        };
        let fitted = |(k, values): (usize, &Moments)| {
            Scale::fitted(values, if (ALPHA..SPACE_GROUP).contains(&k) { 0.0 } else { f64::INFINITY })
        };
        let all: Vec<Scale> = attributes.iter().enumerate().map(fitted).collect();
        let scales = Scales {
            attributes: std::array::from_fn(|k| all[k]),
            difference,
            distance: Scale::fitted(&distance, f64::INFINITY),
        };
        Self { method: Method::AvgStd, scales }
    }

    /// Refuses constants that would divide by zero.
    ///
    /// # Errors
    /// [`ConstantsError`] with the quantity.
    pub fn check(&self) -> Result<(), ConstantsError> {
        let pairs = [("difference", &self.scales.difference), ("distance", &self.scales.distance)];
        let mut all = ATTRIBUTES.into_iter().zip(&self.scales.attributes).chain(pairs);
        match all.find(|(_, scale)| !scale.is_usable()) {
            Some((name, _)) => Err(ConstantsError(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Whether the constants are the published ones.
    pub fn is_published(&self) -> bool {
        [Self::published(), Self::divide_near_max(), Self::divide_near_max_published()].contains(self)
    }

    /// Name and origin of the constants, for people: `avg-std (published constants)`.
    pub fn describe(&self) -> String {
        let origin = if self.is_published() { "published constants" } else { "constants of a data set" };
        format!("{} ({origin})", self.method.name())
    }

    /// The constants of a channel of the pair block.
    fn of_pairs(&self, channel: usize) -> &Scale {
        if channel == 0 { &self.scales.distance } else { &self.scales.difference }
    }

    /// What the differences of two opposite entries, `d_ij` and `d_ji`, average to: the normalized 0.
    pub(super) fn zero_difference(&self) -> f64 {
        match self.method {
            Method::DivideNearMaxPublished => 0.0,
            _ => self.scales.difference.normalize(0.0),
        }
    }

    /// Normalizes an image of `atoms` atoms in place: attributes of the occupied slots and pairs of two of them; the
    /// diagonal and all the rest stay zero.
    pub fn normalize(&self, image: &mut Image, atoms: usize) {
        self.apply(image, atoms, Scale::normalize);
    }

    /// The inverse of [`Normalization::normalize`]; what lies outside the first `atoms` slots stays as it is.
    pub fn unnormalize(&self, image: &mut Image, atoms: usize) {
        self.apply(image, atoms, Scale::unnormalize);
    }

    /// As [`Normalization::unnormalize`] for every slot whose row is not all zero, with its pairs of all slots, occupied
    /// or not: what the published script does. An empty slot then reads as the smallest value of each quantity.
    pub fn unnormalize_published(&self, image: &mut Image) {
        let occupied: Vec<usize> = (0..SLOTS)
            .filter(|s| (0..FIRST_SLOT + SLOTS).any(|q| *image.pixel(FIRST_SLOT + s, q) != [0.0; CHANNELS]))
            .collect();
        for &s in &occupied {
            self.attributes(image, s, Scale::unnormalize);
            match self.method {
                Method::DivideNearMaxPublished => {}
                _ => self.pairs_of(image, s, SLOTS, Scale::unnormalize),
            }
        }
        if self.method == Method::DivideNearMaxPublished {
            self.last_row(image, occupied.len(), Scale::unnormalize);
        }
    }

    fn apply(&self, image: &mut Image, atoms: usize, map: fn(&Scale, f64) -> f64) {
        let atoms = atoms.min(SLOTS);
        for s in 0..atoms {
            self.attributes(image, s, map);
            match self.method {
                Method::DivideNearMaxPublished => {}
                _ => self.pairs_of(image, s, atoms, map),
            }
        }
        if self.method == Method::DivideNearMaxPublished {
            self.last_row(image, atoms, map);
        }
    }

    fn attributes(&self, image: &mut Image, slot: usize, map: fn(&Scale, f64) -> f64) {
        for (a, scale) in self.scales.attributes.iter().enumerate() {
            let place = FIRST_SLOT + slot;
            image.pixel_mut(a, place).iter_mut().for_each(|x| *x = map(scale, *x));
            image.pixel_mut(place, a).iter_mut().for_each(|x| *x = map(scale, *x));
        }
    }

    /// The pairs of a slot with the first `others` slots, itself left out.
    fn pairs_of(&self, image: &mut Image, slot: usize, others: usize, map: fn(&Scale, f64) -> f64) {
        for q in (0..others).filter(|&q| q != slot) {
            let pixel = image.pixel_mut(FIRST_SLOT + slot, FIRST_SLOT + q);
            for (channel, x) in pixel.iter_mut().enumerate() {
                *x = map(self.of_pairs(channel), *x);
            }
        }
    }

    /// The pairs of the last slot with the atoms, itself left out: all that the published loop reaches.
    fn last_row(&self, image: &mut Image, atoms: usize, map: fn(&Scale, f64) -> f64) {
        for q in 0..atoms.min(SLOTS - 1) {
            let pixel = image.pixel_mut(FIRST_SLOT + SLOTS - 1, FIRST_SLOT + q);
            for (channel, x) in pixel.iter_mut().enumerate() {
                *x = map(self.of_pairs(channel), *x);
            }
        }
    }
}
