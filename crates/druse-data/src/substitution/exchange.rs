//! Which element takes the place of which.

use druse_crystal::assignment::Assignment;
use druse_crystal::{Composition, Element};

use super::elements::element_distance;

/// A composition whose elements are to be put in the places of those of other compositions with the same counts.
pub(super) struct Exchanger {
    /// Elements of equal count, by rising count.
    wanted: Vec<(u32, Vec<Element>)>,
    assignment: Assignment,
    cost: Vec<f64>,
    cheapest: Vec<usize>,
}

/// The elements of a composition by rising count.
pub(super) fn by_count(composition: &Composition) -> Vec<(u32, Vec<Element>)> {
    let mut all: Vec<(u32, Element)> = composition.iter().map(|(e, n)| (n, e)).collect();
    all.sort_unstable();
    let same = all.chunk_by(|a, b| a.0 == b.0);
    same.map(|group| (group[0].0, group.iter().map(|&(_, e)| e).collect())).collect()
}

impl Exchanger {
    pub fn new(wanted: &Composition) -> Self {
        let (cost, cheapest) = (Vec::new(), Vec::new());
        Self { wanted: by_count(wanted), assignment: Assignment::default(), cost, cheapest }
    }

    /// The pairs (element of the parent, element in its place) of the smallest distance, and that distance: the sum of
    /// [`element_distance`] over the pairs. `parent` is [`by_count`] of a composition with the same counts.
    pub fn exchange(&mut self, parent: &[(u32, Vec<Element>)]) -> (f64, Vec<(Element, Element)>) {
        let mut pairs = Vec::new();
        for ((_, old), (_, new)) in parent.iter().zip(&self.wanted) {
            let n = old.len();
            if n == 1 {
                pairs.push((old[0], new[0]));
                continue;
            }
            self.cost.clear();
            self.cost.extend(old.iter().flat_map(|&a| new.iter().map(move |&b| element_distance(a, b))));
            let lowest = |row: &[f64]| (0..n).min_by(|&i, &j| row[i].total_cmp(&row[j])).unwrap_or(0);
            self.cheapest.clear();
            self.cheapest.extend(self.cost.chunks(n).map(lowest));
            // Every cost is finite, so that there is an assignment.
            let places = self.assignment.solve(&self.cost, &self.cheapest).unwrap_or_default();
            pairs.extend(old.iter().zip(places).map(|(&a, &place)| (a, new[place])));
        }
        (pairs.iter().map(|&(a, b)| element_distance(a, b)).sum(), pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(parent: &str, wanted: &str) -> (f64, String) {
        let c = |text: &str| Composition::parse(text).unwrap();
        let (distance, mut pairs) = Exchanger::new(&c(wanted)).exchange(&by_count(&c(parent)));
        pairs.sort_unstable();
        (distance, pairs.iter().map(|(a, b)| format!("{a}{b} ")).collect::<String>().trim().to_owned())
    }

    #[test]
    fn the_nearest_elements_take_each_others_places() {
        // Li is near K and Cl near Br, although the order of atomic numbers says otherwise.
        assert_eq!(exchange("LiCl", "BrK").1, "LiK ClBr");
        assert_eq!(exchange("FeTi", "TiFe"), (0.0, "TiTi FeFe".into()));
        // Only elements of equal counts: O stays with 3 atoms.
        assert_eq!(exchange("SrTiO3", "KTaF3").1, "OF TiTa SrK");
        assert_eq!(exchange("SrTiO3", "BaZrS3").1, "OS TiZr SrBa");
    }
}
