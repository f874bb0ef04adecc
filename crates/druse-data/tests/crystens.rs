//! Images of crystals: what is encoded is decoded, and what shows nothing is an error.

use std::path::PathBuf;

use druse_crystal::{Element, Lattice, Structure};
use druse_data::crystens::{
    Antisymmetry, Codec, Counting, DecodeError, Decoding, EncodeError, IMAGE_LEN, Image, Normalization,
    SLOTS, Species, atoms_of, encode, space_group,
};
use druse_data::{Cache, LoadOptions, load};
use druse_testkit::prototypes::{crystal, prototypes, quartz};
use proptest::prelude::*;
use rayon::prelude::*;

/// Largest difference of two structures that list the same atoms in the same order: cell (relative) and coordinates;
/// infinite where they are different crystals.
fn difference(a: &Structure, b: &Structure) -> f64 {
    if a.species != b.species {
        return f64::INFINITY;
    }
    let cell = a.lattice.parameters().into_iter().zip(b.lattice.parameters());
    let cell = cell.map(|(x, y)| (x - y).abs() / x).fold(0.0, f64::max);
    let sites = a.frac_coords.as_flattened().iter().zip(b.frac_coords.as_flattened());
    sites
        .map(|(x, y)| {
            let d = (x - y).abs();
            d.min(1.0 - d)
        })
        .fold(cell, f64::max)
}

fn normalizations(structures: &[Structure]) -> [Normalization; 4] {
    [
        Normalization::published(),
        Normalization::fitted(structures.iter().map(|s| (s, 62))),
        Normalization::divide_near_max(),
        Normalization::divide_near_max_published(),
    ]
}

#[test]
fn prototypes_come_back() {
    let all: Vec<Structure> = prototypes().into_iter().map(|(_, s)| s).collect();
    for (name, structure) in prototypes() {
        let number = space_group(&structure).unwrap();
        for normalization in normalizations(&all) {
            let codec = Codec::new(normalization);
            let image = codec.encode(&structure).unwrap();
            let decoded = codec.decode(&image).unwrap();
            let off = difference(&structure, &decoded.structure);
            let method = normalization.describe();
            assert!(off < 1e-12, "{name} {method}: {off}");
            assert!((decoded.space_group - f64::from(number)).abs() < 1e-9, "{name} {method}");
            assert_eq!(decoded.duplicates, 0);
        }
        for decoding in [Decoding::published(), Decoding { species: Species::Round, ..Decoding::paper() }] {
            let codec = Codec { decoding, ..Codec::default() };
            let decoded = codec.decode(&codec.encode(&structure).unwrap()).unwrap();
            if structure.frac_coords.as_flattened().len() <= 6 {
                assert!(difference(&structure, &decoded.structure) < 1e-12, "{name}");
            }
        }
    }
}

#[test]
fn fitted_constants_fill_the_unit_interval() {
    let all: Vec<Structure> = prototypes().into_iter().map(|(_, s)| s).collect();
    let groups: Vec<u16> = all.iter().map(|s| space_group(s).unwrap()).collect();
    let normalization = Normalization::fitted(all.iter().zip(groups.iter().copied()));
    normalization.check().unwrap();
    assert!(normalization.describe().contains("of a data set"));
    let codec = Codec::new(normalization);
    let (mut low, mut high) = ([f64::INFINITY; 13], [f64::NEG_INFINITY; 13]);
    let mut see = |k: usize, x: f64| (low[k], high[k]) = (low[k].min(x), high[k].max(x));
    for (s, &group) in all.iter().zip(&groups) {
        let image = codec.encode_as(s, group).unwrap();
        for i in 0..s.len() {
            (0..11).for_each(|a| see(a, image.entries(a, i)[0]));
            for q in (0..s.len()).filter(|&q| q != i) {
                let [distance, differences @ ..] = *image.pair(i, q);
                see(12, distance);
                differences.into_iter().for_each(|d| see(11, d));
            }
        }
    }
    for k in 0..13 {
        assert!(low[k] > -1e-12 && high[k] < 1.0 + 1e-12, "{k}: {} to {}", low[k], high[k]);
        // Angles begin at 0 degrees, so that no empty slot reads as an angle.
        let is_angle = (7..10).contains(&k);
        assert!((high[k] - 1.0).abs() < 1e-12 && (low[k].abs() < 1e-12 || is_angle), "{k}");
        assert!(!is_angle || low[k] > 0.2, "{k}");
    }
    let text = serde_json::to_string(&normalization).unwrap();
    assert_eq!(serde_json::from_str::<Normalization>(&text).unwrap(), normalization);
    // Of one crystal nothing varies, and everything is in the middle.
    let one = Normalization::fitted([(&all[0], 225)]);
    one.check().unwrap();
    assert_eq!(Codec::new(one).encode_as(&all[0], 225).unwrap().entries(4, 0), [0.5; 8]);
}

