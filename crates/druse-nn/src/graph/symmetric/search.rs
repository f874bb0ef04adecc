//! The nearest copies of every site under a space group (Sultanov et al. 2023, section 4.1; details as in the published
//! code).

use druse_crystal::{Lattice, NeighborError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::operations::GroupOperations;

/// How copies of a site on one spot count: a site on a special position has some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CopyRule {
    /// One by one, so that the nearest copies may all be on a few spots (published code).
    Each,
    /// As one, and all that are as far as the last of the nearest are taken, too: the edges are those between the atoms of
    /// the crystal, and have its symmetry.
    Distinct,
}

/// Fractional coordinates of copies on one spot differ by less than this from each other, up to whole cells.
const ONE_SPOT: f64 = 1e-6;
/// Distances that exceed the last one by no more than so many units of the resolution are equal to it.
const TIE: u64 = 10;

/// Distances (Å) up to which a copy counts as the site itself.
pub(super) const COINCIDENT: f64 = 0.15;
/// Copies that the first radius should enclose, for each neighbor that is wanted.
const SURPLUS: f64 = 1.5;
/// Distances that differ by less (Å) are equal, so that rounding does not decide which of equal ones is nearer.
const RESOLUTION: f64 = 1e-6;
/// Most positions that are looked at for one crystal: some hundredths of a second.
const MOST_IMAGES: f64 = 1e7;

/// One edge of a crystal's symmetric multigraph, by what it leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyEnds {
    /// The site that it leaves.
    pub source: u32,
    /// The site whose copy it reaches.
    pub destination: u32,
    /// The operation that makes the copy.
    pub operation: u32,
    /// Cells by which the copy is moved after the operation.
    pub image: [i32; 3],
}

/// A candidate: its squared distance in units of the resolution, its number among the copies, its cell.
type Candidate = (u64, u32, [i32; 3]);

/// The edges of the symmetric multigraph of a crystal, sorted; see [`super::SymmetricEdges::nearest`].
///
/// # Errors
/// [`NeighborError::TooManyImages`] for a cell that is so small, flat or long that the search would be endless.
pub(super) fn nearest_copies(
    lattice: &Lattice,
    group: &GroupOperations,
    sites: &[[f64; 3]],
    count: usize,
    rule: CopyRule,
) -> Result<Vec<CopyEnds>, NeighborError> {
    let spots: Vec<Spots> = sites.iter().map(|&site| Spots::new(group, site, rule)).collect();
    let mut copies = Vec::with_capacity(group.len() * sites.len());
    for (operation, op) in (0u32..).zip(group.operations()) {
        for ((destination, &site), spots) in (0u32..).zip(sites).zip(&spots) {
            if spots.stands(operation) {
                copies.push(Copy { operation, destination, place: op.apply(site) });
            }
        }
    }
    let faces = lattice.face_distances();
    let mut search = Search { lattice, faces, copies, found: Vec::new(), looked: 0.0 };
    let mut edges = Vec::with_capacity(3 * count * sites.len());
    for (i, &site) in (0u32..).zip(sites) {
        let found = search.nearest(site, count, sites.len(), rule)?;
        for &(_, copy, image) in &search.found[..found] {
            let Copy { operation, destination, .. } = search.copies[copy as usize];
            let edge = CopyEnds { source: i, destination, operation, image };
            edges.push(edge);
            if is_own_copy(&edge, group) {
                continue;
            }
            for same in spots[destination as usize].all(&edge) {
                edges.push(spots[i as usize].standing(&opposite(&same, group)));
            }
        }
    }
    edges.sort_unstable();
    edges.dedup();
    Ok(edges)
}

/// The copies of a site by the spots that they are on.
struct Spots {
    /// For each operation the one that stands for its spot, and the cells by which the copy is farther.
    stands_for: Vec<(u32, [i32; 3])>,
}

impl Spots {
    fn new(group: &GroupOperations, site: [f64; 3], rule: CopyRule) -> Self {
        let operations = 0..group.len() as u32;
        if rule == CopyRule::Each {
            return Self { stands_for: operations.map(|o| (o, [0; 3])).collect() };
        }
        let places: Vec<[f64; 3]> = group.operations().iter().map(|op| op.apply(site)).collect();
        // The identity stands for its spot wherever it is in the list.
        let order = std::iter::once(group.identity()).chain(operations);
        let mut stands_for: Vec<Option<(u32, [i32; 3])>> = vec![None; places.len()];
        for first in order {
            if stands_for[first as usize].is_some() {
                continue;
            }
            for (place, spot) in places.iter().zip(&mut stands_for) {
                let apart: [f64; 3] = std::array::from_fn(|k| place[k] - places[first as usize][k]);
                if spot.is_none() && apart.iter().all(|x| (x - x.round()).abs() < ONE_SPOT) {
                    *spot = Some((first, apart.map(|x| x.round() as i32)));
                }
            }
        }
        // A coordinate that is no number is on no spot; its edges are refused later.
        let own = |(o, spot): (u32, Option<_>)| spot.unwrap_or((o, [0; 3]));
        Self { stands_for: (0..).zip(stands_for).map(own).collect() }
    }

    /// Whether an operation stands for the spot of its copy.
    fn stands(&self, operation: u32) -> bool {
        self.stands_for[operation as usize].0 == operation
    }

    /// The edge by the operation that stands for its spot.
    fn standing(&self, edge: &CopyEnds) -> CopyEnds {
        let (operation, cells) = self.stands_for[edge.operation as usize];
        CopyEnds { operation, image: std::array::from_fn(|k| edge.image[k] + cells[k]), ..*edge }
    }

