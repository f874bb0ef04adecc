//! Some entries of a set, drawn at random.

use std::collections::BinaryHeap;

use crate::{DataError, Entries, Entry, HowRead};

/// Some entries of another set, in its order.
///
/// Which ones depends on seed and identifiers alone, and on the place where identifiers are equal: the order of the set does
/// not count, and of two numbers the smaller one draws some of what the larger one draws.
pub struct Drawn<'a> {
    set: &'a dyn Entries,
    /// Ascending.
    places: Vec<usize>,
}

impl<'a> Drawn<'a> {
    /// Draws `count` entries; goes through the set once, and keeps 16 bytes for each that it draws.
    ///
    /// # Errors
    /// [`DataError::TooFew`] when the set is smaller; those of reading it.
    pub fn new(set: &'a dyn Entries, count: usize, seed: u64) -> Result<Self, DataError> {
        let mut drawn = BinaryHeap::new();
        let mut total = 0;
        set.for_each_block(&mut |block| {
            for entry in block {
                drawn.push((key(seed, &entry.id), total));
                if drawn.len() > count {
                    drawn.pop();
                }
                total += 1;
            }
            Ok(())
        })?;
        if total < count {
            return Err(DataError::TooFew { name: set.name().to_owned(), asked: count, total });
        }
        let mut places: Vec<usize> = drawn.into_iter().map(|(_, place)| place).collect();
        places.sort_unstable();
        Ok(Self { set, places })
    }
}

impl Entries for Drawn<'_> {
    fn name(&self) -> &str {
        self.set.name()
    }

    fn for_each_block(
        &self,
        take: &mut dyn FnMut(&[Entry]) -> Result<(), DataError>,
    ) -> Result<(), DataError> {
        let (mut first, mut left) = (0, &self.places[..]);
        self.set.for_each_block(&mut |block| {
            let here = left.partition_point(|&place| place < first + block.len());
            let (of_block, others) = left.split_at(here);
            let entries: Vec<Entry> = of_block.iter().map(|&place| block[place - first].clone()).collect();
            (first, left) = (first + block.len(), others);
            if entries.is_empty() { Ok(()) } else { take(&entries) }
        })
    }

    fn how_read(&self) -> HowRead {
        self.set.how_read()
    }
}

/// The entries with the smallest keys are drawn.
fn key(seed: u64, id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    // Not the hash by which sets are divided: a draw from a part of one has nothing to do with the division.
    hasher.update(b"drawn").update(&seed.to_le_bytes()).update(id.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;

    fn set(n: usize) -> Dataset {
        let structure = druse_testkit::prototype("NaCl");
        Dataset::from_structures("set", std::iter::repeat_n(structure, n))
    }

    fn ids(set: &dyn Entries, count: usize, seed: u64) -> Vec<String> {
        let drawn = Dataset::read(&Drawn::new(set, count, seed).unwrap()).unwrap();
        drawn.entries.into_iter().map(|e| e.id).collect()
    }

    #[test]
    fn what_is_drawn_depends_on_the_seed_and_not_on_the_order() {
        // More than a block.
        let mut all = set(9000);
        let (few, more) = (ids(&all, 100, 7), ids(&all, 300, 7));
        assert_eq!((few.len(), more.len()), (100, 300));
        assert!(few.iter().all(|id| more.contains(id)));
        assert!(ids(&all, 100, 8).iter().filter(|id| few.contains(id)).count() < 20);
        let place = |id: &String| all.entries.iter().position(|e| e.id == *id).unwrap();
        let places: Vec<usize> = more.iter().map(place).collect();
        assert!(places.is_sorted_by(|a, b| a < b));
        // From everywhere: the mean of 300 places of 9,000 is 4,500 ± 150.
        let mean = places.iter().sum::<usize>() as f64 / 300.0;
        assert!((3800.0..5200.0).contains(&mean), "{mean}");
        all.entries.reverse();
        let mut turned = ids(&all, 100, 7);
        turned.reverse();
        assert_eq!(turned, few);
    }

    #[test]
    fn equal_identifiers_are_entries_of_their_own() {
        let mut all = set(10);
        all.entries.iter_mut().for_each(|e| e.id = "same".into());
        assert_eq!(ids(&all, 4, 0).len(), 4);
        assert_eq!(ids(&all, 10, 0).len(), 10);
        let error = Drawn::new(&all, 11, 0).err().unwrap().to_string();
        assert_eq!(error, "`set` has 10 structures, of which 11 cannot be drawn");
    }
}
