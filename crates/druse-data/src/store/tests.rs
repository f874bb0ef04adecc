use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;

use druse_crystal::files;
use druse_crystal::{Element, Lattice, Structure};

use super::encode::encode;
use super::*;
use crate::properties::number;

fn write(path: &Path, import: &Import) -> String {
    let mut writer = Writer::new(path.parent());
    import.entries.iter().for_each(|e| writer.push(e).unwrap());
    writer.write(path, &import.beside).unwrap()
}

/// A file with this content and the right checksum.
fn write_content(path: &Path, content: &[u8]) {
    let json = serde_json::to_vec(&Beside::default()).unwrap();
    let payload = [&(content.len() as u64).to_le_bytes(), content, &json].concat();
    let (length, sum) = ((payload.len() as u64).to_le_bytes(), blake3::hash(&payload));
    fs::write(path, [MAGIC, &LAYOUT.to_le_bytes()[..], &length, sum.as_bytes(), &payload].concat()).unwrap();
}

fn sample() -> Import {
    let lattice = Lattice::from_rows([[4.0, 0.1, 0.0], [0.0, 3.0, 0.3], [0.2, 0.0, 5.0]]).unwrap();
    let species = ["Na", "Cl"].map(|s| Element::from_symbol(s).unwrap()).to_vec();
    let structure = Structure::new(lattice, species, vec![[0.0, 0.1, 0.7], [1.0 / 3.0, 0.5, 0.25]]).unwrap();
    let entry = |id: &str, properties: &[(&str, Value)]| {
        let properties = properties.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        Entry { id: id.to_owned(), structure: Structure { properties, ..structure.clone() } }
    };
    Import {
        entries: vec![
            entry("a", &[("gap", 1.5.into()), ("theoretical", true.into())]),
            entry("β", &[("formula", "NaCl, \"salt\"".into()), ("theoretical", false.into())]),
            entry("", &[]),
        ],
        beside: Beside {
            skipped: vec![Skipped {
                file: PathBuf::new(),
                row: Some(2),
                line: Some(30),
                id: None,
                reason: "broken".into(),
            }],
            warnings: vec!["a warning".into()],
            niggli: true,
            strict: false,
        },
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/x.druse");
    let import = sample();
    write(&path, &import);
    let (back, hash) = read(&path).unwrap();
    assert_eq!(back, import);
    assert_eq!(hash, content_hash(&import.entries));
    assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "the temporary file is gone");
}

#[test]
fn every_cut_and_every_flipped_byte_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.druse");
    let import = sample();
    write(&path, &import);
    let good = fs::read(&path).unwrap();
    for n in 0..good.len() {
        fs::write(&path, &good[..n]).unwrap();
        assert!(read(&path).is_err(), "cut to {n} bytes");
        let mut bad = good.clone();
        bad[n] ^= 0x40;
        fs::write(&path, &bad).unwrap();
        assert!(read(&path).is_err(), "byte {n} flipped");
    }
    let mut newer = good;
    newer[8] = LAYOUT as u8 + 1;
    fs::write(&path, &newer).unwrap();
    assert!(matches!(read(&path), Err(StoreError::Version(v)) if v == LAYOUT + 1));
}

#[test]
fn content_that_lies_is_an_error_even_with_a_right_checksum() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.druse");
    let content = encode(&sample().entries);
    write_content(&path, &content);
    assert_eq!(read(&path).unwrap().0.entries, sample().entries);
    for n in 0..content.len() {
        write_content(&path, &content[..n]);
        assert!(matches!(read(&path), Err(StoreError::Content(_))), "cut to {n} bytes");
    }
    for n in 0..content.len() {
        let mut bad = content.clone();
        bad[n] ^= 0x81;
        write_content(&path, &bad);
        // Other numbers may be other crystals; what counts is that nothing panics or asks for endless memory.
        let _ = read(&path);
    }
    let mut bad = content;
    bad[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    write_content(&path, &bad);
    assert!(matches!(read(&path), Err(StoreError::Content(_))));
}

/// Entries that fill many windows.
fn many() -> Vec<Entry> {
    let one = sample().entries.swap_remove(1);
    let more = |k: usize| {
        let mut entry = Entry { id: format!("row {k}"), ..one.clone() };
        entry.structure.properties.insert("k".into(), k.into());
        if k > 4000 {
            entry.structure.properties.insert("late".into(), format!("{k} times").into());
        }
        entry
    };
    (0..5000).map(more).collect()
}

