//! What ranks say to each other.

use druse_models::{ModelError, PartNumbers, Share};
use druse_nn::memory::ComputeError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::train::Ending;

/// Rises with every change of what is said.
pub(super) const PROTOCOL: u32 = 1;

/// What rank 0 says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Order {
    /// The data are read, and what is kept of them for another time is written: read them, too.
    Load,
    /// A model of these statistics (JSON), with the shapes of its arrays, whose numbers follow; and how many structures can be
    /// used for training and validation.
    Model { statistics: String, arrays: Vec<(String, Vec<usize>)>, structures: [usize; 2] },
    /// From now on these tensors have the values that follow.
    Weights(Vec<usize>),
    /// Micro-batches of a batch.
    Work(Share),
    /// It is over; with what went wrong where it has not ended as it should.
    End(Result<Ending, String>),
}

/// What another rank says.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The data are read; their hash.
    Loaded(String),
    /// The model is ready.
    Ready,
    /// What came of a share; its numbers follow.
    Part(PartNumbers),
    /// The share does not fit into memory.
    OutOfMemory(String),
    /// The model has collapsed.
    Collapsed(String),
    /// Something else is wrong.
    Failed(String),
}

impl Answer {
    pub(super) fn of_failure(error: &ModelError) -> Self {
        match error {
            ModelError::Compute(ComputeError::OutOfMemory(words)) => Self::OutOfMemory(words.clone()),
            ModelError::Collapsed(words) => Self::Collapsed(words.clone()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// Writes a message and the numbers that follow it: length of the message, message, numbers of four bytes each.
pub(super) fn encode(message: &impl Serialize, numbers: &[&[f32]], bytes: &mut Vec<u8>) {
    let message = postcard::to_stdvec(message).expect("messages are plain numbers and texts");
    bytes.clear();
    bytes.extend(u32::try_from(message.len()).expect("a message is short").to_le_bytes());
    bytes.extend(message);
    for numbers in numbers {
        let start = bytes.len();
        bytes.resize(start + 4 * numbers.len(), 0);
        for (to, number) in bytes[start..].chunks_exact_mut(4).zip(*numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
    }
}

/// Reads a message and the numbers that follow it.
///
/// # Errors
/// What is wrong with the bytes.
pub(super) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<(T, Vec<f32>), String> {
    let cut_off = || "a message is cut off".to_owned();
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut_off)?;
    let (message, numbers) =
        rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(cut_off)?;
    let message = postcard::from_bytes(message).map_err(|e| format!("a message is damaged: {e}"))?;
    let (numbers, rest) = numbers.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(cut_off());
    }
    Ok((message, numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
}

#[cfg(test)]
mod tests {
    use druse_models::NoiseKey;

    use super::*;

    #[test]
    fn messages_come_as_they_went() {
        let key = |index| NoiseKey { seed: u64::MAX, epoch: 3, index };
        let share = Share {
            phase: 1,
            counts: Some(vec![0.1, f64::MAX]),
            first: 2,
            of: 9,
            micro_batches: vec![vec![key(0), key(7)], vec![key(4)]],
        };
        let mut bytes = vec![9; 3];
        let numbers = [f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, 1.5];
        let bits = |v: &[f32]| v.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        encode(&Order::Work(share.clone()), &[&numbers[..3], &[], &numbers[3..]], &mut bytes);
        let (order, read) = decode::<Order>(&bytes).unwrap();
        assert_eq!((order, bits(&read)), (Order::Work(share), bits(&numbers)));
        for end in [Ok(Ending::TimeLimit), Err("full".to_owned())] {
            encode(&Order::End(end.clone()), &[], &mut bytes);
            assert_eq!(decode::<Order>(&bytes).unwrap().0, Order::End(end));
        }
        for cut in 0..bytes.len() {
            assert!(decode::<Order>(&bytes[..cut]).is_err(), "{cut}");
        }
        let full = ModelError::Compute(ComputeError::OutOfMemory("full".into()));
        assert_eq!(Answer::of_failure(&full), Answer::OutOfMemory("full".into()));
    }
}
