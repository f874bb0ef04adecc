//! What a crystal is asked to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use druse_crystal::{Composition, Element};

/// A site that the crystal shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Its element.
    pub element: Element,
    /// Letter of its Wyckoff position in the space group that is asked for. Where a space group is asked for, a site stands
    /// for its whole orbit, and without a letter it may be anywhere; without a space group it is one atom of the cell.
    pub wyckoff: Option<char>,
}

/// What a sampled crystal has to satisfy: all that is given, together. Nothing given: the model draws everything.
///
/// ```
/// use druse_crystal::Composition;
/// use druse_models::{Condition, Conditions};
///
/// let conditions = Conditions::from(Composition::parse("SrTiO3")?).and_space_group(221);
/// assert_eq!(conditions.kinds().to_string(), "composition + space group");
/// assert!(Conditions::default().kinds().is_empty());
/// assert!(conditions.kinds().contains(Condition::SpaceGroup));
/// # Ok::<(), druse_crystal::FormulaError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Conditions {
    /// The atoms of the cell, all of them.
    pub composition: Option<Composition>,
    /// Number of atoms of the cell.
    pub num_atoms: Option<usize>,
    /// The elements that the crystal is made of, all of them.
    pub chemical_system: Option<BTreeSet<Element>>,
    /// Number of the space group, 1 to 230.
    pub space_group: Option<u16>,
    /// The sites, in the order in which the structure lists them.
    pub sites: Option<Vec<Site>>,
    /// Values that properties shall have, by their name, in the unit of the model's training data.
    pub properties: BTreeMap<String, f64>,
    /// A point of the model's latent space.
    pub latent: Option<Vec<f32>>,
}

impl From<Composition> for Conditions {
    fn from(composition: Composition) -> Self {
        Self { composition: Some(composition), ..Self::default() }
    }
}

impl Conditions {
    /// The crystal at a point of the model's latent space.
    pub fn latent(latent: Vec<f32>) -> Self {
        Self { latent: Some(latent), ..Self::default() }
    }

    /// With so many atoms.
    #[must_use]
    pub fn and_num_atoms(self, num_atoms: usize) -> Self {
        Self { num_atoms: Some(num_atoms), ..self }
    }

    /// With these atoms, one site each, in this order.
    #[must_use]
    pub fn and_species(self, species: impl IntoIterator<Item = Element>) -> Self {
        let sites = species.into_iter().map(|element| Site { element, wyckoff: None }).collect();
        Self { sites: Some(sites), ..self }
    }

    /// With these sites.
    #[must_use]
    pub fn and_sites(self, sites: Vec<Site>) -> Self {
        Self { sites: Some(sites), ..self }
    }

    /// In this space group.
    #[must_use]
    pub fn and_space_group(self, number: u16) -> Self {
        Self { space_group: Some(number), ..self }
    }

    /// Of these elements.
    #[must_use]
    pub fn and_chemical_system(self, elements: BTreeSet<Element>) -> Self {
        Self { chemical_system: Some(elements), ..self }
    }

    /// With a value of a property.
    #[must_use]
    pub fn and_property(mut self, name: impl Into<String>, value: f64) -> Self {
        self.properties.insert(name.into(), value);
        self
    }

    /// Which kinds of conditions are given.
    pub fn kinds(&self) -> ConditionSet {
        let given = [
            (Condition::Composition, self.composition.is_some()),
            (Condition::NumAtoms, self.num_atoms.is_some()),
            (Condition::ChemicalSystem, self.chemical_system.is_some()),
            (Condition::SpaceGroup, self.space_group.is_some()),
            (Condition::Sites, self.sites.is_some()),
            (Condition::Properties, !self.properties.is_empty()),
            (Condition::Latent, self.latent.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(kind, _)| kind).collect()
    }

    /// The sites, where each is one atom of the cell.
    fn atoms_of_sites(&self) -> Option<&[Site]> {
        let sites = self.sites.as_ref().filter(|_| self.space_group.is_none())?;
        sites.iter().all(|site| site.wyckoff.is_none()).then_some(sites)
    }

    /// The species of the atoms, where sites that are one atom each or a composition give them.
    pub fn species(&self) -> Option<Vec<Element>> {
        match (self.atoms_of_sites(), &self.composition) {
            (Some(sites), _) => Some(sites.iter().map(|site| site.element).collect()),
            (_, Some(composition)) => Some(composition.atoms()),
            _ => None,
        }
    }

    /// Every element that is named.
    pub fn elements(&self) -> BTreeSet<Element> {
        let composition = self.composition.iter().flat_map(Composition::elements);
        let sites = self.sites.iter().flatten().map(|site| site.element);
        composition.chain(sites).chain(self.chemical_system.iter().flatten().copied()).collect()
    }

    /// Number of atoms of the cell, where it is given in some form.
    pub fn atoms(&self) -> Option<usize> {
        let composition = || self.composition.as_ref().map(Composition::num_atoms);
        self.num_atoms.or_else(composition).or_else(|| self.atoms_of_sites().map(<[Site]>::len))
    }
}

/// A kind of condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Condition {
    /// The atoms of the cell.
    Composition,
    /// How many atoms the cell has.
    NumAtoms,
    /// The elements of the crystal.
    ChemicalSystem,
    /// The space group.
    SpaceGroup,
    /// The sites.
    Sites,
    /// Values of properties.
    Properties,
    /// A point of the latent space.
    Latent,
}

impl Condition {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Composition,
        Self::NumAtoms,
        Self::ChemicalSystem,
        Self::SpaceGroup,
        Self::Sites,
        Self::Properties,
        Self::Latent,
    ];

    /// What it is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Composition => "composition",
            Self::NumAtoms => "number of atoms",
            Self::ChemicalSystem => "chemical system",
            Self::SpaceGroup => "space group",
            Self::Sites => "sites",
            Self::Properties => "properties",
            Self::Latent => "latent",
        }
    }
}

/// Kinds of conditions that are given together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConditionSet(u8);

impl ConditionSet {
    /// No condition: the model draws everything.
    pub const NONE: Self = Self(0);

    /// These kinds together.
    pub const fn of(kinds: &[Condition]) -> Self {
        let (mut bits, mut i) = (0, 0);
        while i < kinds.len() {
            bits |= 1 << kinds[i] as u8;
            i += 1;
        }
        Self(bits)
    }

    /// Whether a kind is among them.
    pub fn contains(self, kind: Condition) -> bool {
        self.0 & (1 << kind as u8) != 0
    }

    /// Whether nothing is given.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The kinds, in a fixed order.
    pub fn iter(self) -> impl Iterator<Item = Condition> {
        Condition::ALL.into_iter().filter(move |&kind| self.contains(kind))
    }
}

impl FromIterator<Condition> for ConditionSet {
    fn from_iter<I: IntoIterator<Item = Condition>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |bits, kind| bits | 1 << kind as u8))
    }
}

impl fmt::Display for ConditionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        let names: Vec<&str> = self.iter().map(Condition::name).collect();
        f.write_str(&names.join(" + "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_kinds_have_words_and_an_order() {
        let both = ConditionSet::of(&[Condition::Latent, Condition::NumAtoms]);
        assert_eq!(both.to_string(), "number of atoms + latent");
        assert_eq!(both, [Condition::NumAtoms, Condition::Latent].into_iter().collect());
        assert_eq!(ConditionSet::NONE.to_string(), "nothing");
    }
}
