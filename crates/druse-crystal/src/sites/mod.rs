//! Crystals as a space group, a cell and their symmetrically distinct sites.
//!
//! A [`SymmetricStructure`] has the symmetry of its group by construction: its cell has the free parameters of the
//! lattice system alone, and each site lies exactly on its Wyckoff position, whose orbit is generated.

mod enumerate;
mod error;
mod reduce;
mod settle;
mod template;

use std::fmt;

pub use enumerate::{EnumerateError, EnumerateOptions, Enumeration, count_templates, enumerate_templates};
pub use error::{ReduceError, SiteError};
pub use settle::SettleTolerances;
pub use template::{Template, TemplateError, WyckoffSequence};

use crate::{Composition, Element, Lattice, SpaceGroup, Structure, WyckoffPosition, wrap_unit};

/// Distance (Å) up to which a site is moved onto the position that it is stated to be on.
const ON_POSITION: f64 = 1e-2;
/// Largest relative change of the metric tensor's entries when a cell is made one of the lattice system.
const ON_LATTICE: f64 = 1e-3;

/// One site of each orbit of symmetrically equivalent ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DistinctSite {
    /// Its element.
    pub element: Element,
    /// Letter of its Wyckoff position.
    pub letter: char,
    /// Fractional coordinates in the conventional cell.
    pub frac: [f64; 3],
}

/// A crystal by its space group in the standard setting, its conventional cell and its distinct sites.
///
/// ```
/// use druse_crystal::{DistinctSite, Element, SpaceGroup, SymmetricStructure};
///
/// // Rutile: Ti on 2a, O on 4f (x, x, 0).
/// let group = SpaceGroup::new(136)?;
/// let lattice = group.lattice_system().lattice(&[4.594, 2.959])?;
/// let site = |symbol, letter, parameters: &[f64]| {
///     let frac = group.wyckoff(letter)?.point(parameters);
///     Ok::<_, Box<dyn std::error::Error>>(DistinctSite { element: Element::from_symbol(symbol)?, letter, frac })
/// };
/// let rutile = SymmetricStructure::new(group, &lattice, vec![site("Ti", 'a', &[])?, site("O", 'f', &[0.305])?])?;
/// let cell = rutile.conventional();
/// assert_eq!(cell.len(), 6);
/// assert_eq!(druse_crystal::symmetry::analyze(&cell, 0.01)?.number, 136);
///
/// // And back from the atoms.
/// let found = SymmetricStructure::from_structure(&cell, 0.01)?;
/// assert_eq!(found.template().sequence().canonical().to_string(), "136 f a");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct SymmetricStructure {
    group: &'static SpaceGroup,
    lattice: Lattice,
    sites: Vec<DistinctSite>,
}

impl SymmetricStructure {
    /// A structure from the conventional cell and its distinct sites, made exact: the cell becomes one of the group's
    /// lattice system (a along x, b in the xy plane), each site the equivalent one of its position's own subspace, with
    /// free parameters in [0, 1).
    ///
    /// # Errors
    /// [`SiteError`] when there is no site, the cell is not one of the group's lattice system (within 0.1 % of the
    /// metric), a letter is not one of the group's, a site is farther than 0.01 Å from its position or is as near to a
    /// more special one, or a position without free parameters is taken twice.
    pub fn new(
        group: &'static SpaceGroup,
        lattice: &Lattice,
        sites: Vec<DistinctSite>,
    ) -> Result<Self, SiteError> {
        let lattice = constrained(group, lattice)?;
        let mut exact: Vec<DistinctSite> = Vec::with_capacity(sites.len());
        for (index, site) in sites.into_iter().enumerate() {
            let position = group.wyckoff(site.letter)?;
            if let Some(component) = site.frac.iter().find(|x| !x.is_finite()) {
                return Err(SiteError::NotFinite { site: index, value: *component });
            }
            let (element, letter) = (site.element, site.letter);
            let placed = group.placed_on(position, &lattice, site.frac);
            if placed.distance > ON_POSITION {
                let distance = placed.distance;
                return Err(SiteError::OffPosition { site: index, element, letter, distance });
            }
            let special = group.nearest_position(&lattice, placed.site, ON_POSITION).position;
            if special.multiplicity() < position.multiplicity() {
                return Err(SiteError::MoreSpecial {
                    site: index,
                    element,
                    letter,
                    special: special.letter(),
                });
            }
            if position.is_fixed()
                && let Some(first) = exact.iter().position(|s| s.letter == letter)
            {
                return Err(SiteError::Taken { first, second: index, letter });
            }
            // Wrapped along the subspace: another lattice translation would leave it.
            let parameters: Vec<f64> = position.parameters(placed.site).into_iter().map(wrap_unit).collect();
            exact.push(DistinctSite { frac: position.point(&parameters), ..site });
        }
        if exact.is_empty() {
            return Err(SiteError::Empty);
        }
        Ok(Self { group, lattice, sites: exact })
    }

