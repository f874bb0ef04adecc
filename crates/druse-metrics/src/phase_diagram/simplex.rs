//! The energy of the lower hull at one composition, as a linear programme.
//!
//! Which mixture of phases with the given mean composition has the lowest energy: minimize Σ λⱼ eⱼ subject to
//! Σ λⱼ xⱼ = x and λ ≥ 0, with the fractions xⱼ of phase j (length n, sum 1) and its formation energy eⱼ (eV/atom). The
//! n phases of an optimal basis are the facet of the hull above which x lies, and the dual values are the chemical
//! potentials there (S. P. Ong et al., Chem. Mater. 20, 1798 (2008), state the hull; the method is G. Dantzig's revised
//! primal simplex). Programmes have few rows and mostly some tens of columns, so the inverse of the basis is kept as a matrix.
//! Where a system has thousands of stable phases, looking for the phase that enters is all of the work: fractions lie
//! element by element, so that this is done for several phases at once.
//!
//! The start is the basis of the elements, whose inverse is the identity. Ties of the ratio test, which compositions on
//! edges of facets have, are broken lexicographically (G. Dantzig, A. Orden, P. Wolfe, Pac. J. Math. 5, 183 (1955)), so
//! that it ends.

/// A phase enters when it lowers the energy by more than this (eV/atom): above rounding, below any difference of energies
/// that means something. Of energies beyond [`LARGE`], in proportion.
const GAIN: f64 = 1e-12;
/// Formation energies of solids are smaller (eV/atom).
const LARGE: f64 = 10.0;
/// Entries of a column below this do not bound the ratio test.
const PIVOT: f64 = 1e-10;
/// Amounts below this are the rounding of zero.
const ZERO: f64 = 1e-14;
/// Phases that are looked at together.
const LANES: usize = 64;
/// Of many blocks of [`LANES`] phases every sixteenth is looked at first, then every fourth, then all.
const STRIDES: [usize; 3] = [16, 4, 1];
/// Least number of blocks that are worth looking at by themselves.
const FEW_BLOCKS: usize = 4;
/// Pivots between two fresh inverses.
const REFRESH: usize = 64;
/// Pivots until something is wrong. An optimum takes a few times n.
const MAX_PIVOTS: usize = 20_000;

/// Phases that may take part, the first n of them the elements.
#[derive(Debug, Clone)]
pub(super) struct Columns {
    /// Fractions of each element: those of all phases.
    fractions: Vec<Vec<f64>>,
    /// Formation energy of each phase (eV/atom).
    energies: Vec<f64>,
}

/// An optimal mixture.
#[derive(Debug, Clone)]
pub(super) struct Mixture {
    /// Formation energy of the hull (eV/atom).
    pub energy: f64,
    /// Columns with their fractions of atoms; n of them, some may be zero.
    pub phases: Vec<(usize, f64)>,
}

impl Columns {
    /// The elements alone, with formation energy 0.
    pub fn elements(n: usize) -> Self {
        let unit = |i: usize| (0..n).map(|j| if i == j { 1.0 } else { 0.0 }).collect();
        Self { fractions: (0..n).map(unit).collect(), energies: vec![0.0; n] }
    }

    /// Adds a phase with its fractions of some elements, by their places; of the others it has none.
    pub fn push(&mut self, energy: f64, fractions: impl IntoIterator<Item = (usize, f64)>) {
        self.energies.push(energy);
        self.fractions.iter_mut().for_each(|all| all.push(0.0));
        for (place, fraction) in fractions {
            if let Some(last) = self.fractions[place].last_mut() {
                *last = fraction;
            }
        }
    }

    /// Number of elements.
    fn rows(&self) -> usize {
        self.fractions.len()
    }

