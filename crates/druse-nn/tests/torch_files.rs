//! Files of `torch.save`, written by `parity/torch/make_fixtures.py`, and broken ones.

use std::path::{Path, PathBuf};

use druse_nn::weights::torch::{ArchiveError, PickleError, TorchError, TorchFile};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch").join(name)
}

fn bytes_of(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap()
}

/// The formula of the script, with amplitude 1/sqrt(6).
#[expect(clippy::approx_constant, reason = "the formula has a rounded 2 pi")]
fn base(i: usize) -> f64 {
    let h: usize = "base".bytes().enumerate().map(|(k, b)| (k + 1) * usize::from(b)).sum();
    let h = (h % 1000) as f64 / 1000.0 * 6.28318;
    let x = (0.7 * i as f64 + 2.0 * (i * i % 1009) as f64 + h).sin() / 6f64.sqrt();
    f64::from(x as f32)
}

fn check_kinds(name: &str) {
    let file = TorchFile::read(&fixture(name)).unwrap();
    let tensors = file.state_dict().unwrap();
    let numbers = |key: &str| (tensors[key].shape.clone(), file.numbers(tensors[key]).unwrap());
    for key in ["int64", "int32", "int16", "int8", "uint8"] {
        assert_eq!(numbers(key), (vec![3], vec![0.0, 1.0, 100.0]), "{name}: {key}");
    }
    assert_eq!(numbers("bool").1, [0.0, 1.0, 1.0]);
    for key in ["float64", "float32", "float16", "bfloat16"] {
        assert_eq!(numbers(key), (vec![3], vec![1.5, -0.25, 1024.0]), "{name}: {key}");
    }
    let close = |key: &str, shape: &[usize], at: &dyn Fn(usize) -> usize| {
        let (found, values) = numbers(key);
        assert_eq!(found, shape, "{name}: {key}");
        assert_eq!(values.len(), shape.iter().product::<usize>());
        for (i, v) in values.into_iter().enumerate() {
            assert!((v - base(at(i))).abs() < 1e-7, "{name}: {key}[{i}] = {v}, expected {}", base(at(i)));
        }
    };
    close("base", &[4, 6], &|i| i);
    close("transposed", &[6, 4], &|i| i % 4 * 6 + i / 4);
    close("part", &[3, 3], &|i| (1 + i / 3) * 6 + 2 + i % 3);
    close("row", &[6], &|i| 12 + i);
    close("every_other", &[4, 3], &|i| i / 3 * 6 + i % 3 * 2);
    close("parameter", &[6], &|i| i);
    assert_eq!(numbers("scalar"), (vec![], vec![2.5]));
    assert_eq!(numbers("empty"), (vec![0, 3], vec![]));
    let message = file.numbers(tensors["complex"]).unwrap_err().to_string();
    assert!(message.contains("unknown type"), "{message}");
}

#[test]
fn tensors_of_every_type_and_layout_are_read() {
    check_kinds("kinds.pt");
    check_kinds("kinds_protocol_4.pt");
}

#[test]
fn a_file_before_1_6_that_is_cut_off_is_named() {
    let magic_number = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
    let error = TorchFile::from_bytes(magic_number.to_vec(), "old.pt").unwrap_err();
    assert!(matches!(error, TorchError::Legacy { .. }), "{error}");
    assert!(error.to_string().contains("before version 1.6"), "{error}");
}

#[test]
fn safetensors_are_read_as_the_same_tensors() {
    let header = br#"{"__metadata__":{"mean":"-1.5"},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"b":{"dtype":"F64","shape":[],"data_offsets":[24,32]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    (0..6).for_each(|i| bytes.extend((i as f32 * 0.5).to_le_bytes()));
    bytes.extend(7.25f64.to_le_bytes());
    let file = TorchFile::from_bytes(bytes.clone(), "weights").unwrap();
    let tensors = file.state_dict().unwrap();
    assert_eq!(tensors.keys().copied().collect::<Vec<_>>(), ["a.weight", "b"]);
    assert_eq!(tensors["a.weight"].shape, [2, 3]);
    assert_eq!(file.numbers(tensors["a.weight"]).unwrap(), [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]);
    assert_eq!(file.numbers(tensors["b"]).unwrap(), [7.25]);
    assert_eq!(file.plain("metadata").unwrap()["mean"], "-1.5");
    let cut = TorchFile::from_bytes(bytes[..bytes.len() - 1].to_vec(), "weights").unwrap_err();
    assert!(matches!(cut, TorchError::Safetensors { .. }), "{cut}");
}

