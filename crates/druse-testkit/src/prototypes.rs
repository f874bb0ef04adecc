//! Crystals known from textbooks, and functions that build more of their kinds.
//!
//! Lengths in Å, angles in degrees. A site is an element's symbol and fractional coordinates.

use druse_crystal::{Element, Lattice, Structure};

/// An element's symbol and fractional coordinates.
pub type Site<'a> = (&'a str, [f64; 3]);

const ORIGIN: [f64; 3] = [0.0; 3];
const CENTER: [f64; 3] = [0.5; 3];
const QUARTER: [f64; 3] = [0.25; 3];
const FACES: [[f64; 3]; 3] = [[0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
const EDGES: [[f64; 3]; 3] = [[0.5, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.5]];

/// The element of a symbol.
///
/// # Panics
///
/// When there is none.
pub fn element(symbol: &str) -> Element {
    Element::from_symbol(symbol).unwrap_or_else(|e| panic!("{e}"))
}

/// A structure of sites in a lattice.
///
/// # Panics
///
/// When a symbol or a coordinate is not valid.
pub fn structure(lattice: Lattice, sites: &[Site<'_>]) -> Structure {
    let species = sites.iter().map(|site| element(site.0)).collect();
    let frac = sites.iter().map(|site| site.1).collect();
    Structure::new(lattice, species, frac).unwrap_or_else(|e| panic!("{sites:?}: {e}"))
}

/// A structure of sites in a cell of six parameters: three lengths, three angles.
///
/// # Panics
///
/// When there is no such cell, or as [`structure`].
pub fn crystal(parameters: [f64; 6], sites: &[Site<'_>]) -> Structure {
    let lattice = Lattice::from_parameters(parameters).unwrap_or_else(|e| panic!("{parameters:?}: {e}"));
    structure(lattice, sites)
}

/// A structure of sites in a cubic cell of edge `a`.
///
/// # Panics
///
/// As [`crystal`].
pub fn cubic(a: f64, sites: &[Site<'_>]) -> Structure {
    structure(Lattice::cubic(a).unwrap_or_else(|e| panic!("{a}: {e}")), sites)
}

/// The primitive cell of a face-centered cubic lattice whose conventional cell has the edge `a`.
///
/// # Panics
///
/// When `a` is not a positive number.
pub fn fcc(a: f64) -> Lattice {
    let h = 0.5 * a;
    Lattice::from_rows([[0.0, h, h], [h, 0.0, h], [h, h, 0.0]]).unwrap_or_else(|e| panic!("{a}: {e}"))
}

/// The four sites that face centering makes of each site of a basis, in the order of the basis.
pub fn face_centered<'a>(basis: &[Site<'a>]) -> Vec<Site<'a>> {
    let centering = [ORIGIN, [0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]];
    let copies = |&(symbol, f): &Site<'a>| {
        centering.map(|t| (symbol, std::array::from_fn::<f64, 3, _>(|c| f[c] + t[c])))
    };
    basis.iter().flat_map(copies).collect()
}

/// Rock salt in its primitive cell; `a` is the edge of the conventional one.
///
/// # Panics
///
/// As [`structure`].
pub fn rock_salt(cation: &str, anion: &str, a: f64) -> Structure {
    structure(fcc(a), &[(cation, ORIGIN), (anion, CENTER)])
}

/// Caesium chloride (B2) in a cube of edge `a`; two equal elements make a body-centered cubic metal.
///
/// # Panics
///
/// As [`structure`].
pub fn cesium_chloride(corner: &str, center: &str, a: f64) -> Structure {
    cubic(a, &[(corner, ORIGIN), (center, CENTER)])
}

/// Zinc blende in its primitive cell, a rhombohedron with angles of 60° and edge `edge`; two equal elements make diamond.
///
/// # Panics
///
/// As [`structure`].
pub fn zinc_blende(cation: &str, anion: &str, edge: f64) -> Structure {
    crystal([edge, edge, edge, 60.0, 60.0, 60.0], &[(cation, ORIGIN), (anion, QUARTER)])
}

/// A cubic perovskite of edge `a`: `corner` at the origin, `center` in the middle, `face` on the faces.
///
/// # Panics
///
/// As [`structure`].
pub fn perovskite(corner: &str, center: &str, face: &str, a: f64) -> Structure {
    let mut sites = vec![(corner, ORIGIN), (center, CENTER)];
    sites.extend(FACES.map(|f| (face, f)));
    cubic(a, &sites)
}

/// Low-temperature quartz (space group P3₂21, nine atoms, Si–O 1.61 Å): without inversion or mirrors.
pub fn quartz() -> Structure {
    let (u, x, y, z, t) = (0.4697, 0.4135, 0.2669, 0.1191, 1.0 / 3.0);
    let sites = [
        ("Si", [u, 0.0, 0.0]),
        ("Si", [0.0, u, 2.0 * t]),
        ("Si", [-u, -u, t]),
        ("O", [x, y, z]),
        ("O", [-y, x - y, z + 2.0 * t]),
        ("O", [y - x, -x, z + t]),
        ("O", [y, x, 2.0 * t - z]),
        ("O", [x - y, -y, -z]),
        ("O", [-x, y - x, t - z]),
    ];
    crystal([4.916, 4.916, 5.4054, 90.0, 90.0, 120.0], &sites)
}

/// Textbook crystals of one to nine atoms, by name: the formula, or the mineral's name where a formula has several forms.
pub fn prototypes() -> Vec<(&'static str, Structure)> {
    let mut all = vec![
        ("Po", cubic(3.35, &[("Po", ORIGIN)])),
        ("Cu", structure(fcc(3.61), &[("Cu", ORIGIN)])),
        ("Fe", cesium_chloride("Fe", "Fe", 2.87)),
        ("diamond", structure(fcc(3.567), &[("C", ORIGIN), ("C", QUARTER)])),
        ("NaCl", rock_salt("Na", "Cl", 5.64)),
    ];
    for (name, a, b, edge) in [
        ("CsCl", "Cs", "Cl", 4.12),
        ("CsBr", "Cs", "Br", 4.29),
        ("CsI", "Cs", "I", 4.57),
        ("TlBr", "Tl", "Br", 3.99),
        ("NiAl", "Ni", "Al", 2.88),
        ("FeTi", "Fe", "Ti", 2.98),
        ("AgMg", "Ag", "Mg", 3.31),
    ] {
        all.push((name, cesium_chloride(a, b, edge)));
    }
    for (name, a, b, edge) in [
        ("ZnS", "Zn", "S", 3.83),
        ("GaAs", "Ga", "As", 4.0),
        ("CuI", "Cu", "I", 4.28),
        ("BN", "B", "N", 2.56),
        ("InP", "In", "P", 4.15),
    ] {
        all.push((name, zinc_blende(a, b, edge)));
    }
    let on_edges = EDGES.map(|f| ("O", f));
    let on_faces = [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]].map(|f| ("Cu", f));
    all.push(("Cu3Au", cubic(3.75, &[&[("Au", ORIGIN)], on_faces.as_slice()].concat())));
    all.push(("ReO3", cubic(3.75, &[&[("Re", ORIGIN)], on_edges.as_slice()].concat())));
    for (name, a, b, edge) in [
        ("SrTiO3", "Sr", "Ti", 3.905),
        ("BaTiO3", "Ba", "Ti", 4.0),
        ("BaZrO3", "Ba", "Zr", 4.19),
        ("KNbO3", "K", "Nb", 4.0),
        ("KTaO3", "K", "Ta", 3.99),
        ("LaAlO3", "La", "Al", 3.79),
        ("NaTaO3", "Na", "Ta", 3.94),
    ] {
        all.push((name, perovskite(a, b, "O", edge)));
    }
    all.push(("quartz", quartz()));
    all
}

