//! pymatgen's JSON: `Structure.as_dict()`, one object or an array of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::error::{FormatError, FormatErrorKind};
use super::site::{self, MAX_SITES};
use super::species::{SpeciesReader, merged, symbol};
use super::{CoincidentSites, Parsed, Warning, WarningKind};
use crate::{Element, Lattice, Structure, StructureError};

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

/// The vectors, or lengths (Å) and angles (degrees).
#[derive(Deserialize)]
struct LatticeDict {
    #[serde(default)]
    matrix: Option<[[f64; 3]; 3]>,
    #[serde(default)]
    pbc: Option<[bool; 3]>,
    a: Option<f64>,
    b: Option<f64>,
    c: Option<f64>,
    alpha: Option<f64>,
    beta: Option<f64>,
    gamma: Option<f64>,
}

#[derive(Deserialize)]
struct SiteDict {
    species: Vec<SpeciesDict>,
    /// Fractional coordinates, or
    #[serde(default)]
    abc: Option<[f64; 3]>,
    /// Cartesian ones (Å).
    #[serde(default)]
    xyz: Option<[f64; 3]>,
    #[serde(default)]
    label: Option<String>,
}

#[derive(Deserialize)]
struct SpeciesDict {
    element: String,
    #[serde(default = "one")]
    occu: f64,
}

fn one() -> f64 {
    1.0
}

/// Whether a text begins like JSON.
pub(super) fn recognize(head: &str) -> bool {
    head.trim_start().starts_with(['{', '['])
}

/// The value with plain numbers and lists in place of those that programs wrap in objects: numpy arrays and scalars as
/// monty writes them (`{"@module": "numpy", "@class": "array", "data": […]}`), numbers of MongoDB's exports
/// (`{"$numberDouble": "1.5"}`), identifiers of the Materials Project (`{"@class": "MPID", "string": "mp-149"}`).
pub fn plain_json(value: Value) -> Value {
    match value {
        Value::Array(list) => Value::Array(list.into_iter().map(plain_json).collect()),
        Value::Object(mut object) => {
            let module = |name: &str| {
                object.get("@module").and_then(Value::as_str).is_some_and(|m| m.starts_with(name))
            };
            let inner = if module("numpy") {
                object.remove("data")
            } else if module("emmet") {
                object.remove("string")
            } else if object.len() == 1 {
                let text = object.iter().next().filter(|(key, _)| key.starts_with("$number"));
                text.and_then(|(_, v)| v.as_str()?.parse::<serde_json::Number>().ok()).map(Value::Number)
            } else {
                None
            };
            match inner {
                Some(inner) => plain_json(inner),
                None => Value::Object(object.into_iter().map(|(k, v)| (k, plain_json(v))).collect()),
            }
        }
        other => other,
    }
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

/// Reads one dictionary.
///
/// # Errors
/// [`FormatErrorKind`] for anything that is no usable structure.
pub fn from_pymatgen(value: Value, coincident: CoincidentSites) -> Result<Parsed, FormatErrorKind> {
    structure(value, coincident)
}

fn structure(value: Value, coincident: CoincidentSites) -> Result<Parsed, FormatErrorKind> {
    if !value.is_object() {
        return Err(FormatErrorKind::Syntax(
            "expected a JSON object as `Structure.as_dict()` gives it".into(),
        ));
    }
    let dict: Dict = serde_json::from_value(plain_json(value))
        .map_err(|e| FormatErrorKind::Syntax(format!("not a pymatgen structure: {e}")))?;
    let lattice = dict.lattice.ok_or_else(|| {
        FormatErrorKind::Missing("`lattice` (a molecule is no crystal; `Structure.as_dict()` has one)".into())
    })?;
    if lattice.pbc.is_some_and(|pbc| pbc != [true; 3]) {
        let message = "only structures periodic in all directions are read".into();
        return Err(FormatErrorKind::Unsupported(message));
    }
    let lattice = lattice.build()?;
    if dict.sites.len() > MAX_SITES {
        return Err(FormatErrorKind::TooManySites);
    }
    let mut warnings = Vec::new();
    let mut reader = SpeciesReader::default();
    let (mut species, mut coords, mut labels) = (Vec::new(), Vec::new(), Vec::new());
    for (i, s) in dict.sites.into_iter().enumerate() {
        let label = match s.label {
            Some(label) if !label.is_empty() => label,
            _ => s.species.first().map_or_else(|| format!("site {i}"), |sp| sp.element.clone()),
        };
        species.push(occupant(&s.species, &label, &mut reader, &mut warnings)?);
        coords.push(match (s.abc, s.xyz) {
            (Some(abc), _) => abc,
            (None, Some(xyz)) => lattice.to_fractional(xyz),
            (None, None) => {
                return Err(FormatErrorKind::Missing(format!("site {label}: `abc` (or `xyz`)")));
            }
        });
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
    if dict.charge.is_some_and(|c| c != 0.0) {
        warnings.push(Warning::new(WarningKind::NotKept, "the charge of the structure was not kept"));
    }
    reader.warnings(&mut warnings);
    let name = structure.properties.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Parsed { structure, name, warnings })
}

/// The one element of a site; several species of it, such as Fe2+ and Fe3+, count as one when they fill the site.
fn occupant(
    species: &[SpeciesDict],
    label: &str,
    reader: &mut SpeciesReader,
    warnings: &mut Vec<Warning>,
) -> Result<Element, FormatErrorKind> {
    let elements: Vec<Element> =
        species.iter().map(|sp| reader.species(symbol(&sp.element), label)).collect::<Result<_, _>>()?;
    let Some(&element) = elements.first() else {
        return Err(FormatErrorKind::Missing(format!("site {label}: its species")));
    };
    if elements.iter().any(|e| *e != element) {
        let names: Vec<&str> = species.iter().map(|sp| sp.element.as_str()).collect();
        return Err(FormatErrorKind::PartialOccupancy {
            site: label.to_owned(),
            element: names.join(" and "),
            occupancy: species.first().map_or(0.0, |sp| sp.occu),
        });
    }
    site::check_occupancy(species.iter().map(|sp| sp.occu).sum(), element, label)?;
    if species.len() > 1 {
        warnings.push(merged(label, element));
    }
    Ok(element)
}

impl LatticeDict {
    fn build(&self) -> Result<Lattice, FormatErrorKind> {
        if let Some(matrix) = self.matrix {
            return Ok(Lattice::from_rows(matrix)?);
        }
        let numbers = [self.a, self.b, self.c, self.alpha, self.beta, self.gamma];
        let numbers: Option<Vec<f64>> = numbers.into_iter().collect();
        match numbers.as_deref() {
            Some(&[a, b, c, alpha, beta, gamma]) => {
                Ok(Lattice::from_parameters([a, b, c, alpha, beta, gamma])?)
            }
            _ => {
                let what = "`lattice.matrix` (or all of `a`, `b`, `c`, `alpha`, `beta` and `gamma`)";
                Err(FormatErrorKind::Missing(what.into()))
            }
        }
    }
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
