//! Space groups: operations, orbits, Wyckoff positions and standard cells, found by `moyo`.

pub(crate) mod group;
pub(crate) mod identify;
mod tolerance;
pub(crate) mod triplet;

use std::fmt;

use moyo::{
    MoyoDataset,
    base::{AngleTolerance, Cell, Operation},
    data::{Setting, operations_from_number},
};
use nalgebra::{Matrix3, Vector3};

use crate::{Element, ElementError, Lattice, LatticeError, NeighborError, Structure, StructureError};

/// Denominators of the translations of space-group operations.
const DENOMINATORS: [u32; 6] = [2, 3, 4, 6, 8, 12];
/// Why the symmetry of a structure could not be found.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SymmetryError {
    /// The tolerance is not a positive number.
    #[error("symmetry tolerance {0} Å must be a positive number")]
    Tolerance(f64),
    /// Two sites cannot be told apart within the tolerance.
    #[error(
        "sites {first} and {second} are {distance:.2e} Å apart, within the symmetry tolerance of {symprec} Å; \
         remove one of them or lower the tolerance"
    )]
    Coincident {
        /// Index of one site, from 0.
        first: usize,
        /// Index of the other site.
        second: usize,
        /// Their distance in Å.
        distance: f64,
        /// The tolerance in Å.
        symprec: f64,
    },
    /// The atoms within the tolerance are too many to look at.
    #[error(transparent)]
    Neighbors(#[from] NeighborError),
    /// No space group fits at this or any smaller tolerance that was tried.
    #[error("no space group found with tolerance {symprec} Å: {reason}")]
    NotFound {
        /// The tolerance in Å.
        symprec: f64,
        /// What the symmetry finder says.
        reason: String,
    },
    /// The standardized cell is not a valid structure.
    #[error("standardized cell is invalid: {0}")]
    Standardized(String),
}

impl From<LatticeError> for SymmetryError {
    fn from(e: LatticeError) -> Self {
        Self::Standardized(e.to_string())
    }
}

impl From<StructureError> for SymmetryError {
    fn from(e: StructureError) -> Self {
        Self::Standardized(e.to_string())
    }
}

impl From<ElementError> for SymmetryError {
    fn from(e: ElementError) -> Self {
        Self::Standardized(e.to_string())
    }
}

/// A space-group operation on fractional coordinates (columns): `x' = rotation · x + translation`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SymmetryOperation {
    /// Integer rotation part.
    pub rotation: [[i32; 3]; 3],
    /// Translation part in [0, 1).
    pub translation: [f64; 3],
}

impl SymmetryOperation {
    /// The image of a point (fractional coordinates, not wrapped).
    pub fn apply(&self, frac: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|i| {
            self.translation[i] + (0..3).map(|j| f64::from(self.rotation[i][j]) * frac[j]).sum::<f64>()
        })
    }

    /// The point that [`Self::apply`] maps onto `frac`; not wrapped.
    pub fn apply_inverse(&self, frac: [f64; 3]) -> [f64; 3] {
        let r = self.rotation;
        let minor = |i: usize, j: usize| {
            let ((a, b), (c, d)) = (((i + 1) % 3, (i + 2) % 3), ((j + 1) % 3, (j + 2) % 3));
            r[a][c] * r[b][d] - r[a][d] * r[b][c]
        };
        // ±1, so that the adjugate is the inverse but for the sign.
        let determinant: i32 = (0..3).map(|j| r[0][j] * minor(0, j)).sum();
        std::array::from_fn(|i| {
            (0..3).map(|j| f64::from(determinant * minor(j, i)) * (frac[j] - self.translation[j])).sum()
        })
    }

    fn from_moyo(op: &Operation) -> Self {
        Self {
            rotation: std::array::from_fn(|i| std::array::from_fn(|j| op.rotation[(i, j)])),
            translation: std::array::from_fn(|i| wrap_translation(op.translation[i])),
        }
    }
}

/// Wraps into [0, 1), rounding noise below 1 to 0.
fn wrap_translation(x: f64) -> f64 {
    let w = crate::wrap_unit(x);
    if w > 1.0 - 1e-8 { 0.0 } else { w }
}