    /// The edge by all operations whose copies are on its spot.
    fn all(&self, edge: &CopyEnds) -> impl Iterator<Item = CopyEnds> {
        (0u32..).zip(&self.stands_for).filter(move |(_, spot)| spot.0 == edge.operation).map(
            move |(operation, (_, cells))| CopyEnds {
                operation,
                image: std::array::from_fn(|k| edge.image[k] - cells[k]),
                ..*edge
            },
        )
    }
}

/// Whether an edge joins a site with a copy of itself that is no periodic image.
pub(super) fn is_own_copy(edge: &CopyEnds, group: &GroupOperations) -> bool {
    edge.source == edge.destination && edge.operation != group.identity()
}

/// The edge back: from the site whose copy an edge reaches to the copy of the site that it leaves.
fn opposite(edge: &CopyEnds, group: &GroupOperations) -> CopyEnds {
    let inverse = group.inverse(edge.operation);
    let rotation = &group.operations()[inverse.operation as usize].rotation;
    // The edge leads to h y + n; undone by h⁻¹ = r + s, with r of the list, it leads from y to r x + s - r n.
    let turned = |i: usize| (0..3).map(|j| rotation[i][j] * edge.image[j]).sum::<i32>();
    CopyEnds {
        source: edge.destination,
        destination: edge.source,
        operation: inverse.operation,
        image: std::array::from_fn(|i| inverse.shift[i] - turned(i)),
    }
}

/// A copy of a site, in whatever cell.
struct Copy {
    operation: u32,
    destination: u32,
    place: [f64; 3],
}

struct Search<'a> {
    lattice: &'a Lattice,
    faces: [f64; 3],
    /// Copies of all sites, those of one operation together.
    copies: Vec<Copy>,
    found: Vec<Candidate>,
    /// Positions looked at for all sites.
    looked: f64,
}

impl Search<'_> {
    /// Lists the nearest copies, the nearest first, and returns their number.
    fn nearest(
        &mut self,
        site: [f64; 3],
        count: usize,
        sites: usize,
        rule: CopyRule,
    ) -> Result<usize, NeighborError> {
        let density = self.copies.len() as f64 / self.lattice.volume();
        let mut radius = (0.75 * SURPLUS * count as f64 / (std::f64::consts::PI * density)).cbrt();
        loop {
            let ranges = self.faces.map(|face| 2.0 * radius / face + 1.0);
            let images = ranges.iter().product::<f64>() * self.copies.len() as f64;
            self.looked += images;
            if !(self.looked <= MOST_IMAGES) {
                return Err(NeighborError::TooManyImages {
                    images: self.looked,
                    sites,
                    radius,
                    volume: self.lattice.volume(),
                    limit: MOST_IMAGES,
                });
            }
            self.within(site, radius);
            // One more than is wanted, so that the last one's equals are within the radius.
            let equals = usize::from(rule == CopyRule::Distinct);
            if self.found.len() >= count + equals {
                let mut farthest = |n: usize| self.found.select_nth_unstable(n).1.0;
                let reach = (radius / RESOLUTION) as u64;
                if rule == CopyRule::Each || farthest(count.max(1) - 1) + TIE < reach {
                    break;
                }
            }
            radius *= 1.3;
        }
        let taken = match rule {
            CopyRule::Each => count,
            CopyRule::Distinct => {
                let (_, &mut (last, ..), _) = self.found.select_nth_unstable(count.max(1) - 1);
                // The radius may cut ties off, but only beyond its own rounding.
                self.found.retain(|(distance, ..)| *distance <= last + TIE);
                self.found.len()
            }
        };
        if self.found.len() > taken {
            self.found.select_nth_unstable(taken);
            self.found.truncate(taken);
        }
        self.found.sort_unstable();
        Ok(taken)
    }

    /// Lists the copies within a radius.
    fn within(&mut self, site: [f64; 3], radius: f64) {
        self.found.clear();
        let rows = self.lattice.rows();
        let reach = self.faces.map(|face| radius / face + 1e-9);
        let (least, most) = (COINCIDENT * COINCIDENT, radius * radius);
        for (number, copy) in (0u32..).zip(&self.copies) {
            let delta: [f64; 3] = std::array::from_fn(|k| copy.place[k] - site[k]);
            let low: [f64; 3] = std::array::from_fn(|k| (-reach[k] - delta[k]).ceil());
            let high: [f64; 3] = std::array::from_fn(|k| (reach[k] - delta[k]).floor());
            let mut a = low[0];
            while a <= high[0] {
                let x: [f64; 3] = std::array::from_fn(|k| (delta[0] + a) * rows[0][k]);
                let mut b = low[1];
                while b <= high[1] {
                    let y: [f64; 3] = std::array::from_fn(|k| x[k] + (delta[1] + b) * rows[1][k]);
                    let mut c = low[2];
                    while c <= high[2] {
                        let z: [f64; 3] = std::array::from_fn(|k| y[k] + (delta[2] + c) * rows[2][k]);
                        let square = z[0] * z[0] + z[1] * z[1] + z[2] * z[2];
                        if square > least && square <= most {
                            let distance = (square.sqrt() / RESOLUTION).round() as u64;
                            self.found.push((distance, number, [a as i32, b as i32, c as i32]));
                        }
                        c += 1.0;
                    }
                    b += 1.0;
                }
                a += 1.0;
            }
        }
    }
}
