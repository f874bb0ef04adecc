//! A crystal as the viewer's script takes it.

use druse_crystal::{Composition, Structure};
use serde::Serialize;

use crate::bonds;

/// How an element is drawn.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ElementStyle {
    /// Its symbol; the script has its color (Jmol's) by it.
    pub symbol: &'static str,
    /// Covalent radius (Å).
    pub radius: f64,
    /// Pauling electronegativity; polyhedra are drawn around the less electronegative atoms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub electronegativity: Option<f64>,
}

/// A crystal for `DruseCrystal` (`assets/crystal.js`), which takes it as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crystal {
    /// Reduced formula.
    pub formula: String,
    /// Lattice vectors as rows (Å).
    pub lattice: [[f64; 3]; 3],
    /// The distinct elements, by atomic number.
    pub elements: Vec<ElementStyle>,
    /// Element of each site, as an index into `elements`.
    pub species: Vec<usize>,
    /// Fractional coordinates of each site, in [0, 1].
    pub frac: Vec<[f64; 3]>,
    /// Bonds of the cell, each once: site `i` and the image of site `j` in the cell `(a, b, c)` as `[i, j, a, b, c]`.
    pub bonds: Vec<[i32; 5]>,
    /// The crystal in words, a line each: lattice, then sites.
    pub text: Vec<String>,
}

/// Sites that the text lists.
const LISTED: usize = 200;

/// Rounded to 1e-5, which is below what a picture shows.
fn rounded(x: f64) -> f64 {
    (x * 1e5).round() / 1e5
}

impl Crystal {
    /// What is drawn of a structure.
    pub fn of(structure: &Structure) -> Self {
        let mut distinct = structure.species.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let elements = distinct
            .iter()
            .map(|&e| ElementStyle {
                symbol: e.symbol(),
                radius: bonds::radius(e),
                electronegativity: e.electronegativity(),
            })
            .collect();
        let species =
            structure.species.iter().map(|e| distinct.binary_search(e).unwrap_or_default()).collect();
        Self {
            formula: Composition::from_species(&structure.species).reduced_formula(),
            lattice: structure.lattice.rows().map(|row| row.map(rounded)),
            elements,
            species,
            frac: structure.frac_coords.iter().map(|f| f.map(rounded)).collect(),
            bonds: bonds::bonds(structure),
            text: text(structure),
        }
    }

    /// As JSON.
    pub fn json(&self) -> String {
        // Numbers of a structure are finite and keys are texts: nothing can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// Lengths or angles, equal ones joined: `a = b = 3.0000 Å, c = 5.0000 Å`.
fn joined(names: [&str; 3], values: [f64; 3], unit: &str, decimals: usize) -> String {
    let shown = values.map(|x| format!("{x:.decimals$}"));
    let mut parts: Vec<(String, &str)> = Vec::new();
    for (name, value) in names.iter().zip(&shown) {
        match parts.iter_mut().find(|(_, v)| v == value) {
            Some((all, _)) => *all += &format!(" = {name}"),
            None => parts.push(((*name).to_owned(), value)),
        }
    }
    let parts: Vec<String> = parts.iter().map(|(all, v)| format!("{all} = {v}{unit}")).collect();
    parts.join(", ")
}

/// A structure in words, a line each: lengths, angles, sites.
fn text(structure: &Structure) -> Vec<String> {
    let mut lines = vec![
        joined(["a", "b", "c"], structure.lattice.lengths(), " Å", 4),
        joined(["α", "β", "γ"], structure.lattice.angles(), "°", 2),
    ];
    for (element, [x, y, z]) in structure.species.iter().zip(&structure.frac_coords).take(LISTED) {
        lines.push(format!("{:<2} {x:8.4} {y:8.4} {z:8.4}", element.symbol()));
    }
    if structure.len() > LISTED {
        lines.push(format!("… and {} more sites", structure.len() - LISTED));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use druse_testkit::prototypes::{perovskite, rock_salt};

    #[test]
    fn a_crystal_holds_what_is_drawn() {
        let s = perovskite("Ba", "Ti", "O", 4.0);
        let crystal = Crystal::of(&s);
        assert_eq!(crystal.formula, "BaTiO3");
        let symbols: Vec<&str> = crystal.elements.iter().map(|e| e.symbol).collect();
        assert_eq!(symbols, ["O", "Ti", "Ba"]);
        for (k, &at) in crystal.species.iter().enumerate() {
            assert_eq!(crystal.elements[at].symbol, s.species[k].symbol());
        }
        assert_eq!(crystal.text[..2], ["a = b = c = 4.0000 Å", "α = β = γ = 90.00°"]);
        assert_eq!(crystal.text.len(), 2 + s.len());
        let json: serde_json::Value = serde_json::from_str(&crystal.json()).unwrap();
        assert_eq!(json["lattice"][0][0], 4.0);
        assert_eq!(json["frac"].as_array().unwrap().len(), s.len());
    }

    #[test]
    fn texts_name_equal_lengths_once() {
        assert_eq!(joined(["a", "b", "c"], [3.0, 4.0, 3.0], " Å", 2), "a = c = 3.00 Å, b = 4.00 Å");
        assert!(Crystal::of(&rock_salt("Na", "Cl", 5.64)).text[2].starts_with("Na"));
    }
}
