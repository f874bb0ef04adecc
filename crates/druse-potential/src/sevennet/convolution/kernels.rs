//! The loops over channels of tensor products, for vectors of any processor.
//!
//! Rows of channels are slices of vectors, and a tile of `T` neighboring vectors is worked on at a time. Counted loops over
//! tiles are unrolled into registers; all of it is inlined into code for the processor's instructions.
#![allow(clippy::needless_range_loop, reason = "see above")]

use pulp::Simd;

use crate::real::Real;

/// Vectors that are worked on together.
type Tile<R, S, const T: usize> = [<R as Real>::Vector<S>; T];

/// The tile that begins at a vector.
#[inline(always)]
fn tile<V, const T: usize>(x: &[V], at: usize) -> &[V; T] {
    x[at..].first_chunk().expect("channels are whole tiles")
}

#[inline(always)]
fn tile_mut<V, const T: usize>(x: &mut [V], at: usize) -> &mut [V; T] {
    x[at..].first_chunk_mut().expect("channels are whole tiles")
}

/// Instructions and type of the numbers: what every kernel needs to know.
#[derive(Debug)]
pub(super) struct Kernels<R, S, const T: usize> {
    simd: S,
    number: std::marker::PhantomData<R>,
}

impl<R, S: Copy, const T: usize> Clone for Kernels<R, S, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, S: Copy, const T: usize> Copy for Kernels<R, S, T> {}

/// Sizes of a path: components of the features and of the messages; vectors in a row of channels, and from a row of
/// messages to the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sizes {
    pub features: usize,
    pub messages: usize,
    pub channels: usize,
    pub stride: usize,
}

/// What the backward pass of a path reads: features `x` of the sender, radial weights and their slopes, gradients `y` of
/// the receiver's messages.
#[derive(Clone, Copy)]
pub(super) struct Given<'a, V> {
    pub x: &'a [V],
    pub w: &'a [V],
    pub slope: &'a [V],
    pub y: &'a [V],
}

impl<R: Real, S: Simd, const T: usize> Kernels<R, S, T> {
    #[inline(always)]
    pub fn new(simd: S) -> Self {
        Self { simd, number: std::marker::PhantomData }
    }

    #[inline(always)]
    pub fn splat(self, x: R) -> R::Vector<S> {
        R::splat(self.simd, x)
    }

    #[inline(always)]
    pub fn zero(self) -> R::Vector<S> {
        self.splat(R::default())
    }

    /// The sum of the numbers of a vector.
    #[inline(always)]
    pub fn total(self, x: R::Vector<S>) -> R {
        R::sum(self.simd, x)
    }

    /// `sum += a · x`, number by number.
    #[inline(always)]
    pub fn add(self, sum: &mut R::Vector<S>, a: R::Vector<S>, x: R::Vector<S>) {
        *sum = R::times_plus(self.simd, a, x, *sum);
    }

    /// `sum += a · x`.
    #[inline(always)]
    fn add_scaled(self, sum: &mut Tile<R, S, T>, a: R::Vector<S>, x: &Tile<R, S, T>) {
        for v in 0..T {
            self.add(&mut sum[v], a, x[v]);
        }
    }

    /// `sum += a · b`, number by number.
    #[inline(always)]
    fn add_product(self, sum: &mut Tile<R, S, T>, a: &Tile<R, S, T>, b: &Tile<R, S, T>) {
        for v in 0..T {
            self.add(&mut sum[v], a[v], b[v]);
        }
    }

    /// `a · b`, number by number.
    #[inline(always)]
    fn product(self, a: &Tile<R, S, T>, b: &Tile<R, S, T>) -> Tile<R, S, T> {
        let mut out = [self.zero(); T];
        for v in 0..T {
            out[v] = R::times(self.simd, a[v], b[v]);
        }
        out
    }

    /// `a · x`.
    #[inline(always)]
    fn scaled(self, a: R::Vector<S>, x: &Tile<R, S, T>) -> Tile<R, S, T> {
        self.product(&[a; T], x)
    }

    /// Adds the dot product of `a` and `b` to partial sums.
    #[inline(always)]
    fn add_dot(self, sums: &mut R::Vector<S>, a: &Tile<R, S, T>, b: &Tile<R, S, T>) {
        for v in 0..T {
            self.add(sums, a[v], b[v]);
        }
    }

    /// Adds a message: `out[k] += w · Σ_i matrix[k][i] x[i]` for each channel.
    #[inline(always)]
    pub fn send(
        self,
        s: Sizes,
        x: &[R::Vector<S>],
        w: &[R::Vector<S>],
        matrix: &[R],
        out: &mut [R::Vector<S>],
    ) {
        let mut u = 0;
        while u < s.channels {
            let w = tile(w, u);
            for k in 0..s.messages {
                let mut sum = [self.zero(); T];
                for i in 0..s.features {
                    let factor = self.splat(matrix[k * s.features + i]);
                    self.add_scaled(&mut sum, factor, tile(x, i * s.channels + u));
                }
                self.add_product(tile_mut(out, k * s.stride + u), w, &sum);
            }
            u += T;
        }
    }

