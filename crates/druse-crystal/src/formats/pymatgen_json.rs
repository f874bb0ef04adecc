//! pymatgen's JSON: `Structure.as_dict()`, one object or an array of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{FormatError, FormatErrorKind};
use super::site::{self, MAX_SITES};
use super::species::SpeciesReader;
use super::{CoincidentSites, Parsed, Warning, WarningKind};
use crate::{Lattice, Structure, StructureError};

#[derive(Deserialize)]
struct Dict {
    lattice: Option<LatticeDict>,
    #[serde(default)]
    sites: Vec<SiteDict>,
    #[serde(default)]
    properties: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    charge: Option<f64>,
}

#[derive(Deserialize)]
struct LatticeDict {
    matrix: [[f64; 3]; 3],
    #[serde(default)]
    pbc: Option<[bool; 3]>,
}

#[derive(Deserialize)]
struct SiteDict {
    species: Vec<SpeciesDict>,
    abc: [f64; 3],
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct SpeciesDict {
    element: String,
    occu: f64,
}

/// Reads one structure or an array of them. Oxidation states and site properties are not kept.
pub(super) fn read(text: &str, coincident: CoincidentSites) -> Result<Vec<Parsed>, FormatError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err(FormatError::whole(FormatErrorKind::NoStructure("the file is empty".into())));
    }
    let document: Value = serde_json::from_str(text).map_err(|e| {
        let kind = if e.is_eof() {
            FormatErrorKind::Truncated(format!("JSON: {e}"))
        } else {
            FormatErrorKind::Syntax(format!("JSON: {e}"))
        };
        FormatError::at(e.line(), kind)
    })?;
    let (many, values) = match document {
        Value::Array(values) => (true, values),
        one => (false, vec![one]),
    };
    if values.is_empty() {
        return Err(FormatError::whole(FormatErrorKind::NoStructure("the array is empty".into())));
    }
    let read = |(i, value)| {
        structure(value, coincident).map_err(|kind| {
            let kind = if many { FormatErrorKind::Entry { index: i, kind: Box::new(kind) } } else { kind };
            FormatError::whole(kind)
        })
    };
    values.into_iter().enumerate().map(read).collect()
}

fn structure(value: Value, coincident: CoincidentSites) -> Result<Parsed, FormatErrorKind> {
    if !value.is_object() {
        return Err(FormatErrorKind::Syntax(
            "expected a JSON object as `Structure.as_dict()` gives it".into(),
        ));
    }
    let dict: Dict = serde_json::from_value(value)
        .map_err(|e| FormatErrorKind::Syntax(format!("not a pymatgen structure: {e}")))?;
    let lattice = dict.lattice.ok_or_else(|| {
        FormatErrorKind::Missing("`lattice` (a molecule is no crystal; `Structure.as_dict()` has one)".into())
    })?;
    if lattice.pbc.is_some_and(|pbc| pbc != [true; 3]) {
        let message = "only structures periodic in all directions are read".into();
        return Err(FormatErrorKind::Unsupported(message));
    }
    let lattice = Lattice::from_rows(lattice.matrix)?;
    if dict.sites.len() > MAX_SITES {
        return Err(FormatErrorKind::TooManySites);
    }
    let mut reader = SpeciesReader::default();
    let (mut species, mut coords, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (i, s) in dict.sites.into_iter().enumerate() {
        let label = match s.label {
            Some(label) if !label.is_empty() => label,
            _ => s.species.first().map_or_else(|| format!("site {i}"), |sp| sp.element.clone()),
        };
        let [only] = s.species.as_slice() else {
            let elements: Vec<&str> = s.species.iter().map(|sp| sp.element.as_str()).collect();
            return Err(FormatErrorKind::PartialOccupancy {
                site: label,
                element: elements.join(" and "),
                occupancy: s.species.first().map_or(0.0, |sp| sp.occu),
            });
        };
        let element = reader.species(&only.element, &label)?;
        site::check_occupancy(only.occu, element, &label)?;
        species.push(element);
        coords.push(s.abc);
        labels.push(label);
    }
    let mut structure = match Structure::new(lattice, species, coords) {
        Ok(structure) => structure,
        Err(StructureError::Empty) => {
            return Err(FormatErrorKind::NoStructure("`sites` is empty".into()));
        }
        Err(e) => return Err(e.into()),
    };
    site::check_coincident(&structure, coincident, |i| format!("{} (site {i})", labels[i]), |_| None)
        .map_err(|e| e.kind)?;
    structure.labels = labels;
    structure.properties = dict.properties.unwrap_or_default();
    let mut warnings = Vec::new();
    if dict.charge.is_some_and(|c| c != 0.0) {
        warnings.push(Warning::new(WarningKind::NotKept, "the charge of the structure was not kept"));
    }
    reader.warnings(&mut warnings);
    let name = structure.properties.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Parsed { structure, name, warnings })
}

/// The structure as pymatgen's `Structure.from_dict` reads it, in one line. A name becomes the property `name`.
pub(super) fn write(structure: &Structure, name: &str) -> String {
    let lattice = &structure.lattice;
    let ([a, b, c], [alpha, beta, gamma]) = (lattice.lengths(), lattice.angles());
    let labeled = structure.labels.len() == structure.len();
    let sites: Vec<Value> = (0..structure.len())
        .map(|i| {
            let element = structure.species[i].symbol();
            let label = if labeled { structure.labels[i].as_str() } else { element };
            json!({
                "species": [{"element": element, "occu": 1}],
                "abc": structure.frac_coords[i],
                "xyz": lattice.to_cartesian(structure.frac_coords[i]),
                "properties": {},
                "label": label,
            })
        })
        .collect();
    let mut properties = structure.properties.clone();
    if !name.is_empty() {
        properties.insert("name".into(), name.into());
    }
    let mut text = json!({
        "@module": "pymatgen.core.structure",
        "@class": "Structure",
        "charge": 0,
        "lattice": {
            "matrix": lattice.rows(), "pbc": [true, true, true],
            "a": a, "b": b, "c": c, "alpha": alpha, "beta": beta, "gamma": gamma, "volume": lattice.volume(),
        },
        "properties": properties,
        "sites": sites,
    })
    .to_string();
    text.push('\n');
    text
}
