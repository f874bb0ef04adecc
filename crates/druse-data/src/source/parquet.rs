//! Parquet files.
//!
//! A row is a crystal in one of the forms that people exchange, by columns of these names, in any case:
//!
//! | what | columns |
//! | --- | --- |
//! | cell | `lattice`, `lattice_matrix`, `lattice_vectors`, `cell`: 3 × 3 numbers, nested or in a row, in Å; or `lengths` and `angles` |
//! | elements | `species`, `species_at_sites`, `atomic_numbers`, `numbers`, `atom_types`: symbols or atomic numbers |
//! | sites | `frac_coords`, `fractional_coords`, `scaled_positions`; or in Å `positions`, `cart_coords`, `cartesian_site_positions`, `coords` |
//! | or all of it | `structure` (pymatgen's dictionary as JSON text or as a group, or any text of a structure file), `cif` |
//! | identifier | `material_id`, `id`, `immutable_id`, `entry_id`, `identifier` |
//!
//! Cell, elements and sites are preferred to `structure`, and that to `cif`, which has fewer digits. Other columns of numbers, truth
//! values and texts become properties; lists and groups are left out, which is said. Row groups are read one after
//! another, and columns that are not needed are not read.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use druse_crystal::files as disk;
use parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use parquet::record::{Field, Row as Record};
use parquet::schema::types::Type;
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::{Found, Reading, Row, Rows, json_lines, packed};
use crate::{DataError, properties};

const LATTICES: [&str; 4] = ["lattice", "lattice_matrix", "lattice_vectors", "cell"];
const SPECIES: [&str; 5] = ["species", "species_at_sites", "atomic_numbers", "numbers", "atom_types"];
const FRACTIONAL: [&str; 3] = ["frac_coords", "fractional_coords", "scaled_positions"];
const CARTESIAN: [&str; 4] = ["positions", "cart_coords", "cartesian_site_positions", "coords"];
const IDS: [&str; 5] = ["material_id", "id", "immutable_id", "entry_id", "identifier"];
/// Rows made structures at a time.
const BLOCK: usize = 2048;

/// Which columns tell the crystal.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Crystal {
    Sites { cell: Cell, species: String, sites: String, cartesian: bool },
    Structure(String),
    Cif(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Cell {
    Vectors(String),
    Parameters(String, String),
}

/// How the rows of a file are read.
struct Plan {
    crystal: Crystal,
    id: Option<String>,
    properties: Vec<String>,
    warnings: Vec<String>,
    /// The columns that are read.
    projection: Type,
}

/// Reads a file row group by row group.
pub(super) fn read_blocks(
    path: &Path,
    reading: Reading,
    take: &mut dyn FnMut(Rows) -> Result<(), DataError>,
) -> Result<(), DataError> {
    let wrong = |at: String, reason: String| DataError::Parquet { path: path.to_owned(), at, reason };
    let file = disk::open(path)?;
    let reader = guarded(|| SerializedFileReader::new(file)).map_err(|e| wrong(String::new(), e))?;
    let schema = reader.metadata().file_metadata().schema_descr().root_schema().clone();
    let plan = Plan::of(path, &schema)?;
    take(Rows { rows: Vec::new(), warnings: plan.warnings.clone() })?;
    let mut first = 0;
    for number in 0..reader.num_row_groups() {
        let place = |row: Option<usize>, column: Option<String>| {
            let row = row.map_or(String::new(), |row| format!(", row {}", row + 1));
            let column = column.map_or(String::new(), |column| format!(", column `{column}`"));
            format!(", row group {}{row}{column}", number + 1)
        };
        let group = guarded(|| reader.get_row_group(number)).map_err(|e| wrong(place(None, None), e))?;
        let broken = |row: Option<usize>, e: String| {
            // The reader of records does not say where it failed: the columns are tried one by one.
            let column = broken_column(&*group, &plan);
            wrong(place(row, column), e)
        };
        let records = guarded(|| group.get_row_iter(Some(plan.projection.clone())));
        let mut records = records.map_err(|e| broken(None, e))?;
        let (rows_of_group, mut done) = (group.metadata().num_rows().max(0) as usize, 0);
        while done < rows_of_group {
            let mut block: Vec<Record> = Vec::with_capacity(BLOCK.min(rows_of_group - done));
            while block.len() < BLOCK {
                let at = first + done + block.len();
                match guarded(|| records.next().transpose()).map_err(|e| broken(Some(at), e))? {
                    Some(record) => block.push(record),
                    None => break,
                }
            }
            if block.is_empty() {
                let reason = format!("it ends after {done} of {rows_of_group} rows");
                return Err(wrong(place(None, None), reason));
            }
            let n = block.len();
            let row = |(k, record): (usize, Record)| plan.row(first + done + k, record, reading);
            let rows = block.into_par_iter().enumerate().map(row).collect();
            take(Rows { rows, warnings: Vec::new() })?;
            done += n;
        }
        first += done;
    }
    Ok(())
}

/// Runs the library's code, which panics at some damage: that, too, is an error.
fn guarded<T>(work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|e| e.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            Err(format!("it is damaged ({text})"))
        }
    }
}