/// The form CIF uses: `-y,x-y,z+1/3`. A translation that is no multiple of 1/12 is written as a decimal number.
impl fmt::Display for SymmetryOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (row, &shift)) in self.rotation.iter().zip(&self.translation).enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            let mut first = true;
            for (&c, axis) in row.iter().zip(['x', 'y', 'z']).filter(|(c, _)| **c != 0) {
                let sign = if c < 0 {
                    "-"
                } else if first {
                    ""
                } else {
                    "+"
                };
                f.write_str(sign)?;
                if c.abs() != 1 {
                    write!(f, "{}", c.abs())?;
                }
                write!(f, "{axis}")?;
                first = false;
            }
            if shift.abs() > 1e-8 {
                let fraction = DENOMINATORS.iter().find_map(|&d| {
                    let numerator = shift * f64::from(d);
                    ((numerator - numerator.round()).abs() < 1e-6 * f64::from(d))
                        .then(|| (numerator.round() as u32, d))
                });
                match fraction {
                    Some((n, d)) => write!(f, "+{n}/{d}")?,
                    None => write!(f, "{shift:+.8}")?,
                }
            }
        }
        Ok(())
    }
}

/// A cell in the standard setting of the space group, with what each of its sites is.
#[derive(Debug, Clone, PartialEq)]
pub struct StandardCell {
    /// The cell: right-handed, metric and positions averaged over the symmetry operations.
    pub structure: Structure,
    /// Operations of the space group in this cell, centring translations included.
    pub operations: Vec<SymmetryOperation>,
    /// Index of the first site of the orbit of each site.
    pub orbits: Vec<usize>,
    /// Wyckoff letter of each site.
    pub wyckoffs: Vec<char>,
    /// Site symmetry of each site, oriented by the conventional axes (`.3m`).
    pub site_symmetry: Vec<String>,
}

impl StandardCell {
    /// One site of each orbit, in order, and the number of sites of this cell that the orbit holds (in the
    /// conventional cell the multiplicity of the Wyckoff position).
    pub fn asymmetric_unit(&self) -> Vec<(usize, usize)> {
        let count = |first| self.orbits.iter().filter(|&&o| o == first).count();
        (0..self.orbits.len()).filter(|&i| self.orbits[i] == i).map(|i| (i, count(i))).collect()
    }
}

/// The symmetry of a structure.
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetryDataset {
    /// Space-group number, 1–230.
    pub number: u16,
    /// Serial number of the Hall symbol, 1–530: names the setting of the standard cells, which is unique axis b and
    /// cell choice 1 (monoclinic), hexagonal axes (rhombohedral), origin choice 2 (centrosymmetric groups).
    pub hall_number: u16,
    /// Hall symbol of the setting (`-P 4 2 3`).
    pub hall_symbol: String,
    /// Short Hermann–Mauguin symbol (`Fd-3m`).
    pub international: String,
    /// Full Hermann–Mauguin symbol of the setting, symbols apart (`C 1 2/c 1`).
    pub international_full: String,
    /// Hermann–Mauguin symbol of the point group (`m-3m`).
    pub point_group: String,
    /// Pearson symbol (`cF8`).
    pub pearson: String,
    /// Operations in the cell that was analyzed.
    pub operations: Vec<SymmetryOperation>,
    /// For each site the first site of its orbit, in the cell that was analyzed.
    pub orbits: Vec<usize>,
    /// Wyckoff letter of each site.
    pub wyckoffs: Vec<char>,
    /// Site symmetry of each site, oriented by the conventional axes.
    pub site_symmetry: Vec<String>,
    /// The conventional cell.
    pub conventional: StandardCell,
    /// The primitive cell of the same setting.
    pub primitive: StandardCell,
    /// Tolerance (Å) at which the operations form a group: the one asked for, or smaller.
    pub symprec: f64,
}

/// Finds the space group within the distance tolerance `symprec` (Å).
///
/// The tolerance is lowered, to the value that [`SymmetryDataset::symprec`] reports, when it exceeds 0.5 Å or a tenth
/// of the shortest distance between equal atoms (own images included; in cells that are not primitive a twentieth),
/// and when the operations found with it do not form a group.
///
/// # Errors
/// [`SymmetryError`] for a tolerance that is not positive, for sites closer than the tolerance, and when no group is
/// found.
pub fn analyze(structure: &Structure, symprec: f64) -> Result<SymmetryDataset, SymmetryError> {
    if !symprec.is_finite() || symprec <= 0.0 {
        return Err(SymmetryError::Tolerance(symprec));
    }
    let symprec = tolerance::bounded(structure, symprec)?;
    let cell = Cell::new(
        moyo::base::Lattice::new(*structure.lattice.matrix()),
        structure.frac_coords.iter().map(|&f| Vector3::from(f)).collect(),
        structure.species.iter().map(|e| i32::from(e.z())).collect(),
    );
    let not_found = |reason: String| SymmetryError::NotFound { symprec, reason };
    // Generated structures can be arbitrarily odd, and the finder asserts some of its intermediate results.
    let dataset = std::panic::catch_unwind(|| {
        MoyoDataset::new(&cell, symprec, AngleTolerance::Default, Setting::Standard, true)
    })
    .map_err(|_| not_found("the symmetry finder failed on one of its own checks".into()))?
    .map_err(|e| not_found(e.to_string()))?;
    describe(&dataset).map_err(|e| match e {
        Described::Finder(reason) => not_found(reason),
        Described::Ours(e) => e,
    })
}

