//! CrysTens images through the binary: written, shown, read back, judged, refused.

mod common;

use std::fs;
use std::path::Path;

use common::{csv, druse, prototypes};
use druse_data::crystens::{Codec, Image, ImageHeader, Normalization, write_images};
use druse_testkit::prototype;
use serde_json::Value;

fn table(dir: &Path) {
    fs::write(dir.join("set.csv"), csv(&prototypes())).unwrap();
}

fn written(dir: &Path, name: &str, images: Vec<Image>) {
    let header = ImageHeader { normalization: Normalization::published(), ..ImageHeader::default() };
    let mut bytes = Vec::new();
    write_images(&mut bytes, &header, images.len(), images).unwrap();
    fs::write(dir.join(name), bytes).unwrap();
}

/// The CIF of a prototype.
fn csv_cif(name: &str) -> String {
    prototypes().into_iter().find(|(id, _)| id == name).map(|(_, text)| text).unwrap()
}

/// Images of three crystals with some noise, and three of nothing.
fn sampled(dir: &Path) {
    let mut images: Vec<Image> = ["CsCl", "SrTiO3", "NiAl"]
        .iter()
        .enumerate()
        .map(|(k, name)| {
            let image = Codec::default().encode(&prototype(name)).unwrap();
            let noise = |(i, x): (usize, &f64)| x + 1e-4 * ((i * (k + 1)) as f64).sin();
            Image::from_channels_last(
                &image.channels_last().iter().enumerate().map(noise).collect::<Vec<_>>(),
            )
            .unwrap()
        })
        .collect();
    let mut broken = images[0].clone();
    broken.pixel_mut(20, 30)[1] = f64::NAN;
    let ones = Image::from_channels_last(&vec![1.0; 64 * 64 * 4]).unwrap();
    images.extend([broken, Image::zeros(), ones]);
    written(dir, "sampled.safetensors", images);
}

#[test]
fn sets_become_images_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    table(dir);
    let run = druse(dir, &["data", "convert", "set.csv", "set.safetensors"]).ok();
    assert!(run.stderr.contains("8 images: set.safetensors"), "{}", run.stderr);
    let info = druse(dir, &["info", "set.safetensors", "--picture", "pictures/set.png"]).ok().stdout;
    for words in [
        "CrysTens images: set.safetensors",
        "8 of 64×64 pixels and 4 channels (F32)",
        "avg-std (published constants)",
        "1 to 5, 3.0 on average",
        "8 of 8 images show one",
        "variance of cell lengths",
    ] {
        assert!(info.contains(words), "`{words}` is not in: {info}");
    }
    let png = fs::read(dir.join("pictures/set.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"));
    druse(dir, &["data", "convert", "set.safetensors", "back", "--format", "cif"]).ok();
    assert_eq!(fs::read_dir(dir.join("back")).unwrap().count(), 8);
    fs::write(dir.join("SrTiO3.cif"), csv_cif("SrTiO3")).unwrap();
    let same = druse(dir, &["match", "back/SrTiO3.cif", "SrTiO3.cif"]).ok().stdout;
    assert!(same.contains("fit  yes"), "{same}");
    druse(dir, &["data", "convert", "set.safetensors", "back.jsonl"]).ok();
    let text = fs::read_to_string(dir.join("back.jsonl")).unwrap();
    assert!(text.contains("\"image_space_group\":221"), "{text}");

    // Constants of the set, and the same for another one.
    let fit = ["data", "convert", "set.csv", "fit.safetensors.gz", "--normalization", "fit"];
    druse(dir, &fit).ok();
    let info = druse(dir, &["info", "fit.safetensors.gz"]).ok().stdout;
    assert!(info.contains("avg-std (constants of a data set)"), "{info}");
    let same = ["data", "convert", "back", "same.safetensors", "--normalization", "fit.safetensors.gz"];
    druse(dir, &same).ok();
    let info = druse(dir, &["info", "same.safetensors"]).ok().stdout;
    assert!(info.contains("constants of a data set") && info.contains("8 of 8 images show one"), "{info}");
    // A picture of structures that are no images yet.
    druse(dir, &["info", "set.csv", "--picture", "structures.png"]).ok();
    assert!(fs::metadata(dir.join("structures.png")).unwrap().len() > 1000);
}