    /// [`Self::send`] for features of degree 0: `out[k] += matrix[k] · (w x)`.
    #[inline(always)]
    pub fn send_scalars(
        self,
        s: Sizes,
        x: &[R::Vector<S>],
        w: &[R::Vector<S>],
        matrix: &[R],
        out: &mut [R::Vector<S>],
    ) {
        let mut u = 0;
        while u < s.channels {
            let weighted = self.product(tile(w, u), tile(x, u));
            for k in 0..s.messages {
                self.add_scaled(tile_mut(out, k * s.stride + u), self.splat(matrix[k]), &weighted);
            }
            u += T;
        }
    }

    /// [`Self::send`] for harmonics of degree 0: `out[k] += factor · w · x[k]`.
    #[inline(always)]
    pub fn send_as_is(
        self,
        s: Sizes,
        x: &[R::Vector<S>],
        w: &[R::Vector<S>],
        factor: R,
        out: &mut [R::Vector<S>],
    ) {
        let mut u = 0;
        while u < s.channels {
            let w = self.scaled(self.splat(factor), tile(w, u));
            for k in 0..s.messages {
                self.add_product(tile_mut(out, k * s.stride + u), &w, tile(x, k * s.channels + u));
            }
            u += T;
        }
    }

    /// The backward pass of [`Self::send`]: adds the gradient of the features to `gradient`, that of the distance to the
    /// partial sums `radial`, and leaves Σ_u w x[i] y[k] in `pairs[k][i]`, the gradient of the matrix, as partial sums.
    #[inline(always)]
    pub fn receive(
        self,
        s: Sizes,
        given: Given<'_, R::Vector<S>>,
        matrix: &[R],
        gradient: &mut [R::Vector<S>],
        radial: &mut R::Vector<S>,
        pairs: &mut [R::Vector<S>],
    ) {
        for pair in 0..s.messages * s.features {
            pairs[pair] = self.zero();
        }
        let mut u = 0;
        while u < s.channels {
            let w = tile(given.w, u);
            let mut along = [self.zero(); T];
            for i in 0..s.features {
                let x = tile(given.x, i * s.channels + u);
                let weighted = self.product(w, x);
                let mut sum = [self.zero(); T];
                for k in 0..s.messages {
                    let y = tile(given.y, k * s.stride + u);
                    self.add_scaled(&mut sum, self.splat(matrix[k * s.features + i]), y);
                    self.add_dot(&mut pairs[k * s.features + i], &weighted, y);
                }
                self.add_product(tile_mut(gradient, i * s.channels + u), w, &sum);
                self.add_product(&mut along, x, &sum);
            }
            self.add_dot(radial, tile(given.slope, u), &along);
            u += T;
        }
    }

    /// The backward pass of [`Self::send_as_is`]: there is no gradient of the direction.
    #[inline(always)]
    pub fn receive_as_is(
        self,
        s: Sizes,
        given: Given<'_, R::Vector<S>>,
        factor: R,
        gradient: &mut [R::Vector<S>],
        radial: &mut R::Vector<S>,
    ) {
        let factor = self.splat(factor);
        let mut u = 0;
        while u < s.channels {
            let w = self.scaled(factor, tile(given.w, u));
            let mut along = [self.zero(); T];
            for k in 0..s.messages {
                let y = tile(given.y, k * s.stride + u);
                self.add_product(tile_mut(gradient, k * s.channels + u), &w, y);
                self.add_product(&mut along, tile(given.x, k * s.channels + u), y);
            }
            self.add_dot(radial, &self.scaled(factor, tile(given.slope, u)), &along);
            u += T;
        }
    }

    /// `sum[k] += harmonics[k] · w` for each channel; rows of the sum are as long as `w`.
    #[inline(always)]
    pub fn spread(self, w: &[R::Vector<S>], harmonics: &[R], sum: &mut [R::Vector<S>]) {
        let mut u = 0;
        while u < w.len() {
            for k in 0..harmonics.len() {
                let factor = self.splat(harmonics[k]);
                self.add_scaled(tile_mut(sum, k * w.len() + u), factor, tile(w, u));
            }
            u += T;
        }
    }

    /// `out = a · b` or `out += a · b`, number by number.
    #[inline(always)]
    pub fn multiply(
        self,
        a: &[R::Vector<S>],
        b: &[R::Vector<S>],
        out: &mut [R::Vector<S>],
        accumulate: bool,
    ) {
        let mut u = 0;
        while u < out.len() {
            let out = tile_mut(out, u);
            if accumulate {
                self.add_product(out, tile(a, u), tile(b, u));
            } else {
                *out = self.product(tile(a, u), tile(b, u));
            }
            u += T;
        }
    }

    /// Adds dot products of `w` and of `slope` with each row of `rows` to partial sums `(w · row k, slope · row k)`.
    #[inline(always)]
    pub fn project(
        self,
        w: &[R::Vector<S>],
        slope: &[R::Vector<S>],
        rows: &[R::Vector<S>],
        out: &mut [[R::Vector<S>; 2]],
    ) {
        let mut u = 0;
        while u < w.len() {
            for k in 0..out.len() {
                let row = tile(rows, k * w.len() + u);
                self.add_dot(&mut out[k][0], tile(w, u), row);
                self.add_dot(&mut out[k][1], tile(slope, u), row);
            }
            u += T;
        }
    }
}