    fn column(&self, j: usize) -> impl Iterator<Item = f64> + '_ {
        self.fractions.iter().map(move |all| all[j])
    }

    /// How far a phase lies above the plane of `potentials` (eV/atom).
    fn gap(&self, j: usize, potentials: &[f64]) -> f64 {
        self.energies[j] - self.column(j).zip(potentials).map(|(x, p)| x * p).sum::<f64>()
    }

    /// The phase farthest below the plane of `potentials`, by more than `gain`, in every `stride`-th block; of equal ones the first.
    fn farthest_below(
        &self,
        potentials: &[f64],
        gain: f64,
        without: Option<usize>,
        stride: usize,
    ) -> Option<usize> {
        let (mut best, mut lowest) = (None, -gain);
        let mut planes = [0.0; LANES];
        for (block, energies) in self.energies.chunks(LANES).enumerate().step_by(stride) {
            let start = block * LANES;
            let planes = &mut planes[..energies.len()];
            planes.fill(0.0);
            for (fractions, p) in self.fractions.iter().zip(potentials) {
                let fractions = &fractions[start..start + planes.len()];
                planes.iter_mut().zip(fractions).for_each(|(plane, x)| *plane += x * p);
            }
            planes.iter_mut().zip(energies).for_each(|(plane, energy)| *plane = energy - *plane);
            // Most blocks have nothing, which takes no branch in each of their phases to know.
            let least = planes.iter().fold(f64::INFINITY, |a, gap| if *gap < a { *gap } else { a });
            if least >= lowest {
                continue;
            }
            for (k, gap) in planes.iter().enumerate() {
                if *gap < lowest && without != Some(start + k) {
                    (best, lowest) = (Some(start + k), *gap);
                }
            }
        }
        best
    }

    /// The mixture of lowest energy at the fractions `x`, each above 0; `without` is a column that takes no part. `None` when
    /// rounding keeps the search from its end.
    pub fn lowest(&self, x: &[f64], without: Option<usize>) -> Option<Mixture> {
        let mut basis = Basis::of_elements(self, x);
        let largest = self.energies.iter().fold(0.0f64, |a, e| a.max(e.abs()));
        let scale = (largest / LARGE).max(1.0);
        let mut gain = GAIN * scale;
        // The facet of some of many phases is near that of all, and is found by looking at them alone.
        let blocks = self.energies.len().div_ceil(LANES);
        let mut strides = STRIDES.into_iter().filter(|stride| *stride == 1 || blocks / stride >= FEW_BLOCKS);
        let mut stride = strides.next()?;
        for pivots in 1..=MAX_PIVOTS {
            if let Some(entering) = basis.entering(gain, without, stride) {
                basis.exchange(entering)?;
                if pivots % REFRESH == 0 {
                    basis.refresh()?;
                }
                // What is gained after so many exchanges is noise of an ill-conditioned basis.
                if pivots % 1000 == 0 {
                    gain = (gain * 10.0).min(1e-9 * scale);
                }
            } else if let Some(next) = strides.next() {
                stride = next;
            } else {
                // The optimum counts with an inverse that has not gone through many exchanges.
                basis.refresh()?;
                if basis.entering(gain, without, stride).is_none() {
                    return Some(basis.mixture());
                }
            }
        }
        None
    }
}

struct Basis<'a> {
    columns: &'a Columns,
    x: &'a [f64],
    /// Columns of the basis.
    members: Vec<usize>,
    /// Inverse of the matrix whose columns are the members' fractions; rows belong to members.
    inverse: Vec<f64>,
    /// Amount of each member.
    amounts: Vec<f64>,
    potentials: Vec<f64>,
    /// What the potentials miss of each member's energy.
    left: Vec<f64>,
    direction: Vec<f64>,
}

impl<'a> Basis<'a> {
    fn of_elements(columns: &'a Columns, x: &'a [f64]) -> Self {
        let n = columns.rows();
        let unit = |k: usize| if k.is_multiple_of(n + 1) { 1.0 } else { 0.0 };
        Self {
            columns,
            x,
            members: (0..n).collect(),
            inverse: (0..n * n).map(unit).collect(),
            amounts: x.to_vec(),
            potentials: vec![0.0; n],
            left: vec![0.0; n],
            direction: vec![0.0; n],
        }
    }

    /// Chemical potentials of the present facet.
    ///
    /// Corrected by what is left at its corners: where these are close to each other the inverse is large, and without
    /// the correction its rounding would exceed the differences of energies between them.
    fn price(&mut self) {
        self.potentials.fill(0.0);
        for _ in 0..2 {
            self.correct();
        }
    }

    fn correct(&mut self) {
        let (n, columns) = (self.columns.rows(), self.columns);
        for (left, &member) in self.left.iter_mut().zip(&self.members) {
            *left = columns.gap(member, &self.potentials);
        }
        for (left, row) in self.left.iter().zip(self.inverse.chunks_exact(n)) {
            self.potentials.iter_mut().zip(row).for_each(|(p, b)| *p += left * b);
        }
    }