#[test]
fn images_of_a_generator_are_judged() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    table(dir);
    sampled(dir);
    let info = druse(dir, &["info", "sampled.safetensors"]).ok().stdout;
    for words in [
        "3 of 6 images show one",
        "row 20, column 30, channel 1",
        "all its numbers are 0",
        "all its numbers are 1",
    ] {
        assert!(info.contains(words), "`{words}` is not in: {info}");
    }
    let arguments = ["evaluate", "sampled.safetensors", "--reference", "set.csv", "--protocol", "crystens"];
    let run =
        druse(dir, &[&arguments[..], &["--json", "e.json", "--property", "image_space_group"]].concat());
    run.fails(2, &["image_space_group", "reference"]);
    let run = druse(dir, &[&arguments[..], &["--json", "e.json"]].concat()).ok();
    for words in ["KS of a", "KS of space group", "Length variance of images", "row 20, column 30, channel 1"]
    {
        assert!(run.stdout.contains(words), "`{words}` is not in: {}", run.stdout);
    }
    let e: Value = serde_json::from_slice(&fs::read(dir.join("e.json")).unwrap()).unwrap();
    let metric = |key: &str| e["metrics"][key].as_f64().unwrap_or_else(|| panic!("{key}: {}", e["metrics"]));
    assert_eq!((metric("struct_valid"), metric("valid")), (0.5, 0.5));
    assert!(e["metrics"].get("comp_valid").is_none());
    // Noise of 1e-4 on a range of 41 to 114 Å.
    let variance = metric("image_length_variance");
    assert!(variance > 1e-6 && variance < 1e-4, "{variance}");
    assert!(metric("image_coordinate_variance") < 1e-7 && metric("image_pairwise_difference") < 0.01);
    assert!(metric("ks_image_space_group") < 0.5);
    // A file of the same crystals has the same distributions, though its numbers have 32 bits.
    druse(dir, &["data", "convert", "set.csv", "set.safetensors"]).ok();
    let same = [
        "evaluate",
        "set.safetensors",
        "--reference",
        "set.csv",
        "--protocol",
        "crystens",
        "--json",
        "s.json",
    ];
    druse(dir, &same).ok();
    let s: Value = serde_json::from_slice(&fs::read(dir.join("s.json")).unwrap()).unwrap();
    for key in ["ks_a", "ks_alpha", "ks_gamma", "ks_niggli_beta", "ks_space_group", "ks_atomic_number"] {
        assert_eq!(s["metrics"][key].as_f64(), Some(0.0), "{key}");
    }
    // As the paper: three elements and six coordinates at most.
    let paper = ["data", "convert", "sampled.safetensors", "p", "--format", "cif", "--decoding", "paper"];
    druse(dir, &paper).fails(2, &["3 of 6 structures cannot be used", "image-5", "blank"]);
    druse(dir, &[&paper[..], &["--max-skipped-share", "0.5"]].concat()).ok();
    assert_eq!(fs::read_dir(dir.join("p")).unwrap().count(), 3);
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    table(dir);
    let convert = |more: &[&str]| druse(dir, &[&["data", "convert", "set.csv"], more].concat());
    convert(&["a.jsonl", "--normalization", "fit"]).fails(2, &["--normalization", "--format crystens"]);
    convert(&["a.safetensors", "--normalization", "max"]).fails(2, &["--normalization max", "avg-std"]);
    convert(&["a.safetensors", "--normalization", "set.csv"]).fails(2, &["set.csv", "no safetensors file"]);
    convert(&["a.jsonl", "--decoding", "paper"]).fails(2, &["set.csv", "no file of them"]);
    convert(&["a.jsonl", "--decoding", "mine"]).fails(2, &["mine"]);
    assert!(!dir.join("a.safetensors").exists() && !dir.join("a.jsonl").exists());

    // More than 52 atoms: listed and counted.
    let line: Vec<String> = (0..53).map(|i| format!("[{},0,0]", f64::from(i) / 53.0)).collect();
    let chain = format!(
        r#"{{"id":"chain","lengths":[159,4,5],"angles":[90,90,90],"atom_types":[{}],"frac_coords":[{}]}}"#,
        vec!["6"; 53].join(","),
        line.join(",")
    );
    let salt = r#"{"id":"salt","lengths":[4,4,4],"angles":[90,90,90],"atom_types":[55,17],"frac_coords":[[0,0,0],[0.5,0.5,0.5]]}"#;
    fs::write(dir.join("mixed.jsonl"), format!("{chain}\n{salt}\n")).unwrap();
    fs::write(dir.join("chains.jsonl"), format!("{chain}\n")).unwrap();
    let mixed = ["data", "convert", "mixed.jsonl", "mixed.safetensors"];
    druse(dir, &mixed).fails(2, &["1 of 2 structures cannot be used", "id chain", "53 atoms", "52 at most"]);
    let run = druse(dir, &[&mixed[..], &["--max-skipped-share", "0.5"]].concat()).ok();
    assert!(
        run.stderr.contains("chain") && run.stderr.contains("1 images: mixed.safetensors"),
        "{}",
        run.stderr
    );
    druse(dir, &[&mixed[..], &["--max-atoms", "52", "--overwrite"]].concat()).ok();
    let chains = ["data", "convert", "chains.jsonl", "c.safetensors", "--max-skipped-share", "1"];
    druse(dir, &chains).fails(2, &["no structure that fits into an image of 52 atoms"]);
    druse(dir, &["info", "chains.jsonl", "--picture", "c.png"]).fails(2, &["fits into an image"]);
    druse(dir, &["info", "--picture", "c.png"]).fails(2, &["--picture"]);
    druse(dir, &["info", "mixed.safetensors", "--picture", "mixed.safetensors"]).fails(2, &["replaced"]);

    // Files that are something else, or of another layout.
    let good = fs::read(dir.join("mixed.safetensors")).unwrap();
    let text = "image, row, column, channel";
    let at = good.windows(text.len()).position(|w| w == text.as_bytes()).unwrap();
    let mut other = good.clone();
    other[at..at + text.len()].copy_from_slice(b"image, channel, row, column");
    fs::write(dir.join("other.safetensors"), &other).unwrap();
    for arguments in [
        &["info", "other.safetensors"][..],
        &["data", "convert", "other.safetensors", "o.jsonl"],
        &["evaluate", "other.safetensors", "--reference", "set.csv"],
    ] {
        druse(dir, arguments)
            .fails(2, &["other.safetensors", "image, channel, row, column", "do not reshape"]);
    }
    fs::write(dir.join("cut.safetensors"), &good[..good.len() / 2]).unwrap();
    druse(dir, &["data", "stats", "cut.safetensors"]).fails(2, &["cut.safetensors", "damaged"]);
}