/// The first column of the plan that cannot be read by itself.
fn broken_column(group: &dyn RowGroupReader, plan: &Plan) -> Option<String> {
    plan.projection.get_fields().iter().find_map(|field| {
        let alone = Type::group_type_builder("schema").with_fields(vec![field.clone()]).build().ok()?;
        let all = guarded(|| group.get_row_iter(Some(alone))?.try_for_each(|record| record.map(drop)));
        all.is_err().then(|| field.name().to_owned())
    })
}

impl Plan {
    fn of(path: &Path, schema: &Type) -> Result<Self, DataError> {
        let fields = schema.get_fields();
        let find = |names: &[&str]| {
            names.iter().find_map(|name| {
                let is = |field: &&Arc<Type>| field.name().eq_ignore_ascii_case(name) && is_read(field);
                fields.iter().find(is).map(|field| field.name().to_owned())
            })
        };
        let find_list = |names: &[&str]| {
            find(names).filter(|name| fields.iter().any(|f| f.name() == name && !f.is_primitive()))
        };
        let vectors = || find_list(&LATTICES).map(Cell::Vectors);
        let parameters = || Some(Cell::Parameters(find_list(&["lengths"])?, find_list(&["angles"])?));
        let sites = || {
            let cell = vectors().or_else(parameters)?;
            let species = find_list(&SPECIES)?;
            let (sites, cartesian) = match find_list(&FRACTIONAL) {
                Some(sites) => (sites, false),
                None => (find_list(&CARTESIAN)?, true),
            };
            Some(Crystal::Sites { cell, species, sites, cartesian })
        };
        let crystal = sites()
            .or_else(|| find(&["structure"]).map(Crystal::Structure))
            .or_else(|| find(&["cif"]).map(Crystal::Cif));
        let Some(crystal) = crystal else {
            let columns = fields.iter().map(|f| f.name().to_owned()).collect();
            return Err(DataError::NoStructureColumns { path: path.to_owned(), columns });
        };
        let id = find(&IDS).filter(|name| fields.iter().any(|f| f.name() == name && f.is_primitive()));
        let used = crystal.columns();
        let (mut properties, mut left_out) = (Vec::new(), Vec::new());
        for field in fields {
            let name = field.name().to_owned();
            let structural = used.contains(&field.name())
                || ["cif", "structure"].iter().any(|n| name.eq_ignore_ascii_case(n))
                // pandas keeps its index under a name of its own.
                || name.starts_with("__index_level_");
            if structural || id.as_ref() == Some(&name) {
                continue;
            }
            match field.is_primitive() && is_read(field) {
                true => properties.push(name),
                false => left_out.push(format!("`{name}`")),
            }
        }
        let read = |name: &str| {
            used.contains(&name) || id.as_deref() == Some(name) || properties.iter().any(|p| p == name)
        };
        let kept = fields.iter().filter(|field| read(field.name())).cloned().collect();
        let projection = Type::group_type_builder(schema.name()).with_fields(kept).build();
        let projection = projection.map_err(|e| DataError::Parquet {
            path: path.to_owned(),
            at: String::new(),
            reason: e.to_string(),
        })?;
        let mut warnings = Vec::new();
        if !left_out.is_empty() {
            warnings.push(format!(
                "columns that are neither numbers nor text are left out: {}",
                left_out.join(", ")
            ));
        }
        Ok(Self { crystal, id, properties, warnings, projection })
    }

    fn row(&self, k: usize, record: Record, reading: Reading) -> Row {
        let mut columns: Map<String, Json> =
            record.into_columns().into_iter().map(|(name, field)| (name, json(field))).collect();
        let id = self.id.as_ref().and_then(|name| match columns.remove(name) {
            Some(Json::String(id)) => Some(id),
            Some(id @ Json::Number(_)) => Some(properties::text(&id)),
            _ => None,
        });
        let value = |name: &String| Some((name.clone(), columns.get(name).and_then(properties::scalar)?));
        let properties = self.properties.iter().filter_map(value).collect();
        let object = self.crystal.object(&mut columns);
        let outcome = object.and_then(|object| {
            let found = json_lines::structure(&object, reading.coincident);
            let (structure, warnings) = found.map_err(|e| format!("{}: {e}", self.crystal.words()))?;
            packed::checked(Found { structure, warnings }, reading)
        });
        Row {
            row: Some(k + 1),
            line: None,
            counted: false,
            id: id.filter(|id| !id.is_empty()),
            properties,
            composition: None,
            outcome,
        }
    }
}

impl Crystal {
    fn columns(&self) -> Vec<&str> {
        match self {
            Self::Sites { cell, species, sites, .. } => {
                let mut columns = match cell {
                    Cell::Vectors(name) => vec![name.as_str()],
                    Cell::Parameters(lengths, angles) => vec![lengths.as_str(), angles.as_str()],
                };
                columns.extend([species.as_str(), sites.as_str()]);
                columns
            }
            Self::Structure(name) | Self::Cif(name) => vec![name],
        }
    }