/// One of the [`prototypes`].
///
/// # Panics
///
/// When none has this name.
pub fn prototype(name: &str) -> Structure {
    let all = prototypes();
    let names: Vec<_> = all.iter().map(|p| p.0).collect();
    let at = names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("`{name}` is none of {names:?}"));
    all[at].1.clone()
}

#[cfg(test)]
mod tests {
    use druse_crystal::{Composition, symmetry::analyze};

    use super::*;

    #[test]
    fn prototypes_are_what_their_names_say() {
        let all = prototypes();
        for (i, (name, s)) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|p| p.0 != *name), "{name} twice");
            let group = analyze(s, 1e-3).unwrap().number;
            let composition = Composition::from_species(&s.species);
            let (formula, expected) = match *name {
                "Po" => ("Po", 221),
                "Cu" => ("Cu", 225),
                "Fe" => ("Fe", 229),
                "diamond" => ("C", 227),
                "quartz" => ("SiO2", 154),
                "NaCl" => ("NaCl", 225),
                "ZnS" | "GaAs" | "CuI" | "BN" | "InP" => (*name, 216),
                other => (other, 221),
            };
            assert_eq!(group, expected, "{name}");
            let expected = Composition::parse(formula).unwrap();
            assert_eq!(composition.reduced_formula(), expected.reduced_formula(), "{name}");
        }
    }

    #[test]
    fn face_centering_keeps_the_crystal() {
        let conventional = cubic(5.64, &face_centered(&[("Na", ORIGIN), ("Cl", CENTER)]));
        let primitive = prototype("NaCl");
        assert_eq!(conventional.len(), 4 * primitive.len());
        assert!((conventional.lattice.volume() - 4.0 * primitive.lattice.volume()).abs() < 1e-9);
        assert_eq!(analyze(&conventional, 1e-3).unwrap().number, 225);
    }
}
