//! Files of `torch.save` before version 1.6: pickles one after the other (a magic number, a version, the machine, the content,
//! the keys of the storages), then the storages in the order of their keys.

use std::collections::BTreeMap;
use std::ops::Range;

use super::error::PickleError;
use super::pickle;
use super::value::{ElementType, Id, Value, Values};

/// How such files begin: a pickle of the magic number.
pub(super) const MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e";

/// Why a file of this form cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LegacyError {
    /// A pickle in it cannot be read.
    #[error("the pickle in it cannot be read at byte {position}: {source}")]
    Pickle {
        /// Start of the instruction.
        position: usize,
        /// What the reader stumbled over.
        source: PickleError,
    },
    /// It was written on a machine with the other order of bytes.
    #[error("it was written by a big-endian machine")]
    BigEndian,
    /// What stands in place of the keys is something else.
    #[error("the list of its storages is damaged")]
    Keys,
    /// A storage ends after the file.
    #[error("the storage `{0}` reaches beyond the end of the file; it is cut off")]
    Storage(String),
}

/// Where the storages lie, by key.
pub(super) type Places = BTreeMap<String, Range<usize>>;

/// Reads a file: its values, which of them is the content, and where the storages are.
pub(super) fn read(bytes: &[u8]) -> Result<(Values, Id, Places), LegacyError> {
    let mut at = MAGIC.len();
    let mut next = || {
        let start = at;
        let wrong = |(position, source)| LegacyError::Pickle { position: start + position, source };
        let (values, root, length) = pickle::read_first(&bytes[start..]).map_err(wrong)?;
        at += length;
        Ok::<_, LegacyError>((values, root, at))
    };
    next()?;
    let (machine, root, _) = next()?;
    if machine.entry(root, "little_endian").is_some_and(|v| *machine.get(v) == Value::Bool(false)) {
        return Err(LegacyError::BigEndian);
    }
    let (values, root, _) = next()?;
    let (keys, list, end) = next()?;
    let Value::List(list) = keys.get(list) else { return Err(LegacyError::Keys) };
    let elements: BTreeMap<&str, Option<ElementType>> = values.storages().collect();
    let (mut places, mut at) = (Places::new(), end);
    for &key in list {
        let key = keys.text(key).ok_or(LegacyError::Keys)?;
        let beyond = || LegacyError::Storage(key.to_string());
        let count = bytes.get(at..).and_then(|rest| rest.first_chunk()).ok_or_else(beyond)?;
        at += count.len();
        let count = usize::try_from(u64::from_le_bytes(*count)).map_err(|_| beyond())?;
        // The size of an element is known for those alone that the content names; what follows another cannot be found.
        let size = elements.get(&**key).copied().flatten().ok_or(LegacyError::Keys)?.size();
        let end = count.checked_mul(size).and_then(|n| n.checked_add(at)).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(beyond)?;
        places.insert(key.to_string(), at..end);
        at = end;
    }
    Ok((values, root, places))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{"w": tensor of [[1, 2], [3, 4]]}` as such a file, with the text of the byte order.
    pub(in super::super) fn example(little_endian: u8) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(b"\x80\x02M\xe9\x03.");
        bytes.extend(b"\x80\x02}X\x0d\x00\x00\x00little_endian");
        bytes.extend([little_endian, b's', b'.']);
        bytes.extend(b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor\n(");
        bytes.extend(
            b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x02\x00\x00\x0077X\x03\x00\x00\x00cpuK\x04NtQ",
        );
        bytes.extend(b"K\x00K\x02K\x02\x86K\x02K\x01\x86tRs.");
        bytes.extend(b"\x80\x02]X\x02\x00\x00\x0077a.");
        bytes.extend(4u64.to_le_bytes());
        [1f32, 2.0, 3.0, 4.0].iter().for_each(|x| bytes.extend(x.to_le_bytes()));
        bytes
    }

    #[test]
    fn storages_follow_the_pickles() {
        let bytes = example(0x88);
        let (values, root, places) = read(&bytes).unwrap();
        let tensor = values.entry(root, "w").unwrap();
        assert!(matches!(values.get(tensor), Value::Tensor(t) if t.shape == [2, 2]));
        assert_eq!(places["77"], bytes.len() - 16..bytes.len());
    }

    #[test]
    fn damaged_files_are_refused() {
        let bytes = example(0x88);
        assert_eq!(read(&example(0x89)), Err(LegacyError::BigEndian));
        assert_eq!(read(&bytes[..bytes.len() - 1]), Err(LegacyError::Storage("77".into())));
        assert!(matches!(read(&bytes[..MAGIC.len() + 20]), Err(LegacyError::Pickle { .. })));
        for end in MAGIC.len()..bytes.len() {
            assert!(read(&bytes[..end]).is_err());
        }
        // As many elements as no file has.
        let mut long = bytes.clone();
        let at = long.len() - 24;
        long[at..at + 8].fill(0xff);
        assert_eq!(read(&long), Err(LegacyError::Storage("77".into())));
    }
}
