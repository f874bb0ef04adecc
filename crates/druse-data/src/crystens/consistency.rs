//! How far an image contradicts itself.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::codec::Codec;
use super::content::{Content, atoms_of};
use super::error::DecodeError;
use super::image::{A, ALPHA, Image, SPACE_GROUP, X};

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

/// The consistency statistics of a stack of images (Alverson et al. 2024, Tables 1 and 2), in crystallographic numbers and before
/// anything is averaged. (The published script averages in place first, so what it reports is zero up to rounding.)
///
/// With A the number of atoms of an image, an attribute of an atom occurs 8 times (row and column, 4 channels), one of the
/// cell 8 A times; variances are those of all entries (denominator n).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Consistency {
    /// Variance of the 8 A entries, of each of a, b, c of each image (Å²).
    pub length_variance: Collected,
    /// The same of alpha, beta, gamma (degrees²).
    pub angle_variance: Collected,
    /// The same of the space-group number.
    pub space_group_variance: Collected,
    /// Variance of the 8 entries of each fractional coordinate of each atom, x, y and z.
    pub coordinate_variance: Collected,
    /// The same of x and y alone, as the published script has it.
    pub coordinate_variance_xy: Collected,
    /// `|f_own − f_agreed| / A` of each coordinate of each atom: how far what an atom says of itself is from what all
    /// say of it ([`Content::agreed`]).
    pub coordinate_difference: Collected,
    /// [`Content::pairwise_difference`] of each image.
    pub pairwise_difference: Collected,
    /// Number of atoms of each image; `None` where there is none to be counted. Such an image enters no statistic.
    pub atoms: Vec<Option<usize>>,
}

impl Consistency {
    /// The statistics of one normalized image.
    ///
    /// # Errors
    /// [`DecodeError`] where there are no atoms to be counted. That the image shows a structure is not asked.
    pub fn of(image: &Image, codec: &Codec) -> Result<Self, DecodeError> {
        let averaging = &codec.decoding.averaging;
        let (atoms, raw) = atoms_of(image, &codec.normalization, averaging.counting, averaging.most_atoms)?;
        let mut found = Self { atoms: vec![Some(atoms)], ..Self::default() };
        for attribute in A..=SPACE_GROUP {
            let entries: Vec<f64> = (0..atoms).flat_map(|s| raw.entries(attribute, s)).collect();
            let collected = match attribute {
                SPACE_GROUP => &mut found.space_group_variance,
                ALPHA.. => &mut found.angle_variance,
                _ => &mut found.length_variance,
            };
            collected.push(variance(&entries));
        }
        for s in 0..atoms {
            for axis in 0..3 {
                let variance = variance(&raw.entries(X + axis, s));
                found.coordinate_variance.push(variance);
                if axis < 2 {
                    found.coordinate_variance_xy.push(variance);
                }
            }
        }
        let content = Content::of(&raw, atoms, averaging);
        for (own, agreed) in content.own.as_flattened().iter().zip(content.agreed.as_flattened()) {
            found.coordinate_difference.push((own - agreed).abs() / atoms as f64);
        }
        found.pairwise_difference.push(content.pairwise_difference);
        Ok(found)
    }

    /// Those of one image, which is listed without atoms where there are none to be counted.
    pub(super) fn or_none(image: &Image, codec: &Codec) -> Self {
        Self::of(image, codec).unwrap_or_else(|_| Self { atoms: vec![None], ..Self::default() })
    }

    /// Adds the statistics of another stack.
    pub fn merge(&mut self, other: Self) {
        self.length_variance.merge(other.length_variance);
        self.angle_variance.merge(other.angle_variance);
        self.space_group_variance.merge(other.space_group_variance);
        self.coordinate_variance.merge(other.coordinate_variance);
        self.coordinate_variance_xy.merge(other.coordinate_variance_xy);
        self.coordinate_difference.merge(other.coordinate_difference);
        self.pairwise_difference.merge(other.pairwise_difference);
        self.atoms.extend(other.atoms);
    }

    /// Number of images that entered the statistics.
    pub fn measured(&self) -> usize {
        self.atoms.iter().flatten().count()
    }

    /// The six statistics of the paper: key, name with unit, value; `None` where no image could be measured.
    pub fn six(&self) -> [(&'static str, &'static str, Option<f64>); 6] {
        [
            ("image_length_variance", "variance of cell lengths (Å²)", self.length_variance.mean()),
            ("image_angle_variance", "variance of cell angles (degrees²)", self.angle_variance.mean()),
            (
                "image_space_group_variance",
                "variance of space-group numbers",
                self.space_group_variance.mean(),
            ),
            ("image_coordinate_variance", "variance of coordinates", self.coordinate_variance.mean()),
            (
                "image_coordinate_difference",
                "coordinate difference per atom",
                self.coordinate_difference.mean(),
            ),
            ("image_pairwise_difference", "pairwise difference per atom", self.pairwise_difference.mean()),
        ]
    }
}

/// Variance with denominator n.
fn variance(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n
}

