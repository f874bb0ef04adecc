//! A convex polyhedron around the origin, cut out of a huge box one half-space after another.
//!
//! Every vertex is stored as the triple of planes it lies on (a triangle of the dual), ordered so that the planes
//! turn counter-clockwise seen from outside. Cutting off vertices then is a matter of the boundary of a set of
//! triangles, and vertices are always intersections of three planes: errors do not accumulate from cut to cut
//! (N. Ray, D. Sokolov, S. Lefebvre, B. Lévy, ACM Trans. Graph. 37, 265 (2018)). A plane that passes through a vertex
//! of the polyhedron leaves that vertex alone, so a highly symmetric crystal, where many planes meet in a point, gives
//! vertices that coincide and edges of no length, which no solid angle notices.

/// Half the edge of the box (Å) that stands for the whole space.
const BOX: f64 = 1e9;
/// Planes 0..6 bound the box.
const BOX_PLANES: u32 = 6;
/// A vertex counts as cut off when it lies beyond the plane by more than this (Å) …
const SLACK: f64 = 1e-10;
/// … plus this times its distance from the origin, for what rounding does to far vertices.
const RELATIVE_SLACK: f64 = 1e-13;
/// Below this determinant of three unit normals their intersection is found along the edge instead.
const FLAT: f64 = 1e-4;

/// Vertices this near to one another, relative to their distance from the origin, are one.
const SAME: f64 = 1e-11;

/// The cut could not be made consistently: planes agree to within rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// The half-space `normal · x <= offset`.
#[derive(Debug, Clone, Copy)]
struct Plane {
    normal: [f64; 3],
    offset: f64,
    length: f64,
    tag: u32,
}

/// What the polyhedron looks like through one of its faces.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Face {
    /// What [`Polyhedron::cut`] was given with the plane.
    pub(super) tag: u32,
    /// Solid angle in steradians.
    pub(super) solid_angle: f64,
    /// Six times the volume of the pyramid from the origin to the face.
    pub(super) six_volumes: f64,
}

/// A directed edge of the dual triangulation, and the vertex (triangle) it was found in.
#[derive(Debug, Clone, Copy)]
struct Edge {
    from: u32,
    to: u32,
    vertex: u32,
}

/// The polyhedron and its work space, to be used again and again.
#[derive(Debug, Default)]
pub(super) struct Polyhedron {
    planes: Vec<Plane>,
    x: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
    slack: Vec<f64>,
    squared: Vec<f64>,
    corners: Vec<[u32; 3]>,
    beyond: Vec<f64>,
    edges: Vec<Edge>,
    next: Vec<u32>,
    born: Vec<([f64; 3], [u32; 3])>,
    unit: Vec<[f64; 4]>,
    first: Vec<u32>,
    link: Vec<u32>,
    ring: Vec<u32>,
}

impl Polyhedron {
    /// Back to the whole space.
    pub(super) fn reset(&mut self) {
        self.planes.clear();
        self.x.clear();
        self.y.clear();
        self.z.clear();
        self.slack.clear();
        self.squared.clear();
        self.corners.clear();
        for (c, sign) in [(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0), (2, 1.0), (2, -1.0)] {
            let mut normal = [0.0; 3];
            normal[c] = sign;
            self.planes.push(Plane { normal, offset: BOX, length: 1.0, tag: u32::MAX });
        }
        for octant in 0..8u32 {
            let negative: [u32; 3] = std::array::from_fn(|c| octant >> c & 1);
            let [a, b, c]: [u32; 3] = std::array::from_fn(|c| 2 * c as u32 + negative[c]);
            let odd = negative.iter().sum::<u32>() % 2 == 1;
            let position = negative.map(|n| if n == 1 { -BOX } else { BOX });
            self.push_vertex(position, if odd { [b, a, c] } else { [a, b, c] });
        }
    }

    /// Largest squared distance of a vertex from the origin (Å²).
    pub(super) fn squared_radius(&self) -> f64 {
        let mut chunks = self.squared.chunks_exact(4);
        let mut lanes = [0.0f64; 4];
        for chunk in &mut chunks {
            for (m, &v) in lanes.iter_mut().zip(chunk) {
                *m = if v > *m { v } else { *m };
            }
        }
        lanes.iter().chain(chunks.remainder()).fold(0.0, |m, &v| if v > m { v } else { m })
    }

    /// Whether no face of the box is left.
    pub(super) fn is_bounded(&self) -> bool {
        self.corners.iter().all(|c| c.iter().all(|&p| p >= BOX_PLANES))
    }

