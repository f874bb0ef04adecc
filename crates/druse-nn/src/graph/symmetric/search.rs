//! The nearest copies of every site under a space group (Sultanov et al. 2023, section 4.1; details as in the published
//! code).

use druse_crystal::{Lattice, NeighborError};

use super::operations::GroupOperations;

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

/// The edges of the symmetric multigraph of a crystal, sorted: every site (fractional coordinates in the cell of the
/// operations) is joined with the `count` nearest copies of all sites under all operations, copies on one spot counted
/// separately, at more than 0.15 Å. An edge that does not lead from a site to a copy of itself under another operation
/// than the identity is there in both directions; the opposite one leads to the copy by the inverse operation.
///
/// Of equally distant copies (within 1e-6 Å) those by earlier operations are nearer.
///
/// # Errors
/// [`NeighborError::TooManyImages`] for a cell that is so small, flat or long that the search would be endless.
pub(super) fn nearest_copies(
    lattice: &Lattice,
    group: &GroupOperations,
    sites: &[[f64; 3]],
    count: usize,
) -> Result<Vec<CopyEnds>, NeighborError> {
    let copies: Vec<[f64; 3]> =
        group.operations().iter().flat_map(|op| sites.iter().map(|&f| op.apply(f))).collect();
    let mut search =
        Search { lattice, faces: lattice.face_distances(), copies, found: Vec::new(), looked: 0.0 };
    let mut edges = Vec::with_capacity(3 * count * sites.len());
    for (i, &site) in (0u32..).zip(sites) {
        for &(_, copy, image) in search.nearest(site, count, sites.len())? {
            let (operation, destination) = (copy / sites.len() as u32, copy % sites.len() as u32);
            let edge = CopyEnds { source: i, destination, operation, image };
            edges.push(edge);
            if !is_own_copy(&edge, group) {
                edges.push(opposite(&edge, group));
            }
        }
    }
    edges.sort_unstable();
    edges.dedup();
    Ok(edges)
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

struct Search<'a> {
    lattice: &'a Lattice,
    faces: [f64; 3],
    /// Copies of all sites, those of one operation together.
    copies: Vec<[f64; 3]>,
    found: Vec<Candidate>,
    /// Positions looked at for all sites.
    looked: f64,
}

impl Search<'_> {
    /// The nearest copies, the nearest first.
    fn nearest(&mut self, site: [f64; 3], count: usize, sites: usize) -> Result<&[Candidate], NeighborError> {
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
            if self.found.len() >= count {
                break;
            }
            radius *= 1.3;
        }
        if self.found.len() > count {
            self.found.select_nth_unstable(count);
            self.found.truncate(count);
        }
        self.found.sort_unstable();
        Ok(&self.found)
    }

    /// Lists the copies within a radius.
    fn within(&mut self, site: [f64; 3], radius: f64) {
        self.found.clear();
        let rows = self.lattice.rows();
        let reach = self.faces.map(|face| radius / face + 1e-9);
        let (least, most) = (COINCIDENT * COINCIDENT, radius * radius);
        for (number, copy) in (0u32..).zip(&self.copies) {
            let delta: [f64; 3] = std::array::from_fn(|k| copy[k] - site[k]);
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