/// An empty slot of a generated image is not exactly zero.
#[test]
fn rhombohedral_cells_are_counted_whatever_the_noise() {
    let zinc_blende = crystal([3.84, 3.84, 3.84, 60.0, 60.0, 60.0], &[("Zn", [0.0; 3]), ("S", [0.25; 3])]);
    let published = Codec::published();
    let mut image = Codec::default().encode(&zinc_blende).unwrap();
    for row in 0..64 {
        for column in 0..64 {
            let noise = 1e-3 * ((row * 64 + column) as f64).sin();
            image.pixel_mut(row, column).iter_mut().for_each(|x| *x += noise);
        }
    }
    let decoded = Codec::default().decode(&image).unwrap().structure;
    assert_eq!(decoded.species, zinc_blende.species);
    assert!(difference(&zinc_blende, &decoded) < 0.05, "a thousandth of the range of c is 0.11 Å");
    let count =
        |counting| atoms_of(&image, &published.normalization, counting, 51).map(|(atoms, _)| atoms).unwrap();
    assert_eq!((count(Counting::Slots), count(Counting::Alpha)), (2, 51));
}

#[test]
fn the_hand_of_a_crystal_survives() {
    let right = quartz();
    let rows = right.lattice.rows().map(|[x, y, z]| [x, y, -z]);
    let left = Structure { lattice: Lattice::from_rows(rows).unwrap(), ..right };
    let codec = Codec::default();
    let decoded = codec.decode(&codec.encode(&left).unwrap()).unwrap();
    assert_eq!((space_group(&decoded.structure).unwrap(), decoded.space_group.round()), (152, 152.0));
}

#[test]
fn images_of_nothing_are_errors() {
    let codec = Codec::default();
    let constant = |x: f64| Image::from_channels_last(&vec![x; IMAGE_LEN]).unwrap();
    assert_eq!(codec.decode(&constant(0.0)), Err(DecodeError::Blank(0.0)));
    assert_eq!(codec.decode(&constant(1.0)), Err(DecodeError::Blank(1.0)));
    let salt = druse_testkit::prototype("NaCl");
    let image = codec.encode(&salt).unwrap();
    let mut broken = image.clone();
    broken.pixel_mut(4, 13)[2] = f64::NAN;
    let error = codec.decode(&broken).unwrap_err();
    assert_eq!(error, DecodeError::NotFinite { row: 4, column: 13, channel: 2 });
    assert!(error.to_string().contains("row 4, column 13, channel 2"));
    // Faint noise on nothing.
    let faint: Vec<f64> = (0..IMAGE_LEN).map(|i| 1e-3 * (i as f64).sin()).collect();
    let faint = Image::from_channels_last(&faint).unwrap();
    for decoding in [Decoding::default(), Decoding::paper()] {
        assert_eq!(Codec { decoding, ..codec }.decode(&faint), Err(DecodeError::NoAtoms));
    }
    // No volume: one angle is the sum of the others, an angle beyond 180 degrees, a length below zero.
    let with = |attribute: usize, value: f64| {
        let mut image = image.clone();
        for slot in 0..salt.len() {
            let normal = codec.normalization.scales.attributes[attribute].normalize(value);
            *image.pixel_mut(attribute, 12 + slot) = [normal; 4];
            *image.pixel_mut(12 + slot, attribute) = [normal; 4];
        }
        codec.decode(&image)
    };
    for (attribute, value) in [(7, 170.0), (8, 190.0), (9, -60.0), (5, -4.0), (6, 0.0)] {
        let error = with(attribute, value).unwrap_err();
        assert!(matches!(error, DecodeError::Cell(_)), "{attribute}: {error}");
    }
    for z in [0.4, -3.0, 119.0, 1e9] {
        assert!(matches!(with(0, z), Err(DecodeError::Element { atom: 0, .. })), "{z}");
    }
}