#[test]
fn a_store_that_changes_while_it_is_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.druse");
    let import = Import { entries: many(), beside: Beside::default() };
    let hash = write(&path, &import);
    assert_eq!(hash, content_hash(&import.entries));
    let good = fs::read(&path).unwrap();
    let rest = |change: &dyn Fn()| {
        fs::write(&path, &good).unwrap();
        let store = Store::open(&path).unwrap();
        let mut reader = store.entries().unwrap();
        assert_eq!(reader.block(10).unwrap(), import.entries[..10]);
        change();
        loop {
            match reader.next() {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(e) => return Err(e),
            }
        }
    };
    rest(&|| {}).unwrap();
    let length = good.len() as u64;
    let cut = || fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 3).unwrap();
    assert!(matches!(rest(&cut), Err(StoreError::Changed { .. })), "cut off");
    let other = || {
        let mut bytes = good.clone();
        bytes[good.len() / 2] ^= 1;
        fs::write(&path, bytes).unwrap();
    };
    assert!(matches!(rest(&other), Err(StoreError::Changed { .. })), "one bit");
    // Another file in its place is another file; the one that was opened is still there.
    let replaced = || files::write_atomic(&path, b"something else").unwrap();
    rest(&replaced).unwrap();
}

#[test]
fn columns_are_read_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.druse");
    write(&path, &Import { entries: many(), beside: Beside::default() });
    let store = Store::open(&path).unwrap();
    let names: Vec<(&str, usize)> =
        store.columns().iter().map(|c| (c.name.as_str(), c.kinds.total())).collect();
    assert_eq!(names, [("formula", 5000), ("k", 5000), ("late", 999), ("theoretical", 5000)]);
    let mut late = store.column(&store.columns()[2]);
    let values: Vec<Option<Value>> = (0..5000).map(|_| late.next().unwrap()).collect();
    assert_eq!((&values[4000], &values[4001]), (&None, &Some("4001 times".into())));
}

#[test]
fn stores_of_earlier_versions_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.druse");
    let content = encode(&sample().entries);
    let json = br#"{"skipped":[],"warnings":["old"]}"#;
    let payload = [&(content.len() as u64).to_le_bytes(), content.as_slice(), json].concat();
    let (length, sum) = ((payload.len() as u64).to_le_bytes(), blake3::hash(&payload));
    fs::write(&path, [MAGIC, &4u32.to_le_bytes()[..], &length, sum.as_bytes(), &payload].concat()).unwrap();
    let (import, _) = read(&path).unwrap();
    assert_eq!(import.entries, sample().entries);
    assert!(!import.beside.niggli && import.beside.warnings == ["old"]);
}

fn value() -> impl Strategy<Value = Value> {
    let number = (-1e12..1e12f64).prop_map(|x| number(x).unwrap());
    prop_oneof![number, any::<String>().prop_map(Value::from), any::<bool>().prop_map(Value::from)]
}

proptest! {
    #[test]
    fn any_entries_survive_the_packing(
        raw in prop::collection::vec(
            (
                any::<String>(),
                prop::array::uniform3(2.0..9.0f64),
                prop::collection::vec((1u8..=118, prop::array::uniform3(0.0..1.0f64)), 1..9),
                prop::collection::btree_map("[a-c]", value(), 0..3),
            ),
            0..6,
        ),
    ) {
        let entries: Vec<Entry> = raw
            .into_iter()
            .map(|(id, [a, b, c], sites, properties)| {
                let lattice = Lattice::from_rows([[a, 0.3, 0.0], [0.0, b, 0.1], [0.7, 0.0, c]]).unwrap();
                let (species, coords): (Vec<_>, Vec<_>) =
                    sites.into_iter().map(|(z, f)| (Element::from_z(z).unwrap(), f)).unzip();
                let structure = Structure::new(lattice, species, coords).unwrap();
                Entry { id, structure: Structure { properties, ..structure } }
            })
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.druse");
        let import = Import { entries, beside: Beside::default() };
        prop_assert_eq!(write(&path, &import), content_hash(&import.entries));
        prop_assert_eq!(read(&path).unwrap().0, import);
    }
}

#[test]
fn the_hash_follows_the_content() {
    let import = sample();
    let before = content_hash(&import.entries);
    let mut changed = import.entries.clone();
    changed[1].structure.frac_coords[0][2] += 1e-12;
    assert_ne!(content_hash(&changed), before);
    let mut changed = import.entries;
    changed[0].structure.properties.insert("gap".into(), 1.6.into());
    assert_ne!(content_hash(&changed), before);
}
