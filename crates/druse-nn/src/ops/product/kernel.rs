//! The register tile and the loops around it.

use pulp::{Arch, Simd, WithSimd};

use super::View;

/// Where the left operand lies.
#[derive(Clone, Copy)]
pub(super) enum Left<'a> {
    /// At equal distances.
    Strided(View<'a>),
    /// Row i is `data[base[i] + offset..][..length]` for every offset, one after the other.
    Runs { data: &'a [f32], base: &'a [u32], offsets: &'a [u32], length: usize },
    /// Entry (i, l) is `data[i + base[l]]`.
    Columns { data: &'a [f32], base: &'a [u32] },
}

/// Where the rows of the result lie.
#[derive(Clone, Copy)]
pub(super) enum Rows<'a> {
    /// So many numbers apart.
    Apart(usize),
    /// From these numbers on. They may overlap if the product is accumulated.
    At(&'a [u32]),
}

impl Rows<'_> {
    #[inline(always)]
    fn start(&self, row: usize) -> usize {
        match self {
            Self::Apart(stride) => row * stride,
            Self::At(starts) => starts[row] as usize,
        }
    }
}

/// The right operand as whole vectors of neighboring columns.
#[derive(Clone, Copy)]
pub(super) enum Columns<'a> {
    /// Panels as [`super::Panels`] lays them out.
    Panels(&'a [f32]),
    /// Row-major with a multiple of the vector length of columns; rows are `stride` numbers apart.
    Rows { data: &'a [f32], stride: usize },
}

/// Rows of a register tile. With 2 or 4 vectors of columns it fills the registers of AVX2 or of AVX-512 and NEON.
const TILE_ROWS: usize = 6;

/// Rows of a register tile of one vector: as many sums as are needed for one to be added to in every cycle.
const NARROW_TILE_ROWS: usize = 8;

/// Vectors of a register tile with so many registers.
const fn tile_vectors(registers: usize) -> usize {
    if registers >= 32 { 4 } else { 2 }
}

/// Columns of a panel.
pub(super) const fn panel_columns<S: Simd>() -> usize {
    tile_vectors(S::REGISTER_COUNT) * S::F32_LANES
}

/// Rows that pass over one panel before the next one is read: the panel comes from the second-level cache once for
/// them, and they stay in the first-level cache meanwhile.
const PASS: usize = 48;

/// Depth of one pass over row-major columns: their lines lie apart, so that few of them fit the first-level cache.
const DEPTH: usize = 96;

/// The same where the panel has more depth than one pass takes: it comes from memory then.
const DEEP_PASS: usize = 96;

/// Depth of one pass over panels: so much of one fits the second-level cache beside the rows that meet it.
const PANEL_DEPTH: usize = 1536;

/// A product of [`super::product_into`] or [`super::multiply_into`]. The shape is (m, n, k).
pub(super) struct Product<'a> {
    pub dst: *mut f32,
    pub rows: Rows<'a>,
    pub shape: [usize; 3],
    pub a: Left<'a>,
    pub b: Columns<'a>,
    pub accumulate: bool,
}

impl Product<'_> {
    /// # Safety
    /// `dst` must be valid for m rows of n numbers and hold numbers with `accumulate`; the operands must reach as far as
    /// the shape says, with a whole number of runs; panels must come from the packing of this `arch`.
    pub unsafe fn run(self, arch: Arch) {
        arch.dispatch(Checked(self));
    }
}

/// A product whose caller has answered for the bounds.
struct Checked<'a>(Product<'a>);

impl WithSimd for Checked<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // SAFETY: `Checked` is built by `Product::run` alone, whose caller answers for bounds.
        unsafe {
            if tile_vectors(S::REGISTER_COUNT) == 4 {
                run::<S, 4>(simd, &self.0);
            } else {
                run::<S, 2>(simd, &self.0);
            }
        }
    }
}

