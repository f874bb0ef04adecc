//! The convolution of the first block, whose features depend on the element of an atom alone.
#![allow(clippy::needless_range_loop, reason = "counted loops are not left out of line")]

use druse_nn::arch::arch;
use pulp::{Simd, WithSimd};

use super::kernels::Kernels;
use super::{EdgeGradients, RadialRows};
use crate::real::{Real, lanes};
use crate::sevennet::graph::{Batch, Portion};
use crate::sevennet::harmonics::{MAX_COMPONENTS, begin, components};
use crate::sevennet::layout::{GROUP, Layout};

/// Scalars of each element times harmonics: what the neighbors of one element send is summed before it is multiplied with
/// the element's features.
#[derive(Debug)]
pub(in super::super) struct FirstConvolution<R> {
    /// The features of each element.
    features: Vec<R>,
    channels: usize,
    messages: Layout,
    degree: usize,
}

impl<R: Real> FirstConvolution<R> {
    /// The convolution for the given rows of features. Its paths are (0, l, l) with coefficients of 1.
    pub fn new(features: Vec<R>, messages: &Layout) -> Self {
        let channels = messages.channels()[0];
        debug_assert!(messages.channels().iter().all(|&c| c == channels));
        Self { features, channels, messages: messages.clone(), degree: messages.max_degree() }
    }

    /// Writes the sums of messages to the atoms of a portion.
    pub fn forward(&self, batch: &Batch<R>, portion: &Portion, radial: &RadialRows<R>, out: &mut [R]) {
        arch().dispatch(Forward { plan: self, batch, portion, radial, out });
    }

    /// Adds the gradients of the edges that end at the atoms of a portion, given those of all atoms' sums of messages.
    pub fn backward(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        messages: &[R],
        radial: &RadialRows<R>,
        edges: &mut EdgeGradients<'_, R>,
    ) {
        arch().dispatch(Backward { plan: self, batch, portion, messages, radial, edges });
    }

    /// Radial weights of a degree and a distance.
    #[inline(always)]
    fn row<'r>(&self, rows: &'r [R], distance: u32, l: usize) -> &'r [R] {
        &rows[(distance as usize * (self.degree + 1) + l) * self.channels..][..self.channels]
    }

    /// Where the run of senders of one element ends that begins with an edge.
    #[inline(always)]
    fn run_end(batch: &Batch<R>, first: usize, end: usize) -> usize {
        let element = batch.types[batch.sender[first] as usize];
        let mut next = first + 1;
        while next < end && batch.types[batch.sender[next] as usize] == element {
            next += 1;
        }
        next
    }

    /// The features of the element that an edge comes from.
    #[inline(always)]
    fn sent(&self, batch: &Batch<R>, edge: usize) -> &[R] {
        let element = usize::from(batch.types[batch.sender[edge] as usize]);
        &self.features[element * self.channels..][..self.channels]
    }
}

struct Forward<'a, R: Real> {
    plan: &'a FirstConvolution<R>,
    batch: &'a Batch<R>,
    portion: &'a Portion,
    radial: &'a RadialRows<R>,
    out: &'a mut [R],
}

impl<R: Real> WithSimd for Forward<'_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if lanes::<R, S>() * 4 <= GROUP {
            self.run(Kernels::<R, S, 4>::new(simd));
        } else {
            self.run(Kernels::<R, S, 2>::new(simd));
        }
    }
}

