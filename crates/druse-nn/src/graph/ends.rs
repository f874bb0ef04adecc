//! Edges in their order.

/// Two atoms, counted from the first of their crystal, and a cell offset: of the second, the destination, in a
/// [`super::Multigraph`]; likewise of the second, which is the source there, in a [`super::DirectedGraph`].
pub type EdgeEnds = (u32, u32, [i32; 3]);

/// Edges of a crystal, sorted by first atom, second atom and offset, each of them once.
pub(super) struct SortedEdges {
    edges: Vec<EdgeEnds>,
    /// The same as numbers in the same order, where all of them fit: comparing five members one after the other is what
    /// sorting and searching would take most of their time for.
    keys: Option<Vec<u64>>,
}

/// Bits of an atom and of a component of the offset in a key.
const ATOM_BITS: u32 = 16;
const OFFSET_BITS: u32 = 10;
/// Added to offsets, which then are positive.
const HALF: i32 = 1 << (OFFSET_BITS - 1);

/// A number with the order of the edge; `None` for one of a crystal of many atoms, or to a cell far away.
fn key((first, second, offset): EdgeEnds) -> Option<u64> {
    let fits = (first | second) >> ATOM_BITS == 0 && offset.iter().all(|t| (-HALF..HALF).contains(t));
    let atoms = (u64::from(first) << ATOM_BITS) | u64::from(second);
    fits.then(|| offset.into_iter().fold(atoms, |key, t| (key << OFFSET_BITS) | u64::from((t + HALF) as u32)))
}

/// The edge of a key.
fn edge(key: u64) -> EdgeEnds {
    let bits = |first: u32, count: u32| (key >> first) as u32 & ((1 << count) - 1);
    let offset = [2, 1, 0].map(|place| bits(place * OFFSET_BITS, OFFSET_BITS) as i32 - HALF);
    (bits(3 * OFFSET_BITS + ATOM_BITS, ATOM_BITS), bits(3 * OFFSET_BITS, ATOM_BITS), offset)
}

impl SortedEdges {
    /// Sorts edges and drops duplicates.
    pub fn new(mut edges: Vec<EdgeEnds>) -> Self {
        let mut keys: Option<Vec<u64>> = edges.iter().map(|&edge| key(edge)).collect();
        if let Some(keys) = &mut keys {
            keys.sort_unstable();
            keys.dedup();
            edges.clear();
            edges.extend(keys.iter().map(|&key| edge(key)));
        } else {
            edges.sort_unstable();
            edges.dedup();
        }
        Self { edges, keys }
    }

    /// The place of the opposite of an edge, if it is there.
    pub fn opposite(&self, (first, second, offset): EdgeEnds) -> Option<u32> {
        let wanted = (second, first, offset.map(|t| -t));
        let found = match &self.keys {
            Some(keys) => keys.binary_search(&key(wanted)?),
            None => self.edges.binary_search(&wanted),
        };
        found.ok().map(|place| place as u32)
    }
}

impl std::ops::Deref for SortedEdges {
    type Target = [EdgeEnds];

    fn deref(&self) -> &[EdgeEnds] {
        &self.edges
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Atoms and offsets around those that just fit into a key, or all well within it.
    fn edges() -> impl Strategy<Value = Vec<EdgeEnds>> {
        let near = (0u32..5, 0u32..5, prop::array::uniform3(-3..3i32));
        let far = (65_530u32..65_540, 0u32..2, prop::array::uniform3(508..515i32));
        let low = (0u32..2, 65_534u32..65_537, prop::array::uniform3(-515..-508i32));
        prop_oneof![
            prop::collection::vec(near.clone(), 0..60),
            prop::collection::vec(prop_oneof![near, far, low], 0..60)
        ]
    }

    proptest! {
        #[test]
        fn edges_are_those_of_a_plain_sort(edges in edges()) {
            let sorted = SortedEdges::new(edges.clone());
            let mut plain = edges;
            plain.sort_unstable();
            plain.dedup();
            prop_assert_eq!(&*sorted, &plain[..]);
            for &(i, j, t) in &plain {
                let opposite = plain.binary_search(&(j, i, t.map(|t| -t))).ok().map(|place| place as u32);
                prop_assert_eq!(sorted.opposite((i, j, t)), opposite);
            }
        }

        #[test]
        fn keys_keep_what_fits(edges in edges()) {
            for ends in edges {
                if let Some(number) = key(ends) {
                    prop_assert_eq!(edge(number), ends);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_has_no_key() {
        assert!(key((65_535, 65_535, [511; 3])).is_some() && key((0, 0, [-512; 3])).is_some());
        for ends in [(65_536, 0, [0; 3]), (0, 65_536, [0; 3]), (0, 0, [0, 512, 0]), (0, 0, [0, 0, -513])] {
            assert_eq!(key(ends), None, "{ends:?}");
        }
        // An edge that has a key and an opposite that has none.
        assert_eq!(SortedEdges::new(vec![(0, 1, [-512, 0, 0])]).opposite((0, 1, [-512, 0, 0])), None);
    }
}
