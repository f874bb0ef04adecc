//! From an image to a structure.

use druse_crystal::{Element, Lattice, LatticeError, Structure};

use super::cluster::k_means;
use super::content::{Antisymmetry, Averaging, Content, Counting, Predictions, atoms_of};
use super::error::DecodeError;
use super::image::{Image, SLOTS};
use super::normalization::Normalization;

/// What becomes of the averaged atomic numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Species {
    /// Rounded.
    Round,
    /// Clustered, then rounded (the paper, section 3.2): atoms of a cluster get the element of its mean.
    ClusterRound {
        /// Most clusters: the paper's are 3, so that a crystal of more elements loses some.
        clusters: usize,
    },
    /// Rounded, clustered, and the means rounded again (the published script).
    RoundClusterRound {
        /// Most clusters.
        clusters: usize,
    },
}

/// How an image becomes a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoding {
    /// How atoms are counted and what is said several times is averaged.
    pub averaging: Averaging,
    /// How atomic numbers become elements.
    pub species: Species,
    /// Most different values among all coordinates, which are replaced by the means of so many clusters (the paper: 6);
    /// `None` leaves them alone.
    pub coordinate_clusters: Option<usize>,
}

impl Default for Decoding {
    /// Nothing of the image is forced: every slot with an atom counts, atomic numbers are rounded, coordinates stay.
    fn default() -> Self {
        Self {
            averaging: Averaging {
                counting: Counting::Slots,
                most_atoms: SLOTS,
                antisymmetry: Antisymmetry::Mean,
                predictions: Predictions::Weighted,
            },
            species: Species::Round,
            coordinate_clusters: None,
        }
    }
}

impl Decoding {
    /// As the paper describes it (section 3.2): the plain mean of all predictions, 3 clusters of atomic numbers, 6 of
    /// coordinates.
    pub fn paper() -> Self {
        let averaging = Averaging { predictions: Predictions::Mean, ..Self::default().averaging };
        Self { averaging, species: Species::ClusterRound { clusters: 3 }, coordinate_clusters: Some(6) }
    }

    /// As the published statistics script, with its quirks: at most 51 atoms, counted by alpha; differences by their
    /// magnitudes; 3 clusters of rounded atomic numbers. It asks for as many clusters of coordinates as there are
    /// coordinates, which is none here.
    pub fn published() -> Self {
        Self {
            averaging: Averaging {
                counting: Counting::Alpha,
                most_atoms: SLOTS - 1,
                antisymmetry: Antisymmetry::Magnitudes,
                predictions: Predictions::Weighted,
            },
            species: Species::RoundClusterRound { clusters: 3 },
            coordinate_clusters: None,
        }
    }

    /// The named ways: `default`, `paper` ([`Decoding::paper`]) and `published` ([`Decoding::published`]).
    pub const NAMES: [&str; 3] = ["default", "paper", "published"];

    /// The way of this name ([`Decoding::NAMES`]).
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "default" => Some(Self::default()),
            "paper" => Some(Self::paper()),
            "published" => Some(Self::published()),
            _ => None,
        }
    }

    /// What a normalized image says.
    ///
    /// # Errors
    /// [`DecodeError`] for numbers that are not finite, a blank image and one without atoms.
    pub fn content(&self, image: &Image, normalization: &Normalization) -> Result<Content, DecodeError> {
        let (atoms, raw) =
            atoms_of(image, normalization, self.averaging.counting, self.averaging.most_atoms)?;
        Ok(Content::of(&raw, atoms, &self.averaging))
    }

    /// The structure that a normalized image shows.
    ///
    /// # Errors
    /// [`DecodeError`] where it shows none.
    pub fn decode(&self, image: &Image, normalization: &Normalization) -> Result<Decoded, DecodeError> {
        self.structure(&self.content(image, normalization)?)
    }

    /// The structure that an image with this content shows: sites wrapped into the cell, of those with the same element
    /// and the same coordinates one.
    ///
    /// # Errors
    /// [`DecodeError`] for a cell without volume and for atomic numbers of no element.
    pub fn structure(&self, content: &Content) -> Result<Decoded, DecodeError> {
        let lattice = cell(content.cell)?;
        let species = self.elements(&content.numbers)?;
        let mut sites: Vec<(Element, [f64; 3])> =
            species.into_iter().zip(self.coordinates(&content.agreed)).collect();
        let atoms = sites.len();
        let mut seen: Vec<(Element, [f64; 3])> = Vec::with_capacity(atoms);
        sites.retain(|site| {
            let new = !seen.contains(site);
            if new {
                seen.push(*site);
            }
            new
        });
        let (species, coords): (Vec<Element>, Vec<[f64; 3]>) = sites.into_iter().unzip();
        let duplicates = atoms - species.len();
        let structure = Structure::new(lattice, species, coords)?;
        Ok(Decoded { structure, space_group: content.space_group, duplicates })
    }

    fn coordinates(&self, agreed: &[[f64; 3]]) -> Vec<[f64; 3]> {
        let Some(clusters) = self.coordinate_clusters else { return agreed.to_vec() };
        let replaced: Vec<f64> = k_means(agreed.as_flattened(), clusters.max(1)).replaced().collect();
        replaced.as_chunks().0.to_vec()
    }

    fn elements(&self, numbers: &[f64]) -> Result<Vec<Element>, DecodeError> {
        let rounded = |numbers: &[f64]| -> Vec<f64> { numbers.iter().map(|z| z.round_ties_even()).collect() };
        let clustered =
            |numbers: &[f64], k: usize| -> Vec<f64> { k_means(numbers, k.max(1)).replaced().collect() };
        let numbers = match self.species {
            Species::Round => numbers.to_vec(),
            Species::ClusterRound { clusters } => clustered(numbers, clusters),
            Species::RoundClusterRound { clusters } => clustered(&rounded(numbers), clusters),
        };
        let element = |(atom, z): (usize, f64)| {
            Element::from_z(z as i64).map_err(|source| DecodeError::Element { atom, source })
        };
        rounded(&numbers).into_iter().enumerate().map(element).collect()
    }
}

/// The cell of averaged parameters.
fn cell(parameters: [f64; 6]) -> Result<Lattice, LatticeError> {
    let [.., al, be, ga] = parameters;
    if [al, be, ga].iter().any(|x| x.is_finite() && !(0.0 < *x && *x < 180.0)) {
        return Err(LatticeError::Degenerate(format!("angles {al}, {be}, {ga}° enclose no cell")));
    }
    Lattice::from_parameters(parameters)
}

/// What an image shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    /// The structure: c along z, a in the plane of x and z.
    pub structure: Structure,
    /// Space-group number that the image states, the mean of all entries; not used for the structure.
    pub space_group: f64,
    /// Atoms left out because another has the same element and coordinates.
    pub duplicates: usize,
}