    /// Number of different vertices that do not lie on the box.
    pub(super) fn real_vertices(&self) -> usize {
        let real: Vec<[f64; 3]> = (0..self.corners.len())
            .filter(|&v| self.corners[v].iter().all(|&p| p >= BOX_PLANES))
            .map(|v| [self.x[v], self.y[v], self.z[v]])
            .collect();
        (0..real.len())
            .filter(|&v| {
                real[..v].iter().all(|w| {
                    let d = [real[v][0] - w[0], real[v][1] - w[1], real[v][2] - w[2]];
                    dot(d, d) > SAME * SAME * (1.0 + dot(real[v], real[v]))
                })
            })
            .count()
    }

    /// Keeps the points that are nearer to the origin than to `point`; tells whether that took anything away.
    ///
    /// # Errors
    /// [`Ambiguous`], the polyhedron unchanged, when rounding leaves open which vertices to remove.
    pub(super) fn cut(&mut self, point: [f64; 3], squared: f64, tag: u32) -> Result<bool, Ambiguous> {
        let plane = Plane { normal: point, offset: 0.5 * squared, length: squared.sqrt(), tag };
        let mut slack_factor = plane.length;
        for _ in 0..4 {
            if self.measure(&plane, slack_factor) == 0 {
                return Ok(false);
            }
            if self.boundary() {
                self.replace(plane, slack_factor)?;
                return Ok(true);
            }
            // Calling more of the doubtful vertices "on the plane" leaves a smaller set to remove.
            slack_factor *= 10.0;
        }
        Err(Ambiguous)
    }

    /// How far each vertex lies beyond the plane (Å times the length of the normal, less the slack); the number of
    /// those that do.
    fn measure(&mut self, plane: &Plane, slack_factor: f64) -> usize {
        let n = self.corners.len();
        self.beyond.resize(n, 0.0);
        let [px, py, pz] = plane.normal;
        let (x, y, z, slack) = (&self.x[..n], &self.y[..n], &self.z[..n], &self.slack[..n]);
        let mut count = 0u64;
        for (v, beyond) in self.beyond[..n].iter_mut().enumerate() {
            let s = x[v] * px + y[v] * py + z[v] * pz - plane.offset - slack[v] * slack_factor;
            *beyond = s;
            count += u64::from(s > 0.0);
        }
        count as usize
    }

    /// Collects the edges between removed and kept vertices; false when they are not one closed loop.
    fn boundary(&mut self) -> bool {
        self.edges.clear();
        for (v, corners) in self.corners.iter().enumerate() {
            if self.beyond[v] <= 0.0 {
                continue;
            }
            let [a, b, c] = *corners;
            for (from, to) in [(a, b), (b, c), (c, a)] {
                match self.edges.iter().position(|e| e.from == to && e.to == from) {
                    Some(twin) => {
                        self.edges.swap_remove(twin);
                    }
                    None => self.edges.push(Edge { from, to, vertex: v as u32 }),
                }
            }
        }
        if self.edges.len() < 3 {
            return false;
        }
        self.next.resize(self.planes.len(), u32::MAX);
        let mut simple = true;
        for e in &self.edges {
            simple &= self.next[e.from as usize] == u32::MAX;
            self.next[e.from as usize] = e.to;
        }
        let start = self.edges[0].from;
        let (mut at, mut steps) = (start, 0);
        while simple && steps < self.edges.len() {
            at = self.next[at as usize];
            steps += 1;
            if at == start || at == u32::MAX {
                break;
            }
        }
        let closed = simple && at == start && steps == self.edges.len();
        for e in &self.edges {
            self.next[e.from as usize] = u32::MAX;
        }
        closed
    }

    /// Replaces the vertices beyond the plane by its intersections with the boundary edges.
    fn replace(&mut self, plane: Plane, slack_factor: f64) -> Result<(), Ambiguous> {
        let new = self.planes.len() as u32;
        self.born.clear();
        for e in &self.edges {
            let (a, b) = (self.planes[e.from as usize], self.planes[e.to as usize]);
            let bn = cross(b.normal, plane.normal);
            let det = dot(a.normal, bn);
            let position = if det > FLAT * a.length * b.length * plane.length {
                let na = cross(plane.normal, a.normal);
                let ab = cross(a.normal, b.normal);
                std::array::from_fn(|c| (a.offset * bn[c] + b.offset * na[c] + plane.offset * ab[c]) / det)
            } else {
                self.along_edge(*e, slack_factor)?
            };
            self.born.push((position, [e.from, e.to, new]));
        }
        self.planes.push(plane);
        let mut v = 0;
        while v < self.corners.len() {
            if self.beyond[v] > 0.0 {
                self.remove_vertex(v);
            } else {
                v += 1;
            }
        }
        for i in 0..self.born.len() {
            let (position, corners) = self.born[i];
            self.push_vertex(position, corners);
        }
        Ok(())
    }

