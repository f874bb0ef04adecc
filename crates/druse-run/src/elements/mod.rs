//! Crystals of the elements: terminal phases of phase diagrams that are computed with a potential.
//!
//! They are starting points; which is lowest, and where it comes to rest, is for the potential to say.

use std::sync::LazyLock;

use druse_crystal::{DistinctSite, Element, Lattice, SpaceGroup, Structure, SymmetricStructure};

const TABLE: &str = include_str!("structures.txt");
/// Elements that no dense packing is tried for: molecules, networks, noble gases.
const NO_METALS: [&str; 21] = [
    "H", "He", "B", "C", "N", "O", "F", "Ne", "Si", "P", "S", "Cl", "Ar", "Ge", "As", "Se", "Br", "Kr", "Te",
    "I", "Xe",
];
/// Ratio of the axes of the ideal hexagonal packing.
const IDEAL: f64 = 1.632_993_161_855_452;

/// A crystal of one element.
#[derive(Debug, Clone, PartialEq)]
pub struct ElementStructure {
    /// The element.
    pub element: Element,
    /// Name of the form: `bcc`, `alpha`, `graphite` …
    pub name: &'static str,
    /// The primitive cell.
    pub structure: Structure,
}

static ALL: LazyLock<Vec<ElementStructure>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let mut all: Vec<ElementStructure> = lines
        .map(|line| read(line).unwrap_or_else(|| panic!("`{line}` is no crystal of an element: a bug")))
        .collect();
    let known: Vec<ElementStructure> = all.clone();
    let mut before = None;
    for first in &known {
        // The first form of an element gives the volume.
        if before.replace(first.element) != Some(first.element)
            && !NO_METALS.contains(&first.element.symbol())
        {
            let volume = first.structure.lattice.volume() / first.structure.len() as f64;
            let there = |name: &str| known.iter().any(|k| k.element == first.element && k.name == name);
            all.extend(packings(first.element, volume).into_iter().filter(|packing| !there(packing.name)));
        }
    }
    all.sort_by_key(|s| s.element);
    all
});

/// The crystals of an element; none for those that no crystal is known of.
pub fn structures(element: Element) -> impl Iterator<Item = &'static ElementStructure> {
    ALL.iter().filter(move |s| s.element == element)
}

/// The three simple packings at a volume of an atom (Å³).
fn packings(element: Element, volume: f64) -> Vec<ElementStructure> {
    let cubic = |group, atoms: f64| crystal(element, group, &[(atoms * volume).cbrt()], &[('a', &[])]);
    let a = (2.0 * volume * 2.0 / 3f64.sqrt() / IDEAL).cbrt();
    let hexagonal = crystal(element, 194, &[a, IDEAL * a], &[('c', &[])]);
    let named = |(name, structure): (&'static str, Option<Structure>)| {
        Some(ElementStructure { element, name, structure: structure? })
    };
    [("fcc", cubic(225, 4.0)), ("bcc", cubic(229, 2.0)), ("hcp", hexagonal)]
        .into_iter()
        .filter_map(named)
        .collect()
}

/// A line of the table.
fn read(line: &'static str) -> Option<ElementStructure> {
    let mut fields = line.split_whitespace();
    let element = Element::from_symbol(fields.next()?).ok()?;
    let (name, group) = (fields.next()?, fields.next()?.parse().ok()?);
    let (mut cell, mut sites): (Vec<f64>, Vec<(char, Vec<f64>)>) = (Vec::new(), Vec::new());
    for field in fields {
        match field.parse() {
            Ok(number) => cell.push(number),
            Err(_) => {
                let (letter, numbers) = field.split_once(':').unwrap_or((field, ""));
                let numbers = numbers.split(',').filter(|n| !n.is_empty()).map(|n| n.parse().ok());
                sites.push((letter.parse().ok()?, numbers.collect::<Option<_>>()?));
            }
        }
    }
    let sites: Vec<(char, &[f64])> = sites.iter().map(|(letter, free)| (*letter, free.as_slice())).collect();
    Some(ElementStructure { element, name, structure: crystal(element, group, &cell, &sites)? })
}

fn crystal(element: Element, group: u16, cell: &[f64], sites: &[(char, &[f64])]) -> Option<Structure> {
    let group = SpaceGroup::new(group).ok()?;
    let lattice: Lattice = group.lattice_system().lattice(cell).ok()?;
    let site = |(letter, free): &(char, &[f64])| {
        Some(DistinctSite { element, letter: *letter, frac: group.wyckoff(*letter).ok()?.point(free) })
    };
    let sites = sites.iter().map(site).collect::<Option<Vec<_>>>()?;
    Some(SymmetricStructure::new(group, &lattice, sites).ok()?.primitive())
}