impl<R: Real> Forward<'_, R> {
    #[inline(always)]
    fn run<S: Simd, const T: usize>(self, kernels: Kernels<R, S, T>) {
        let Self { plan, batch, portion, radial, out } = self;
        let (lanes, components) = (lanes::<R, S>(), components(plan.degree));
        let (width, channels) = (plan.messages.width(), plan.channels / lanes);
        let mut sum = vec![kernels.zero(); width / lanes];
        for atom in portion.atoms.start..portion.atoms.end {
            let out = &mut out[(atom - portion.atoms.start) * width..][..width];
            let out = R::vectors_mut::<S>(out);
            for v in 0..out.len() {
                out[v] = kernels.zero();
            }
            let (mut first, end) = (batch.ptr[atom], batch.ptr[atom + 1]);
            while first < end {
                let next = FirstConvolution::run_end(batch, first, end);
                for v in 0..sum.len() {
                    sum[v] = kernels.zero();
                }
                for edge in first..next {
                    let distance = portion.row[edge - portion.edges.start];
                    let harmonics = &batch.harmonics[edge * components..][..components];
                    for l in 0..plan.degree + 1 {
                        let w = R::vectors::<S>(plan.row(&radial.values, distance, l));
                        let y = &harmonics[begin(l)..begin(l + 1)];
                        kernels.spread(w, y, &mut sum[begin(l) * channels..begin(l + 1) * channels]);
                    }
                }
                let x = R::vectors::<S>(plan.sent(batch, first));
                for k in 0..components {
                    let row = k * channels..(k + 1) * channels;
                    kernels.multiply(&sum[row.clone()], x, &mut out[row], true);
                }
                first = next;
            }
        }
    }
}

struct Backward<'a, 'e, R: Real> {
    plan: &'a FirstConvolution<R>,
    batch: &'a Batch<R>,
    portion: &'a Portion,
    messages: &'a [R],
    radial: &'a RadialRows<R>,
    edges: &'a mut EdgeGradients<'e, R>,
}

impl<R: Real> WithSimd for Backward<'_, '_, R> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if lanes::<R, S>() * 4 <= GROUP {
            self.run(Kernels::<R, S, 4>::new(simd));
        } else {
            self.run(Kernels::<R, S, 2>::new(simd));
        }
    }
}

impl<R: Real> Backward<'_, '_, R> {
    #[inline(always)]
    fn run<S: Simd, const T: usize>(self, kernels: Kernels<R, S, T>) {
        let Self { plan, batch, portion, messages, radial, edges } = self;
        let (lanes, components) = (lanes::<R, S>(), components(plan.degree));
        let (width, channels) = (plan.messages.width(), plan.channels / lanes);
        // Gradients of the messages times the features of one element.
        let mut weighted = vec![kernels.zero(); width / lanes];
        for atom in portion.atoms.start..portion.atoms.end {
            let received = R::vectors::<S>(&messages[atom * width..][..width]);
            let (mut first, end) = (batch.ptr[atom], batch.ptr[atom + 1]);
            while first < end {
                let next = FirstConvolution::run_end(batch, first, end);
                let x = R::vectors::<S>(plan.sent(batch, first));
                for k in 0..components {
                    let row = k * channels..(k + 1) * channels;
                    kernels.multiply(&received[row.clone()], x, &mut weighted[row], false);
                }
                for edge in first..next {
                    let at = edge - portion.edges.start;
                    let distance = portion.row[at];
                    let mut sums = [[kernels.zero(); 2]; MAX_COMPONENTS];
                    for l in 0..plan.degree + 1 {
                        let w = R::vectors::<S>(plan.row(&radial.values, distance, l));
                        let slope = R::vectors::<S>(plan.row(&radial.slopes, distance, l));
                        let rows = &weighted[begin(l) * channels..begin(l + 1) * channels];
                        kernels.project(w, slope, rows, &mut sums[begin(l)..begin(l + 1)]);
                    }
                    let harmonics = &batch.harmonics[edge * components..][..components];
                    let turns = &mut edges.harmonics[at * components..][..components];
                    let mut length = R::default();
                    for component in 0..components {
                        let [value, tilt] = sums[component];
                        turns[component] += kernels.total(value);
                        length += harmonics[component] * kernels.total(tilt);
                    }
                    edges.length[at] += length;
                }
                first = next;
            }
        }
    }
}
