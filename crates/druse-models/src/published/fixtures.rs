//! Files of `parity/torch/make_fixtures.py`, for tests.

use std::path::{Path, PathBuf};

use druse_nn::ParamSpec;
use druse_nn::weights::torch::TorchFile;

pub(crate) fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/torch").join(name)
}

pub(crate) fn file(name: &str) -> TorchFile {
    TorchFile::read(&path(name)).unwrap()
}

/// Value `i` of the tensor of a name and shape.
#[expect(clippy::approx_constant, reason = "the formula has a rounded 2 pi")]
pub(crate) fn formula(name: &str, shape: &[usize], i: usize) -> f64 {
    let h: usize = name.bytes().enumerate().map(|(k, b)| (k + 1) * usize::from(b)).sum();
    let h = (h % 1000) as f64 / 1000.0 * 6.28318;
    let rest: usize = shape[1..].iter().product();
    let amplitude = if shape.len() > 1 { 1.0 / (rest as f64).sqrt() } else { 0.1 };
    amplitude * (0.7 * i as f64 + 2.0 * (i * i % 1009) as f64 + h).sin()
}

/// Compares every weight with the formula.
pub(crate) fn check_weights(specs: &[ParamSpec], weights: &[Vec<f32>], tolerance: f64) {
    assert_eq!(weights.len(), specs.len());
    for (spec, values) in specs.iter().zip(weights) {
        assert_eq!(values.len(), spec.len(), "{}", spec.name);
        for (i, &v) in values.iter().enumerate() {
            let expected = formula(&spec.name, &spec.shape, i);
            assert!((f64::from(v) - expected).abs() < tolerance, "{}[{i}] = {v}, not {expected}", spec.name);
        }
    }
}

/// A file with texts replaced by others of the same length; checksums are cleared.
pub(crate) fn edited(name: &str, changes: &[(&[u8], &[u8])]) -> TorchFile {
    let mut bytes = std::fs::read(path(name)).unwrap();
    for (from, to) in changes {
        assert_eq!(from.len(), to.len());
        let places: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(from)).collect();
        assert!(!places.is_empty(), "nothing to replace");
        places.into_iter().for_each(|i| bytes[i..i + to.len()].copy_from_slice(to));
    }
    TorchFile::from_bytes(without_checksums(bytes), "edited").unwrap()
}

/// The bytes of an archive that does not notice changes.
pub(crate) fn without_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    let records: Vec<usize> = (0..bytes.len()).filter(|&i| bytes[i..].starts_with(b"PK\x01\x02")).collect();
    records.into_iter().for_each(|i| bytes[i + 16..i + 20].fill(0));
    bytes
}
