//! Order of the training data.

/// SplitMix64 (Steele, Lea, Flood 2014): a small generator whose stream is fixed for good, so that the order of the
/// data does not change with a library's version.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`; the bias of the multiplication is below n / 2⁶⁴.
    fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next()) * n as u128) >> 64) as usize
    }
}

/// The numbers 0 to n - 1 in an order that depends on seed and epoch alone (Fisher and Yates).
pub fn shuffled(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut random = SplitMix(seed);
    let key = random.next();
    let mut random = SplitMix(key ^ epoch.wrapping_mul(0xd605_bbb5_8c8a_bc3d));
    let mut order: Vec<usize> = (0..n).collect();
    for i in (1..n).rev() {
        order.swap(i, random.below(i + 1));
    }
    order
}

/// Cuts an order into batches of at most `structures` structures and at most `atoms` atoms. A single structure
/// with more atoms makes its own batch.
pub fn pack(order: &[usize], sizes: &[usize], structures: usize, atoms: Option<usize>) -> Vec<Vec<usize>> {
    let limit = atoms.unwrap_or(usize::MAX);
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut filled = 0;
    for &i in order {
        match batches.last_mut() {
            Some(batch) if batch.len() < structures && filled + sizes[i] <= limit => {
                batch.push(i);
                filled += sizes[i];
            }
            _ => {
                batches.push(vec![i]);
                filled = sizes[i];
            }
        }
    }
    batches
}

/// Brings every batch to at least `smallest` structures, where it can, with structures of the batch before it (of the first,
/// of the one behind it). The number of batches stays, no structure is lost or read twice, and none of them exceeds the limit
/// of structures.
pub fn fill(batches: &mut [Vec<usize>], smallest: usize) {
    for i in 0..batches.len() {
        let Some(other) = i.checked_sub(1).or((batches.len() > 1).then_some(1)) else { return };
        while batches[i].len() < smallest && batches[other].len() > smallest {
            let moved = batches[other].pop();
            batches[i].extend(moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shuffling_is_a_permutation_that_depends_on_seed_and_epoch() {
        let a = shuffled(1000, 7, 3);
        let mut sorted = a.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert_eq!(a, shuffled(1000, 7, 3));
        assert_ne!(a, shuffled(1000, 7, 4));
        assert_ne!(a, shuffled(1000, 8, 3));
        // No place keeps its element more often than chance allows: 1 expected, 10 has probability 1e-7.
        assert!(a.iter().enumerate().filter(|(i, v)| i == *v).count() < 10);
        assert!(shuffled(0, 1, 1).is_empty());
    }

    #[test]
    fn shuffling_is_uniform() {
        // Position of element 0 of 5 over 10,000 epochs: 2,000 each, standard deviation 40.
        let mut counts = [0_i32; 5];
        for epoch in 0..10_000 {
            counts[shuffled(5, 1, epoch).iter().position(|&i| i == 0).unwrap()] += 1;
        }
        assert!(counts.iter().all(|n| (n - 2000).abs() < 240), "{counts:?}");
    }

    #[test]
    fn batches_keep_both_limits_and_lose_nothing() {
        let sizes: Vec<usize> = (0..50).map(|i| 1 + i % 13).collect();
        let order = shuffled(50, 1, 1);
        let batches = pack(&order, &sizes, 6, Some(30));
        assert_eq!(batches.concat(), order);
        for b in &batches {
            assert!(b.len() <= 6 && b.iter().map(|&i| sizes[i]).sum::<usize>() <= 30);
        }
        assert_eq!(pack(&[0, 1, 2], &[5, 100, 5], 8, Some(10)), [vec![0], vec![1], vec![2]]);
        assert_eq!(pack(&[0, 1, 2], &[5, 100, 5], 2, None), [vec![0, 1], vec![2]]);
    }

    #[test]
    fn small_batches_are_filled_from_their_neighbors() {
        let filled = |sizes: &[usize], smallest| {
            let mut next = 0..;
            let mut batches: Vec<Vec<usize>> =
                sizes.iter().map(|&n| next.by_ref().take(n).collect()).collect();
            let mut all = batches.concat();
            fill(&mut batches, smallest);
            let mut left = batches.concat();
            all.sort_unstable();
            left.sort_unstable();
            assert_eq!(all, left);
            batches.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(filled(&[4, 4, 1], 2), [4, 3, 2]);
        assert_eq!(filled(&[4, 4, 1], 1), [4, 4, 1]);
        assert_eq!(filled(&[1, 4, 4], 2), [2, 3, 4]);
        assert_eq!(filled(&[5, 1], 3), [3, 3]);
        // What cannot be helped stays.
        assert_eq!(filled(&[1], 2), [1]);
        assert_eq!(filled(&[2, 1], 2), [2, 1]);
        assert_eq!(filled(&[], 2), [0; 0]);
    }
}
