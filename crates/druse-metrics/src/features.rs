//! Feature vectors of many crystals.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// Why rows of numbers are no features.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum FeatureError {
    /// Rows of unequal length.
    #[error("feature vector {row} has {found} numbers, the first one has {expected}")]
    Length {
        /// Index of the row, from 0.
        row: usize,
        /// Its length.
        found: usize,
        /// Length of the first row.
        expected: usize,
    },
    /// A feature is NaN or infinite.
    #[error("feature {column} of vector {row} is not a finite number")]
    NotFinite {
        /// Index of the row, from 0.
        row: usize,
        /// Index of the number in it.
        column: usize,
    },
    /// Two sets whose vectors differ in length.
    #[error("feature vectors of {left} and of {right} numbers cannot be compared")]
    Dimension {
        /// Length of the vectors of one set.
        left: usize,
        /// Length of those of the other.
        right: usize,
    },
    /// Squares of the features overflow.
    #[error("features are too large to be squared")]
    TooLarge,
    /// There are too few vectors for what is asked.
    #[error("{found} feature vectors are too few: at least {needed} are needed")]
    TooFew {
        /// Vectors there are.
        found: usize,
        /// Vectors needed.
        needed: usize,
    },
}

/// Feature vectors of equal length, one a crystal; all numbers are finite.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    data: Vec<f64>,
    dim: usize,
    len: usize,
}

impl Features {
    /// Collects rows.
    ///
    /// # Errors
    /// [`FeatureError`] for rows of unequal length and for numbers that are not finite.
    pub fn from_rows<R: AsRef<[f64]>>(rows: impl IntoIterator<Item = R>) -> Result<Self, FeatureError> {
        let mut all = Self::default();
        let rows = rows.into_iter();
        let expected = rows.size_hint().0;
        for (row, numbers) in rows.enumerate() {
            let numbers = numbers.as_ref();
            if row == 0 {
                all.dim = numbers.len();
                all.data.reserve_exact(expected * all.dim);
            }
            if numbers.len() != all.dim {
                return Err(FeatureError::Length { row, found: numbers.len(), expected: all.dim });
            }
            if let Some(column) = numbers.iter().position(|x| !x.is_finite()) {
                return Err(FeatureError::NotFinite { row, column });
            }
            all.data.extend_from_slice(numbers);
            all.len += 1;
        }
        Ok(all)
    }

    /// Number of vectors.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no vector.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Length of the vectors; 0 without any.
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Vector `i`.
    ///
    /// # Panics
    /// When there is no vector `i`.
    pub fn row(&self, i: usize) -> &[f64] {
        assert!(i < self.len, "no feature vector {i} among {}", self.len);
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    /// All vectors in order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        (0..self.len).map(|i| self.row(i))
    }

    /// The vectors at these places, in this order.
    ///
    /// # Panics
    /// When there is no vector at one of them.
    pub fn select(&self, places: &[usize]) -> Self {
        let data = places.iter().flat_map(|&i| self.row(i)).copied().collect();
        Self { data, dim: self.dim, len: places.len() }
    }

    /// Every distinct vector once, in order of first appearance, and for each given vector which of them it is. Nothing is copied
    /// where all are distinct.
    pub fn distinct(&self) -> (Cow<'_, Self>, Vec<usize>) {
        let hasher = RandomState::new();
        // By a hash of their numbers, so that these are not kept twice.
        let mut alike: HashMap<u64, Vec<usize>> = HashMap::with_capacity(self.len);
        let mut places = Vec::new();
        let which = (0..self.len)
            .map(|i| {
                // Adding zero makes -0 and 0 the same pattern.
                let pattern = |i: usize| self.row(i).iter().map(|x| (x + 0.0).to_bits());
                let mut hash = hasher.build_hasher();
                pattern(i).for_each(|bits| hash.write_u64(bits));
                let kinds = alike.entry(hash.finish()).or_default();
                match kinds.iter().find(|&&k| pattern(places[k]).eq(pattern(i))) {
                    Some(&k) => k,
                    None => {
                        kinds.push(places.len());
                        places.push(i);
                        places.len() - 1
                    }
                }
            })
            .collect();
        let all = places.len() == self.len;
        (if all { Cow::Borrowed(self) } else { Cow::Owned(self.select(&places)) }, which)
    }

    /// All numbers, vector by vector.
    pub(crate) fn as_slice(&self) -> &[f64] {
        &self.data
    }

    /// Fails unless both sets have vectors of the same length.
    pub(crate) fn check_same_dim(&self, other: &Self) -> Result<(), FeatureError> {
        if self.dim != other.dim && !self.is_empty() && !other.is_empty() {
            return Err(FeatureError::Dimension { left: self.dim, right: other.dim });
        }
        Ok(())
    }

    /// Fails with fewer than `needed` vectors.
    pub(crate) fn check_len(&self, needed: usize) -> Result<(), FeatureError> {
        if self.len < needed { Err(FeatureError::TooFew { found: self.len, needed }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_checked() {
        let f = Features::from_rows([[1.0, 0.0], [2.0, 3.0], [1.0, -0.0]]).unwrap();
        assert_eq!((f.len(), f.dim(), f.row(1)), (3, 2, &[2.0, 3.0][..]));
        let (distinct, which) = f.distinct();
        assert_eq!((distinct.len(), which), (2, vec![0, 1, 0]));
        assert!(matches!(distinct.distinct(), (Cow::Borrowed(_), all) if all == [0, 1]));
        assert_eq!(
            Features::from_rows([vec![1.0], vec![]]),
            Err(FeatureError::Length { row: 1, found: 0, expected: 1 })
        );
        assert_eq!(
            Features::from_rows([[0.0, f64::NAN]]),
            Err(FeatureError::NotFinite { row: 0, column: 1 })
        );
        assert!(Features::from_rows::<[f64; 2]>([]).unwrap().is_empty());
    }
}