#[test]
fn too_many_atoms_are_refused() {
    let carbon = Element::from_z(6).unwrap();
    let chain = |n: usize| {
        let coords = (0..n).map(|i| [i as f64 / n as f64, 0.0, 0.0]).collect();
        let lattice = Lattice::from_parameters([3.0 * n as f64, 4.0, 5.0, 90.0, 90.0, 90.0]).unwrap();
        Structure::new(lattice, vec![carbon; n], coords).unwrap()
    };
    let codec = Codec::default();
    assert_eq!(codec.encode(&chain(53)), Err(EncodeError::TooManyAtoms(53)));
    assert_eq!(encode(&chain(200), 1), Err(EncodeError::TooManyAtoms(200)));
    let full = codec.encode_as(&chain(52), 47).unwrap();
    assert_eq!(codec.decode(&full).unwrap().structure.len(), SLOTS);
    let published = Codec::published().decode(&full).unwrap().structure;
    assert_eq!(published.len(), 51, "the published scan ends one slot early");
}

#[test]
fn the_paper_and_the_script_cluster_in_another_order() {
    let codec = |species| Codec { decoding: Decoding { species, ..Decoding::default() }, ..Codec::default() };
    let sites = [("Li", [0.0; 3]), ("Be", [0.5, 0.0, 0.0]), ("Fe", [0.0, 0.5, 0.0]), ("Au", [0.0, 0.0, 0.5])];
    let image = Codec::default().encode(&crystal([5.0, 6.0, 7.0, 90.0, 90.0, 90.0], &sites)).unwrap();
    let symbols = |species| -> Vec<&str> {
        let structure = codec(species).decode(&image).unwrap().structure;
        structure.species.iter().map(|e| e.symbol()).collect()
    };
    assert_eq!(symbols(Species::Round), ["Li", "Be", "Fe", "Au"]);
    // Of four elements the two nearest become one: 3.5, rounded to even.
    assert_eq!(symbols(Species::ClusterRound { clusters: 3 }), ["Be", "Be", "Fe", "Au"]);
    // 3.4, 3.4 and 4.6 average to 3.8 before and to 3.67 after rounding, 2.4 and 3.6 to 3.0 and 3.
    let mut two = image.clone();
    let z = |x: f64| [Codec::default().normalization.scales.attributes[0].normalize(x); 4];
    for (slot, value) in [(0, 4.4), (1, 4.4), (2, 4.4), (3, 5.9)] {
        *two.pixel_mut(0, 12 + slot) = z(value);
        *two.pixel_mut(12 + slot, 0) = z(value);
    }
    let first = |species| codec(species).decode(&two).unwrap().structure.species[0].symbol();
    assert_eq!(first(Species::ClusterRound { clusters: 1 }), "B", "4.775");
    assert_eq!(first(Species::RoundClusterRound { clusters: 1 }), "Be", "4.5 to even");
    // Six clusters of coordinates: at most six different numbers.
    let paper = Codec { decoding: Decoding::paper(), ..Codec::default() };
    let mut numbers = paper.decode(&image).unwrap().structure.frac_coords.as_flattened().to_vec();
    numbers.sort_by(f64::total_cmp);
    numbers.dedup();
    assert!(numbers.len() <= 6, "{numbers:?}");
}

#[test]
fn atoms_on_the_same_spot_are_one() {
    let sites = [("Na", [0.0; 3]), ("Cl", [0.5; 3]), ("Cl", [0.5; 3]), ("Na", [0.5; 3])];
    let image = encode(&crystal([4.0, 4.0, 4.0, 90.0, 90.0, 90.0], &sites), 1).unwrap();
    let codec = Codec::default();
    let mut normal = image;
    codec.normalization.normalize(&mut normal, 4);
    let decoded = codec.decode(&normal).unwrap();
    assert_eq!((decoded.structure.len(), decoded.duplicates), (3, 1));
}

