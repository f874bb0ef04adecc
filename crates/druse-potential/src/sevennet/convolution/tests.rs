//! Kernels against their formulas, for every kind of vectors that this processor has.

use pulp::{Arch, Simd, WithSimd};

use super::kernels::{Given, Kernels, Sizes};
use crate::real::{Real, lanes};

/// Components of features and messages, channels.
const SHAPE: [usize; 3] = [3, 5, 64];

/// Numbers that look random.
fn numbers<R: Real>(seed: f64, len: usize) -> Vec<R> {
    (0..len).map(|i| R::narrow((seed + 1.7 * i as f64 + 0.3 * (i * i % 97) as f64).sin())).collect()
}

fn close<R: Real>(found: &[R], wanted: impl Iterator<Item = f64>, what: &str) {
    let wanted: Vec<f64> = wanted.collect();
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert!((found.wide() - wanted).abs() < 1e-4, "{what}[{i}] = {found:?}, expected {wanted}");
    }
}

/// Runs the kernels of a path in tiles of `T` vectors.
struct Check<R, const T: usize>(std::marker::PhantomData<R>);

impl<R: Real, const T: usize> WithSimd for Check<R, T> {
    type Output = ();

    fn with_simd<S: Simd>(self, simd: S) {
        let kernels = Kernels::<R, S, T>::new(simd);
        let ([ni, nk, channels], lanes) = (SHAPE, lanes::<R, S>());
        let sizes =
            Sizes { features: ni, messages: nk, channels: channels / lanes, stride: channels / lanes };
        let (x, w, slope): (Vec<R>, Vec<R>, Vec<R>) =
            (numbers(0.1, ni * channels), numbers(0.2, channels), numbers(0.3, channels));
        let (y, matrix): (Vec<R>, Vec<R>) = (numbers(0.4, nk * channels), numbers(0.5, nk * ni));
        let [fx, fw, fs, fy, fm] =
            [&x, &w, &slope, &y, &matrix].map(|v| v.iter().map(|x| x.wide()).collect::<Vec<f64>>());

        let mut out = numbers::<R>(0.6, nk * channels);
        let before: Vec<f64> = out.iter().map(|x| x.wide()).collect();
        let (vx, vw) = (R::vectors::<S>(&x), R::vectors::<S>(&w));
        kernels.send(sizes, vx, vw, &matrix, R::vectors_mut::<S>(&mut out));
        let message = |at: usize| {
            let (k, u) = (at / channels, at % channels);
            fw[u] * (0..ni).map(|i| fm[k * ni + i] * fx[i * channels + u]).sum::<f64>()
        };
        close(&out, before.iter().enumerate().map(|(at, b)| b + message(at)), "message");

        let given = Given { x: vx, w: vw, slope: R::vectors::<S>(&slope), y: R::vectors::<S>(&y) };
        let mut gradient = numbers::<R>(0.7, ni * channels);
        let before: Vec<f64> = gradient.iter().map(|x| x.wide()).collect();
        let (mut radial, mut pairs) = (kernels.zero(), vec![kernels.splat(R::narrow(9.0)); ni * nk]);
        let to = R::vectors_mut::<S>(&mut gradient);
        kernels.receive(sizes, given, &matrix, to, &mut radial, &mut pairs);
        let back = |i: usize, u: usize| (0..nk).map(|k| fm[k * ni + i] * fy[k * channels + u]).sum::<f64>();
        let wanted = before.iter().enumerate().map(|(at, b)| {
            let (i, u) = (at / channels, at % channels);
            b + fw[u] * back(i, u)
        });
        close(&gradient, wanted, "gradient");
        let along: f64 = (0..ni * channels)
            .map(|at| fs[at % channels] * fx[at] * back(at / channels, at % channels))
            .sum();
        close(&[kernels.total(radial)], std::iter::once(along), "slope");
        let pairs: Vec<R> = pairs.into_iter().map(|pair| kernels.total(pair)).collect();
        let wanted = (0..nk * ni).map(|at| {
            let (k, i) = (at / ni, at % ni);
            (0..channels).map(|u| fw[u] * fx[i * channels + u] * fy[k * channels + u]).sum()
        });
        close(&pairs, wanted, "pairs");
    }
}

#[test]
fn kernels_are_their_formulas_on_every_processor() {
    let mut all = vec![Arch::Scalar];
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    {
        all.extend(pulp::x86::V3::try_new().map(Arch::V3));
        all.extend(pulp::x86::V4::try_new().map(Arch::V4));
    }
    #[cfg(target_arch = "aarch64")]
    all.extend(pulp::aarch64::Neon::try_new().map(Arch::Neon));
    for arch in all {
        arch.dispatch(Check::<f32, 2>(Default::default()));
        arch.dispatch(Check::<f32, 4>(Default::default()));
        arch.dispatch(Check::<f64, 2>(Default::default()));
        arch.dispatch(Check::<f64, 4>(Default::default()));
    }
}
