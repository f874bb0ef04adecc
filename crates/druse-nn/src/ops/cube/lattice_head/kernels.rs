//! Kernels of the triplet head. Pairs (q, p) of a chunk are rows: those of one q follow each other, and `base` counts the
//! pairs before the chunk.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;

use crate::ops::cube::pairs::{cosine, zonal_harmonics};
use crate::ops::cube::pointwise::{scaled_silu, scaled_silu_slope};

/// One unit for each edge q of a chunk and each p up to the widest atom: the angular functions of the pair, zero for
/// p = q.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
pub(super) fn pair_angles_kernel(
    direction: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    pair_ptr: &[u32],
    y: &mut [f32],
    first_edge: usize,
    end_edge: usize,
    base: usize,
    widest: usize,
    #[comptime] degrees: usize,
) {
    let q = first_edge + ABSOLUTE_POS / widest;
    if q >= end_edge {
        terminate!();
    }
    let atom = source[q] as usize;
    let start = source_ptr[atom] as usize;
    let k = source_ptr[atom + 1] as usize - start;
    let p = ABSOLUTE_POS % widest;
    if p >= k {
        terminate!();
    }
    let row = pair_ptr[q] as usize - base + p;
    if start + p == q {
        #[unroll]
        for l in 0..degrees {
            y[row * degrees + l] = 0.0f32;
        }
    } else {
        let mut values = Array::<f32>::new(degrees);
        zonal_harmonics(cosine(direction, start + p, q), &mut values, degrees);
        #[unroll]
        for l in 0..degrees {
            y[row * degrees + l] = values[l];
        }
    }
}

/// One unit for each edge q of a chunk and each hidden unit h: the first layer of all pairs (·, q),
/// `first[p, h] + second[q, h] + Σ_l angular[h, l] Y_l`, activated or not.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
pub(super) fn first_layer_kernel(
    first: &[f32],
    second: &[f32],
    angular: &[f32],
    y: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    pair_ptr: &[u32],
    out: &mut [f32],
    first_edge: usize,
    end_edge: usize,
    base: usize,
    hidden: usize,
    #[comptime] degrees: usize,
    #[comptime] activated: bool,
) {
    let q = first_edge + ABSOLUTE_POS / hidden;
    if q >= end_edge {
        terminate!();
    }
    let h = ABSOLUTE_POS % hidden;
    let atom = source[q] as usize;
    let start = source_ptr[atom] as usize;
    let k = source_ptr[atom + 1] as usize - start;
    let row = pair_ptr[q] as usize - base;
    let of_q = second[q * hidden + h];
    let mut weight = Array::<f32>::new(degrees);
    #[unroll]
    for l in 0..degrees {
        weight[l] = angular[h * degrees + l];
    }
    for p in 0..k {
        let mut z = first[(start + p) * hidden + h] + of_q;
        #[unroll]
        for l in 0..degrees {
            z += weight[l] * y[(row + p) * degrees + l];
        }
        if comptime!(activated) {
            out[(row + p) * hidden + h] = scaled_silu(z, 1.0f32);
        } else {
            out[(row + p) * hidden + h] = z;
        }
    }
}

/// One unit for each pair: the three scalars `output · silu(z2)`.
#[cube(launch)]
pub(super) fn scalars_kernel(z2: &[f32], output: &[f32], s: &mut [f32], hidden: usize) {
    let row = ABSOLUTE_POS;
    if row * 3 >= s.len() {
        terminate!();
    }
    let mut s0 = 0.0f32;
    let mut s1 = 0.0f32;
    let mut s2 = 0.0f32;
    for h in 0..hidden {
        let value = scaled_silu(z2[row * hidden + h], 1.0f32);
        s0 += output[h] * value;
        s1 += output[hidden + h] * value;
        s2 += output[2 * hidden + h] * value;
    }
    s[row * 3] = s0;
    s[row * 3 + 1] = s1;
    s[row * 3 + 2] = s2;
}

