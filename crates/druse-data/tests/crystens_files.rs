//! Files of images: written, read as a set of structures, refused with words.

mod common;

use std::fs;
use std::path::Path;

use common::plain;
use druse_crystal::{Lattice, Structure};
use druse_data::crystens::{
    Codec, Image, ImageFile, ImageFileError, ImageHeader, Normalization, is_image_file, write_images,
};
use druse_data::{
    DataError, Dataset, Entry, ImageOptions, ListOptions, LoadOptions, OutputFormat, list, load,
    write_dataset, write_image_file,
};
use druse_testkit::prototypes::{element, prototypes};
use tempfile::tempdir;

fn dataset() -> Dataset {
    let entries = prototypes().into_iter().enumerate().map(|(k, (name, mut structure))| {
        structure.properties.insert("gap".to_owned(), (k as f64 + 0.5).into());
        Entry { id: name.to_owned(), structure }
    });
    Dataset::new("prototypes", entries.collect())
}

fn large() -> Structure {
    let coords = (0..53).map(|i| [f64::from(i) / 53.0, 0.0, 0.0]).collect();
    let lattice = Lattice::from_parameters([159.0, 4.0, 5.0, 90.0, 90.0, 90.0]).unwrap();
    Structure::new(lattice, vec![element("C"); 53], coords).unwrap()
}

fn raw() -> LoadOptions {
    LoadOptions { niggli: false, ..plain() }
}

#[test]
fn sets_survive_their_images() {
    let folder = tempdir().unwrap();
    let data = dataset();
    for (name, normalization) in [
        ("a.safetensors", Some(Normalization::published())),
        ("b.safetensors.gz", None),
        ("c.safetensors", Some(Normalization::divide_near_max())),
    ] {
        let path = folder.path().join(name);
        let gzip = name.ends_with(".gz");
        let options = ImageOptions { normalization, gzip, ..ImageOptions::default() };
        assert_eq!(write_image_file(&data, &path, &options).unwrap(), []);
        let back = load(&path, &raw()).unwrap();
        assert_eq!(back.len(), data.len());
        for (a, b) in data.entries.iter().zip(&back.entries) {
            assert_eq!((&a.id, &a.structure.species), (&b.id, &b.structure.species));
            assert_eq!(a.structure.properties["gap"], b.structure.properties["gap"]);
            let number = druse_data::crystens::space_group(&a.structure).unwrap();
            assert_eq!(b.structure.properties["image_space_group"], number);
            let numbers = |s: &Structure| [s.lattice.parameters().to_vec(), s.frac_coords.concat()].concat();
            for (x, y) in numbers(&a.structure).iter().zip(numbers(&b.structure)) {
                let d = (x - y).abs();
                // 32-bit numbers of a range of a hundred ångströms or degrees.
                assert!(d < 2e-5 || (1.0 - d).abs() < 1e-6, "{name} {}: {x} {y}", a.id);
            }
        }
    }
    let compressed = fs::metadata(folder.path().join("b.safetensors.gz")).unwrap().len();
    assert!(compressed * 10 < fs::metadata(folder.path().join("a.safetensors")).unwrap().len());
    // The name of a file does not matter, and the constants of the set travel with it.
    let bytes = fs::read(folder.path().join("a.safetensors")).unwrap();
    fs::write(folder.path().join("plain"), &bytes).unwrap();
    assert_eq!(load(&folder.path().join("plain"), &raw()).unwrap().len(), data.len());
    let file = ImageFile::parse(&bytes).unwrap();
    assert_eq!(file.header().normalization, Normalization::published());
    assert_eq!((file.name(1), file.number_type()), (data.entries[1].id.clone(), "F32".to_owned()));
    let first = Codec::default().encode(&data.entries[0].structure).unwrap();
    for (a, b) in file.image(0).channels_last().iter().zip(first.channels_last()) {
        assert!((a - b).abs() < 1e-7);
    }
    assert_eq!(OutputFormat::from_path("x/train.safetensors.gz".as_ref()).unwrap().name(), "crystens.gz");
}