#[test]
fn files_that_are_cut_off_are_refused() {
    let bytes = bytes_of("kinds.pt");
    for cut in (0..bytes.len()).step_by(97).chain([bytes.len() - 1]) {
        let result = TorchFile::from_bytes(bytes[..cut].to_vec(), "cut");
        assert!(matches!(result, Err(TorchError::Archive { .. })), "cut at {cut}: {result:?}");
    }
    let missing = TorchFile::read(Path::new("no/such/file.ckpt"));
    assert!(matches!(missing, Err(TorchError::File(_))));
}

/// A zip archive of stored entries without checksums.
fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in entries {
        let offset = (file.len() as u32).to_le_bytes();
        let size = (content.len() as u32).to_le_bytes();
        let length = (name.len() as u16).to_le_bytes();
        let common = |out: &mut Vec<u8>| {
            out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.extend(size);
            out.extend(size);
            out.extend(length);
            out.extend([0, 0]);
        };
        file.extend(b"PK\x03\x04");
        common(&mut file);
        file.extend(name.as_bytes());
        file.extend(*content);
        directory.extend(b"PK\x01\x02\x14\x00");
        common(&mut directory);
        directory.extend([0; 10]);
        directory.extend(offset);
        directory.extend(name.as_bytes());
    }
    let (start, count) = ((file.len() as u32).to_le_bytes(), (entries.len() as u16).to_le_bytes());
    file.extend(&directory);
    file.extend(b"PK\x05\x06\0\0\0\0");
    file.extend(count);
    file.extend(count);
    file.extend((directory.len() as u32).to_le_bytes());
    file.extend(start);
    file.extend([0, 0]);
    file
}

/// A pickle of `{"w": tensor}` whose storage `0` has four 32-bit floats.
fn pickle(offset: u8, shape: u8, stride: u8) -> Vec<u8> {
    let mut p = b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storage".to_vec();
    p.extend(b"ctorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ");
    p.extend([b'K', offset, b'K', shape, 0x85, b'K', stride, 0x85]);
    p.extend(b"\x89}tRs.");
    p
}

