//! Bases of one lattice that look like the cell of another.

/// Integer change of basis with determinant ±1: row `i` holds the coefficients of new vector `i`.
pub(super) type Basis = [[i32; 3]; 3];

/// A basis of the first lattice that resembles the cell of the second.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    pub(super) basis: Basis,
    /// Lengths (Å) and angles (degrees) of the basis.
    pub(super) parameters: [f64; 6],
    /// Largest deviation of a length or angle in units of its tolerance.
    pub(super) deviation: f64,
}

/// A vector of the first lattice that is about as long as one vector of the second.
#[derive(Clone, Copy)]
struct Candidate {
    n: [i32; 3],
    cart: [f64; 3],
    length: f64,
}

impl Candidate {
    fn cos(&self, other: &Self) -> f64 {
        dot(self.cart, other.cart) / (self.length * other.length)
    }

    /// Degrees.
    fn angle(&self, other: &Self) -> f64 {
        self.cos(other).clamp(-1.0, 1.0).acos().to_degrees()
    }
}

/// The search was too large and is incomplete.
pub(super) struct TooMany;

/// Lattice points looked at at most: reached only where one cell is thousands of times longer than wide.
const MAX_POINTS: f64 = 2e7;
/// Combinations of vectors looked at at most.
const MAX_COMBINATIONS: usize = 100_000_000;
/// Bases kept at most.
const MAX_MAPPINGS: usize = 1_000_000;

pub(super) fn dot(p: [f64; 3], q: [f64; 3]) -> f64 {
    p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
}

fn cross(p: [i32; 3], q: [i32; 3]) -> [i64; 3] {
    let [p, q] = [p, q].map(|v| v.map(i64::from));
    [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]
}

/// All bases of the lattice `rows` whose lengths agree with those of `target` within the ratio `1 + ltol` and whose
/// angles differ by at most `angle_tol` (degrees), one of each pair ±basis, in order of deviation.
pub(super) fn mappings(
    rows: &[[f64; 3]; 3],
    target: &[f64; 6],
    ltol: f64,
    angle_tol: f64,
) -> Result<Vec<Mapping>, TooMany> {
    let [a, b, c] = shells(rows, [target[0], target[1], target[2]], ltol)?;
    // Bounds on cosines, so that most angles need no arc cosine.
    let bounds = [3, 4, 5].map(|i| {
        let cos = |angle: f64| angle.to_radians().cos();
        let low = if target[i] + angle_tol >= 180.0 { -2.0 } else { cos(target[i] + angle_tol) };
        let high = if target[i] - angle_tol <= 0.0 { 2.0 } else { cos(target[i] - angle_tol) };
        (low, high)
    });
    let fits = |p: &Candidate, q: &Candidate, (low, high): (f64, f64)| {
        let cos = p.cos(q);
        cos >= low && cos <= high
    };
    let mut found = Vec::new();
    let mut partners: Vec<&Candidate> = Vec::with_capacity(c.len());
    let mut combinations = 0;
    // One of ±a: the other sign belongs to the inverted basis.
    for p in a.iter().filter(|p| p.n > [0, 0, 0]) {
        partners.clear();
        partners.extend(c.iter().filter(|r| fits(p, r, bounds[1])));
        if partners.is_empty() {
            continue;
        }
        for q in b.iter().filter(|q| fits(p, q, bounds[2])) {
            combinations += partners.len();
            if combinations > MAX_COMBINATIONS || found.len() > MAX_MAPPINGS {
                return Err(TooMany);
            }
            let normal = cross(p.n, q.n);
            for r in &partners {
                let n = r.n.map(i64::from);
                let determinant = normal[0] * n[0] + normal[1] * n[1] + normal[2] * n[2];
                if determinant.abs() == 1 && fits(q, r, bounds[0]) {
                    let parameters = [p.length, q.length, r.length, q.angle(r), p.angle(r), p.angle(q)];
                    let deviation = deviation(&parameters, target, ltol, angle_tol);
                    found.push(Mapping { basis: [p.n, q.n, r.n], parameters, deviation });
                }
            }
        }
    }
    // The closest cells first: identical crystals are then found at once.
    found.sort_by(|p, q| p.deviation.total_cmp(&q.deviation));
    Ok(found)
}

