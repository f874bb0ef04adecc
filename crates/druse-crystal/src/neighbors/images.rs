//! The periodic images around a cell.

use super::{Neighbor, frame::Frame};

/// From this many images on they are sorted along one axis, so that an atom visits only a slab of them.
const SLAB_FROM: usize = 1500;

/// Every image of every atom that can lie within a radius of an atom of the wrapped cell, in arrays by component.
pub(crate) struct Images {
    pub(crate) x: Vec<f64>,
    pub(crate) y: Vec<f64>,
    pub(crate) z: Vec<f64>,
    pub(super) site: Vec<u32>,
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
    pub(super) fn emit(
        &self,
        frame: &Frame,
        i: usize,
        first: usize,
        kept: &[(f64, u32)],
        out: &mut Vec<Neighbor>,
    ) {
        let start = out.len();
        out.extend(kept.iter().map(|&(d2, c)| self.neighbor(frame, i, first + c as usize, d2)));
        if !self.ordered {
            out[start..].sort_unstable_by_key(|n| (n.site, n.image));
        }
    }
}
