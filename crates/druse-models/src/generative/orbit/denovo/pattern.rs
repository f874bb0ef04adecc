//! Structure types: Wyckoff positions that hold one element each, whichever it is.

use druse_crystal::{Element, SpaceGroup, Template};

/// More elements than a crystal may have to be drawn; the ways to exchange them are all looked at.
pub(super) const MOST_ELEMENTS: usize = 6;

/// A space group, and the letters of the positions of each element, in the first of their orders over all origins and axes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Pattern {
    pub group: u16,
    /// A slot each: letters, each as often as it is occupied.
    pub slots: Vec<Vec<char>>,
}

/// Classes of positions as a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Placed {
    pub pattern: Pattern,
    /// The slot of each class.
    pub slot: Vec<u8>,
    /// Permutations of the slots that shifts of the origin, other axes and equal slots make: what is in slot i goes to the i-th.
    pub automorphisms: Vec<Vec<u8>>,
}

impl Placed {
    /// Of the letters of each class; `None` where the group has no such positions, or there are too many classes.
    pub fn new(group: &SpaceGroup, classes: &[Vec<char>]) -> Option<Self> {
        if classes.len() > MOST_ELEMENTS {
            return None;
        }
        // Any elements will do, in the order of the classes.
        let element = |class: usize| Element::from_z(class as i64 + 1).ok();
        let mut sites = Vec::new();
        for (class, letters) in classes.iter().enumerate() {
            let element = element(class)?;
            sites.extend(letters.iter().map(|&letter| (element, letter)));
        }
        let template = Template::new(group, sites).ok()?;
        let mut first: Option<Vec<Vec<char>>> = None;
        let mut ways: Vec<Vec<u8>> = Vec::new();
        for same in template.equivalents() {
            let mut of_class = vec![Vec::new(); classes.len()];
            for &(element, letter) in same.sites() {
                of_class[usize::from(element.z()) - 1].push(letter);
            }
            let mut order: Vec<usize> = (0..classes.len()).collect();
            order.sort_by(|&a, &b| of_class[a].cmp(&of_class[b]));
            let slots: Vec<Vec<char>> = order.iter().map(|&class| of_class[class].clone()).collect();
            match first.as_ref().map(|first| slots.cmp(first)) {
                Some(std::cmp::Ordering::Greater) => continue,
                Some(std::cmp::Ordering::Equal) => {}
                _ => {
                    ways.clear();
                    first = Some(slots);
                }
            }
            let slots = first.as_deref().unwrap_or_default();
            place(slots, &order, &mut vec![0; classes.len()], 0, &mut ways);
        }
        ways.sort_unstable();
        ways.dedup();
        let slot = ways.first()?.clone();
        let automorphism = |way: &Vec<u8>| {
            let mut moved = vec![0; way.len()];
            slot.iter().zip(way).for_each(|(&from, &to)| moved[usize::from(from)] = to);
            moved
        };
        let automorphisms = ways.iter().map(automorphism).collect();
        let pattern = Pattern { group: group.number(), slots: first? };
        Some(Self { pattern, slot, automorphisms })
    }
}

/// All ways to put classes, in their order, into slots, those of equal slots in any order among each other.
fn place(slots: &[Vec<char>], order: &[usize], way: &mut Vec<u8>, done: usize, ways: &mut Vec<Vec<u8>>) {
    if done == order.len() {
        return ways.push(way.clone());
    }
    // The run of equal slots that is filled now.
    let alike = slots[done..].iter().take_while(|slot| **slot == slots[done]).count();
    permuted(&mut order[done..done + alike].to_vec(), 0, &mut |classes| {
        for (i, &class) in classes.iter().enumerate() {
            way[class] = (done + i) as u8;
        }
        place(slots, order, way, done + alike, ways);
    });
}

/// All orders of some things.
fn permuted(things: &mut Vec<usize>, from: usize, found: &mut impl FnMut(&[usize])) {
    if from == things.len() {
        return found(things);
    }
    for i in from..things.len() {
        things.swap(from, i);
        permuted(things, from + 1, found);
        things.swap(from, i);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(group: u16, classes: &[&str]) -> Placed {
        let classes: Vec<Vec<char>> = classes.iter().map(|c| c.chars().collect()).collect();
        Placed::new(SpaceGroup::new(group).unwrap(), &classes).unwrap()
    }

    #[test]
    fn descriptions_of_one_type_are_one_pattern() {
        // Rock salt: the two sites are exchanged by a shift of the origin.
        let salt = placed(225, &["a", "b"]);
        assert_eq!(salt.pattern, placed(225, &["b", "a"]).pattern);
        assert_eq!(salt.automorphisms, [vec![0, 1], vec![1, 0]]);
        // Perovskite: with corner and center, faces and edges change places.
        let (perovskite, moved) = (placed(221, &["a", "b", "c"]), placed(221, &["b", "a", "d"]));
        assert_eq!((&perovskite.pattern, perovskite.slot), (&moved.pattern, moved.slot));
        assert_eq!(perovskite.automorphisms.len(), 1);
        // In P1 all sites are alike, elements are told apart by their numbers.
        assert_eq!(placed(1, &["a", "a", "aa"]).automorphisms.len(), 2);
    }

    /// Slots hold what the classes held, whatever the description.
    #[test]
    fn classes_are_found_in_their_slots() {
        for (group, classes) in
            [(227, vec!["a", "d", "e"]), (62, vec!["c", "cc", "dc"]), (194, vec!["c", "a"])]
        {
            let placed = placed(group, &classes);
            for (class, &slot) in classes.iter().zip(&placed.slot) {
                assert_eq!(class.len(), placed.pattern.slots[usize::from(slot)].len(), "{group}");
            }
            for moved in &placed.automorphisms {
                let mut sorted = moved.clone();
                sorted.sort_unstable();
                assert!(sorted.iter().enumerate().all(|(i, &slot)| i == usize::from(slot)));
            }
        }
    }
}
