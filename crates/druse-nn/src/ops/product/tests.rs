//! Products against the definition in double precision, on every kind of vector instructions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::Precision;
use crate::arch::testing::on_every_arch;
use crate::precision::with_precision;

fn random(len: usize, rng: &mut ChaCha8Rng) -> Vec<f32> {
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn new_product([m, n, k]: [usize; 3], a: View<'_>, b: View<'_>) -> Vec<f32> {
    let mut dst = vec![f32::NAN; m * n];
    product(&mut dst, [m, n, k], a, b, false);
    dst
}

fn definition([m, n, k]: [usize; 3], a: View<'_>, b: View<'_>) -> Vec<f64> {
    let at = |v: &View<'_>, i: usize, j: usize| f64::from(v.data[i * v.row_stride + j * v.col_stride]);
    (0..m * n).map(|at_| (0..k).map(|l| at(&a, at_ / n, l) * at(&b, l, at_ % n)).sum()).collect()
}

fn assert_close(found: &[f32], expected: &[f64], k: usize) {
    assert_eq!(found.len(), expected.len());
    for (i, (&x, y)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(x) - y).abs() < 1e-6 * (1.0 + k as f64).sqrt(), "{i}: {x} against {y}");
    }
}

#[test]
fn products_agree_with_the_definition() {
    let shapes = [
        [1, 1, 1],
        [1, 7, 3],
        [5, 64, 16],
        [6, 16, 128],
        [7, 3, 64],
        [13, 33, 9],
        [48, 128, 128],
        [129, 65, 31],
        [100, 96, 7],
        [50, 128, 200],
        [129, 1, 128],
        [3, 48, 97],
        [0, 4, 4],
        [4, 0, 4],
    ];
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    for [m, n, k] in shapes {
        let (a, b) = (random(m * k, &mut rng), random(k * n, &mut rng));
        let lefts = [View::rows(&a, k), View::transposed(&a, m)];
        let rights = [View::rows(&b, n), View::transposed(&b, k)];
        on_every_arch(|| {
            for (a, b) in lefts.iter().flat_map(|&a| rights.iter().map(move |&b| (a, b))) {
                let expected = definition([m, n, k], a, b);
                // One column more than the result has, which must stay as it is.
                let mut dst = vec![0.5; m * (n + 1)];
                product_into(&mut dst, n + 1, [m, n, k], a, b, true);
                let (mut body, mut rest) = (Vec::new(), Vec::new());
                for row in dst.chunks_exact(n + 1) {
                    body.extend(row[..n].iter().map(|x| x - 0.5));
                    rest.push(row[n]);
                }
                assert_close(&body, &expected, k);
                assert!(rest.iter().all(|&x| x == 0.5));
                if a.col_stride == 1 {
                    let panels = Panels::pack(b, [k, n]);
                    let mut dst = vec![f32::NAN; m * n];
                    multiply(&mut dst, m, a, &panels, false);
                    assert_close(&dst, &expected, k);
                    multiply(&mut dst, m, a, &panels, true);
                    assert_close(&dst.iter().map(|x| 0.5 * x).collect::<Vec<_>>(), &expected, k);
                }
                assert_close(&new_product([m, n, k], a, b), &expected, k);
            }
        });
    }
}

#[test]
fn an_empty_depth_gives_zeros() {
    on_every_arch(|| {
        let mut dst = [3.0; 4];
        product(&mut dst, [2, 2, 0], View::rows(&[], 0), View::rows(&[], 2), true);
        assert_eq!(dst, [3.0; 4]);
        product(&mut dst, [2, 2, 0], View::rows(&[], 0), View::rows(&[], 2), false);
        assert_eq!(dst, [0.0; 4]);
        assert_eq!(new_product([2, 2, 0], View::rows(&[], 0), View::rows(&[], 2)), [0.0; 4]);
    });
}

/// What parallel blocks and pieces of any size rest on.
#[test]
fn a_row_does_not_depend_on_the_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let (m, n, k) = (59, 40, 21);
    let (a, b) = (random(m * k, &mut rng), random(k * n, &mut rng));
    on_every_arch(|| {
        let whole = new_product([m, n, k], View::rows(&a, k), View::rows(&b, n));
        for (i, row) in whole.chunks_exact(n).enumerate() {
            assert_eq!(row, new_product([1, n, k], View::rows(&a[i * k..], k), View::rows(&b, n)));
        }
    });
}

#[test]
#[should_panic(expected = "out of bounds")]
fn a_short_operand_is_refused() {
    product(&mut [0.0; 4], [2, 2, 3], View::rows(&[0.0; 5], 3), View::rows(&[0.0; 6], 2), false);
}

