//! The 230 space groups in their standard setting: operations, centring, Wyckoff positions.

mod centring;
mod exact;
mod lattice_system;
mod nearest;
mod normalizer;
mod wyckoff;

use std::fmt;
use std::sync::{Arc, OnceLock};

use moyo::data::{
    Setting, arithmetic_crystal_class_entry, hall_symbol_entry, iter_wyckoff_positions_from_hall_number,
    operations_from_number,
};

pub use centring::Centring;
use exact::ExactOperation;
pub use lattice_system::LatticeSystem;
pub(crate) use nearest::ImageTolerance;
pub use nearest::PlacedPoint;
pub use normalizer::Normalizer;
pub use wyckoff::WyckoffPosition;

use crate::{SymmetryOperation, wrap_unit};

/// Number of space groups.
const COUNT: u16 = 230;
/// Translations (fractional) of found operations closer than this to a tabulated one are that one.
const SAME_TRANSLATION: f64 = 0.02;

/// A space group or Wyckoff position that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpaceGroupError {
    /// No space group has this number.
    #[error("there is no space group {0}; the numbers are 1 to 230")]
    Number(u16),
    /// The space group lacks this Wyckoff position.
    #[error("space group {number} ({symbol}) has no Wyckoff position `{letter}`; it has {letters}")]
    Letter {
        /// The letter asked for.
        letter: char,
        /// Number of the group.
        number: u16,
        /// Short Hermann–Mauguin symbol.
        symbol: String,
        /// Its positions with their multiplicities: `4a, 4b, 8c`.
        letters: String,
    },
}

/// A space group in the standard setting, which is that of [`symmetry::analyze`](crate::symmetry::analyze): unique
/// axis b and cell choice 1 (monoclinic), hexagonal axes (rhombohedral), origin choice 2 (centrosymmetric groups).
///
/// Operations and Wyckoff positions come from `moyo`'s tables of the International Tables for Crystallography, volume
/// A. All translations are multiples of 1/24, correctly rounded.
#[derive(Debug)]
pub struct SpaceGroup {
    number: u16,
    hall_number: u16,
    hall_symbol: &'static str,
    symbol: String,
    full_symbol: &'static str,
    point_group: String,
    lattice_system: LatticeSystem,
    centring: Centring,
    operations: Vec<SymmetryOperation>,
    primitive_operations: Vec<SymmetryOperation>,
    inverses: Vec<usize>,
    wyckoff: Vec<WyckoffPosition>,
    normalizer: OnceLock<Normalizer>,
}