/// Splits the depth.
#[inline(always)]
unsafe fn run<S: Simd, const NV: usize>(simd: S, p: &Product<'_>) {
    let [m, n, k] = p.shape;
    let whole = match (p.b, p.a) {
        // Whole runs.
        (Columns::Panels(_), Left::Runs { length, .. }) => {
            (PANEL_DEPTH / length.max(1)).max(1) * length.max(1)
        }
        (Columns::Panels(_), _) => PANEL_DEPTH,
        (Columns::Rows { .. }, _) => DEPTH,
    };
    let pass = if whole < k && matches!(p.b, Columns::Panels(_)) { DEEP_PASS } else { PASS };
    let mut begin = 0;
    loop {
        let depth = whole.min(k - begin);
        let accumulate = p.accumulate || begin > 0;
        for first in (0..m).step_by(pass) {
            let rows = first..(first + pass).min(m);
            for column in (0..n).step_by(NV * S::F32_LANES) {
                let columns = (n - column).min(NV * S::F32_LANES);
                let vectors = columns.div_ceil(S::F32_LANES);
                // SAFETY: every address formed lies in a matrix that the caller answers for.
                unsafe {
                    let (b, step) = match p.b {
                        Columns::Panels(data) => {
                            let width = vectors * S::F32_LANES;
                            (data.as_ptr().add(column * k + begin * width), width)
                        }
                        Columns::Rows { data, stride } => {
                            (data.as_ptr().add(begin * stride + column), stride)
                        }
                    };
                    let strip = Strip {
                        a: p.a,
                        begin,
                        b,
                        step,
                        depth,
                        dst: p.dst.add(column),
                        rows: p.rows,
                        columns,
                        accumulate,
                    };
                    match vectors {
                        1 => strip.run::<S, 1>(simd, rows.clone()),
                        2 => strip.run::<S, 2>(simd, rows.clone()),
                        3 if NV > 2 => strip.run::<S, 3>(simd, rows.clone()),
                        _ => strip.run::<S, NV>(simd, rows.clone()),
                    }
                }
            }
        }
        begin += depth;
        if begin >= k {
            return;
        }
    }
}

/// A vertical strip of the result, at most a register tile wide.
struct Strip<'a> {
    a: Left<'a>,
    /// Depth at which this pass begins.
    begin: usize,
    b: *const f32,
    /// Numbers from one row of b to the next.
    step: usize,
    depth: usize,
    dst: *mut f32,
    rows: Rows<'a>,
    columns: usize,
    accumulate: bool,
}

