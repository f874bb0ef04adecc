//! Periodic neighbor lists: all neighbors within a distance, and the k nearest with ties.
//!
//! Both searches first pass to a reduced basis of the same lattice, in which the images that can lie within a radius
//! fill a small box, and translate image indices back. They are therefore exact, and fast, for any cell however
//! skewed. The lattice is examined afresh on each call; nothing is assumed about the range of the coordinates.

use crate::{
    Lattice,
    reduction::{IntMatrix, inverse_unimodular, lll},
};

/// Two positions closer than this (Å) count as the same atom in [`k_nearest`].
const COINCIDENT: f64 = 1e-3;
/// Distances (Å) that exceed the k-th one by no more than this are ties with it in [`k_nearest`].
const TIE: f64 = 1e-6;
/// Candidates that the first radius of [`k_nearest`] should enclose, per neighbor wanted: enough that few atoms need
/// a second, larger radius.
const SURPLUS: f64 = 1.2;
/// From this many images on they are sorted along one axis, so that an atom visits only a slab of them.
const SLAB_FROM: usize = 1500;

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
pub fn within_cutoff(lattice: &Lattice, frac: &[[f64; 3]], cutoff: f64) -> NeighborList {
    let mut list = NeighborList { ptr: vec![0; frac.len() + 1], neighbors: Vec::new() };
    if frac.is_empty() || cutoff.is_nan() || cutoff <= 0.0 {
        return list;
    }
    let frame = Frame::new(lattice, frac);
    let images = Images::within(&frame, cutoff);
    let mut scratch = Scratch::default();
    for i in 0..frac.len() {
        let window = images.window(&frame, i, cutoff);
        images.squared_distances(frame.cart[i], window.clone(), &mut scratch.squared);
        let (first, limit) = (window.start, cutoff * cutoff);
        scratch.keep(|d2, c| d2 <= limit && !images.is_home(first + c, &frame, i));
        images.emit(&frame, i, first, scratch.kept(), &mut list.neighbors);
        list.ptr[i + 1] = list.neighbors.len();
    }
    list
}

/// The `k` nearest neighbors of every site, ties included: every neighbor with `1e-3 < d <= d_k + 1e-6` (Å), d_k
/// the distance of the k-th nearest. Own images count; positions within 1e-3 Å of the site do not.
///
/// `frac` holds fractional coordinates, of any range; a site with a coordinate that is not finite has no neighbors.
/// Image indices must fit `i32`.
pub fn k_nearest(lattice: &Lattice, frac: &[[f64; 3]], k: usize) -> NeighborList {
    let n = frac.len();
    let mut list = NeighborList { ptr: vec![0; n + 1], neighbors: Vec::with_capacity(n * (k + k / 8)) };
    if n == 0 || k == 0 {
        return list;
    }
    let frame = Frame::new(lattice, frac);
    // The images of one atom along the shortest vector alone provide k neighbors within `enough`.
    let enough = 2.0 * COINCIDENT + (k as f64 / 2.0 + 2.0) * frame.shortest;
    let sphere =
        3.0 * lattice.volume() * (SURPLUS * k as f64 + 4.0) / (4.0 * std::f64::consts::PI * n as f64);
    let mut radius = sphere.cbrt().min(enough);
    let mut images = Images::within(&frame, radius);
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
            images = Images::within(&frame, radius);
        };
        images.emit(&frame, i, first, scratch.kept(), &mut list.neighbors);
        list.ptr[i + 1] = list.neighbors.len();
    }
    list
}

