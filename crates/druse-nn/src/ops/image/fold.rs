//! Several neighboring results of a convolution as one result with more channels.
//!
//! A convolution to few channels leaves most lanes of a vector empty. Results that are neighbors are neighbors in memory, too,
//! so that some of them together are one result of a wider kernel that moves by as many pixels. Its weight is that of the
//! one kernel at each place, and zero elsewhere: more multiplications, but in full vectors.

use super::ConvGeometry;
use crate::ops::product::vector_lanes;

/// Vectors of columns that a product holds in registers on every processor.
const VECTORS: usize = 2;

/// A convolution, and the one whose results are `count` results of it, neighbors along `axis`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folded {
    pub wide: ConvGeometry,
    narrow: ConvGeometry,
    axis: usize,
    count: usize,
}

impl Folded {
    /// The number of neighbors that takes the fewest instructions; none if that is one.
    pub fn new(g: &ConvGeometry) -> Option<Self> {
        Self::for_lanes(g, vector_lanes())
    }

    fn for_lanes(g: &ConvGeometry, lanes: usize) -> Option<Self> {
        let axis = (0..3).rev().find(|&a| g.size[a] + 2 * g.padding[a] > 1)?;
        let positions = g.out_size()[axis];
        // Instructions for each result and tap of the other directions.
        let cost = |count: usize| {
            let taps = (count - 1) * g.stride[axis] + g.kernel[axis];
            (taps * (count * g.out_channels).div_ceil(lanes)) as f64 / count as f64
        };
        let counts = 2..=(VECTORS * lanes / g.out_channels.max(1)).min(positions);
        let best = counts
            .filter(|&count| positions.is_multiple_of(count))
            .min_by(|&a, &b| cost(a).total_cmp(&cost(b)))?;
        (cost(best) < 0.9 * cost(1)).then(|| {
            let mut wide = ConvGeometry { out_channels: best * g.out_channels, ..*g };
            wide.kernel[axis] = (best - 1) * g.stride[axis] + g.kernel[axis];
            wide.stride[axis] *= best;
            Self { wide, narrow: *g, axis, count: best }
        })
    }

    /// Calls `f` with the first number of each row of the narrow weight, and that of the same row at each place of the wide one.
    fn rows(&self, mut f: impl FnMut(usize, usize)) {
        let (narrow, wide) = (self.narrow.kernel, self.wide.kernel);
        let (i, o) = (self.narrow.in_channels, self.narrow.out_channels);
        for tap in 0..self.narrow.taps() {
            let at = [tap / (narrow[1] * narrow[2]), tap / narrow[2] % narrow[1], tap % narrow[2]];
            for place in 0..self.count {
                let mut at = at;
                at[self.axis] += place * self.narrow.stride[self.axis];
                let wide_tap = (at[0] * wide[1] + at[1]) * wide[2] + at[2];
                for channel in 0..i {
                    f((tap * i + channel) * o, ((wide_tap * i + channel) * self.count + place) * o);
                }
            }
        }
    }

    /// The weight of the wide kernel.
    pub fn weight(&self, narrow: &[f32]) -> Vec<f32> {
        let o = self.narrow.out_channels;
        let [rows, cols] = self.wide.weight_shape();
        let mut wide = vec![0.0; rows * cols];
        self.rows(|from, to| wide[to..to + o].copy_from_slice(&narrow[from..from + o]));
        wide
    }

    /// The derivative by the narrow weight from that by the wide one.
    pub fn gradient(&self, wide: &[f32]) -> Vec<f32> {
        let o = self.narrow.out_channels;
        let [rows, cols] = self.narrow.weight_shape();
        let mut narrow = vec![0.0; rows * cols];
        self.rows(|to, from| {
            for (sum, &x) in narrow[to..to + o].iter_mut().zip(&wide[from..from + o]) {
                *sum += x;
            }
        });
        narrow
    }

    /// What is added to each result.
    pub fn bias(&self, narrow: &[f32]) -> Vec<f32> {
        narrow.repeat(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_filled_where_that_takes_fewer_instructions() {
        let folded = |channels: usize, width: usize, positions: usize, stride: usize| {
            let size = [1, 1, (positions - 1) * stride + width];
            let g = ConvGeometry::valid(1, size, [3, channels], [1, 1, width], [1, 1, stride]);
            Folded::for_lanes(&g, 16).map(|folded| folded.count)
        };
        // 3 taps: 3 instructions for one result, 6 for four.
        assert_eq!(folded(4, 3, 16, 1), Some(4));
        assert_eq!(folded(8, 7, 16, 1), Some(2));
        // Full vectors, and those that would stay as empty.
        assert_eq!(folded(16, 3, 16, 1), None);
        assert_eq!(folded(12, 3, 16, 1), None);
        // Positions that cannot be put together.
        assert_eq!(folded(4, 3, 17, 1), None);
        // Windows that do not overlap share nothing.
        assert_eq!(folded(4, 2, 16, 2), None);
    }
}
