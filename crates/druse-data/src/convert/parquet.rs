//! Data sets as Parquet files.
//!
//! | column | type |
//! | --- | --- |
//! | `material_id` | text |
//! | `lattice` | three lists of three 64-bit floats: vectors a, b, c in Å |
//! | `species` | list of element symbols |
//! | `frac_coords` | list of lists of three 64-bit floats |
//! | `cif`, where asked for | text |
//! | each property | 64-bit float, truth value, or text where it has values of several kinds |

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use druse_crystal::files;
use druse_crystal::formats::{self, Format};
use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use super::{Stopped, each_block, is_in_the_way, write_whole};
use crate::store::Kinds;
use crate::{DataError, Entries, Entry, properties};

/// Rows of a row group: some tens of megabytes, which are in memory while it is written.
const GROUP: usize = 1 << 15;
/// The columns that hold names and crystals.
const CRYSTAL: [&str; 5] = ["material_id", "lattice", "species", "frac_coords", "cif"];

/// How a data set becomes a Parquet file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ParquetOptions {
    /// Whether there is a column of CIF texts, for readers that know no other.
    pub cif: bool,
    /// Whether an existing file is replaced.
    pub overwrite: bool,
}

/// Writes a data set as a Parquet file, compressed with zstd; every bit of every number is kept.
///
/// # Errors
/// As [`write_dataset`](crate::write_dataset), and [`DataError::ReservedProperty`] for a property with the name of a
/// column that holds the crystal.
pub fn write_parquet(dataset: &dyn Entries, path: &Path, options: &ParquetOptions) -> Result<(), DataError> {
    if !options.overwrite && is_in_the_way(path, false) {
        return Err(DataError::OutputExists { path: path.to_owned() });
    }
    let properties = dataset.properties()?;
    if let Some(name) = CRYSTAL.into_iter().find(|name| properties.contains_key(*name)) {
        return Err(DataError::ReservedProperty { name: name.to_owned() });
    }
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    write_whole(path, |file| write(dataset, options.cif, &properties, file))
}

fn failed(e: ParquetError) -> io::Error {
    match e {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(e) => *e,
            Err(e) => io::Error::other(e),
        },
        e => io::Error::other(e),
    }
}

fn write(
    dataset: &dyn Entries,
    cif: bool,
    properties: &BTreeMap<String, Kinds>,
    file: &mut (impl Write + Send),
) -> Result<(), Stopped> {
    let schema = schema(cif, properties).map_err(failed)?;
    let compression = Compression::ZSTD(ZstdLevel::try_new(3).map_err(failed)?);
    let settings = WriterProperties::builder()
        .set_compression(compression)
        .set_created_by(concat!("druse ", env!("CARGO_PKG_VERSION")).to_owned());
    let mut writer = SerializedFileWriter::new(file, schema, Arc::new(settings.build())).map_err(failed)?;
    let mut group = Group::new(cif, properties);
    each_block(dataset, |block| {
        for entry in block {
            group.push(entry);
            if group.rows == GROUP {
                group.write(&mut writer).map_err(failed)?;
            }
        }
        Ok(())
    })?;
    if group.rows > 0 {
        group.write(&mut writer).map_err(failed)?;
    }
    writer.close().map_err(failed)?;
    Ok(())
}

fn leaf(name: &str, physical: Physical, repetition: Repetition) -> Result<TypePtr, ParquetError> {
    let text = (physical == Physical::BYTE_ARRAY).then_some(LogicalType::String);
    let builder = Type::primitive_type_builder(name, physical);
    Ok(Arc::new(builder.with_repetition(repetition).with_logical_type(text).build()?))
}

/// A list in the three levels that the format prescribes.
fn list(name: &str, element: TypePtr) -> Result<TypePtr, ParquetError> {
    let repeated = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
    let repeated = Arc::new(repeated.with_fields(vec![element]).build()?);
    let outer = Type::group_type_builder(name).with_repetition(Repetition::REQUIRED);
    Ok(Arc::new(outer.with_logical_type(Some(LogicalType::List)).with_fields(vec![repeated]).build()?))
}

fn schema(cif: bool, properties: &BTreeMap<String, Kinds>) -> Result<TypePtr, ParquetError> {
    let number = || leaf("element", Physical::DOUBLE, Repetition::REQUIRED);
    let text = |name| leaf(name, Physical::BYTE_ARRAY, Repetition::REQUIRED);
    let [id, lattice, species, coords, cif_name] = CRYSTAL;
    let mut fields = vec![
        text(id)?,
        list(lattice, list("element", number()?)?)?,
        list(species, text("element")?)?,
        list(coords, list("element", number()?)?)?,
    ];
    if cif {
        fields.push(text(cif_name)?);
    }
    for (name, kinds) in properties {
        let physical = match Column::of(*kinds) {
            Column::Numbers(_) => Physical::DOUBLE,
            Column::Truths(_) => Physical::BOOLEAN,
            Column::Texts(_) => Physical::BYTE_ARRAY,
        };
        fields.push(leaf(name, physical, Repetition::OPTIONAL)?);
    }
    Ok(Arc::new(Type::group_type_builder("schema").with_fields(fields).build()?))
}

/// The values of a property.
enum Column {
    Numbers(Vec<f64>),
    Truths(Vec<bool>),
    Texts(Vec<ByteArray>),
}

impl Column {
    fn of(kinds: Kinds) -> Self {
        match kinds {
            Kinds { texts: 0, truths: 0, .. } => Self::Numbers(Vec::new()),
            Kinds { texts: 0, numbers: 0, .. } => Self::Truths(Vec::new()),
            _ => Self::Texts(Vec::new()),
        }
    }