#[test]
#[should_panic(expected = "out of bounds")]
fn a_short_result_is_refused() {
    product(&mut [0.0; 3], [2, 2, 1], View::rows(&[0.0; 2], 1), View::rows(&[0.0; 2], 2), false);
}

/// Shapes with tails in every direction.
const SHAPES: [[usize; 3]; 12] = [
    [1, 4, 1],
    [5, 64, 16],
    [7, 33, 9],
    [48, 128, 128],
    [129, 65, 31],
    [100, 96, 7],
    [97, 48, 64],
    [50, 17, 200],
    [16, 16, 32],
    [203, 40, 33],
    [0, 4, 4],
    [6, 5, 0],
];

/// The methods of this processor that are not plain, with the error of an entry relative to the norms of its operands.
fn methods() -> Vec<(Method, f64)> {
    let mut all = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if crate::arch::has_bf16() {
            all.push((Method::Pairs, 6e-3));
        }
        if crate::arch::has_unit() {
            all.extend([(Method::Tiles { parts: 1 }, 6e-3), (Method::Tiles { parts: 3 }, 1e-6)]);
        }
    }
    if all.is_empty() {
        eprintln!("skipped: this processor has neither bf16 products nor a matrix unit");
    }
    all
}

/// `gᵀ x` added to `dst`, by a method that is not plain.
fn transposed(method: Method, dst: &mut [f32], shape @ [m, n, _]: [usize; 3], g: &[f32], x: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        let target = Target { dst: dst.as_mut_ptr(), len: dst.len(), stride: n, accumulate: true };
        // SAFETY: the target is a borrowed slice, and `methods` lists what this processor has.
        unsafe {
            match method {
                Method::Vectors => unreachable!("plain"),
                Method::Pairs => bf16::multiply_transposed(target, shape, View::rows(g, m), View::rows(x, n)),
                Method::Tiles { parts } => amx::multiply_transposed(target, shape, g, x, parts),
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (method, dst, shape, g, x, m, n);
}

#[test]
fn packed_products_agree_with_the_definition() {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for (method, tolerance) in methods() {
        let assert_close = |found: &[f32], expected: &[f64], k: usize| {
            for (i, (&x, y)) in found.iter().zip(expected).enumerate() {
                let error = (f64::from(x) - y).abs();
                assert!(error < tolerance * (1.0 + k as f64).sqrt(), "{method:?}, {i}: {x} against {y}");
            }
        };
        for [m, n, k] in SHAPES {
            let (a, b) = (random(m * k, &mut rng), random(k * n, &mut rng));
            for a in [View::rows(&a, k), View::transposed(&a, m)] {
                for b in [View::rows(&b, n), View::transposed(&b, k)] {
                    let expected = definition([m, n, k], a, b);
                    let panels = Panels::pack_for(method, b, [k, n]);
                    let mut dst = vec![0.5; m * (n + 1)];
                    multiply_into(&mut dst, n + 1, m, a, &panels, true);
                    let body: Vec<f32> =
                        dst.chunks_exact(n + 1).flat_map(|row| row[..n].iter().map(|x| x - 0.5)).collect();
                    assert_close(&body, &expected, k);
                    assert!(dst.chunks_exact(n + 1).all(|row| row[n] == 0.5));
                    let mut whole = vec![f32::NAN; m * n];
                    multiply(&mut whole, m, a, &panels, false);
                    assert_close(&whole, &expected, k);
                }
            }
            let (g, x) = (random(k * m, &mut rng), random(k * n, &mut rng));
            let expected = definition([m, n, k], View::transposed(&g, m), View::rows(&x, n));
            let mut dst = vec![0.25; m * n];
            transposed(method, &mut dst, [m, n, k], &g, &x);
            assert_close(&dst.iter().map(|x| x - 0.25).collect::<Vec<_>>(), &expected, k);
        }
    }
}

#[test]
fn products_of_numbers_with_few_bits_are_exact() {
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let [m, n, k] = [59, 40, 21];
    let mut whole_numbers =
        |len| (0..len).map(|_| f32::from(rng.random_range(-100i8..100))).collect::<Vec<_>>();
    let (a, b, g) = (whole_numbers(m * k), whole_numbers(k * n), whole_numbers(k * m));
    let exact = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect::<Vec<_>>();
    for (method, _) in methods() {
        let panels = Panels::pack_for(method, View::rows(&b, n), [k, n]);
        let mut dst = vec![f32::NAN; m * n];
        multiply(&mut dst, m, View::rows(&a, k), &panels, false);
        assert_eq!(dst, exact(definition([m, n, k], View::rows(&a, k), View::rows(&b, n))));
        let mut dst = vec![0.0; m * n];
        transposed(method, &mut dst, [m, n, k], &g, &b);
        assert_eq!(dst, exact(definition([m, n, k], View::transposed(&g, m), View::rows(&b, n))));
    }
}

/// As [`a_row_does_not_depend_on_the_others`], on numbers of all sizes.
#[test]
fn a_packed_row_does_not_depend_on_the_others() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    for (method, _) in methods() {
        for [m, n, k] in [[131, 40, 70], [48, 128, 128], [33, 16, 31]] {
            let mut numbers = |len| -> Vec<f32> {
                random(len, &mut rng).into_iter().map(|x| x * (8.0 * x).exp2()).collect()
            };
            let (a, b) = (numbers(m * k), numbers(k * n));
            let panels = Panels::pack_for(method, View::rows(&b, n), [k, n]);
            let mut whole = vec![f32::NAN; m * n];
            multiply(&mut whole, m, View::rows(&a, k), &panels, false);
            for (i, row) in whole.chunks_exact(n).enumerate() {
                for rows in [1, 2, 17, 35].into_iter().filter(|rows| i + rows <= m) {
                    let mut some = vec![f32::NAN; rows * n];
                    multiply(&mut some, rows, View::rows(&a[i * k..], k), &panels, false);
                    assert_eq!(row, &some[..n], "{method:?}, row {i} with {rows}");
                }
            }
        }
    }
}

/// What `--precision f32` rests on where there is a matrix unit: the error of split products is not larger than that of
/// products in 32 bits, whatever the sizes of the numbers.
#[cfg(target_arch = "x86_64")]
#[test]
fn split_products_are_as_exact_as_32_bits() {
    if !crate::arch::has_unit() {
        eprintln!("skipped: this processor has no matrix unit");
        return;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for [m, n, k] in [[96, 128, 128], [48, 64, 512], [48, 64, 64], [64, 48, 37]] {
        for spread in [0.0, 4.0, 12.0] {
            let mut numbers = |len| -> Vec<f32> {
                let scales = random(len, &mut rng);
                random(len, &mut rng).into_iter().zip(scales).map(|(x, s)| x * (spread * s).exp2()).collect()
            };
            let (a, b) = (numbers(m * k), numbers(k * n));
            let (a, b) = (View::rows(&a, k), View::rows(&b, n));
            let expected = definition([m, n, k], a, b);
            let error = |method| {
                let mut dst = vec![f32::NAN; m * n];
                multiply(&mut dst, m, a, &Panels::pack_for(method, b, [k, n]), false);
                dst.iter().zip(&expected).map(|(&x, y)| (f64::from(x) - y).powi(2)).sum::<f64>().sqrt()
            };
            let (split, plain) = (error(Method::Tiles { parts: 3 }), error(Method::Vectors));
            assert!(split <= 1.05 * plain, "{m}×{n}×{k}, spread {spread}: {split:e} against {plain:e}");
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_is_no_number_stays_none() {
    if !crate::arch::has_unit() {
        eprintln!("skipped: this processor has no matrix unit");
        return;
    }
    let b = vec![1.0; 64 * 32];
    for parts in [1, 3] {
        let panels = Panels::pack_for(Method::Tiles { parts }, View::rows(&b, 32), [64, 32]);
        for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut a = vec![1.0; 2 * 64];
            a[70] = bad;
            let mut dst = vec![0.0; 2 * 32];
            multiply(&mut dst, 2, View::rows(&a, 64), &panels, false);
            assert!(dst[..32].iter().all(|&x| x == 64.0), "{parts}, {bad}: {dst:?}");
            assert!(dst[32..].iter().all(|x| !x.is_finite()), "{parts}, {bad}: {dst:?}");
        }
    }
}

#[test]
fn every_precision_has_a_method_for_every_shape() {
    for precision in [Precision::F32, Precision::F32Split, Precision::Bf16] {
        if precision.check(&crate::device::cpu()).is_ok() {
            let x = [1.0; 64 * 64];
            let mut dst = [0.0; 64 * 64];
            with_precision(precision, || matrix_product(&mut dst, [64, 64, 64], &x, &x));
            assert_eq!(dst, [64.0; 64 * 64]);
            with_precision(precision, || add_gradient(&mut dst, 64, [64, 64, 64], &x, &x));
            assert_eq!(dst, [128.0; 64 * 64]);
        }
    }
}