/// Failures while the finder's result is translated.
enum Described {
    Finder(String),
    Ours(SymmetryError),
}

impl<E: Into<SymmetryError>> From<E> for Described {
    fn from(e: E) -> Self {
        Self::Ours(e.into())
    }
}

fn describe(d: &MoyoDataset) -> Result<SymmetryDataset, Described> {
    let entry = d.hall_symbol();
    let setting = Setting::HallNumber(d.hall_number);
    let operations = |primitive| {
        operations_from_number(d.number, setting, primitive)
            .map(|ops| ops.iter().map(SymmetryOperation::from_moyo).collect::<Vec<_>>())
            .map_err(|e| Described::Finder(e.to_string()))
    };
    // A site of the input cell for every site of the primitive cell.
    let sites = d.prim_std_cell.num_atoms();
    let mut input_site = vec![None; sites];
    for (i, &p) in d.mapping_std_prim.iter().enumerate() {
        input_site[p].get_or_insert(i);
    }
    let input_site: Vec<usize> = input_site
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| Described::Finder("a primitive site has no counterpart".into()))?;
    // The conventional cell lists the copies of primitive site 0, then those of site 1, …
    let copies = d.std_cell.num_atoms() / sites;
    let standard = |cell: &Cell, copies: usize, operations: Vec<SymmetryOperation>| {
        let origin = |j: usize| input_site[j / copies];
        let n = cell.num_atoms();
        let mut first = std::collections::BTreeMap::new();
        let orbits = (0..n).map(|j| *first.entry(d.orbits[origin(j)]).or_insert(j)).collect();
        Ok::<_, Described>(StandardCell {
            structure: structure_of(cell)?,
            operations,
            orbits,
            wyckoffs: (0..n).map(|j| d.wyckoffs[origin(j)]).collect(),
            site_symmetry: (0..n).map(|j| d.site_symmetry_symbols[origin(j)].clone()).collect(),
        })
    };
    Ok(SymmetryDataset {
        number: d.number as u16,
        hall_number: d.hall_number as u16,
        hall_symbol: entry.hall_symbol.to_string(),
        international: entry.hm_short.replace(' ', ""),
        international_full: entry.hm_full.to_string(),
        point_group: d.arithmetic_crystal_class().geometric_crystal_class.to_string(),
        pearson: d.pearson_symbol.clone(),
        operations: d.operations.iter().map(SymmetryOperation::from_moyo).collect(),
        orbits: d.orbits.clone(),
        wyckoffs: d.wyckoffs.clone(),
        site_symmetry: d.site_symmetry_symbols.clone(),
        conventional: standard(&d.std_cell, copies, operations(false)?)?,
        primitive: standard(&d.prim_std_cell, 1, operations(true)?)?,
        symprec: d.symprec,
    })
}

fn structure_of(cell: &Cell) -> Result<Structure, SymmetryError> {
    let rows: Matrix3<f64> = cell.lattice.basis.transpose();
    let species = cell.numbers.iter().map(|&z| Element::from_z(z)).collect::<Result<_, _>>()?;
    let frac = cell.positions.iter().map(|p| [p.x, p.y, p.z]).collect();
    Ok(Structure::new(Lattice::from_matrix(rows)?, species, frac)?)
}

/// The primitive cell in the standard setting of its space group, sites averaged over the symmetry operations found
/// within `symprec` (Å).
///
/// # Errors
/// As [`analyze`].
pub fn primitive(structure: &Structure, symprec: f64) -> Result<Structure, SymmetryError> {
    Ok(analyze(structure, symprec)?.primitive.structure)
}

/// The conventional cell in the standard setting of its space group, sites averaged over the symmetry operations
/// found within `symprec` (Å).
///
/// # Errors
/// As [`analyze`].
pub fn conventional(structure: &Structure, symprec: f64) -> Result<Structure, SymmetryError> {
    Ok(analyze(structure, symprec)?.conventional.structure)
}
