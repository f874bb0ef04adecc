//! Periodic neighbor lists: all neighbors within a distance, and the k nearest with ties.
//!
//! Both searches first pass to a reduced basis of the same lattice, in which the images that can lie within a radius
//! fill a small box, and translate image indices back. They are therefore exact, and fast, for any cell however
//! skewed. The lattice is examined afresh on each call; nothing is assumed about the range of the coordinates.
//!
//! What a collapsed or paper-thin cell would make endless is refused ([`NeighborError`]) before memory is taken for it.

mod frame;
mod images;
mod scratch;

pub(crate) use frame::Frame;
pub(crate) use images::Images;
use scratch::Scratch;

use crate::Lattice;

/// Two positions closer than this (Å) count as the same atom in [`k_nearest`].
const COINCIDENT: f64 = 1e-3;
/// Distances (Å) that exceed the k-th one by no more than this are ties with it in [`k_nearest`].
const TIE: f64 = 1e-6;
/// Candidates that the first radius of [`k_nearest`] should enclose, per neighbor wanted: enough that few atoms need
/// a second, larger radius.
const SURPLUS: f64 = 1.2;

/// Most periodic images that one search lists: 50 MB of them. A crystal of a hundred thousand atoms needs no more.
const MAX_IMAGES: f64 = 1e6;
/// Most neighbors that one list holds: 100 MB of them.
const MAX_NEIGHBORS: usize = 3_000_000;

/// Why neighbors are not searched: the cell is so small, flat or long that there are too many.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum NeighborError {
    /// The search would have to look at too many periodic images.
    #[error(
        "about {images:.1e} images of the {sites} atoms lie within {radius:.2} Å, more than the {limit:.0e} that are \
         searched for neighbors: a cell of {volume:.1e} Å³ is collapsed, or far too flat"
    )]
    TooManyImages {
        /// How many, about.
        images: f64,
        /// Number of sites in the cell.
        sites: usize,
        /// Radius of the search in Å.
        radius: f64,
        /// Volume of the cell in Å³.
        volume: f64,
        /// Most that are listed.
        limit: f64,
    },
    /// The sites have too many neighbors.
    #[error(
        "site {site} alone has {neighbors} neighbors within {radius:.2} Å, the sites up to it more than the {limit} of a \
         list: the atoms lie on top of one another, or the radius is too large for the crystal"
    )]
    TooManyNeighbors {
        /// Index of the site at which the list grew too long.
        site: usize,
        /// Neighbors of that site.
        neighbors: usize,
        /// Radius of the search in Å.
        radius: f64,
        /// Most that a list holds.
        limit: usize,
    },
}

/// One neighbor of a site.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Neighbor {
    /// Index of the neighboring site.
    pub site: u32,
    /// Lattice translation: the neighbor sits at `frac[site] + image`.
    pub image: [i32; 3],
    /// Distance in Å.
    pub distance: f64,
}

/// The neighbors of every site in compressed rows: those of site `i` are `neighbors[ptr[i]..ptr[i + 1]]`, sorted by
/// `(site, image)` lexicographically.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NeighborList {
    /// Row starts, one more than there are sites.
    pub ptr: Vec<usize>,
    /// Neighbors of site 0, then of site 1, …
    pub neighbors: Vec<Neighbor>,
}

impl NeighborList {
    /// The neighbors of site `i`.
    ///
    /// # Panics
    /// When there is no site `i`.
    pub fn of(&self, i: usize) -> &[Neighbor] {
        &self.neighbors[self.ptr[i]..self.ptr[i + 1]]
    }

    /// Number of sites.
    pub fn len(&self) -> usize {
        self.ptr.len().saturating_sub(1)
    }

    /// Whether the list has no sites.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// All neighbors with `distance <= cutoff` (Å) of every site, its own images included, the atom itself excluded.
/// Another site on the very same spot is a neighbor at distance 0.
///
/// `frac` holds fractional coordinates, of any range; a site with a coordinate that is not finite has no neighbors.
/// Image indices must fit `i32`. A cutoff that is not positive gives empty rows.
///
/// # Errors
/// [`NeighborError`] when more images lie within the cutoff, or more neighbors in the list, than memory should hold.
pub fn within_cutoff(
    lattice: &Lattice,
    frac: &[[f64; 3]],
    cutoff: f64,
) -> Result<NeighborList, NeighborError> {
    let mut list = NeighborList { ptr: vec![0; frac.len() + 1], neighbors: Vec::new() };
    if frac.is_empty() || cutoff.is_nan() || cutoff <= 0.0 {
        return Ok(list);
    }
    let mut search = CutoffSearch::new(lattice, frac, cutoff)?;
    for i in 0..frac.len() {
        search.row(i, &mut list.neighbors)?;
        list.ptr[i + 1] = list.neighbors.len();
    }
    Ok(list)
}

/// The rows of [`within_cutoff`] one by one, for those who need not keep them.
pub(crate) struct CutoffSearch {
    frame: Frame,
    images: Images,
    scratch: Scratch,
    cutoff: f64,
}

impl CutoffSearch {
    /// Prepares a search with a positive cutoff (Å).
    ///
    /// # Errors
    /// [`NeighborError::TooManyImages`].
    pub(crate) fn new(lattice: &Lattice, frac: &[[f64; 3]], cutoff: f64) -> Result<Self, NeighborError> {
        let frame = Frame::new(lattice, frac);
        let images = bounded(&frame, cutoff)?;
        Ok(Self { frame, images, scratch: Scratch::default(), cutoff })
    }