#[cfg(test)]
mod tests {
    use druse_crystal::{k_nearest, symmetry};

    use super::*;

    fn all_of(symbol: &str) -> Vec<&'static ElementStructure> {
        structures(Element::from_symbol(symbol).unwrap()).collect()
    }

    /// Distance of the nearest neighbors over all atoms, the smallest and the largest.
    fn bonds(structure: &Structure) -> (f64, f64) {
        let list = k_nearest(&structure.lattice, &structure.frac_coords, 1).unwrap();
        let nearest = |i| list.of(i).iter().map(|n| n.distance).fold(f64::INFINITY, f64::min);
        (0..list.len()).map(nearest).fold((f64::INFINITY, 0.0), |(a, b), d| (a.min(d), b.max(d)))
    }

    #[test]
    fn all_elements_but_some_radioactive_ones_have_a_crystal() {
        let none: Vec<&str> =
            Element::all().take(96).filter(|e| structures(*e).next().is_none()).map(|e| e.symbol()).collect();
        assert_eq!(none, ["At", "Rn", "Fr"]);
        let names = |symbol: &str| all_of(symbol).iter().map(|s| s.name).collect::<Vec<_>>();
        assert_eq!(names("C"), ["graphite", "diamond"]);
        assert_eq!(names("Fe"), ["bcc", "fcc", "hcp"]);
        assert_eq!(names("Mn"), ["alpha", "fcc", "bcc", "hcp"]);
    }

    #[test]
    fn atoms_keep_the_distances_of_their_elements() {
        for crystal in ALL.iter() {
            let (low, high) = bonds(&crystal.structure);
            let what = format!("{} {}: {low:.3} to {high:.3} Å", crystal.element, crystal.name);
            if let Some(radius) = crystal.element.covalent_radius()
                && !["He", "Ne", "Ar", "Kr", "Xe"].contains(&crystal.element.symbol())
            {
                let bond = 2.0 * radius;
                assert!(low > 0.6 * bond && high < 1.6 * bond, "{what}, twice the radius is {bond:.2}");
            }
            assert!(low > 0.7 && high < 5.5, "{what}");
        }
    }

    #[test]
    fn molecules_and_rings_have_their_bonds() {
        for (symbol, bond, tolerance) in [
            ("H", 0.74, 0.03),
            ("N", 1.10, 0.03),
            ("O", 1.21, 0.12),
            ("F", 1.42, 0.1),
            ("Cl", 1.99, 0.1),
            ("Br", 2.28, 0.1),
            ("I", 2.72, 0.1),
            ("S", 2.05, 0.05),
            ("P", 2.22, 0.05),
            ("Se", 2.37, 0.05),
            ("Te", 2.83, 0.05),
            ("B", 1.75, 0.12),
            ("Si", 2.35, 0.02),
        ] {
            for crystal in all_of(symbol) {
                let (low, high) = bonds(&crystal.structure);
                let near = |d: f64| (d - bond).abs() < tolerance;
                assert!(near(low) && near(high), "{symbol} {}: {low:.3} to {high:.3} Å", crystal.name);
            }
        }
        // Every atom of sulfur and selenium has two bonds, of phosphorus three.
        for (symbol, reach, count) in [("S", 2.3, 2), ("Se", 2.6, 2), ("P", 2.5, 3)] {
            let crystal = &all_of(symbol)[0].structure;
            let list = druse_crystal::within_cutoff(&crystal.lattice, &crystal.frac_coords, reach).unwrap();
            assert!((0..list.len()).all(|i| list.of(i).len() == count), "{symbol}");
        }
    }

    #[test]
    fn packings_have_their_symmetry_and_volume() {
        for (symbol, name, number) in
            [("Fe", "bcc", 229), ("Fe", "fcc", 225), ("Mn", "alpha", 217), ("S", "alpha", 70)]
        {
            let found = all_of(symbol).into_iter().find(|s| s.name == name).unwrap();
            assert_eq!(symmetry::analyze(&found.structure, 0.01).unwrap().number, number, "{symbol} {name}");
        }
        let volumes: Vec<f64> =
            all_of("Fe").iter().map(|s| s.structure.lattice.volume() / s.structure.len() as f64).collect();
        assert!(volumes.iter().all(|v| (v - volumes[0]).abs() < 1e-9), "{volumes:?}");
        let sulfur = all_of("S")[0];
        assert_eq!((sulfur.structure.len(), all_of("Mn")[0].structure.len()), (32, 29));
    }
}
