//! The bytes of a safetensors file, written by ourselves so that equal content gives equal bytes: the crate keeps the
//! text header in a hash map, whose order changes from run to run.

use std::collections::BTreeMap;
use std::io;

use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::ser::{Serialize, SerializeMap, Serializer};

/// Longest header that readers of the format accept, in bytes.
const MOST_HEADER: usize = 100_000_000;

/// What the header is padded to a multiple of, in bytes.
const ALIGNMENT: usize = 8;

type Metadata = BTreeMap<String, String>;
type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// The header: the text entries sorted by key, then the tensors sorted by name, which is their order in the file.
struct Header<'a> {
    metadata: &'a Metadata,
    tensors: &'a Tensors,
}

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.tensors.len() + 1))?;
        map.serialize_entry("__metadata__", self.metadata)?;
        let mut start = 0;
        for (name, (shape, values)) in self.tensors {
            let end = start + size_of_val(values.as_slice());
            let info = TensorInfo { dtype: Dtype::F32, shape: shape.clone(), data_offsets: (start, end) };
            map.serialize_entry(name, &info)?;
            start = end;
        }
        map.end()
    }
}

/// The bytes of a file: the length of the header (8 bytes, little-endian), the header as JSON, padded with spaces, and
/// the numbers of all tensors.
///
/// # Errors
/// When the header is longer than readers accept.
///
/// # Panics
/// When the shape of a tensor and its number of values disagree.
pub(super) fn serialize(metadata: &Metadata, tensors: &Tensors) -> io::Result<Vec<u8>> {
    for (name, (shape, values)) in tensors {
        assert_eq!(shape.iter().product::<usize>(), values.len(), "values of `{name}` with shape {shape:?}");
    }
    let mut header = serde_json::to_vec(&Header { metadata, tensors })?;
    header.resize(header.len().next_multiple_of(ALIGNMENT), b' ');
    if header.len() > MOST_HEADER {
        return Err(io::Error::other(format!("the header would take {} bytes", header.len())));
    }
    let numbers: usize = tensors.values().map(|(_, values)| size_of_val(values.as_slice())).sum();
    let mut bytes = Vec::with_capacity(ALIGNMENT + header.len() + numbers);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header);
    for (_, values) in tensors.values() {
        bytes.extend(values.iter().flat_map(|v| v.to_le_bytes()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::TensorView;

    use super::*;

    fn tensors() -> Tensors {
        let vector: Vec<f32> = (0..5u8).map(|i| f32::from(i) - 1.5).collect();
        [
            ("b.weight", vec![2, 2], vec![1.0, -0.0, f32::INFINITY, 4.0]),
            ("a \"quoted\"", vec![5], vector),
            ("empty", vec![0, 3], vec![]),
        ]
        .into_iter()
        .map(|(name, shape, values)| (name.to_owned(), (shape, values)))
        .collect()
    }

    #[test]
    fn bytes_are_those_of_the_format() {
        let metadata = Metadata::from([("config".to_owned(), "{\"a\": 1}".to_owned())]);
        let bytes: BTreeMap<String, Vec<u8>> = tensors()
            .into_iter()
            .map(|(name, (_, values))| (name, values.iter().flat_map(|v| v.to_le_bytes()).collect()))
            .collect();
        let views = tensors().into_iter().map(|(name, (shape, _))| {
            let view = TensorView::new(Dtype::F32, shape, &bytes[&name]).unwrap();
            (name, view)
        });
        // A hash map of one entry has one order.
        let header: HashMap<String, String> = metadata.clone().into_iter().collect();
        let expected = safetensors::serialize(views, Some(header)).unwrap();
        assert_eq!(serialize(&metadata, &tensors()).unwrap(), expected);
    }

    #[test]
    fn equal_content_gives_equal_bytes() {
        let keys = ["step", "config", "species", "kind", "épsilon", "seed", "model", "a", "z", "format"];
        let metadata = |order: &mut dyn Iterator<Item = &&str>| -> Metadata {
            order.map(|key| ((*key).to_owned(), format!("value of {key}"))).collect()
        };
        let first = serialize(&metadata(&mut keys.iter()), &tensors()).unwrap();
        let second = serialize(&metadata(&mut keys.iter().rev()), &tensors()).unwrap();
        assert_eq!(first, second);
        let text = String::from_utf8_lossy(&first);
        let places: Vec<usize> = metadata(&mut keys.iter())
            .keys()
            .map(|key| text.find(&format!("\"{key}\":")).expect("every key is in the header"))
            .collect();
        assert!(places.is_sorted(), "keys are sorted: {places:?}");
    }
}