    /// Appends the neighbors of site `i`.
    ///
    /// # Errors
    /// [`NeighborError::TooManyNeighbors`] when `out` would grow too long.
    pub(crate) fn row(&mut self, i: usize, out: &mut Vec<Neighbor>) -> Result<(), NeighborError> {
        let Self { frame, images, scratch, cutoff } = self;
        let window = images.window(frame, i, *cutoff);
        images.squared_distances(frame.cart[i], window.clone(), &mut scratch.squared);
        let (first, limit) = (window.start, *cutoff * *cutoff);
        scratch.keep(|d2, c| d2 <= limit && !images.is_home(first + c, frame, i));
        check_length(out.len(), scratch.kept().len(), i, *cutoff)?;
        images.emit(frame, i, first, scratch.kept(), out);
        Ok(())
    }
}

/// The images within a radius (Å), if memory should hold them.
fn bounded(frame: &Frame, radius: f64) -> Result<Images, NeighborError> {
    let images = Images::expected(frame, radius);
    // Not a number: sites without a place, which have no images.
    if images > MAX_IMAGES {
        let (sites, volume) = (frame.cart.len(), frame.volume());
        return Err(NeighborError::TooManyImages { images, sites, radius, volume, limit: MAX_IMAGES });
    }
    Ok(Images::within(frame, radius))
}

/// Refuses a row that would make a list too long.
fn check_length(listed: usize, neighbors: usize, site: usize, radius: f64) -> Result<(), NeighborError> {
    if listed + neighbors > MAX_NEIGHBORS {
        return Err(NeighborError::TooManyNeighbors { site, neighbors, radius, limit: MAX_NEIGHBORS });
    }
    Ok(())
}

/// The `k` nearest neighbors of every site, ties included: every neighbor with `1e-3 < d <= d_k + 1e-6` (Å), d_k
/// the distance of the k-th nearest. Own images count; positions within 1e-3 Å of the site do not.
///
/// `frac` holds fractional coordinates, of any range; a site with a coordinate that is not finite has no neighbors.
/// Image indices must fit `i32`.
///
/// # Errors
/// [`NeighborError`] when more images have to be looked at, or listed, than memory should hold: in cells of less than
/// 1e-5 Å, say, whose images within 1e-3 Å do not count.
pub fn k_nearest(lattice: &Lattice, frac: &[[f64; 3]], k: usize) -> Result<NeighborList, NeighborError> {
    let n = frac.len();
    let capacity = n.saturating_mul(k + k / 8).min(MAX_NEIGHBORS);
    let mut list = NeighborList { ptr: vec![0; n + 1], neighbors: Vec::with_capacity(capacity) };
    if n == 0 || k == 0 {
        return Ok(list);
    }
    let frame = Frame::new(lattice, frac);
    // The images of one atom along the shortest vector alone provide k neighbors within `enough`.
    let enough = 2.0 * COINCIDENT + (k as f64 / 2.0 + 2.0) * frame.shortest;
    let sphere =
        3.0 * lattice.volume() * (SURPLUS * k as f64 + 4.0) / (4.0 * std::f64::consts::PI * n as f64);
    // Nothing nearer counts.
    let mut radius = sphere.cbrt().clamp(COINCIDENT, enough);
    let mut images = bounded(&frame, radius)?;
    let mut scratch = Scratch::default();
    for i in 0..n {
        let first = loop {
            let window = images.window(&frame, i, radius);
            images.squared_distances(frame.cart[i], window.clone(), &mut scratch.squared);
            let limit = radius * radius;
            scratch.keep(|d2, _| d2 <= limit && d2 > COINCIDENT * COINCIDENT);
            // Ties of the k-th neighbor must lie inside the radius too.
            let bound = scratch.kth_smallest(k).map(|d2| d2.sqrt() + TIE).filter(|&d| d <= radius);
            if let Some(bound) = bound {
                scratch.shrink(bound * bound);
                break window.start;
            }
            if radius >= enough {
                break window.start;
            }
            radius = (1.3 * radius).min(enough);
            images = bounded(&frame, radius)?;
        };
        check_length(list.neighbors.len(), scratch.kept().len(), i, radius)?;
        images.emit(&frame, i, first, scratch.kept(), &mut list.neighbors);
        list.ptr[i + 1] = list.neighbors.len();
    }
    Ok(list)
}