fn open(pickle: &[u8], storage: &[u8]) -> Result<TorchFile, TorchError> {
    TorchFile::from_bytes(archive(&[("a/data.pkl", pickle), ("a/data/0", storage)]), "example")
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn storages_must_hold_what_tensors_reach() {
    let storage = floats(&[1.0, 2.0, 3.0, 4.0]);
    let file = open(&pickle(1, 2, 2), &storage).unwrap();
    assert_eq!(file.numbers(file.state_dict().unwrap()["w"]).unwrap(), [2.0, 4.0]);
    for (offset, shape, stride) in [(2, 2, 2), (4, 1, 1), (0, 5, 1), (0, 5, 0)] {
        let result = open(&pickle(offset, shape, stride), &storage);
        assert!(
            matches!(&result, Err(TorchError::Pickle { source: PickleError::Tensor(_), .. })),
            "{result:?}"
        );
    }
    let file = open(&pickle(0, 2, 1), &storage[..12]).unwrap();
    let message = file.numbers(file.state_dict().unwrap()["w"]).unwrap_err().to_string();
    assert!(message.contains("3 of 4"), "{message}");
    let file = TorchFile::from_bytes(archive(&[("data.pkl", &pickle(0, 2, 1))]), "example").unwrap();
    let error = file.numbers(file.state_dict().unwrap()["w"]).unwrap_err();
    let missing = ArchiveError::Missing("data/0".into());
    assert!(matches!(&error, TorchError::Archive { source, .. } if *source == missing), "{error}");
}

#[test]
fn other_content_is_named() {
    let weightless = open(b"\x80\x02}X\x05\0\0\0epochK\x07s.", &[]).unwrap();
    assert_eq!((weightless.integer("epoch"), weightless.integer("step")), (Some(7), None));
    assert!(weightless.state_dict().unwrap_err().to_string().contains("no weights"));
    assert!(weightless.attributes().is_err());
    let cyclic = open(b"\x80\x02}q\x00X\x0a\0\0\0state_dicth\x00s.", &[]).unwrap();
    assert!(cyclic.state_dict().is_err());
    let no_pickle = TorchFile::from_bytes(archive(&[("a/other", b"x")]), "example").unwrap_err();
    assert!(no_pickle.to_string().contains("data.pkl"), "{no_pickle}");
    let big = TorchFile::from_bytes(archive(&[("data.pkl", b"N."), ("byteorder", b"big")]), "example");
    assert!(big.unwrap_err().to_string().contains("big-endian"));
    let mut compressed = archive(&[("data.pkl", b"N.")]);
    let directory = compressed.windows(4).position(|w| w == b"PK\x01\x02").unwrap();
    compressed[directory + 10] = 8;
    let error = TorchFile::from_bytes(compressed, "example").unwrap_err();
    assert!(matches!(error, TorchError::Archive { source: ArchiveError::NotStored(_), .. }), "{error}");
}

#[test]
fn plain_values_are_given_as_json() {
    let settings =
        b"\x80\x02}X\x01\0\0\0c}X\x01\0\0\0aK\x07sK\x05K\x06sX\x01\0\0\0l](K\x01X\x01\0\0\0xN\x88ess.";
    let file = open(settings, &[]).unwrap();
    let expected = serde_json::json!({"a": 7, "5": 6, "l": [1, "x", null, true]});
    assert_eq!(file.plain("c"), Some(expected));
    assert_eq!(file.plain("d"), None);
    assert!(matches!(file.dictionary("c"), Err(TorchError::Content { .. })));
    // A list that holds itself ends somewhere.
    let file = open(b"\x80\x02}X\x01\0\0\0c]q\x00(h\x00h\x00es.", &[]).unwrap();
    assert!(file.plain("c").unwrap().to_string().len() < 10_000);
}

#[test]
fn damage_to_numbers_is_found_by_the_checksum() {
    let mut bytes = bytes_of("kinds.pt");
    let pattern = floats(&[base(0) as f32]);
    let at =
        bytes.windows(4).position(|w| w == pattern).expect("the first number of `base` lies in the file");
    bytes[at] ^= 1;
    let file = TorchFile::from_bytes(bytes, "damaged").unwrap();
    let error = file.numbers(file.state_dict().unwrap()["base"]).unwrap_err();
    assert!(matches!(error, TorchError::Archive { source: ArchiveError::Checksum(_), .. }), "{error}");
}

/// Reads everything that a file offers.
fn exhaust(bytes: Vec<u8>) {
    if let Ok(file) = TorchFile::from_bytes(bytes, "hostile") {
        if let Ok(tensors) = file.state_dict() {
            tensors.values().for_each(|t| drop(file.numbers(t)));
        }
        if let Ok((_, tensors)) = file.attributes() {
            tensors.values().for_each(|t| drop(file.numbers(t)));
        }
        file.integer("epoch");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_files_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = bytes_of("kinds.pt");
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exhaust(bytes);
    }

    #[test]
    fn changed_pickles_never_panic(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = pickle(1, 2, 1);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        exhaust(archive(&[("a/data.pkl", &bytes), ("a/data/0", &[0; 16])]));
    }

    #[test]
    fn arbitrary_pickles_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exhaust(archive(&[("data.pkl", &bytes)]));
        exhaust(bytes);
    }
}
