//! The convolution of the first block, whose features depend on the element of an atom alone.

use druse_nn::arch::{fuses, vectorized};

use super::super::graph::{Batch, Portion};
use super::super::harmonics::{MAX_COMPONENTS, begin, components};
use super::super::layout::Layout;
use super::super::real::Real;
use super::kernels::{self, LANES};
use super::{EdgeGradients, RadialRows};

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

    fn weights(&self) -> usize {
        self.channels * (self.degree + 1)
    }

    /// The edges of one atom in runs of senders of one element, with that element.
    fn runs<'a>(
        &self,
        batch: &'a Batch<R>,
        atom: usize,
    ) -> impl Iterator<Item = (usize, std::ops::Range<usize>)> + 'a {
        let mut begin = batch.ptr[atom];
        let end = batch.ptr[atom + 1];
        std::iter::from_fn(move || {
            let of = |edge: usize| batch.types[batch.sender[edge] as usize];
            let element = (begin < end).then(|| of(begin))?;
            let first = begin;
            while begin < end && of(begin) == element {
                begin += 1;
            }
            Some((usize::from(element), first..begin))
        })
    }

    /// Writes the sums of messages to the atoms of a portion.
    pub fn forward(&self, batch: &Batch<R>, portion: &Portion, radial: &RadialRows<R>, out: &mut [R]) {
        if fuses() {
            vectorized!(self.run_forward::<true>(batch, portion, radial, out));
        } else {
            vectorized!(self.run_forward::<false>(batch, portion, radial, out));
        }
    }

    #[inline(always)]
    fn run_forward<const FUSED: bool>(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        radial: &RadialRows<R>,
        out: &mut [R],
    ) {
        let (components, channels) = (components(self.degree), self.channels);
        let mut sum = vec![R::default(); self.messages.width()];
        out.fill(R::default());
        for (atom, out) in portion.atoms.clone().zip(out.chunks_exact_mut(self.messages.width())) {
            for (element, edges) in self.runs(batch, atom) {
                sum.fill(R::default());
                for edge in edges {
                    let row = portion.row[edge - portion.edges.start] as usize * self.weights();
                    let harmonics = &batch.harmonics[edge * components..][..components];
                    for l in 0..=self.degree {
                        let w = &radial.values[row + l * channels..][..channels];
                        let y = &harmonics[begin(l)..begin(l + 1)];
                        kernels::spread::<R, FUSED>(w, y, &mut sum[self.messages.range(l)]);
                    }
                }
                let x = &self.features[element * channels..][..channels];
                for (out, sum) in out.chunks_exact_mut(channels).zip(sum.chunks_exact(channels)) {
                    for ((out, &sum), &x) in out.iter_mut().zip(sum).zip(x) {
                        *out += sum * x;
                    }
                }
            }
        }
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
        if fuses() {
            vectorized!(self.run_backward::<true>(batch, portion, messages, radial, edges));
        } else {
            vectorized!(self.run_backward::<false>(batch, portion, messages, radial, edges));
        }
    }

    #[inline(always)]
    fn run_backward<const FUSED: bool>(
        &self,
        batch: &Batch<R>,
        portion: &Portion,
        messages: &[R],
        radial: &RadialRows<R>,
        edges: &mut EdgeGradients<'_, R>,
    ) {
        let (components, channels, width) = (components(self.degree), self.channels, self.messages.width());
        let mut weighted = vec![R::default(); width];
        for atom in portion.atoms.clone() {
            let received = &messages[atom * width..][..width];
            for (element, run) in self.runs(batch, atom) {
                let x = &self.features[element * channels..][..channels];
                let rows = weighted.chunks_exact_mut(channels).zip(received.chunks_exact(channels));
                for (weighted, received) in rows {
                    for ((weighted, &y), &x) in weighted.iter_mut().zip(received).zip(x) {
                        *weighted = y * x;
                    }
                }
                for edge in run {
                    let at = edge - portion.edges.start;
                    let row = portion.row[at] as usize * self.weights();
                    let mut sums = [[[R::default(); LANES]; 2]; MAX_COMPONENTS];
                    for l in 0..=self.degree {
                        let w = &radial.values[row + l * channels..][..channels];
                        let slope = &radial.slopes[row + l * channels..][..channels];
                        let rows = &weighted[self.messages.range(l)];
                        kernels::project::<R, FUSED>(w, slope, rows, &mut sums[begin(l)..begin(l + 1)]);
                    }
                    let harmonics = &batch.harmonics[edge * components..][..components];
                    let turns = &mut edges.harmonics[at * components..][..components];
                    for (([value, tilt], &y), turn) in sums.iter().zip(harmonics).zip(turns) {
                        *turn += kernels::total(value);
                        edges.length[at] += y * kernels::total(tilt);
                    }
                }
            }
        }
    }
}