    /// The space group.
    pub fn group(&self) -> &'static SpaceGroup {
        self.group
    }

    /// The conventional cell.
    pub fn lattice(&self) -> &Lattice {
        &self.lattice
    }

    /// The distinct sites, each on its position's own subspace ([`WyckoffPosition::point`]), so that components may be
    /// outside of [0, 1).
    pub fn sites(&self) -> &[DistinctSite] {
        &self.sites
    }

    /// The Wyckoff position of each site.
    pub fn positions(&self) -> impl Iterator<Item = &'static WyckoffPosition> + '_ {
        self.sites.iter().map(|s| self.group.wyckoff(s.letter).expect("letters were checked"))
    }

    /// The free cell parameters (Å, degrees), as [`LatticeSystem::free_parameters`](crate::LatticeSystem::free_parameters)
    /// lists them.
    pub fn cell_parameters(&self) -> Vec<f64> {
        self.group.lattice_system().free_of(self.lattice.parameters())
    }

    /// Atoms in the conventional cell.
    pub fn num_atoms(&self) -> usize {
        self.positions().map(WyckoffPosition::multiplicity).sum()
    }

    /// Atoms in the primitive cell.
    pub fn num_primitive_atoms(&self) -> usize {
        self.positions().map(WyckoffPosition::primitive_multiplicity).sum()
    }

    /// Atoms of each element in the primitive cell.
    pub fn composition(&self) -> Composition {
        let atoms = self.sites.iter().zip(self.positions());
        Composition::from_counts(atoms.map(|(s, w)| (s.element, w.primitive_multiplicity() as u32)))
    }

    /// All atoms of the conventional cell, orbit by orbit in the order of the sites.
    pub fn conventional(&self) -> Structure {
        self.generate(self.lattice, SpaceGroup::orbit)
    }

    /// All atoms of the primitive cell (see [`Centring::primitive_matrix`](crate::Centring::primitive_matrix)), orbit
    /// by orbit in the order of the sites.
    pub fn primitive(&self) -> Structure {
        let lattice = self.group.centring().primitive_lattice(&self.lattice);
        let lattice = lattice.expect("a primitive cell has a fixed share of the conventional cell's volume");
        self.generate(lattice, SpaceGroup::primitive_orbit)
    }

    fn generate(
        &self,
        lattice: Lattice,
        orbit: impl Fn(&SpaceGroup, &WyckoffPosition, [f64; 3]) -> Vec<[f64; 3]>,
    ) -> Structure {
        let (mut species, mut frac_coords) = (Vec::new(), Vec::new());
        for (site, position) in self.sites.iter().zip(self.positions()) {
            frac_coords.extend(orbit(self.group, position, site.frac));
            species.resize(frac_coords.len(), site.element);
        }
        Structure::new(lattice, species, frac_coords).expect("sites are finite, and there is one at least")
    }
}

/// Group, then each site's element and position: `225 (Fm-3m): Na 4a, Cl 4b`.
impl fmt::Display for SymmetricStructure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.group)?;
        for (i, (site, w)) in self.sites.iter().zip(self.positions()).enumerate() {
            let comma = if i > 0 { "," } else { "" };
            write!(f, "{comma} {} {}{}", site.element, w.multiplicity(), w.letter())?;
        }
        Ok(())
    }
}

/// The cell as one of the group's lattice system, if it is nearly one.
fn constrained(group: &SpaceGroup, lattice: &Lattice) -> Result<Lattice, SiteError> {
    let system = group.lattice_system();
    let misfit = |parameters: [f64; 6]| SiteError::Lattice { system, parameters };
    let constrained = system.constrain(lattice).map_err(|_| misfit(lattice.parameters()))?;
    let metric = |l: &Lattice| l.matrix() * l.matrix().transpose();
    let (before, after) = (metric(lattice), metric(&constrained));
    let fits = (0..9).all(|k| {
        let (i, j) = (k / 3, k % 3);
        (before[(i, j)] - after[(i, j)]).abs() <= ON_LATTICE * (before[(i, i)] * before[(j, j)]).sqrt()
    });
    if fits { Ok(constrained) } else { Err(misfit(lattice.parameters())) }
}
