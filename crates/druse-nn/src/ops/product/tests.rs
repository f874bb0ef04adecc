//! Products against the definition in double precision, on every kind of vector instructions.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
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

/// Entries of `definition` for operands rounded to bf16 differ by at most 2⁻⁸ of each factor.
fn assert_rounded(found: &[f32], expected: &[f64], k: usize) {
    for (i, (&x, y)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(x) - y).abs() < 6e-3 * (1.0 + k as f64).sqrt(), "{i}: {x} against {y}");
    }
}

#[test]
fn rounded_products_agree_with_the_definition() {
    if !has_bf16() {
        eprintln!("skipped: this processor has no bf16 products");
        return;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    for [m, n, k] in [
        [1, 4, 1],
        [5, 64, 16],
        [7, 33, 9],
        [48, 128, 128],
        [129, 65, 31],
        [100, 96, 7],
        [50, 17, 200],
        [0, 4, 4],
        [6, 5, 0],
    ] {
        let (a, b) = (random(m * k, &mut rng), random(k * n, &mut rng));
        for a in [View::rows(&a, k), View::transposed(&a, m)] {
            for b in [View::rows(&b, n), View::transposed(&b, k)] {
                let expected = definition([m, n, k], a, b);
                let panels = Panels::pack_for(Precision::Bf16, b, [k, n]);
                let mut dst = vec![0.5; m * (n + 1)];
                multiply_into(&mut dst, n + 1, m, a, &panels, true);
                let body: Vec<f32> =
                    dst.chunks_exact(n + 1).flat_map(|row| row[..n].iter().map(|x| x - 0.5)).collect();
                assert_rounded(&body, &expected, k);
                assert!(dst.chunks_exact(n + 1).all(|row| row[n] == 0.5));
                let mut whole = vec![f32::NAN; m * n];
                multiply(&mut whole, m, a, &panels, false);
                assert_rounded(&whole, &expected, k);
            }
        }
        let (g, x) = (random(k * m, &mut rng), random(k * n, &mut rng));
        let expected = definition([m, n, k], View::transposed(&g, m), View::rows(&x, n));
        let mut dst = vec![0.25; m * n];
        with_precision(Precision::Bf16, || add_gradient(&mut dst, n, [m, n, k], &g, &x));
        assert_rounded(&dst.iter().map(|x| x - 0.25).collect::<Vec<_>>(), &expected, k);
    }
}

#[test]
fn products_of_numbers_with_few_bits_are_exact_in_bf16() {
    if !has_bf16() {
        eprintln!("skipped: this processor has no bf16 products");
        return;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(6);
    let [m, n, k] = [59, 40, 21];
    let mut whole_numbers =
        |len| (0..len).map(|_| f32::from(rng.random_range(-100i8..100))).collect::<Vec<_>>();
    let (a, b, g) = (whole_numbers(m * k), whole_numbers(k * n), whole_numbers(k * m));
    let exact = |x: Vec<f64>| x.into_iter().map(|x| x as f32).collect::<Vec<_>>();
    let panels = Panels::pack_for(Precision::Bf16, View::rows(&b, n), [k, n]);
    let mut dst = vec![f32::NAN; m * n];
    multiply(&mut dst, m, View::rows(&a, k), &panels, false);
    assert_eq!(dst, exact(definition([m, n, k], View::rows(&a, k), View::rows(&b, n))));
    for (i, row) in dst.chunks_exact(n).enumerate() {
        let mut alone = vec![f32::NAN; n];
        multiply(&mut alone, 1, View::rows(&a[i * k..], k), &panels, false);
        assert_eq!(row, alone);
    }
    let mut dst = vec![0.0; m * n];
    with_precision(Precision::Bf16, || add_gradient(&mut dst, n, [m, n, k], &g, &b));
    assert_eq!(dst, exact(definition([m, n, k], View::transposed(&g, m), View::rows(&b, n))));
}
