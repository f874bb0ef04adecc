//! What is read in blocks is what is read whole.

use std::fs;
use std::path::{Path, PathBuf};

use druse_crystal::formats::{Format, write};
use druse_testkit::prototypes::prototypes;

use super::{Reading, Sizes, Source};
use crate::crystens::Decoding;
use crate::{DataError, Entry, OutputFormat, write_dataset};

/// Everything that a source gives, as text: rows with their places, names, properties and structures, and warnings.
fn told(source: &Source, reading: Reading) -> Result<Vec<String>, DataError> {
    let all = source.rows(reading)?;
    let row = |(file, row): (PathBuf, super::Row)| {
        let outcome = row.outcome.map(|found| (found.structure, found.warnings));
        let place = (file, row.row, row.id, row.counted, row.properties, row.composition);
        format!("{place:?} {outcome:?}")
    };
    let mut told: Vec<String> = all.rows.into_iter().map(row).collect();
    told.extend(all.warnings);
    Ok(told)
}

/// Reads a file whole and in blocks of several sizes; gives what it holds.
fn read_both_ways(path: &Path) -> Vec<String> {
    let whole = Sizes { whole: u64::MAX, whole_gzip: u64::MAX, block: 1 };
    let mut results = Vec::new();
    for reading in [Reading::to_learn(false, Decoding::default()), judging()] {
        let expected = told(&Source::open_with(path, whole).unwrap(), reading).unwrap();
        for block in [1, 97, 1000, 1 << 20] {
            let source = Source::open_with(path, Sizes { whole: 0, whole_gzip: 0, block }).unwrap();
            let got = told(&source, reading).unwrap();
            assert_eq!(got, expected, "{}, blocks of {block} bytes", path.display());
        }
        results = expected;
    }
    results
}

fn judging() -> Reading {
    let coincident = druse_crystal::formats::CoincidentSites::Keep;
    Reading { coincident, cut_end: false, ..Reading::to_learn(false, Decoding::default()) }
}

/// The prototypes with properties, each a few times.
fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    for k in 0..7 {
        for (name, mut structure) in prototypes() {
            structure.properties.insert("gap".into(), (0.25 * f64::from(k)).into());
            structure
                .properties
                .insert("about".into(), format!("a \"{name}\", no. {k}\nin two lines").into());
            if k > 2 {
                structure.properties.insert("late".into(), (k % 2 == 0).into());
            }
            all.push(Entry { id: format!("{name}-{k}"), structure });
        }
    }
    all
}

fn put(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn tables_and_frames_are_cut_between_rows() {
    let folder = tempfile::tempdir().unwrap();
    let data = crate::Dataset::new("set", entries());
    for name in ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.extxyz"] {
        let path = folder.path().join(name);
        write_dataset(&data, &path, OutputFormat::from_path(&path).unwrap(), false).unwrap();
        let rows = read_both_ways(&path);
        assert!(rows.len() >= data.len(), "{name}: {}", rows.len());
    }
    let cifs: String = data.entries.iter().map(|e| write(&e.structure, Format::Cif, &e.id)).collect();
    let text = format!("# a comment\ndata_publication\n_journal_year 2024\n{cifs}");
    assert_eq!(read_both_ways(&put(folder.path(), "many.cif", text)).len(), data.len());
    let one = write(&data.entries[0].structure, Format::Cif, "x");
    assert_eq!(read_both_ways(&put(folder.path(), "one.cif", one)).len(), 1);
}

#[test]
fn broken_rows_are_told_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let data = crate::Dataset::new("set", entries());
    let path = folder.path().join("a.jsonl");
    write_dataset(&data, &path, OutputFormat::JSONL, false).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mixed = [lines[0], "{\"broken\"", "", lines[1], "nothing", lines[2], &lines[3][..40]].join("\n");
    let rows = read_both_ways(&put(folder.path(), "broken.jsonl", &mixed));
    assert_eq!(rows.len(), 6, "judging counts the line that is cut off: {rows:?}");

    let path = folder.path().join("a.csv");
    write_dataset(&data, &path, OutputFormat::CSV, false).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    read_both_ways(&put(folder.path(), "cut.csv", &text[..text.len() - 30]));
    read_both_ways(&put(folder.path(), "short.csv", text.replace(",True", "")));
    let latin: Vec<u8> = text.replace("no.", "n°").chars().map(|c| c as u8).collect();
    read_both_ways(&put(folder.path(), "latin.csv", latin));
    // Without a column for it the identifier is the first text that differs in all rows.
    read_both_ways(&put(folder.path(), "other.csv", text.replacen("material_id", "name", 1)));

    let path = folder.path().join("a.extxyz");
    write_dataset(&data, &path, OutputFormat::from(Format::ExtXyz), false).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    read_both_ways(&put(folder.path(), "cut.extxyz", &text[..text.len() - 30]));
    let wide: Vec<u8> = [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    assert_eq!(read_both_ways(&put(folder.path(), "wide.extxyz", wide)).len(), data.len());
}

#[test]
fn damaged_gzip_data_is_an_error_in_blocks_too() {
    let folder = tempfile::tempdir().unwrap();
    let data = crate::Dataset::new("set", entries());
    let path = folder.path().join("a.csv.gz");
    write_dataset(&data, &path, OutputFormat::CSV_GZ, false).unwrap();
    let bytes = fs::read(&path).unwrap();
    let sizes = Sizes { whole: 0, whole_gzip: 0, block: 1000 };
    let error = |bytes: &[u8]| {
        let path = put(folder.path(), "b.csv.gz", bytes);
        let source = Source::open_with(&path, sizes).unwrap();
        told(&source, judging()).unwrap_err().to_string()
    };
    assert!(error(&bytes[..bytes.len() / 2]).contains("truncated gzip"));
    assert!(error(b"no gzip data at all").contains("not gzip data"));
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 0xff;
    assert!(error(&flipped).contains("gzip"));
}

#[test]
fn reference_tables_are_the_same_in_blocks() {
    let Some(shared) = druse_testkit::shared_dir() else { return };
    for name in ["perov_5", "mp_20_bt"] {
        let path = shared.join("data").join(name).join("val.csv.gz");
        let whole =
            Source::open_with(&path, Sizes { whole: u64::MAX, whole_gzip: u64::MAX, block: 1 }).unwrap();
        let blocks = Source::open_with(&path, Sizes { whole: 0, whole_gzip: 0, block: 1 << 16 }).unwrap();
        assert_eq!(told(&whole, judging()).unwrap(), told(&blocks, judging()).unwrap(), "{name}");
    }
}