/// The statistics of a stack of normalized images, counted as `codec` decodes them.
pub fn consistency(images: &[Image], codec: &Codec) -> Consistency {
    let parts: Vec<Consistency> = images.par_iter().map(|image| Consistency::or_none(image, codec)).collect();
    // In order, so that the number of threads changes no bit.
    let mut all = Consistency::default();
    parts.into_iter().for_each(|part| all.merge(part));
    all
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Element, Lattice, Structure};

    use super::*;
    use crate::crystens::{Decoding, FIRST_SLOT, Normalization, encode};

    /// Decodes with constants that leave numbers as they are, so that changes are in Å and degrees.
    fn plain() -> Codec {
        let one = crate::crystens::Scale { mean: 0.0, std: 1.0, low: 0.0, high: 1.0 };
        let mut normalization = Normalization::published();
        normalization.scales.attributes = [one; 11];
        (normalization.scales.difference, normalization.scales.distance) = (one, one);
        Codec::new(normalization)
    }

    fn clean() -> Image {
        let frac = vec![[0.0, 0.25, 0.5], [0.5, 0.75, 0.125], [0.25, 0.5, 0.875]];
        let lattice = Lattice::from_parameters([4.0, 5.0, 6.0, 90.0, 95.0, 120.0]).unwrap();
        let structure = Structure::new(lattice, vec![Element::from_z(11).unwrap(); 3], frac).unwrap();
        encode(&structure, 62).unwrap()
    }

    #[test]
    fn a_consistent_image_has_no_variance() {
        let c = Consistency::of(&clean(), &plain()).unwrap();
        assert_eq!(c.atoms, [Some(3)]);
        for (what, value, count) in [
            ("lengths", c.length_variance, 3),
            ("angles", c.angle_variance, 3),
            ("space group", c.space_group_variance, 1),
            ("coordinates", c.coordinate_variance, 9),
            ("x and y", c.coordinate_variance_xy, 6),
            ("difference", c.coordinate_difference, 9),
            ("pairs", c.pairwise_difference, 1),
        ] {
            assert!(value.mean().unwrap() < 1e-12 && value.count == count, "{what}: {value:?}");
        }
        assert!(c.six().iter().all(|(_, _, value)| value.unwrap() < 1e-12));
    }

    #[test]
    fn each_contradiction_shows_in_its_statistic() {
        let with = |row: usize, column: usize, channel: usize, add: f64| {
            let mut image = clean();
            image.pixel_mut(row, column)[channel] += add;
            Consistency::of(&image, &plain()).unwrap()
        };
        // One of 24 entries off by 2.4: variance 2.4² · (1/24)(23/24), averaged over three parameters.
        let want = 2.4f64.powi(2) * 23.0 / 24.0 / 24.0 / 3.0;
        let near =
            |got: Collected, want: f64| assert!((got.mean().unwrap() - want).abs() < 1e-9, "{got:?} {want}");
        near(with(4, FIRST_SLOT + 1, 2, 2.4).length_variance, want);
        near(with(FIRST_SLOT, 9, 0, 2.4).angle_variance, want);
        near(with(10, FIRST_SLOT, 3, 2.4).space_group_variance, 3.0 * want);
        // One of 8 entries of one of nine coordinates, z.
        let c = with(X + 2, FIRST_SLOT, 0, 0.8);
        near(c.coordinate_variance, 0.64 * 7.0 / 64.0 / 9.0);
        near(c.coordinate_variance_xy, 0.0);
        // The atom says 0.1 more of itself; the three predictions agree on a third of that for it, …
        let w = 1.0 - 1.0 / 15.0;
        let own_off = 0.1 - ((1.0 - w) * 0.1 + w * 0.1 / 3.0);
        let others_off = w * 0.1 / 3.0;
        near(c.coordinate_difference, (own_off + 2.0 * others_off) / 3.0 / 9.0);
        // A distance alone contradicts the coordinates: both of its places are half off.
        near(with(FIRST_SLOT, FIRST_SLOT + 2, 0, 0.3).pairwise_difference, 0.1);
    }

    #[test]
    fn images_of_nothing_are_left_out_and_listed() {
        let good = clean();
        let mut broken = good.clone();
        broken.pixel_mut(1, 2)[3] = f64::NAN;
        let c = consistency(&[good.clone(), broken, Image::zeros(), good], &plain());
        assert_eq!((c.atoms.as_slice(), c.measured()), ([Some(3), None, None, Some(3)].as_slice(), 2));
        assert_eq!(c.pairwise_difference.count, 2);
        let nothing = consistency(&[], &plain());
        assert!(nothing.six().iter().all(|(_, _, value)| value.is_none()));
    }

    #[test]
    fn the_published_way_counts_one_slot_less() {
        let frac = (0..52).map(|i| [f64::from(i) / 52.0; 3]).collect();
        let structure =
            Structure::new(Lattice::cubic(5.0).unwrap(), vec![Element::from_z(6).unwrap(); 52], frac)
                .unwrap();
        let mut codec = Codec::default();
        let image = codec.encode_as(&structure, 1).unwrap();
        assert_eq!(Consistency::of(&image, &codec).unwrap().atoms, [Some(52)]);
        codec.decoding = Decoding::published();
        assert_eq!(Consistency::of(&image, &codec).unwrap().atoms, [Some(51)]);
    }
}