fn structures() -> impl Strategy<Value = Structure> {
    let cell = (proptest::array::uniform3(2.0f64..20.0), proptest::array::uniform3(62.0f64..115.0));
    let site = (1u8..=100, proptest::array::uniform3(0.0f64..1.0));
    (cell, proptest::collection::vec(site, 1..=SLOTS)).prop_filter_map("no cell", |((l, a), sites)| {
        let lattice = Lattice::from_parameters([l[0], l[1], l[2], a[0], a[1], a[2]]).ok()?;
        let species = sites.iter().map(|(z, _)| Element::from_z(*z).expect("an element")).collect();
        Structure::new(lattice, species, sites.into_iter().map(|(_, f)| f).collect()).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn random_structures_come_back(structure in structures(), group in 1u16..=230) {
        for normalization in normalizations(std::slice::from_ref(&structure)) {
            let codec = Codec::new(normalization);
            let image = codec.encode_as(&structure, group).unwrap();
            let decoded = codec.decode(&image).unwrap();
            prop_assert!(difference(&structure, &decoded.structure) < 1e-10, "{}", normalization.describe());
            prop_assert!((decoded.space_group - f64::from(group)).abs() < 1e-9);
        }
    }

    #[test]
    fn normalizing_and_back_is_nothing(structure in structures(), group in 1u16..=230) {
        let raw = encode(&structure, group).unwrap();
        for normalization in normalizations(std::slice::from_ref(&structure)) {
            let mut image = raw.clone();
            normalization.normalize(&mut image, structure.len());
            normalization.unnormalize(&mut image, structure.len());
            for (a, b) in image.channels_last().iter().zip(raw.channels_last()) {
                prop_assert!((a - b).abs() < 1e-10, "{a} {b}");
            }
        }
    }

    /// Another order of the atoms permutes rows and columns, and the decoded atoms.
    /// An image without contradictions stays as it is; one with noise loses them, and says what it said on the average.
    #[test]
    fn contradictions_are_reconciled(structure in structures(), group in 1u16..=230, phase in 0.0f64..6.0) {
        let codec = Codec::new(Normalization::fitted([(&structure, group)]));
        let image = codec.encode_as(&structure, group).unwrap();
        let reconciled = codec.reconciled(&image).unwrap();
        let apart = image.channels_last().iter().zip(reconciled.channels_last()).map(|(x, y)| (x - y).abs());
        prop_assert!(apart.fold(0.0, f64::max) < 1e-9);

        let noise = (0..IMAGE_LEN).map(|i| 0.01 * (i as f64 + phase).sin());
        let noisy: Vec<f64> = image.channels_last().iter().zip(noise).map(|(x, e)| x + e).collect();
        let noisy = Image::from_channels_last(&noisy).unwrap();
        let before = codec.decoding.content(&noisy, &codec.normalization).unwrap();
        let reconciled = codec.reconciled(&noisy).unwrap();
        let after = codec.decoding.content(&reconciled, &codec.normalization).unwrap();
        prop_assert_eq!(after.numbers.len(), before.numbers.len());
        prop_assert!((after.cell[0] - before.cell[0]).abs() < 1e-9 * before.cell[0]);
        let moved = after.own.iter().flatten().zip(before.agreed.iter().flatten());
        prop_assert!(moved.map(|(x, y)| (x - y).abs()).fold(0.0, f64::max) < 1e-9);
        prop_assert!(after.pairwise_difference < 1e-9);
        let again = codec.reconciled(&reconciled).unwrap();
        let apart = reconciled.channels_last().iter().zip(again.channels_last()).map(|(x, y)| (x - y).abs());
        prop_assert!(apart.fold(0.0, f64::max) < 1e-9);
    }

    #[test]
    fn atoms_may_come_in_any_order(structure in structures(), seed in 0usize..1000) {
        let n = structure.len();
        let step = (1..=n).map(|k| k + seed % n).find(|k| gcd(*k, n) == 1).unwrap_or(1);
        let order: Vec<usize> = (0..n).map(|k| (k * step + seed) % n).collect();
        let permuted = Structure {
            species: order.iter().map(|&i| structure.species[i]).collect(),
            frac_coords: order.iter().map(|&i| structure.frac_coords[i]).collect(),
            ..structure.clone()
        };
        let codec = Codec::default();
        let (a, b) = (codec.encode_as(&structure, 1).unwrap(), codec.encode_as(&permuted, 1).unwrap());
        for (s, &i) in order.iter().enumerate() {
            for attribute in 0..11 {
                prop_assert_eq!(b.entries(attribute, s), a.entries(attribute, i));
            }
            for (q, &j) in order.iter().enumerate() {
                prop_assert_eq!(b.pair(s, q), a.pair(i, j));
            }
        }
        prop_assert!(difference(&permuted, &codec.decode(&b).unwrap().structure) < 1e-10);
    }

    /// Any numbers are a structure or a reason, by every way of decoding.
    #[test]
    fn any_image_is_decoded_or_refused(
        numbers in proptest::collection::vec(-2.0f32..3.0, 64), scale in 0.0f32..2.0, hole in 0usize..70
    ) {
        let values: Vec<f32> = (0..IMAGE_LEN).map(|i| scale * numbers[(i * i + i / 64) % 64]).collect();
        let mut image = Image::from_channels_last(&values).unwrap();
        if hole < 64 {
            image.pixel_mut(hole, 63 - hole)[hole % 4] = f64::INFINITY;
        }
        let antisymmetric = Decoding {
            averaging: druse_data::crystens::Averaging {
                antisymmetry: Antisymmetry::Magnitudes, ..Decoding::default().averaging
            },
            ..Decoding::paper()
        };
        for decoding in [Decoding::default(), Decoding::paper(), Decoding::published(), antisymmetric] {
            for normalization in normalizations(&[]) {
                if let Ok(decoded) = decoding.decode(&image, &normalization) {
                    prop_assert!(hole >= 64);
                    prop_assert!(!decoded.structure.is_empty() && decoded.structure.lattice.volume() > 0.0);
                }
            }
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Every structure of the benchmarks that fits, without its space group, whose search takes minutes.
#[test]
fn structures_of_the_benchmarks_come_back() {
    let Some(shared) = druse_testkit::shared_dir() else { return };
    for set in ["carbon_24", "perov_5", "mp_20_bt", "mpts_52"] {
        for split in ["train", "val", "test"] {
            let path: PathBuf = shared.join(format!("data/{set}/{split}.csv.gz"));
            let options = LoadOptions { niggli: false, cache: Cache::Off, ..LoadOptions::default() };
            let data = load(&path, &options).unwrap();
            let structures: Vec<&Structure> =
                data.entries.iter().map(|e| &e.structure).filter(|s| s.len() <= SLOTS).collect();
            assert!(structures.len() > 100, "{set} {split}");
            let fitted = Normalization::fitted(structures.iter().map(|s| (*s, 1)));
            let worst = structures
                .par_iter()
                .enumerate()
                .map(|(k, s)| {
                    let group = (k % 230 + 1) as u16;
                    let back = |codec: Codec| {
                        let decoded = codec.decode(&codec.encode_as(s, group).unwrap()).unwrap();
                        assert_eq!(decoded.space_group.round(), f64::from(group));
                        difference(s, &decoded.structure)
                    };
                    let ours = back(Codec::default()).max(back(Codec::new(fitted)));
                    // The published way as far as it goes: 51 atoms, three elements.
                    let decoding = Decoding { species: Species::Round, ..Decoding::published() };
                    let theirs =
                        if s.len() < SLOTS { back(Codec { decoding, ..Codec::default() }) } else { 0.0 };
                    ours.max(theirs)
                })
                .reduce(|| 0.0, f64::max);
            assert!(worst < 1e-11, "{set} {split}: {worst}");
            eprintln!("{set} {split}: {} structures, largest difference {worst:.1e}", structures.len());
        }
    }
}