#[test]
fn structures_without_an_image_are_counted() {
    let folder = tempdir().unwrap();
    let mut data = dataset();
    data.entries.push(Entry { id: "chain".to_owned(), structure: large() });
    let path = folder.path().join("a.safetensors");
    let error = write_dataset(&data, &path, OutputFormat::CRYSTENS, false).unwrap_err();
    assert!(!path.exists());
    let words = error.to_string();
    assert!(words.contains("id chain: the cell has 53 atoms, and an image holds 52 at most"), "{words}");
    let options = ImageOptions { max_skipped_share: 0.5, ..ImageOptions::default() };
    let skipped = write_image_file(&data, &path, &options).unwrap();
    assert_eq!((skipped.len(), skipped[0].id.as_deref()), (1, Some("chain")));
    assert_eq!(load(&path, &raw()).unwrap().len(), data.len() - 1);
    let error = write_image_file(&data, &path, &options).unwrap_err();
    assert!(matches!(error, DataError::OutputExists { .. }), "{error}");
    let nothing = Dataset::from_structures("chains", [large()]);
    let options = ImageOptions { max_skipped_share: 1.0, overwrite: true, ..options };
    let error = write_image_file(&nothing, &path, &options).unwrap_err();
    assert!(matches!(error, DataError::Empty { .. }) && error.to_string().contains("52 atoms"), "{error}");
}

fn written(header: &ImageHeader, images: Vec<Image>) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_images(&mut bytes, header, images.len(), images).unwrap();
    bytes
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// An image that shows nothing is a row with its reason, as a structure that a generator failed at.
#[test]
fn images_of_nothing_are_rows_with_a_reason() {
    let folder = tempdir().unwrap();
    let codec = Codec::default();
    let good = codec.encode(&dataset().entries[0].structure).unwrap();
    let mut broken = good.clone();
    broken.pixel_mut(3, 4)[0] = f64::NAN;
    let bytes = written(&ImageHeader::default(), vec![good, Image::zeros(), broken]);
    let path = put(folder.path(), "sampled.safetensors", &bytes);
    let listing = list(&path, &ListOptions::default()).unwrap();
    let reasons: Vec<Option<&str>> = listing.items.iter().map(|i| i.reason()).collect();
    assert_eq!(reasons[0], None);
    assert!(reasons[1].unwrap().contains("blank: all its numbers are 0"), "{reasons:?}");
    assert!(reasons[2].unwrap().contains("row 3, column 4, channel 0"), "{reasons:?}");
    assert!(listing.items[0].counted && listing.items[1].id == "image-2");
    let error = load(&path, &raw()).unwrap_err();
    assert!(matches!(error, DataError::TooManySkipped { .. }), "{error}");
}

#[test]
fn files_of_another_kind_are_refused_with_words() {
    let folder = tempdir().unwrap();
    let image = Codec::default().encode(&dataset().entries[0].structure).unwrap();
    let good = written(&ImageHeader::default(), vec![image]);
    assert!(is_image_file(&good));
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        bytes
    };
    for (bytes, words) in [
        (replaced("image, row, column, channel", "image, channel, row, column"), "do not reshape"),
        (replaced("avg-std", "min-max"), "normalized by `min-max`; known are avg-std, divide-near-max"),
        (replaced("[1,64,64,4]", "[1,64,32,8]"), "shape [1, 64, 32, 8], expected [images, 64, 64, 4]"),
        (replaced("\"crystens\"", "\"pictured\""), "holds no CrysTens images"),
        (replaced("\"images\":", "\"matter\":"), "its tensors are `matter`"),
        (good[..good.len() - 9].to_vec(), "is no safetensors file, or a damaged one"),
        (b"nothing".to_vec(), "is no safetensors file, or a damaged one"),
        (replaced("\\\"std\\\":22.417", "\\\"std\\\":00.000"), "constants of normalization cannot be read"),
    ] {
        let error = ImageFile::parse(&bytes).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        let path = put(folder.path(), "x.safetensors", &bytes);
        for error in [load(&path, &raw()).unwrap_err(), list(&path, &ListOptions::default()).unwrap_err()] {
            assert!(error.to_string().starts_with(&format!("`{}` ", path.display())), "{error}");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
    let mut header = ImageHeader { ids: vec!["a".to_owned(), "b".to_owned()], ..ImageHeader::default() };
    let bytes = written(&header, vec![Image::zeros()]);
    assert_eq!(
        ImageFile::parse(&bytes).unwrap_err(),
        ImageFileError::Names { images: 1, found: "2 ids".to_owned() }
    );
    header.ids.clear();
    header.normalization.scales.distance.std = 0.0;
    let error = ImageFile::parse(&written(&header, vec![Image::zeros()])).unwrap_err();
    assert!(error.to_string().contains("`distance`"), "{error}");
    assert!(write_images(&mut Vec::new(), &header, 2, [Image::zeros()]).is_err());
}
