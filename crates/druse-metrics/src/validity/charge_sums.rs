//! Which total charges the atoms of several elements can add up to.

/// Totals that one element can contribute: `start + k · step` for `k` in `0..=times`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Share {
    pub start: u64,
    pub step: u64,
    pub times: u32,
}

impl Share {
    /// The single total `start`.
    pub(super) fn one(start: u64) -> Self {
        Self { start, step: 0, times: 0 }
    }
}

/// A set of reachable totals `0..=cap`: bit `s` tells whether `s` can be reached.
///
/// Every contribution is non-negative, so totals above the cap can be forgotten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChargeSums {
    words: Vec<u64>,
}

impl ChargeSums {
    /// The set that holds the total 0 alone.
    pub(super) fn zero(cap: u64) -> Self {
        let mut words = vec![0; cap as usize / 64 + 1];
        words[0] = 1;
        Self { words }
    }

    /// The totals after one more element, which contributes one of `shares`; no share, no total.
    pub(super) fn add(&self, shares: impl IntoIterator<Item = Share>) -> Self {
        let mut sum = Self { words: vec![0; self.words.len()] };
        for share in shares {
            if share.times == 0 || share.step == 0 {
                or_shifted(&mut sum.words, &self.words, share.start);
            } else {
                let mut spread = vec![0; self.words.len()];
                or_shifted(&mut spread, &self.words, share.start);
                spread_progression(&mut spread, share.step, share.times);
                or_shifted(&mut sum.words, &spread, 0);
            }
        }
        sum
    }

    /// Whether some total is in both sets.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// Whether a total within the cap can be reached.
    pub(super) fn contains(&self, total: u64) -> bool {
        self.words.get(total as usize / 64).is_some_and(|w| w >> (total % 64) & 1 == 1)
    }
}

/// `into |= from << by`; bits beyond the end are dropped.
fn or_shifted(into: &mut [u64], from: &[u64], by: u64) {
    let (words, bits) = (by / 64, by % 64);
    if words >= into.len() as u64 {
        return;
    }
    let words = words as usize;
    let mut carry = 0;
    for (a, &b) in into[words..].iter_mut().zip(from) {
        *a |= b << bits | carry;
        carry = if bits == 0 { 0 } else { b >> (64 - bits) };
    }
}

/// Adds every multiple `k · step`, `k` in `0..=times`, to every member: `times` in parts 1, 2, 4 … and a rest, each of
/// which is taken or left.
fn spread_progression(set: &mut [u64], step: u64, mut times: u32) {
    let mut part = 1;
    while times > 0 {
        let taken = part.min(times);
        let before = set.to_owned();
        or_shifted(set, &before, step.saturating_mul(u64::from(taken)));
        times -= taken;
        part = part.saturating_mul(2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn equals_the_enumeration(
            elements in prop::collection::vec(
                prop::collection::vec((0u64..90, 0u64..70, 0u32..6), 0..4), 0..5),
            cap in 0u64..400,
        ) {
            let mut want = BTreeSet::from([0u64]);
            let mut got = ChargeSums::zero(cap);
            for shares in &elements {
                want = want.iter().flat_map(|s| shares.iter().flat_map(move |&(start, step, times)| {
                    (0..=u64::from(times)).map(move |k| s + start + k * step)
                })).collect();
                got = got.add(shares.iter().map(|&(start, step, times)| Share { start, step, times }));
            }
            for total in 0..=cap {
                prop_assert_eq!(got.contains(total), want.contains(&total), "{}", total);
            }
        }
    }
}