    /// The phase farthest below the present facet; `None` if none is farther below than `gain` (eV/atom).
    fn entering(&mut self, gain: f64, without: Option<usize>, stride: usize) -> Option<usize> {
        self.price();
        self.columns.farthest_below(&self.potentials, gain, without, stride)
    }

    /// Takes a phase in and the one out whose amount reaches zero first.
    fn exchange(&mut self, entering: usize) -> Option<()> {
        let n = self.columns.rows();
        for (d, row) in self.direction.iter_mut().zip(self.inverse.chunks_exact(n)) {
            *d = row.iter().zip(self.columns.column(entering)).map(|(b, x)| b * x).sum();
        }
        let leaving = (0..n)
            .filter(|&i| self.direction[i] > PIVOT)
            .reduce(|best, i| if self.is_before(i, best) { i } else { best })?;
        let pivot = self.direction[leaving];
        let step = self.amounts[leaving] / pivot;
        let row: Vec<f64> = self.inverse[leaving * n..(leaving + 1) * n].iter().map(|b| b / pivot).collect();
        for i in 0..n {
            let d = self.direction[i];
            if i != leaving && d != 0.0 {
                self.inverse[i * n..(i + 1) * n].iter_mut().zip(&row).for_each(|(b, r)| *b -= d * r);
                self.amounts[i] = clean(self.amounts[i] - d * step);
            }
        }
        self.inverse[leaving * n..(leaving + 1) * n].copy_from_slice(&row);
        self.amounts[leaving] = clean(step);
        self.members[leaving] = entering;
        Some(())
    }

    /// Whether member `i` leaves before `j`: its ratio is smaller, in ties its row of the inverse over the pivot.
    fn is_before(&self, i: usize, j: usize) -> bool {
        let n = self.columns.rows();
        let (di, dj) = (self.direction[i], self.direction[j]);
        let ratios = (self.amounts[i] / di, self.amounts[j] / dj);
        let tie = |(a, b): (f64, f64)| (a - b).abs() <= ZERO + 1e-13 * a.abs().max(b.abs());
        if !tie(ratios) {
            return ratios.0 < ratios.1;
        }
        for k in 0..n {
            let entries = (self.inverse[i * n + k] / di, self.inverse[j * n + k] / dj);
            if !tie(entries) {
                return entries.0 < entries.1;
            }
        }
        false
    }

    /// Computes the inverse anew, by Gauss–Jordan elimination with partial pivoting, and from it the amounts.
    fn refresh(&mut self) -> Option<()> {
        let n = self.columns.rows();
        // The matrix beside the identity, which becomes the inverse.
        let width = 2 * n;
        let mut rows = vec![0.0; n * width];
        for (k, &member) in self.members.iter().enumerate() {
            for (i, x) in self.columns.column(member).enumerate() {
                rows[i * width + k] = x;
            }
            rows[k * width + n + k] = 1.0;
        }
        for k in 0..n {
            let largest =
                (k..n).max_by(|&a, &b| rows[a * width + k].abs().total_cmp(&rows[b * width + k].abs()))?;
            if rows[largest * width + k].abs() < f64::MIN_POSITIVE {
                return None;
            }
            (0..width).for_each(|c| rows.swap(k * width + c, largest * width + c));
            let pivot = rows[k * width + k];
            rows[k * width..(k + 1) * width].iter_mut().for_each(|x| *x /= pivot);
            for i in 0..n {
                let factor = rows[i * width + k];
                if i != k && factor != 0.0 {
                    for c in k..width {
                        rows[i * width + c] -= factor * rows[k * width + c];
                    }
                }
            }
        }
        for i in 0..n {
            let row = &rows[i * width + n..(i + 1) * width];
            self.inverse[i * n..(i + 1) * n].copy_from_slice(row);
            self.amounts[i] = clean(row.iter().zip(self.x).map(|(b, x)| b * x).sum());
        }
        Some(())
    }

    fn mixture(&self) -> Mixture {
        // The dual value: exact for the facet, whatever the rounding of the amounts.
        let energy = self.potentials.iter().zip(self.x).map(|(p, x)| p * x).sum();
        Mixture { energy, phases: self.members.iter().copied().zip(self.amounts.iter().copied()).collect() }
    }
}

/// Without the noise around zero.
fn clean(amount: f64) -> f64 {
    if amount < ZERO { 0.0 } else { amount }
}