    /// Adds a value; tells whether there is one.
    fn push(&mut self, value: Option<&Value>) -> bool {
        let Some(value) = value.filter(|v| !v.is_null()) else { return false };
        match self {
            Self::Numbers(all) => all.extend(value.as_f64()),
            Self::Truths(all) => all.extend(value.as_bool()),
            Self::Texts(all) => all.push(properties::text(value).into_bytes().into()),
        }
        true
    }
}

/// Numbers in lists of lists, with the levels at which each list begins.
#[derive(Default)]
struct Nested {
    numbers: Vec<f64>,
    begins: Vec<i16>,
}

impl Nested {
    fn push(&mut self, rows: &[[f64; 3]]) {
        for (i, row) in rows.iter().enumerate() {
            for (k, x) in row.iter().enumerate() {
                self.numbers.push(*x);
                self.begins.push(match (i, k) {
                    (0, 0) => 0,
                    (_, 0) => 1,
                    _ => 2,
                });
            }
        }
    }
}

/// The rows of a row group, column by column.
struct Group<'a> {
    rows: usize,
    ids: Vec<ByteArray>,
    lattices: Nested,
    species: Vec<ByteArray>,
    species_begins: Vec<i16>,
    coords: Nested,
    cifs: Option<Vec<ByteArray>>,
    properties: Vec<(&'a str, Column, Vec<i16>)>,
}

impl<'a> Group<'a> {
    fn new(cif: bool, properties: &'a BTreeMap<String, Kinds>) -> Self {
        let column = |(name, kinds): (&'a String, &Kinds)| (name.as_str(), Column::of(*kinds), Vec::new());
        Self {
            rows: 0,
            ids: Vec::new(),
            lattices: Nested::default(),
            species: Vec::new(),
            species_begins: Vec::new(),
            coords: Nested::default(),
            cifs: cif.then(Vec::new),
            properties: properties.iter().map(column).collect(),
        }
    }

    fn push(&mut self, entry: &Entry) {
        let s = &entry.structure;
        self.rows += 1;
        self.ids.push(entry.id.as_bytes().to_vec().into());
        self.lattices.push(&s.lattice.rows());
        for (k, element) in s.species.iter().enumerate() {
            self.species.push(element.symbol().as_bytes().to_vec().into());
            self.species_begins.push(i16::from(k > 0));
        }
        self.coords.push(&s.frac_coords);
        if let Some(cifs) = &mut self.cifs {
            cifs.push(formats::write(s, Format::Cif, &entry.id).into_bytes().into());
        }
        for (name, column, defined) in &mut self.properties {
            defined.push(i16::from(column.push(s.properties.get(*name))));
        }
    }

    /// Writes the rows and forgets them.
    fn write<W: Write + Send>(&mut self, writer: &mut SerializedFileWriter<W>) -> Result<(), ParquetError> {
        let mut out = Out { group: writer.next_row_group()? };
        out.texts(&std::mem::take(&mut self.ids), None, None)?;
        out.nested(std::mem::take(&mut self.lattices))?;
        let (species, begins) = (std::mem::take(&mut self.species), std::mem::take(&mut self.species_begins));
        out.texts(&species, Some(&vec![1; begins.len()]), Some(&begins))?;
        out.nested(std::mem::take(&mut self.coords))?;
        if let Some(cifs) = &mut self.cifs {
            out.texts(&std::mem::take(cifs), None, None)?;
        }
        for (_, column, defined) in &mut self.properties {
            let defined = std::mem::take(defined);
            match column {
                Column::Numbers(all) => out.numbers(&std::mem::take(all), &defined, None)?,
                Column::Truths(all) => out.truths(&std::mem::take(all), &defined)?,
                Column::Texts(all) => out.texts(&std::mem::take(all), Some(&defined), None)?,
            }
        }
        self.rows = 0;
        out.group.close()?;
        Ok(())
    }
}

/// The columns of a row group, one after another, in the order of the schema.
struct Out<'a, W: Write> {
    group: parquet::file::writer::SerializedRowGroupWriter<'a, W>,
}

impl<W: Write + Send> Out<'_, W> {
    fn column(
        &mut self,
        fill: impl FnOnce(&mut ColumnWriter<'_>) -> Result<(), ParquetError>,
    ) -> Result<(), ParquetError> {
        let missing = || ParquetError::General("the schema has too few columns".to_owned());
        let mut column = self.group.next_column()?.ok_or_else(missing)?;
        fill(column.untyped())?;
        column.close()
    }

    fn texts(
        &mut self,
        values: &[ByteArray],
        defined: Option<&[i16]>,
        begins: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        self.column(|column| match column {
            ColumnWriter::ByteArrayColumnWriter(w) => w.write_batch(values, defined, begins).map(drop),
            _ => Err(ParquetError::General("a column of texts has another type".to_owned())),
        })
    }

    fn numbers(
        &mut self,
        values: &[f64],
        defined: &[i16],
        begins: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        self.column(|column| match column {
            ColumnWriter::DoubleColumnWriter(w) => w.write_batch(values, Some(defined), begins).map(drop),
            _ => Err(ParquetError::General("a column of numbers has another type".to_owned())),
        })
    }

    fn truths(&mut self, values: &[bool], defined: &[i16]) -> Result<(), ParquetError> {
        self.column(|column| match column {
            ColumnWriter::BoolColumnWriter(w) => w.write_batch(values, Some(defined), None).map(drop),
            _ => Err(ParquetError::General("a column of truth values has another type".to_owned())),
        })
    }

    fn nested(&mut self, Nested { numbers, begins }: Nested) -> Result<(), ParquetError> {
        self.numbers(&numbers, &vec![2; numbers.len()], Some(&begins))
    }
}
