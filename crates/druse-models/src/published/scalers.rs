//! What published runs standardize with.

use druse_data::Benchmark;
use druse_nn::weights::torch::TorchFile;

use super::PublishedError;
use crate::standardizer::Standardizer;

/// Reads a scaler that published CDVAE keeps beside its checkpoints (`lattice_scaler.pt`, `prop_scaler.pt`): an object with
/// the tensors `means` and `stds` of `columns` numbers.
///
/// # Errors
/// [`PublishedError`] when the file cannot be read or holds something else.
pub fn read_scaler(file: &TorchFile, columns: usize) -> Result<Standardizer, PublishedError> {
    let wrong = |problem: String| PublishedError::Scaler { name: file.name().to_owned(), problem };
    let (class, attributes) = file.attributes()?;
    let read = |attribute: &str| {
        let tensor = attributes
            .get(attribute)
            .ok_or_else(|| wrong(format!("its object, a `{class}`, has no tensor `{attribute}`")))?;
        let numbers = file.numbers(tensor)?;
        if numbers.len() != columns {
            let found = numbers.len();
            return Err(wrong(format!("`{attribute}` has {found} numbers, expected {columns}")));
        }
        Ok(numbers)
    };
    let (mean, std) = (read("means")?, read("stds")?);
    if mean.iter().chain(&std).any(|x| !x.is_finite()) || std.iter().any(|s| *s <= 0.0) {
        return Err(wrong("a mean is not finite or a standard deviation is not positive".into()));
    }
    Ok(Standardizer { mean, std })
}

/// The scaler of `[lengths / N^(1/3), angles]` (Å, degrees) of the published runs.
pub fn lattice_scaler(benchmark: Benchmark) -> Standardizer {
    let (mean, std) = match benchmark {
        Benchmark::Mp20 => (
            [2.40144, 2.70831, 3.67447, 86.76885, 84.87071, 86.25297],
            [0.57238, 0.57224, 1.55230, 18.50424, 15.88155, 19.28040],
        ),
        Benchmark::Carbon24 => (
            [1.32458, 1.96965, 2.73384, 89.42477, 89.77344, 88.74967],
            [0.23766, 0.28400, 0.55793, 14.40860, 9.19117, 12.91620],
        ),
        Benchmark::Perov5 => {
            ([2.42398, 2.42398, 2.42398, 90.0, 90.0, 90.0], [0.17867, 0.17867, 0.17867, 1e-5, 1e-5, 1e-5])
        }
    };
    Standardizer { mean: mean.to_vec(), std: std.to_vec() }
}

/// The scaler of [`Benchmark::property`] of the published runs (eV/atom).
pub fn property_scaler(benchmark: Benchmark) -> Standardizer {
    let (mean, std) = match benchmark {
        Benchmark::Mp20 => (-1.219_803, 1.029_384),
        Benchmark::Carbon24 => (-154.251_022, 0.137_388),
        Benchmark::Perov5 => (1.403_221, 0.680_219),
    };
    Standardizer { mean: vec![mean], std: vec![std] }
}