/// The crystal in a reduced basis, its atoms wrapped into that cell.
pub(crate) struct Frame {
    /// Reduced lattice vectors.
    pub(crate) rows: [[f64; 3]; 3],
    /// Reduced vectors in terms of the given ones; `None` when they are the same.
    transform: Option<IntMatrix>,
    /// Distances between opposite faces of the reduced cell (Å).
    faces: [f64; 3],
    /// Length of the shortest reduced vector (Å).
    shortest: f64,
    /// Fractional coordinates in the reduced basis, in [0, 1] or NaN.
    frac: Vec<[f64; 3]>,
    /// Cartesian coordinates of the wrapped atoms (Å).
    pub(crate) cart: Vec<[f64; 3]>,
    /// Translation, in the given basis, that wrapping took away: `given position = wrapped position + shift`.
    shift: Vec<[i64; 3]>,
}

impl Frame {
    pub(crate) fn new(lattice: &Lattice, frac: &[[f64; 3]]) -> Self {
        let (reduced, transform) = if is_minkowski_reduced(lattice) {
            (*lattice, None)
        } else {
            let (matrix, t) = lll(lattice.matrix());
            // A basis that rounding has made singular cannot be used; the given one always can.
            Lattice::from_matrix(matrix).map_or((*lattice, None), |reduced| (reduced, Some(t)))
        };
        let inverse = transform.as_ref().map(inverse_unimodular);
        let mut frame = Self {
            rows: reduced.rows(),
            faces: reduced.face_distances(),
            shortest: reduced.lengths().into_iter().fold(f64::INFINITY, f64::min),
            transform,
            frac: Vec::with_capacity(frac.len()),
            cart: Vec::with_capacity(frac.len()),
            shift: Vec::with_capacity(frac.len()),
        };
        for &f in frac {
            let f = inverse
                .as_ref()
                .map_or(f, |inv| std::array::from_fn(|c| (0..3).map(|r| f[r] * inv[r][c] as f64).sum()));
            let floor = f.map(f64::floor);
            let wrapped = std::array::from_fn(|c| f[c] - floor[c]);
            frame.cart.push(reduced.to_cartesian(wrapped));
            frame.frac.push(wrapped);
            frame.shift.push(frame.given_basis(floor.map(|x| x as i64)));
        }
        frame
    }

    /// A translation of the reduced basis in the given one.
    fn given_basis(&self, t: [i64; 3]) -> [i64; 3] {
        self.transform.as_ref().map_or(t, |m| {
            std::array::from_fn(|c| {
                (0..3).fold(0, |sum: i64, r| sum.saturating_add(t[r].saturating_mul(m[r][c])))
            })
        })
    }
}

/// Whether no vector of the basis can be shortened by adding the others with coefficients −1, 0, 1, which makes the
/// cell as compact as it gets.
fn is_minkowski_reduced(lattice: &Lattice) -> bool {
    const SLACK: f64 = 1.0 + 1e-9;
    let m = lattice.matrix();
    let g = m * m.transpose();
    let pairwise = |i: usize, j: usize| 2.0 * g[(i, j)].abs() <= SLACK * g[(i, i)].min(g[(j, j)]);
    let longest = g.diagonal().max();
    pairwise(0, 1)
        && pairwise(0, 2)
        && pairwise(1, 2)
        && [(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)].into_iter().all(|(p, q)| {
            let sum = g.trace() + 2.0 * (p * g[(0, 1)] + q * g[(0, 2)] + p * q * g[(1, 2)]);
            sum * SLACK >= longest
        })
}

/// Every image of every atom that can lie within a radius of an atom of the wrapped cell, in arrays by component.
pub(crate) struct Images {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) z: Vec<f64>,
    site: Vec<u32>,
    /// Translation in the given basis, before the shift of the central atom is added.
    image: Vec<[i64; 3]>,
    /// Fractional coordinate along `axis` of each image when they are sorted by it, else empty.
    height: Vec<f64>,
    /// Axis with the largest distance between faces.
    axis: usize,
    /// Whether the images are in the order of `(site, image)`.
    ordered: bool,
}