impl SpaceGroup {
    /// The space group with this number of the International Tables. Built when first asked for, then kept.
    ///
    /// # Errors
    /// [`SpaceGroupError::Number`] outside 1 to 230.
    pub fn new(number: u16) -> Result<&'static Self, SpaceGroupError> {
        static GROUPS: [OnceLock<SpaceGroup>; COUNT as usize] = [const { OnceLock::new() }; COUNT as usize];
        let slot = usize::from(number).checked_sub(1).and_then(|i| GROUPS.get(i));
        let slot = slot.ok_or(SpaceGroupError::Number(number))?;
        Ok(slot.get_or_init(|| Self::build(number)))
    }

    /// All 230, by number.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        (1..=COUNT).filter_map(|number| Self::new(number).ok())
    }

    fn build(number: u16) -> Self {
        let hall_number = Setting::Standard.hall_number(number.into()).expect("number is 1 to 230");
        let entry = hall_symbol_entry(hall_number).expect("the standard setting is tabulated");
        let class = arithmetic_crystal_class_entry(entry.arithmetic_number).expect("the class is tabulated");
        let centring = Centring::of(entry.centering).expect("no standard setting is B-centred");
        let setting = Setting::HallNumber(hall_number);
        let all = operations_from_number(number.into(), setting, false).expect("the Hall symbol is valid");
        // Centring-major: the operations up to lattice translations come first.
        let order = all.len() / centring.order();
        let point: Arc<[ExactOperation]> = all[..order].iter().map(ExactOperation::of).collect();
        let operations = centring
            .translations_24ths()
            .iter()
            .flat_map(|t| point.iter().map(|op| op.translated(*t).operation()))
            .collect();
        let inverse = |op: &ExactOperation| {
            let rotation = op.inverse_rotation();
            point.iter().position(|other| other.rotation == rotation).expect("a group has inverses")
        };
        let positions = iter_wyckoff_positions_from_hall_number(hall_number);
        let mut wyckoff: Vec<_> = positions.map(|w| WyckoffPosition::new(w, centring, &point)).collect();
        // The table begins with the general position.
        wyckoff.reverse();
        Self {
            number,
            hall_number: hall_number as u16,
            hall_symbol: entry.hall_symbol,
            symbol: entry.hm_short.replace(' ', ""),
            full_symbol: entry.hm_full,
            point_group: class.geometric_crystal_class.to_string(),
            lattice_system: LatticeSystem::of_number(number).expect("number is 1 to 230"),
            centring,
            operations,
            primitive_operations: point.iter().map(|op| primitive(op, centring).operation()).collect(),
            inverses: point.iter().map(inverse).collect(),
            wyckoff,
            normalizer: OnceLock::new(),
        }
    }

    /// Number in the International Tables, 1 to 230.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Serial number of the Hall symbol of the setting, 1 to 530.
    pub fn hall_number(&self) -> u16 {
        self.hall_number
    }

    /// Hall symbol of the setting (`-P 4 2 3`).
    pub fn hall_symbol(&self) -> &'static str {
        self.hall_symbol
    }

    /// Short Hermann–Mauguin symbol (`Fd-3m`), as [`SymmetryDataset`](crate::SymmetryDataset) spells it.
    pub fn symbol(&self) -> &str {
        &self.symbol
    }

    /// Full Hermann–Mauguin symbol of the setting, symbols apart (`C 1 2/c 1`).
    pub fn full_symbol(&self) -> &'static str {
        self.full_symbol
    }

    /// Hermann–Mauguin symbol of the point group (`m-3m`).
    pub fn point_group(&self) -> &str {
        &self.point_group
    }

    /// Which cell parameters are free.
    pub fn lattice_system(&self) -> LatticeSystem {
        self.lattice_system
    }

    /// Centring of the conventional cell, with the primitive cell.
    pub fn centring(&self) -> Centring {
        self.centring
    }

    /// Number of operations in the primitive cell, which is that of the point group.
    pub fn order(&self) -> usize {
        self.primitive_operations.len()
    }

    /// All operations in fractional coordinates of the conventional cell. The first [`Self::order`] are one of each
    /// rotation, beginning with the identity; then come the same with each further centring translation.
    pub fn operations(&self) -> &[SymmetryOperation] {
        &self.operations
    }

    /// The operations in fractional coordinates of the primitive cell (see [`Centring::primitive_matrix`]), in the
    /// order of the first ones of [`Self::operations`].
    pub fn primitive_operations(&self) -> &[SymmetryOperation] {
        &self.primitive_operations
    }

    /// Index of the inverse of the primitive cell's operation `index`, up to a lattice translation.
    ///
    /// # Panics
    /// When there is no such operation.
    pub fn inverse(&self, index: usize) -> usize {
        self.inverses[index]
    }

    /// The Wyckoff positions, `a` first, the general position last.
    pub fn wyckoff_positions(&self) -> &[WyckoffPosition] {
        &self.wyckoff
    }

    /// The general position.
    pub fn general_position(&self) -> &WyckoffPosition {
        self.wyckoff.last().expect("every group has a general position")
    }

    /// The Wyckoff position with this letter.
    ///
    /// # Errors
    /// [`SpaceGroupError::Letter`], which lists the group's positions.
    pub fn wyckoff(&self, letter: char) -> Result<&WyckoffPosition, SpaceGroupError> {
        self.wyckoff.iter().find(|w| w.letter() == letter).ok_or_else(|| {
            let letters = self.wyckoff.iter().map(|w| format!("{}{}", w.multiplicity(), w.letter()));
            SpaceGroupError::Letter {
                letter,
                number: self.number,
                symbol: self.symbol.clone(),
                letters: letters.collect::<Vec<_>>().join(", "),
            }
        })
    }

    /// The motions that leave the setting as it is. Found when first asked for, then kept.
    pub fn normalizer(&self) -> &Normalizer {
        self.normalizer.get_or_init(|| Normalizer::of(self))
    }

    /// Whether all of the group's operations are among these, which are given in its conventional cell: whether the
    /// group that was found there ([`SymmetryDataset::operations`](crate::SymmetryDataset::operations)) is this one or
    /// a supergroup of it. Translations may differ by 0.02 of an edge.
    pub fn is_contained_in(&self, operations: &[SymmetryOperation]) -> bool {
        are_among(self.operations(), operations)
    }

    /// As [`SpaceGroup::is_contained_in`], for operations in its primitive cell.
    pub fn is_contained_in_primitive(&self, operations: &[SymmetryOperation]) -> bool {
        are_among(self.primitive_operations(), operations)
    }

    /// The orbit, in the conventional cell, of a point of the position's subspace: [`WyckoffPosition::multiplicity`]
    /// points in [0, 1), the point itself first. Points of an orbit coincide where the point has a higher site
    /// symmetry than the position.
    pub fn orbit(&self, position: &WyckoffPosition, frac: [f64; 3]) -> Vec<[f64; 3]> {
        let order = self.order();
        (0..self.centring.order())
            .flat_map(|c| position.representatives().iter().map(move |k| c * order + k))
            .map(|k| self.operations[k].apply(frac).map(wrap_unit))
            .collect()
    }

    /// The orbit in the primitive cell, in its fractional coordinates, of a point of the position's subspace, which is
    /// given in those of the conventional cell.
    pub fn primitive_orbit(&self, position: &WyckoffPosition, frac: [f64; 3]) -> Vec<[f64; 3]> {
        let images = position.representatives().iter().map(|&k| self.operations[k].apply(frac));
        images.map(|f| self.centring.to_primitive(f).map(wrap_unit)).collect()
    }
}

/// Whether each of `wanted` is among `found`, translations within 0.02 of an edge.
fn are_among(wanted: &[SymmetryOperation], found: &[SymmetryOperation]) -> bool {
    wanted.iter().all(|op| {
        found.iter().filter(|found| found.rotation == op.rotation).any(|found| {
            op.translation.iter().zip(found.translation).all(|(a, b)| {
                let d = a - b;
                (d - d.round()).abs() < SAME_TRANSLATION
            })
        })
    })
}

/// The same operation on coordinates of the primitive cell: R' = C⁻ᵀ R Cᵀ, t' = C⁻ᵀ t.
fn primitive(op: &ExactOperation, centring: Centring) -> ExactOperation {
    let (to_primitive, to_conventional) =
        (centring.conventional_matrix().transpose(), centring.primitive_matrix().transpose());
    let rotation = to_primitive.map(f64::from) * op.rotation_f64() * to_conventional;
    ExactOperation {
        rotation: std::array::from_fn(|i| std::array::from_fn(|j| rotation[(i, j)].round() as i32)),
        translation: centring.to_primitive_24ths(op.translation).map(|x| x.rem_euclid(24)),
    }
}

/// Number and symbol: `225 (Fm-3m)`.
impl fmt::Display for SpaceGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.number, self.symbol)
    }
}

/// There is one space group of each number.
impl PartialEq for SpaceGroup {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for SpaceGroup {}
