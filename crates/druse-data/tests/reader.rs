//! Sets that stay in files: packed stores, their parts, what is computed of them.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use common::{halides, plain, put};
use druse_data::{
    Cache, DataError, Dataset, DatasetStats, Entries, Entry, Filter, ListOptions, LoadOptions, OutputFormat,
    SetReader, Split, SplitOptions, SplitStats, Splits, StatsOptions, list, load, write_dataset,
};
use tempfile::tempdir;

fn raw() -> LoadOptions {
    LoadOptions { niggli: false, ..plain() }
}

fn all(set: &SetReader) -> Vec<Entry> {
    let mut entries = Vec::new();
    set.for_each_block(&mut |block| {
        entries.extend_from_slice(block);
        Ok(())
    })
    .unwrap();
    entries
}

fn store(data: &Dataset, path: &Path) {
    let format = OutputFormat::from_path(path).unwrap();
    assert_eq!(format.name(), "store");
    write_dataset(data, path, format, false).unwrap();
}

#[test]
fn a_reader_gives_what_loading_gives() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "halides.csv", halides());
    let cache = folder.path().join("cache");
    for niggli in [false, true] {
        for cache in [Cache::Off, Cache::Folder(cache.clone())] {
            let options = LoadOptions { niggli, cache, ..LoadOptions::default() };
            let data = load(&path, &options).unwrap();
            let set = SetReader::open(&path, &options).unwrap();
            assert_eq!((all(&set), set.name(), set.total()), (data.entries.clone(), data.name.as_str(), 4));
            let stats = DatasetStats::read(&set, StatsOptions::default()).unwrap().unwrap();
            assert_eq!(stats, DatasetStats::compute(&data, StatsOptions::default()).unwrap());
            assert_eq!(stats.content_hash, data.content_hash);
        }
    }
}

#[test]
fn filters_are_those_of_loading() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "halides.csv", halides());
    let with = |filters: &[&str]| {
        let filters: Vec<Filter> = filters.iter().map(|f| f.parse().unwrap()).collect();
        LoadOptions { filters, ..plain() }
    };
    let stats = |options: &LoadOptions| {
        let set = SetReader::open(&path, options)?;
        DatasetStats::read(&set, StatsOptions { symprec: None })
    };
    let options = with(&["band_gap>5", "theoretical=false"]);
    let expected = DatasetStats::compute(&load(&path, &options).unwrap(), StatsOptions { symprec: None });
    assert_eq!(stats(&options).unwrap(), expected);
    assert_eq!(expected.unwrap().count, 1);
    for filters in [["band_gap>50"], ["gap>5"], ["pretty_formula<5"]] {
        let options = with(&filters);
        let (a, b) = (stats(&options).unwrap_err(), load(&path, &options).unwrap_err());
        assert_eq!(a.to_string(), b.to_string());
    }
}

#[test]
fn stores_are_a_format_of_sets() {
    let folder = tempdir().unwrap();
    let path = put(folder.path(), "halides.csv", halides());
    let data = load(&path, &raw()).unwrap();
    let kept = folder.path().join("set/kept.druse");
    store(&data, &kept);
    let back = load(&kept, &raw()).unwrap();
    assert_eq!((&back.entries, &back.content_hash), (&data.entries, &data.content_hash));
    // Cells are reduced where that is asked for, as those of any file.
    let reduced = load(&path, &plain()).unwrap();
    assert_eq!(load(&kept, &plain()).unwrap().entries, reduced.entries);
    assert_eq!(all(&SetReader::open(&kept, &plain()).unwrap()), reduced.entries);
    // A store of reduced cells is read where it lies: nothing is kept beside it.
    let second = folder.path().join("reduced.druse");
    write_dataset(
        &SetReader::open(&path, &plain()).unwrap(),
        &second,
        OutputFormat::from_path(&second).unwrap(),
        false,
    )
    .unwrap();
    let cache = folder.path().join("cache");
    let options = LoadOptions { cache: Cache::Folder(cache.clone()), ..LoadOptions::default() };
    assert_eq!(all(&SetReader::open(&second, &options).unwrap()), reduced.entries);
    assert!(!cache.exists());
    // Judging reads it, too.
    let listing = list(&kept, &ListOptions::default()).unwrap();
    assert_eq!(
        listing.items.iter().filter_map(|i| i.structure().cloned()).collect::<Vec<_>>(),
        data.structures().cloned().collect::<Vec<_>>()
    );
    assert_eq!(listing.items[1].id, "sylvite");
    let error = load(&kept, &LoadOptions { strict: true, ..raw() }).unwrap_err();
    assert!(matches!(error, DataError::NotStrict { .. }), "{error}");
    assert!("store.gz".parse::<OutputFormat>().is_err());
}