    /// Where a plane that hardly rises along an edge crosses it: from the kept end, never past the removed one.
    fn along_edge(&self, e: Edge, slack_factor: f64) -> Result<[f64; 3], Ambiguous> {
        let kept = self
            .corners
            .iter()
            .position(|&[a, b, c]| [(a, b), (b, c), (c, a)].contains(&(e.to, e.from)))
            .ok_or(Ambiguous)?;
        let height = |v: usize| self.beyond[v] + self.slack[v] * slack_factor;
        let at = |v: usize| [self.x[v], self.y[v], self.z[v]];
        let (low, high) = (height(kept), height(e.vertex as usize));
        let (p, q) = (at(kept), at(e.vertex as usize));
        let t = if high > low { (-low / (high - low)).clamp(0.0, 1.0) } else { 0.0 };
        Ok(std::array::from_fn(|c| p[c] + t * (q[c] - p[c])))
    }

    fn push_vertex(&mut self, [x, y, z]: [f64; 3], corners: [u32; 3]) {
        let squared = x * x + y * y + z * z;
        self.x.push(x);
        self.y.push(y);
        self.z.push(z);
        self.squared.push(squared);
        self.slack.push(SLACK + RELATIVE_SLACK * squared.sqrt());
        self.corners.push(corners);
    }

    fn remove_vertex(&mut self, v: usize) {
        self.x.swap_remove(v);
        self.y.swap_remove(v);
        self.z.swap_remove(v);
        self.squared.swap_remove(v);
        self.slack.swap_remove(v);
        self.corners.swap_remove(v);
        self.beyond.swap_remove(v);
    }

    /// The faces, in the order in which their planes were given. The box must be gone.
    pub(super) fn faces(&mut self, out: &mut Vec<Face>) {
        out.clear();
        self.unit.clear();
        self.unit.extend((0..self.corners.len()).map(|v| {
            let r = self.squared[v].sqrt();
            [self.x[v] / r, self.y[v] / r, self.z[v] / r, r]
        }));
        // A corner is a vertex seen from one of its planes; those of a plane are chained through `link`.
        self.first.clear();
        self.first.resize(self.planes.len(), u32::MAX);
        self.link.clear();
        for (v, corners) in self.corners.iter().enumerate() {
            for (slot, &p) in corners.iter().enumerate() {
                self.link.push(self.first[p as usize]);
                self.first[p as usize] = (3 * v + slot) as u32;
            }
        }
        for p in 0..self.planes.len() {
            if self.first[p] == u32::MAX {
                continue;
            }
            self.order_ring(p);
            let (solid_angle, six_volumes) = self.measure_ring();
            out.push(Face { tag: self.planes[p].tag, solid_angle, six_volumes });
        }
    }

    /// Puts the vertices of plane `p` into `ring`, counter-clockwise seen from outside.
    fn order_ring(&mut self, p: usize) {
        self.ring.clear();
        let neighbors = |corner: u32| {
            let (c, slot) = (self.corners[corner as usize / 3], corner as usize % 3);
            (c[(slot + 1) % 3], c[(slot + 2) % 3])
        };
        let start = self.first[p];
        let mut at = start;
        loop {
            self.ring.push(at / 3);
            let wanted = neighbors(at).1;
            let mut follower = start;
            while follower != u32::MAX && neighbors(follower).0 != wanted {
                follower = self.link[follower as usize];
            }
            // The chain cannot be longer than the vertices are many; a break in it ends the ring.
            if follower == start || follower == u32::MAX || self.ring.len() > self.corners.len() {
                break;
            }
            at = follower;
        }
    }