fn deviation(got: &[f64; 6], want: &[f64; 6], ltol: f64, angle_tol: f64) -> f64 {
    let lengths = (0..3).map(|i| (got[i] / want[i]).ln().abs() / ltol);
    let angles = (3..6).map(|i| (got[i] - want[i]).abs() / angle_tol);
    lengths.chain(angles).fold(0.0, f64::max)
}

/// The vectors of the lattice about as long as each of the three lengths.
fn shells(rows: &[[f64; 3]; 3], lengths: [f64; 3], ltol: f64) -> Result<[Vec<Candidate>; 3], TooMany> {
    let (low, high) = (1.0 / (1.0 + ltol), 1.0 + ltol);
    let radius = lengths.into_iter().fold(0.0, f64::max) * high;
    let shortest = lengths.into_iter().fold(f64::INFINITY, f64::min) * low;
    // |coefficient i| is at most radius / (distance of the faces i) = radius · |reciprocal vector i|.
    let reciprocal = reciprocal_lengths(rows);
    let reach = reciprocal.map(|r| (radius * r + 1e-9).floor());
    let points: f64 = reach.iter().map(|n| 2.0 * n + 1.0).product();
    if points.is_nan() || points > MAX_POINTS {
        return Err(TooMany);
    }
    let reach = reach.map(|n| n as i32);
    let mut shells = [0; 3].map(|_| Vec::with_capacity(32));
    let mut visit = |n: [i32; 3]| {
        let f = n.map(f64::from);
        let cart: [f64; 3] =
            std::array::from_fn(|k| f[0] * rows[0][k] + f[1] * rows[1][k] + f[2] * rows[2][k]);
        let square = dot(cart, cart);
        if square > radius * radius || square < shortest * shortest {
            return;
        }
        let length = square.sqrt();
        for (shell, want) in shells.iter_mut().zip(lengths) {
            let ratio = length / want;
            if ratio < high && ratio > low {
                shell.push(Candidate { n, cart, length });
                shell.push(Candidate { n: n.map(|x| -x), cart: cart.map(|x| -x), length });
            }
        }
    };
    // One of each pair ±n.
    for i in 0..=reach[0] {
        for j in if i == 0 { 0 } else { -reach[1] }..=reach[1] {
            for k in if i == 0 && j == 0 { 1 } else { -reach[2] }..=reach[2] {
                visit([i, j, k]);
            }
        }
    }
    Ok(shells)
}

/// Lengths of the reciprocal lattice vectors without 2π (1/Å).
pub(super) fn reciprocal_lengths(rows: &[[f64; 3]; 3]) -> [f64; 3] {
    let [a, b, c] = *rows;
    let cross = |p: [f64; 3], q: [f64; 3]| {
        [p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]]
    };
    let [bc, ca, ab] = [cross(b, c), cross(c, a), cross(a, b)];
    let volume = dot(a, bc).abs();
    [bc, ca, ab].map(|v| dot(v, v).sqrt() / volume)
}

/// Inverse of a basis change, as numbers to multiply coordinates with.
pub(super) fn inverse(m: &Basis) -> [[f64; 3]; 3] {
    let m = m.map(|row| row.map(i64::from));
    let cofactor = |r: usize, c: usize| {
        let (r1, r2, c1, c2) = ((r + 1) % 3, (r + 2) % 3, (c + 1) % 3, (c + 2) % 3);
        m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]
    };
    let det: i64 = (0..3).map(|c| m[0][c] * cofactor(0, c)).sum();
    std::array::from_fn(|r| std::array::from_fn(|c| (cofactor(c, r) * det) as f64))
}