impl Strip<'_> {
    #[inline(always)]
    unsafe fn run<S: Simd, const NV: usize>(&self, simd: S, rows: std::ops::Range<usize>) {
        let mut row = rows.start;
        // SAFETY: the rows of the tiles add up to `rows`.
        unsafe {
            while NV == 1 && rows.end - row >= NARROW_TILE_ROWS {
                self.tile::<S, NARROW_TILE_ROWS, NV>(simd, row);
                row += NARROW_TILE_ROWS;
            }
            while rows.end - row >= TILE_ROWS {
                self.tile::<S, TILE_ROWS, NV>(simd, row);
                row += TILE_ROWS;
            }
            if rows.end - row >= 4 {
                self.tile::<S, 4, NV>(simd, row);
                row += 4;
            }
            if rows.end - row >= 2 {
                self.tile::<S, 2, NV>(simd, row);
                row += 2;
            }
            if rows.end > row {
                self.tile::<S, 1, NV>(simd, row);
            }
        }
    }

    /// MR rows from `row` on. Every entry is summed over the depth in one chain, whatever MR and NV, so a row's result
    /// does not depend on how many rows there are.
    #[inline(always)]
    unsafe fn tile<S: Simd, const MR: usize, const NV: usize>(&self, simd: S, row: usize) {
        // SAFETY: the caller of `Product::run` answers for the rows and the depth of a and b and for dst; loads of b are
        // whole vectors because panels are padded and row-major columns are a multiple of the lanes.
        unsafe {
            let sums = match self.a {
                Left::Strided(a) => self.strided::<S, MR, NV>(simd, row, a),
                Left::Runs { data, base, offsets, length } => {
                    let here = self.begin / length.max(1)..(self.begin + self.depth) / length.max(1);
                    self.runs::<S, MR, NV>(simd, data.as_ptr(), &base[row..row + MR], &offsets[here], length)
                }
                Left::Columns { data, base } => {
                    self.columns::<S, MR, NV>(simd, data.as_ptr().add(row), &base[self.begin..][..self.depth])
                }
            };
            self.store(simd, row, sums);
        }
    }

    /// Sums of a tile whose left operand is strided.
    #[allow(clippy::needless_range_loop, reason = "plain counted loops are unrolled into registers")]
    #[inline(always)]
    unsafe fn strided<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        row: usize,
        a: View<'_>,
    ) -> [[S::f32s; NV]; MR] {
        let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
        // SAFETY: as in `tile`.
        unsafe {
            let mut left = a.data.as_ptr().add(self.begin * a.col_stride + row * a.row_stride);
            let mut b = self.b;
            for _ in 0..self.depth {
                let columns = load::<S, NV>(simd, b);
                for i in 0..MR {
                    let x = simd.splat_f32s(*left.add(i * a.row_stride));
                    for j in 0..NV {
                        acc[i][j] = simd.mul_add_e_f32s(x, columns[j], acc[i][j]);
                    }
                }
                // The last step leaves the matrices, which only `wrapping_add` allows.
                left = left.wrapping_add(a.col_stride);
                b = b.wrapping_add(self.step);
            }
        }
        acc
    }

    /// Sums of a tile whose left operand is made of runs, of which `offsets` are those of this pass.
    #[allow(clippy::needless_range_loop, reason = "plain counted loops are unrolled into registers")]
    #[inline(always)]
    unsafe fn runs<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        data: *const f32,
        base: &[u32],
        offsets: &[u32],
        length: usize,
    ) -> [[S::f32s; NV]; MR] {
        let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
        // SAFETY: as in `tile`.
        unsafe {
            let mut starts = [data; MR];
            for i in 0..MR {
                starts[i] = data.add(base[i] as usize);
            }
            let mut b = self.b;
            for &offset in offsets {
                let mut left = [data; MR];
                for i in 0..MR {
                    left[i] = starts[i].add(offset as usize);
                }
                for l in 0..length {
                    let columns = load::<S, NV>(simd, b);
                    for i in 0..MR {
                        let x = simd.splat_f32s(*left[i].add(l));
                        for j in 0..NV {
                            acc[i][j] = simd.mul_add_e_f32s(x, columns[j], acc[i][j]);
                        }
                    }
                    b = b.wrapping_add(self.step);
                }
            }
        }
        acc
    }

    /// Sums of a tile whose left operand has neighboring rows and its columns at `base`.
    #[allow(clippy::needless_range_loop, reason = "plain counted loops are unrolled into registers")]
    #[inline(always)]
    unsafe fn columns<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        data: *const f32,
        base: &[u32],
    ) -> [[S::f32s; NV]; MR] {
        let mut acc = [[simd.splat_f32s(0.0); NV]; MR];
        // SAFETY: as in `tile`.
        unsafe {
            let mut b = self.b;
            for &start in base {
                let left = data.add(start as usize);
                let columns = load::<S, NV>(simd, b);
                for i in 0..MR {
                    let x = simd.splat_f32s(*left.add(i));
                    for j in 0..NV {
                        acc[i][j] = simd.mul_add_e_f32s(x, columns[j], acc[i][j]);
                    }
                }
                b = b.wrapping_add(self.step);
            }
        }
        acc
    }

    /// Writes a tile or adds it, one row after the other.
    #[allow(clippy::needless_range_loop, reason = "plain counted loops are unrolled into registers")]
    #[inline(always)]
    unsafe fn store<S: Simd, const MR: usize, const NV: usize>(
        &self,
        simd: S,
        row: usize,
        acc: [[S::f32s; NV]; MR],
    ) {
        let lanes = S::F32_LANES;
        // SAFETY: as in `tile`.
        unsafe {
            if self.columns == NV * lanes {
                for i in 0..MR {
                    let dst = self.dst.add(self.rows.start(row + i));
                    for j in 0..NV {
                        let to = dst.add(j * lanes).cast::<S::f32s>();
                        let sum = if self.accumulate {
                            simd.add_f32s(to.read_unaligned(), acc[i][j])
                        } else {
                            acc[i][j]
                        };
                        to.write_unaligned(sum);
                    }
                }
            } else {
                let last = self.columns - (NV - 1) * lanes;
                let mask = simd.mask_between_m32s(0, last as u32);
                for i in 0..MR {
                    let dst = self.dst.add(self.rows.start(row + i));
                    for j in 0..NV {
                        let to = dst.add(j * lanes);
                        let sum = acc[i][j];
                        if j + 1 < NV {
                            let to = to.cast::<S::f32s>();
                            let sum =
                                if self.accumulate { simd.add_f32s(to.read_unaligned(), sum) } else { sum };
                            to.write_unaligned(sum);
                        } else {
                            let sum = if self.accumulate {
                                simd.add_f32s(simd.mask_load_ptr_f32s(mask, to), sum)
                            } else {
                                sum
                            };
                            simd.mask_store_ptr_f32s(mask, to, sum);
                        }
                    }
                }
            }
        }
    }
}

/// A row of b as NV vectors.
#[allow(clippy::needless_range_loop, reason = "plain counted loops are unrolled into registers")]
#[inline(always)]
unsafe fn load<S: Simd, const NV: usize>(simd: S, b: *const f32) -> [S::f32s; NV] {
    let mut columns = [simd.splat_f32s(0.0); NV];
    for j in 0..NV {
        // SAFETY: the caller answers for NV vectors at b.
        columns[j] = unsafe { b.add(j * S::F32_LANES).cast::<S::f32s>().read_unaligned() };
    }
    columns
}
