//! JSON Lines: [`JsonlRecord`](crate::JsonlRecord)s, pymatgen dictionaries, objects with a `cif` text, or objects that
//! list cell, species and coordinates.

use druse_crystal::formats::{
    CoincidentSites, Format, Parsed, Warning, from_pymatgen, plain_json, read_str_with, species, species_list,
};
use druse_crystal::{Composition, Element, Lattice, Properties, Structure};
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::text::TextBlocks;
use super::{FORMULAS, Found, Reading, Row, Rows};
use crate::DataError;
use crate::properties::scalar;

/// Members that are the structure or its name, not properties.
const NOT_PROPERTIES: [&str; 11] = [
    "id",
    "material_id",
    "formula",
    "structure",
    "cif",
    "lattice",
    "species",
    "frac_coords",
    "labels",
    "properties",
    "notes",
];

/// Members that may hold the identifier, in order of preference.
const IDS: [&str; 2] = ["id", "material_id"];
/// The same for objects whose structure is in `structure`; these members stay properties.
const IDS_OF_DOCUMENTS: [&str; 2] = ["entry_id", "task_id"];

/// Members that list the elements of the sites, by symbol or atomic number.
const SPECIES: [&str; 3] = ["species", "atomic_numbers", "atom_types"];

pub(super) fn read(text: &str, reading: Reading) -> Rows {
    read_part(text, reading, Part { line: 0, row: 0, last: true })
}

/// Where a part of a file lies.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Lines and rows before it.
    line: usize,
    row: usize,
    /// Whether the file ends with it.
    last: bool,
}

/// Reads a file block by block.
pub(super) fn read_blocks(
    mut blocks: TextBlocks,
    reading: Reading,
    take: &mut dyn FnMut(Rows) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let mut part = Part { line: 0, row: 0, last: false };
    let mut next = blocks.next()?;
    while let Some(text) = next {
        next = blocks.next()?;
        part.last = next.is_none();
        let rows = read_part(&text, reading, part);
        part.line += text.lines().count();
        part.row += rows.rows.len();
        take(rows)?;
    }
    Ok(())
}

fn read_part(text: &str, reading: Reading, part: Part) -> Rows {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).collect();
    let mut rows: Vec<Row> = lines
        .par_iter()
        .enumerate()
        .map(|(k, &(line, text))| Row {
            line: Some(part.line + line + 1),
            ..row(part.row + k, parse(text), reading)
        })
        .collect();
    let mut warnings = Vec::new();
    // A writer that was stopped leaves one line without its end; what came before is whole.
    if reading.cut_end
        && part.last
        && !text.ends_with('\n')
        && rows.last().is_some_and(|r| r.outcome.is_err())
        && part.row + rows.len() > 1
    {
        rows.pop();
        warnings.push("the last line is incomplete (its writer was interrupted) and left out".to_owned());
    }
    Rows { rows, warnings }
}

/// Whether a line is a JSON object as a whole.
pub(super) fn is_object(line: &str) -> bool {
    parse(line).is_ok_and(|value| value.is_object())
}

/// JSON as Python writes it: `NaN` and infinities, which are no JSON, become `null`, and numpy's arrays and the like plain
/// ones ([`plain_json`]).
pub(crate) fn parse(text: &str) -> Result<Json, String> {
    // Most lines have none of these, and a look at the text costs less than one at every number.
    if ["numpy", "emmet", "$number"].iter().any(|word| text.contains(word)) {
        return parse_numbers(text).map(plain_json);
    }
    parse_numbers(text)
}

fn parse_numbers(text: &str) -> Result<Json, String> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(e) => format!("the line is not JSON: {e}"),
    };
    if !["NaN", "Infinity"].iter().any(|word| text.contains(word)) {
        return Err(error);
    }
    serde_json::from_str(&without_non_numbers(text)).map_err(|_| error)
}