impl Images {
    /// Ranges of fractional coordinates that the images within `radius` of any atom fill, and about how many images
    /// that makes.
    fn range(frame: &Frame, radius: f64) -> ([f64; 3], [f64; 3], f64) {
        let reach: [f64; 3] = std::array::from_fn(|c| radius / frame.faces[c] + 1e-9);
        let mut low = [f64::INFINITY; 3];
        let mut high = [f64::NEG_INFINITY; 3];
        for f in &frame.frac {
            for c in 0..3 {
                low[c] = low[c].min(f[c] - reach[c]);
                high[c] = high[c].max(f[c] + reach[c]);
            }
        }
        let expected = (0..3).map(|c| high[c] - low[c] + 0.2).product::<f64>() * frame.frac.len() as f64;
        (low, high, expected)
    }

    /// About how many images [`Images::within`] would list.
    pub(crate) fn expected(frame: &Frame, radius: f64) -> f64 {
        Self::range(frame, radius).2
    }

    pub(crate) fn within(frame: &Frame, radius: f64) -> Self {
        let (low, high, expected) = Self::range(frame, radius);
        let capacity = if expected.is_finite() { (expected as usize).min(1 << 20) } else { 0 };
        let axis = (0..3).max_by(|&a, &b| frame.faces[a].total_cmp(&frame.faces[b])).unwrap_or(0);
        let mut images = Self {
            x: Vec::with_capacity(capacity),
            y: Vec::with_capacity(capacity),
            z: Vec::with_capacity(capacity),
            site: Vec::with_capacity(capacity),
            image: Vec::with_capacity(capacity),
            height: Vec::new(),
            axis,
            ordered: frame.transform.is_none(),
        };
        let [a, b, c] = frame.rows;
        for (site, (f, cart)) in frame.frac.iter().zip(&frame.cart).enumerate() {
            if f.iter().any(|x| x.is_nan()) {
                continue;
            }
            let [ra, rb, rc] =
                std::array::from_fn(|c| (low[c] - f[c]).ceil() as i64..=(high[c] - f[c]).floor() as i64);
            for ta in ra {
                for tb in rb.clone() {
                    let (u, v) = (ta as f64, tb as f64);
                    let [x, y, z]: [f64; 3] = std::array::from_fn(|i| cart[i] + u * a[i] + v * b[i]);
                    for tc in rc.clone() {
                        let w = tc as f64;
                        images.x.push(x + w * c[0]);
                        images.y.push(y + w * c[1]);
                        images.z.push(z + w * c[2]);
                        images.site.push(site as u32);
                        let t = frame.given_basis([ta, tb, tc]);
                        let shift = frame.shift[site];
                        images.image.push(std::array::from_fn(|i| t[i].saturating_sub(shift[i])));
                    }
                }
            }
        }
        if images.x.len() >= SLAB_FROM {
            images.sort_along_axis(frame);
        }
        images
    }

    fn sort_along_axis(&mut self, frame: &Frame) {
        // Column `axis` of the inverse matrix takes Cartesian to that fractional coordinate.
        let [u, v] = [frame.rows[(self.axis + 1) % 3], frame.rows[(self.axis + 2) % 3]];
        let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        let volume: f64 = (0..3).map(|i| normal[i] * frame.rows[self.axis][i]).sum();
        let height =
            |m: usize| (self.x[m] * normal[0] + self.y[m] * normal[1] + self.z[m] * normal[2]) / volume;
        let mut order: Vec<(f64, usize)> = (0..self.x.len()).map(|m| (height(m), m)).collect();
        order.sort_unstable_by(|p, q| p.0.total_cmp(&q.0));
        self.x = order.iter().map(|o| self.x[o.1]).collect();
        self.y = order.iter().map(|o| self.y[o.1]).collect();
        self.z = order.iter().map(|o| self.z[o.1]).collect();
        self.site = order.iter().map(|o| self.site[o.1]).collect();
        self.image = order.iter().map(|o| self.image[o.1]).collect();
        self.height = order.iter().map(|o| o.0).collect();
        self.ordered = false;
    }