    /// Solid angle and six volumes of the face in `ring`, as a fan of triangles from its first vertex: the angle of a
    /// triangle is twice the argument of a complex number (A. van Oosterom, J. Strackee, IEEE Trans. Biomed. Eng. 30,
    /// 125 (1983)), and the arguments of the fan add up in the product of these numbers.
    fn measure_ring(&self) -> (f64, f64) {
        let [first, rest @ ..] = self.ring.as_slice() else { return (0.0, 0.0) };
        let vertex = |v: u32| {
            let [x, y, z, r] = self.unit[v as usize];
            ([x, y, z], r)
        };
        let (u, r) = vertex(*first);
        let (mut re, mut im, mut six_volumes) = (1.0f64, 0.0f64, 0.0);
        for pair in rest.windows(2) {
            let ((v, rv), (w, rw)) = (vertex(pair[0]), vertex(pair[1]));
            let triple = dot(u, cross(v, w));
            let real = 1.0 + dot(u, v) + dot(u, w) + dot(v, w);
            (re, im) = (re * real - im * triple, re * triple + im * real);
            if re.abs() + im.abs() > 1e200 {
                (re, im) = (re * 1e-200, im * 1e-200);
            }
            six_volumes += triple * r * rv * rw;
        }
        (2.0 * im.atan2(re), six_volumes)
    }
}

fn dot(a: [f64; 3], b: [f64; 3]) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(p: &mut Polyhedron, point: [f64; 3], tag: u32) -> bool {
        p.cut(point, dot(point, point), tag).unwrap()
    }

    /// The cube of edge 2 around the origin.
    fn cube() -> Polyhedron {
        let mut p = Polyhedron::default();
        p.reset();
        let points = [
            [2.0, 0.0, 0.0],
            [-2.0, 0.0, 0.0],
            [0.0, 2.0, 0.0],
            [0.0, -2.0, 0.0],
            [0.0, 0.0, 2.0],
            [0.0, 0.0, -2.0],
        ];
        for (tag, point) in points.into_iter().enumerate() {
            assert!(!p.is_bounded());
            assert!(cut(&mut p, point, tag as u32));
        }
        assert!(p.is_bounded());
        p
    }

    #[test]
    fn a_cube_is_cut_out_of_space() {
        let mut p = cube();
        assert_eq!((p.corners.len(), p.real_vertices()), (8, 8));
        assert!((p.squared_radius() - 3.0).abs() < 1e-12);
        let mut faces = Vec::new();
        p.faces(&mut faces);
        assert_eq!(faces.iter().map(|f| f.tag).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        for f in &faces {
            assert!((f.solid_angle - 4.0 * std::f64::consts::PI / 6.0).abs() < 1e-13);
            assert!((f.six_volumes - 8.0).abs() < 1e-13);
        }
        // The next polyhedron starts from nothing.
        p.reset();
        assert_eq!((p.corners.len(), p.real_vertices(), p.is_bounded()), (8, 0, false));
    }

    #[test]
    fn planes_that_touch_cut_nothing() {
        let mut p = cube();
        // Through a corner, along an edge, onto a face: the first two also with the noise of rounding.
        for noise in [0.0, 1e-15, -1e-15, 3e-13] {
            for point in [[2.0, 2.0, 2.0], [2.0, 2.0, 0.0], [2.0, 0.0, 0.0]] {
                assert!(!cut(&mut p, point.map(|x| x * (1.0 - noise)), 9), "{point:?} {noise}");
            }
        }
        assert_eq!(p.corners.len(), 8);
        // A little deeper they do.
        assert!(cut(&mut p, [1.99; 3], 9));
        assert!(cut(&mut p, [-1.99, -1.99, 0.0], 10));
        let mut faces = Vec::new();
        p.faces(&mut faces);
        let whole: f64 = faces.iter().map(|f| f.solid_angle).sum();
        assert!((whole - 4.0 * std::f64::consts::PI).abs() < 1e-12);
        // Gone are a corner of legs 0.015 and a wedge of legs 0.01 along an edge.
        let volume: f64 = faces.iter().map(|f| f.six_volumes).sum::<f64>() / 6.0;
        let want = 8.0 - 0.015f64.powi(3) / 6.0 - 0.01 * 0.01;
        assert!((volume - want).abs() < 1e-12, "{volume}");
    }

    #[test]
    fn a_single_corner_is_open() {
        let mut p = Polyhedron::default();
        p.reset();
        for (tag, point) in [[2.0, 0.1, 0.3], [0.2, 2.0, 0.1], [0.3, 0.2, 2.0]].into_iter().enumerate() {
            cut(&mut p, point, tag as u32);
        }
        assert_eq!((p.real_vertices(), p.is_bounded()), (1, false));
    }
}