/// The text with `NaN`, `Infinity` and `-Infinity` outside of strings replaced by `null`.
fn without_non_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut rest, mut quoted) = (text, false);
    while let Some(first) = rest.chars().next() {
        let word = ["NaN", "-Infinity", "Infinity"].iter().find(|w| !quoted && rest.starts_with(**w));
        let taken = match (word, first) {
            (Some(word), _) => {
                out.push_str("null");
                word.len()
            }
            // An escaped character, a quotation mark above all, ends nothing.
            (None, '\\') if quoted => {
                let n = rest.chars().take(2).map(char::len_utf8).sum();
                out.push_str(&rest[..n]);
                n
            }
            (None, c) => {
                quoted ^= c == '"';
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

pub(crate) fn row(index: usize, parsed: Result<Json, String>, reading: Reading) -> Row {
    let mut row = Row {
        row: Some(index + 1),
        line: None,
        id: None,
        counted: false,
        properties: Properties::new(),
        composition: None,
        outcome: Err(String::new()),
    };
    let object = match parsed {
        Ok(Json::Object(object)) => object,
        Ok(Json::String(text)) if Format::from_content(&text).is_some() => {
            Map::from_iter([("structure".to_owned(), Json::String(text))])
        }
        other => {
            row.outcome = Err(other.err().unwrap_or_else(|| "the line is no JSON object".to_owned()));
            return row;
        }
    };
    let more = if object.contains_key("structure") { IDS_OF_DOCUMENTS.as_slice() } else { &[] };
    row.id = IDS.iter().chain(more).find_map(|key| match object.get(*key) {
        Some(Json::String(id)) => Some(id.clone()),
        Some(Json::Number(id)) => Some(id.to_string()),
        _ => None,
    });
    row.properties = properties(&object);
    row.outcome =
        structure(&object, reading.coincident).map(|(structure, warnings)| Found { structure, warnings });
    if row.outcome.is_err() {
        row.composition = composition(object.get("structure").and_then(Json::as_object).unwrap_or(&object));
        let formula = FORMULAS.iter().find_map(|name| object.get(*name)?.as_str());
        if let (true, None, Some(text)) = (reading.formulas, &row.composition, formula) {
            match Composition::parse(text) {
                Ok(composition) => row.composition = Some(composition),
                Err(e) => row.outcome = Err(format!("the formula `{text}` cannot be read: {e}")),
            }
        }
    }
    row
}

fn properties(object: &Map<String, Json>) -> Properties {
    let nested = object.get("properties").and_then(Json::as_object).into_iter().flatten();
    let beside = object.iter().filter(|(k, v)| {
        !k.starts_with('@') && !NOT_PROPERTIES.contains(&k.as_str()) && !v.is_object() && !v.is_array()
    });
    nested
        .chain(beside)
        .filter_map(|(name, value)| scalar(value).map(|value| (name.clone(), value)))
        .collect()
}

/// The structure of a JSON object in any of the forms that data sets use.
pub(crate) fn structure(
    object: &Map<String, Json>,
    coincident: CoincidentSites,
) -> Result<(Structure, Vec<Warning>), String> {
    if let Some(inner) = object.get("structure").or_else(|| object.get("final_structure")) {
        return match inner {
            Json::Object(inner) => from_object(inner, coincident),
            Json::String(text) => from_text(text, coincident),
            _ => Err("the member `structure` is no object".to_owned()),
        };
    }
    if let Some(Json::String(cif)) = object.get("cif") {
        return one(cif, Format::Cif, coincident);
    }
    if object.contains_key("lattice") || object.contains_key("lengths") {
        return from_object(object, coincident);
    }
    Err("the object has none of `structure`, `cif`, `lattice` and `lengths`".to_owned())
}

/// The structure of a text that is a file of its own: CIF, or what its beginning tells.
pub(crate) fn from_text(
    text: &str,
    coincident: CoincidentSites,
) -> Result<(Structure, Vec<Warning>), String> {
    match Format::from_content(text) {
        Some(Format::PymatgenJson) => match parse(text)? {
            Json::Object(object) => structure(&object, coincident),
            _ => Err("the text is no JSON object".to_owned()),
        },
        format => one(text, format.unwrap_or(Format::Cif), coincident),
    }
}

/// Elements of an object that lists its species, where all of them are elements: a crystal with an impossible cell still
/// has a composition.
fn composition(object: &Map<String, Json>) -> Option<Composition> {
    let list = SPECIES.iter().find_map(|name| object.get(*name))?.as_array()?;
    let species = elements(list).ok()?.0;
    (!species.is_empty()).then(|| Composition::from_species(&species))
}

/// A pymatgen dictionary (with `sites`), or cell, species and coordinates as lists.
fn from_object(
    object: &Map<String, Json>,
    coincident: CoincidentSites,
) -> Result<(Structure, Vec<Warning>), String> {
    if object.contains_key("sites") {
        let parsed = from_pymatgen(Json::Object(object.clone()), coincident).map_err(|e| e.to_string())?;
        return Ok((parsed.structure, parsed.warnings));
    }
    let lattice = lattice(object)?;
    let (name, species) = SPECIES
        .iter()
        .find_map(|name| object.get(*name).map(|v| (name, v)))
        .ok_or("the object has none of `species`, `atomic_numbers` and `atom_types`")?;
    let list = |value: &Json, name: &str| match value {
        Json::Array(list) => Ok(list.clone()),
        _ => Err(format!("the member `{name}` is no list")),
    };
    let (species, warnings) = elements(&list(species, name)?)?;
    let coords = object.get("frac_coords").ok_or("the object has no `frac_coords`")?;
    let coords: Result<Vec<[f64; 3]>, String> =
        list(coords, "frac_coords")?.iter().map(|row| triple(row, "frac_coords")).collect();
    let mut structure = Structure::new(lattice, species, coords?).map_err(|e| e.to_string())?;
    if let Some(Json::Object(properties)) = object.get("properties") {
        structure.properties = properties.clone().into_iter().collect();
    }
    Ok((structure, warnings))
}

/// The cell of an object that has `lattice`, or `lengths` and `angles`.
pub(super) fn lattice(object: &Map<String, Json>) -> Result<Lattice, String> {
    match object.get("lattice") {
        Some(Json::Object(lattice)) => match lattice.get("matrix") {
            Some(rows) => matrix(rows),
            None => {
                let names = ["a", "b", "c", "alpha", "beta", "gamma"];
                let numbers: Option<Vec<f64>> = names.iter().map(|n| lattice.get(*n)?.as_f64()).collect();
                let parameters = numbers.and_then(|n| <[f64; 6]>::try_from(n).ok());
                let parameters = parameters.ok_or("`lattice` has neither `matrix` nor lengths and angles")?;
                Lattice::from_parameters(parameters).map_err(|e| e.to_string())
            }
        },
        Some(rows) => matrix(rows),
        None => {
            let three = |name: &str| triple(object.get(name).unwrap_or(&Json::Null), name);
            let ([a, b, c], [alpha, beta, gamma]) = (three("lengths")?, three("angles")?);
            Lattice::from_parameters([a, b, c, alpha, beta, gamma]).map_err(|e| e.to_string())
        }
    }
}

/// The elements of a list of species names or atomic numbers.
fn elements(list: &[Json]) -> Result<(Vec<Element>, Vec<Warning>), String> {
    let is_number = |text: &str| text.trim().parse::<i64>().is_ok();
    let names: Option<Vec<&str>> =
        list.iter().map(|item| item.as_str().filter(|text| !is_number(text))).collect();
    match names {
        Some(names) => species_list(names).map_err(|e| e.to_string()),
        None => Ok((list.iter().map(element).collect::<Result<_, _>>()?, Vec::new())),
    }
}

fn matrix(rows: &Json) -> Result<Lattice, String> {
    let Json::Array(rows) = rows else { return Err("`lattice` is no list of three vectors".to_owned()) };
    let rows: Result<Vec<[f64; 3]>, String> = rows.iter().map(|row| triple(row, "lattice")).collect();
    let rows: [[f64; 3]; 3] =
        rows?.try_into().map_err(|_| "`lattice` is no list of three vectors".to_owned())?;
    Lattice::from_rows(rows).map_err(|e| e.to_string())
}

/// Three numbers; `null` stands for one that JSON cannot hold.
pub(super) fn triple(value: &Json, name: &str) -> Result<[f64; 3], String> {
    let wrong = || format!("`{name}` does not hold three numbers but `{}`", shorten(&value.to_string()));
    let Json::Array(list) = value else { return Err(wrong()) };
    let numbers: Option<Vec<f64>> = list
        .iter()
        .map(|x| match x {
            Json::Null => Some(f64::NAN),
            x => x.as_f64(),
        })
        .collect();
    numbers.and_then(|n| n.try_into().ok()).ok_or_else(wrong)
}

fn element(value: &Json) -> Result<Element, String> {
    match value {
        Json::String(name) => match name.trim().parse::<i64>() {
            Ok(z) => Element::from_z(z).map_err(|e| e.to_string()),
            Err(_) => species(name).map_err(|e| e.to_string()),
        },
        Json::Number(z) => {
            match z.as_i64().or_else(|| z.as_f64().filter(|x| x.fract() == 0.0).map(|x| x as i64)) {
                Some(z) => Element::from_z(z).map_err(|e| e.to_string()),
                None => Err(format!("`{z}` is no atomic number")),
            }
        }
        other => Err(format!(
            "`{}` is neither an element symbol nor an atomic number",
            shorten(&other.to_string())
        )),
    }
}

fn shorten(text: &str) -> String {
    text.chars().take(40).collect()
}

fn one(text: &str, format: Format, coincident: CoincidentSites) -> Result<(Structure, Vec<Warning>), String> {
    let mut parsed: Vec<Parsed> = read_str_with(text, format, coincident).map_err(|e| e.to_string())?;
    match (parsed.pop(), parsed.pop()) {
        (Some(one), None) => Ok((one.structure, one.warnings)),
        _ => Err("the line does not hold exactly one structure".to_owned()),
    }
}