    /// The images that can lie within `radius` of atom `i`.
    pub(crate) fn window(&self, frame: &Frame, i: usize, radius: f64) -> std::ops::Range<usize> {
        if self.height.is_empty() {
            return 0..self.x.len();
        }
        let (f, reach) = (frame.frac[i][self.axis], radius / frame.faces[self.axis] + 1e-9);
        if f.is_nan() {
            return 0..0;
        }
        self.height.partition_point(|&h| h < f - reach)..self.height.partition_point(|&h| h <= f + reach)
    }

    /// Squared distances of the images in `window` from `p`.
    pub(crate) fn squared_distances(&self, p: [f64; 3], window: std::ops::Range<usize>, out: &mut Vec<f64>) {
        let (x, y, z) = (&self.x[window.clone()], &self.y[window.clone()], &self.z[window]);
        out.clear();
        out.extend(x.iter().zip(y).zip(z).map(|((x, y), z)| {
            let d = [x - p[0], y - p[1], z - p[2]];
            d[0] * d[0] + d[1] * d[1] + d[2] * d[2]
        }));
    }

    /// Whether image `m` is atom `i` itself.
    pub(crate) fn is_home(&self, m: usize, frame: &Frame, i: usize) -> bool {
        self.site[m] as usize == i && (0..3).all(|c| self.image[m][c] == -frame.shift[i][c])
    }

    /// Image `m` as a neighbor of atom `i` at the squared distance `d2`.
    pub(crate) fn neighbor(&self, frame: &Frame, i: usize, m: usize, d2: f64) -> Neighbor {
        let image = std::array::from_fn(|c| self.image[m][c].saturating_add(frame.shift[i][c]) as i32);
        Neighbor { site: self.site[m], image, distance: d2.sqrt() }
    }

    /// Appends the images `first + c` of every kept `(squared distance, c)` as neighbors of atom `i`.
    fn emit(&self, frame: &Frame, i: usize, first: usize, kept: &[(f64, u32)], out: &mut Vec<Neighbor>) {
        let start = out.len();
        out.extend(kept.iter().map(|&(d2, c)| self.neighbor(frame, i, first + c as usize, d2)));
        if !self.ordered {
            out[start..].sort_unstable_by_key(|n| (n.site, n.image));
        }
    }
}

/// Buffers reused from atom to atom.
#[derive(Default)]
struct Scratch {
    /// Squared distance of every image in the window.
    squared: Vec<f64>,
    /// Squared distance and place of the images kept; only the first `len` count.
    kept: Vec<(f64, u32)>,
    len: usize,
    /// Work space of the selection.
    bits: Vec<u64>,
}

impl Scratch {
    fn kept(&self) -> &[(f64, u32)] {
        &self.kept[..self.len]
    }

    /// Keeps the images that satisfy the predicate. Every image is written and the length advanced by the outcome,
    /// which spares a badly predicted branch.
    fn keep(&mut self, predicate: impl Fn(f64, usize) -> bool) {
        if self.kept.len() < self.squared.len() {
            self.kept.resize(self.squared.len(), (0.0, 0));
        }
        let mut len = 0;
        for (c, &d2) in self.squared.iter().enumerate() {
            self.kept[len] = (d2, c as u32);
            len += usize::from(predicate(d2, c));
        }
        self.len = len;
    }

    /// The `k`-th smallest squared distance kept (k from 1).
    fn kth_smallest(&mut self, k: usize) -> Option<f64> {
        if self.len < k {
            return None;
        }
        // Non-negative floats order as their bit patterns do.
        self.bits.clear();
        self.bits.extend(self.kept[..self.len].iter().map(|p| p.0.to_bits()));
        Some(f64::from_bits(*self.bits.select_nth_unstable(k - 1).1))
    }

    /// Drops what lies beyond the squared distance `limit`.
    fn shrink(&mut self, limit: f64) {
        let mut len = 0;
        for r in 0..self.len {
            self.kept[len] = self.kept[r];
            len += usize::from(self.kept[r].0 <= limit);
        }
        self.len = len;
    }
}