/// Entry i of the symmetric matrix `½ (a bᵀ + b aᵀ)` of two vectors, stored as (xx, yy, zz, xy, xz, yz).
#[cube]
fn symmetric(a: &Array<f32>, b: &Array<f32>, #[comptime] i: usize) -> f32 {
    let x = comptime!([0, 1, 2, 0, 0, 1][i]);
    let y = comptime!([0, 1, 2, 1, 2, 2][i]);
    0.5f32 * (a[x] * b[y] + b[x] * a[y])
}

/// Unit vector of an edge.
#[cube]
fn unit_vector(direction: &[f32], edge: usize, out: &mut Array<f32>) {
    #[unroll]
    for x in 0..3usize {
        out[x] = direction[edge * 3 + x];
    }
}

/// Gradient of the angle between two edges under a linear map of space, entry by entry.
///
/// With unit vectors a and b, d = b - cos θ a (its length is sin θ), it is `-sin θ (cos θ a aᵀ + a dᵀ + d aᵀ) +
/// (cos θ / sin θ) d dᵀ`: a form without cancellation, which goes to zero where the vectors become collinear.
#[cube]
fn angle_field(a: &Array<f32>, b: &Array<f32>, out: &mut Array<f32>) {
    let cosine = a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let mut d = Array::<f32>::new(3usize);
    #[unroll]
    for x in 0..3usize {
        d[x] = b[x] - cosine * a[x];
    }
    let sine = (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]).sqrt();
    let mut ratio = 0.0f32;
    if sine > 1e-7f32 {
        ratio = cosine / sine;
    }
    #[unroll]
    for i in 0..6usize {
        out[i] = ratio * symmetric(&d, &d, i)
            - sine * (cosine * symmetric(a, a, i) + 2.0f32 * symmetric(a, &d, i));
    }
}

/// One unit for each edge q of a chunk: `Σ_p s₁ G_length(p) + s₂ G_length(q) + s₃ G_angle(p, q)` over the other edges.
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
pub(super) fn edge_sums_kernel(
    s: &[f32],
    direction: &[f32],
    length: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    pair_ptr: &[u32],
    sums: &mut [f32],
    first_edge: usize,
    end_edge: usize,
    base: usize,
) {
    let q = first_edge + ABSOLUTE_POS;
    if q >= end_edge {
        terminate!();
    }
    let atom = source[q] as usize;
    let start = source_ptr[atom] as usize;
    let k = source_ptr[atom + 1] as usize - start;
    let row = pair_ptr[q] as usize - base;
    let mut a = Array::<f32>::new(3usize);
    let mut b = Array::<f32>::new(3usize);
    let mut field = Array::<f32>::new(6usize);
    let mut sum = Array::<f32>::new(6usize);
    unit_vector(direction, q, &mut b);
    #[unroll]
    for i in 0..6usize {
        sum[i] = 0.0f32;
    }
    let mut of_q = 0.0f32;
    for p in 0..k {
        if start + p != q {
            let at = (row + p) * 3;
            unit_vector(direction, start + p, &mut a);
            angle_field(&a, &b, &mut field);
            let of_p = s[at] * length[start + p];
            of_q += s[at + 1];
            #[unroll]
            for i in 0..6usize {
                sum[i] += of_p * symmetric(&a, &a, i) + s[at + 2] * field[i];
            }
        }
    }
    of_q *= length[q];
    #[unroll]
    for i in 0..6usize {
        sums[ABSOLUTE_POS * 6 + i] = sum[i] + of_q * symmetric(&b, &b, i);
    }
}