#[test]
fn a_folder_of_stores_is_one_set() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "halides.csv", halides()), &raw()).unwrap();
    let shards = folder.path().join("shards");
    for (k, chunk) in data.entries.chunks(3).enumerate() {
        store(&Dataset::new("x", chunk.to_vec()), &shards.join(format!("part-{k}.druse")));
    }
    let set = SetReader::open(&shards, &raw()).unwrap();
    assert_eq!((all(&set), set.total(), set.name()), (data.entries.clone(), 4, "shards"));
    let stats = DatasetStats::read(&set, StatsOptions::default()).unwrap().unwrap();
    let mut expected = DatasetStats::compute(&data, StatsOptions::default()).unwrap();
    expected.name = "shards".into();
    assert_eq!(stats, expected, "with the content hash of the whole");
    assert_eq!(load(&shards, &raw()).unwrap().content_hash, data.content_hash);
    let listed =
        SetReader::open_stores("mine", &[shards.join("part-1.druse"), shards.join("part-0.druse")]).unwrap();
    assert_eq!(all(&listed)[0], data.entries[3]);
    // One of them damaged: the message names it.
    let bytes = fs::read(shards.join("part-1.druse")).unwrap();
    fs::write(shards.join("part-1.druse"), &bytes[..bytes.len() - 5]).unwrap();
    let error = SetReader::open(&shards, &raw()).err().unwrap().to_string();
    assert!(error.contains("part-1.druse") && error.contains("cut off"), "{error}");
    // Something else among them: no set.
    put(&shards, "a.csv", halides());
    assert!(matches!(load(&shards, &raw()), Err(DataError::FolderOfTables { .. })));
}

#[test]
fn splits_are_read_where_they_lie() {
    let folder = tempdir().unwrap();
    let data = load(&put(folder.path(), "whole.csv", halides()), &raw()).unwrap();
    let parts = folder.path().join("parts");
    for (name, chunk) in ["train", "test"].iter().zip(data.entries.chunks(3)) {
        store(&Dataset::new("x", chunk.to_vec()), &parts.join(format!("{name}.druse")));
    }
    let splits = Splits::open(&parts).unwrap();
    let options = StatsOptions { symprec: Some(0.1) };
    let read = SplitStats::read("parts", &splits.open_all(&raw()).unwrap(), options).unwrap();
    let computed = SplitStats::compute("parts", splits.load_all(&raw()).unwrap(), options);
    assert_eq!(read, computed);
    assert_eq!(read.unwrap().whole.content_hash, data.content_hash);
    // A division by hash.
    let division = SplitOptions { fractions: [0.5, 0.0, 0.5], seed: 3, ..SplitOptions::default() };
    let mut found: BTreeMap<Split, Vec<String>> = BTreeMap::new();
    for split in [Split::Train, Split::Test] {
        let mut set = SetReader::open(&folder.path().join("whole.csv"), &raw()).unwrap();
        set.part(division, split);
        found.insert(split, all(&set).into_iter().map(|e| e.id).collect());
    }
    for entry in &data.entries {
        assert!(found[&division.split_of(entry)].contains(&entry.id));
    }
    assert_eq!(found.values().map(Vec::len).sum::<usize>(), 4);
}