    /// The columns, for messages.
    fn words(&self) -> String {
        let names: Vec<String> = self.columns().into_iter().map(|name| format!("`{name}`")).collect();
        let noun = if names.len() == 1 { "column" } else { "columns" };
        format!("{noun} {}", names.join(", "))
    }

    /// The object that the reader of JSON understands.
    fn object(&self, columns: &mut Map<String, Json>) -> Result<Map<String, Json>, String> {
        let mut take = |name: &str| match columns.remove(name) {
            None | Some(Json::Null) => Err(format!("column `{name}` is empty")),
            Some(value) => Ok(value),
        };
        let mut object = Map::new();
        match self {
            Self::Structure(name) => drop(object.insert("structure".into(), take(name)?)),
            Self::Cif(name) => drop(object.insert("cif".into(), take(name)?)),
            Self::Sites { cell, species, sites, cartesian } => {
                match cell {
                    Cell::Vectors(name) => {
                        object.insert("lattice".into(), triples(name, take(name)?)?);
                    }
                    Cell::Parameters(lengths, angles) => {
                        object.insert("lengths".into(), take(lengths)?);
                        object.insert("angles".into(), take(angles)?);
                    }
                }
                object.insert("species".into(), take(species)?);
                let mut coords = triples(sites, take(sites)?)?;
                if *cartesian {
                    coords = fractional(&object, &coords).map_err(|e| format!("column `{sites}`: {e}"))?;
                }
                object.insert("frac_coords".into(), coords);
            }
        }
        Ok(object)
    }
}

/// Numbers in threes, also where they stand in a row.
fn triples(name: &str, value: Json) -> Result<Json, String> {
    match value {
        Json::Array(list) if list.iter().all(|x| !x.is_array()) && !list.is_empty() => {
            if !list.len().is_multiple_of(3) {
                return Err(format!("column `{name}` has {} numbers, which are no vectors", list.len()));
            }
            Ok(list.chunks(3).map(|row| Json::Array(row.to_vec())).collect())
        }
        other => Ok(other),
    }
}

/// Fractional coordinates of Cartesian ones in Å.
fn fractional(object: &Map<String, Json>, coords: &Json) -> Result<Json, String> {
    let lattice = json_lines::lattice(object)?;
    let list = coords.as_array().ok_or("it holds no list of vectors")?;
    list.iter()
        .map(|row| {
            let cartesian = json_lines::triple(row, "coordinates")?;
            Ok(Json::Array(lattice.to_fractional(cartesian).iter().map(|x| Json::from(*x)).collect()))
        })
        .collect()
}

/// Whether values of a column are read: the record reader of the library knows the others not, and panics.
fn is_read(field: &Type) -> bool {
    if !field.is_primitive() {
        return field.get_fields().iter().all(|field| is_read(field));
    }
    let converted = field.get_basic_info().converted_type();
    match field.get_physical_type() {
        Physical::BOOLEAN | Physical::FLOAT | Physical::DOUBLE => true,
        Physical::INT32 => {
            use ConvertedType::{INT_8, INT_16, INT_32, NONE, UINT_8, UINT_16, UINT_32};
            matches!(converted, NONE | INT_8 | INT_16 | INT_32 | UINT_8 | UINT_16 | UINT_32)
        }
        Physical::INT64 => {
            let time = matches!(
                field.get_basic_info().logical_type_ref(),
                Some(LogicalType::Timestamp { .. } | LogicalType::Time { .. })
            );
            !time && matches!(converted, ConvertedType::NONE | ConvertedType::INT_64 | ConvertedType::UINT_64)
        }
        Physical::BYTE_ARRAY => {
            use ConvertedType::{ENUM, JSON, NONE, UTF8};
            matches!(converted, NONE | UTF8 | ENUM | JSON)
        }
        Physical::FIXED_LEN_BYTE_ARRAY | Physical::INT96 => false,
    }
}

/// A value as JSON; numbers that are none are `null`.
fn json(field: Field) -> Json {
    match field {
        Field::Bool(x) => x.into(),
        Field::Byte(x) => x.into(),
        Field::Short(x) => x.into(),
        Field::Int(x) => x.into(),
        Field::Long(x) => x.into(),
        Field::UByte(x) => x.into(),
        Field::UShort(x) => x.into(),
        Field::UInt(x) => x.into(),
        Field::ULong(x) => x.into(),
        Field::Float(x) => f64::from(x).into(),
        Field::Double(x) => x.into(),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => std::str::from_utf8(bytes.data()).map_or(Json::Null, Json::from),
        Field::ListInternal(list) => list.elements().iter().cloned().map(json).collect(),
        Field::Group(row) => {
            Json::Object(row.into_columns().into_iter().map(|(name, field)| (name, json(field))).collect())
        }
        Field::Null
        | Field::Float16(_)
        | Field::Decimal(_)
        | Field::Date(_)
        | Field::TimeMillis(_)
        | Field::TimeMicros(_)
        | Field::TimestampMillis(_)
        | Field::TimestampMicros(_)
        | Field::MapInternal(_) => Json::Null,
    }
}