/// One unit for each edge q of a chunk and each p up to the widest atom: the gradient with respect to the three scalars,
/// zero for p = q. `grad` is (crystals, 6).
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
pub(super) fn scalar_gradients_kernel(
    grad: &[f32],
    crystal: &[u32],
    direction: &[f32],
    length: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    pair_ptr: &[u32],
    ds: &mut [f32],
    first_edge: usize,
    end_edge: usize,
    base: usize,
    widest: usize,
) {
    let q = first_edge + ABSOLUTE_POS / widest;
    if q >= end_edge {
        terminate!();
    }
    let atom = source[q] as usize;
    let start = source_ptr[atom] as usize;
    let k = source_ptr[atom + 1] as usize - start;
    let p = ABSOLUTE_POS % widest;
    if p >= k {
        terminate!();
    }
    let mut of_p = 0.0f32;
    let mut of_q = 0.0f32;
    let mut of_pair = 0.0f32;
    if start + p != q {
        let mut a = Array::<f32>::new(3usize);
        let mut b = Array::<f32>::new(3usize);
        let mut field = Array::<f32>::new(6usize);
        unit_vector(direction, start + p, &mut a);
        unit_vector(direction, q, &mut b);
        angle_field(&a, &b, &mut field);
        #[unroll]
        for i in 0..6usize {
            let g = grad[crystal[q] as usize * 6 + i];
            of_p += g * symmetric(&a, &a, i);
            of_q += g * symmetric(&b, &b, i);
            of_pair += g * field[i];
        }
        of_p *= length[start + p];
        of_q *= length[q];
    }
    let at = (pair_ptr[q] as usize - base + p) * 3;
    ds[at] = of_p;
    ds[at + 1] = of_q;
    ds[at + 2] = of_pair;
}

/// One unit for each pair and hidden unit: back through the last layer and the second activation. Also writes the
/// activation `h2`, which the gradient of the last layer needs.
#[cube(launch)]
pub(super) fn last_layer_backward_kernel(
    ds: &[f32],
    output: &[f32],
    z2: &[f32],
    dz2: &mut [f32],
    h2: &mut [f32],
    hidden: usize,
) {
    if ABSOLUTE_POS >= dz2.len() {
        terminate!();
    }
    let row = ABSOLUTE_POS / hidden;
    let h = ABSOLUTE_POS % hidden;
    let z = z2[ABSOLUTE_POS];
    let g = ds[row * 3] * output[h]
        + ds[row * 3 + 1] * output[hidden + h]
        + ds[row * 3 + 2] * output[2 * hidden + h];
    dz2[ABSOLUTE_POS] = g * scaled_silu_slope(z, 1.0f32);
    h2[ABSOLUTE_POS] = scaled_silu(z, 1.0f32);
}

/// One unit for each edge e of a chunk and hidden unit h: the sums of `dz` over the pairs (e, ·) and over the pairs
/// (·, e).
#[cube(launch)]
#[allow(clippy::too_many_arguments, reason = "a kernel's buffers")]
pub(super) fn first_layer_backward_kernel(
    dz: &[f32],
    source: &[u32],
    source_ptr: &[u32],
    pair_ptr: &[u32],
    d_first: &mut [f32],
    d_second: &mut [f32],
    first_edge: usize,
    end_edge: usize,
    base: usize,
    hidden: usize,
) {
    let e = first_edge + ABSOLUTE_POS / hidden;
    if e >= end_edge {
        terminate!();
    }
    let h = ABSOLUTE_POS % hidden;
    let atom = source[e] as usize;
    let start = source_ptr[atom] as usize;
    let k = source_ptr[atom + 1] as usize - start;
    let row = pair_ptr[e] as usize - base;
    // The rows of an atom follow each other, k for each of its edges.
    let block = pair_ptr[start] as usize - base;
    let mut as_first = 0.0f32;
    let mut as_second = 0.0f32;
    for i in 0..k {
        as_first += dz[(block + i * k + (e - start)) * hidden + h];
        as_second += dz[(row + i) * hidden + h];
    }
    d_first[ABSOLUTE_POS] = as_first;
    d_second[ABSOLUTE_POS] = as_second;
}
