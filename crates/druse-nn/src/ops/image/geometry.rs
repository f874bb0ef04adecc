//! Sizes of a convolution.

/// Sizes of a convolution of `batch` volumes (cross-correlation, as in all frameworks):
///
/// `y[q, o] = b[o] + Σ_k Σ_i W[k, i, o] x[q · stride + k - padding, i]`
///
/// with pixels q of the result, taps k of the kernel, channels i and o; x is zero outside of the volume. A plane has the
/// depth 1. x is (batch · pixels, in), the result (batch · pixels, out), pixels in row-major order; the weight is
/// (taps · in, out), taps in row-major order and the channels of a tap together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Number of volumes.
    pub batch: usize,
    /// Rows, columns and depth of what is convolved.
    pub size: [usize; 3],
    /// Channels of what is convolved.
    pub in_channels: usize,
    /// Channels of the result.
    pub out_channels: usize,
    /// Taps in each direction.
    pub kernel: [usize; 3],
    /// Pixels from one position of the kernel to the next.
    pub stride: [usize; 3],
    /// Zeros before the first and behind the last pixel of each direction.
    pub padding: [usize; 3],
}

impl ConvGeometry {
    /// A convolution where the kernel fits (`valid` padding).
    pub fn valid(
        batch: usize,
        size: [usize; 3],
        [in_channels, out_channels]: [usize; 2],
        kernel: [usize; 3],
        stride: [usize; 3],
    ) -> Self {
        Self { batch, size, in_channels, out_channels, kernel, stride, padding: [0; 3] }
    }

    /// A convolution of planes with a square kernel of an odd width that keeps their size (`same` padding).
    ///
    /// # Panics
    /// When the width of the kernel is even.
    pub fn same(batch: usize, [rows, columns]: [usize; 2], channels: [usize; 2], width: usize) -> Self {
        assert!(width % 2 == 1, "a kernel of even width has no middle");
        let half = width / 2;
        let valid = Self::valid(batch, [rows, columns, 1], channels, [width, width, 1], [1; 3]);
        Self { padding: [half, half, 0], ..valid }
    }

    /// The convolution whose transpose takes volumes of `size` with `from` channels to volumes with `to` channels, as large
    /// as all positions of the kernel reach: `(size - 1) · stride + kernel`.
    pub fn transposed(
        batch: usize,
        size: [usize; 3],
        [from, to]: [usize; 2],
        kernel: [usize; 3],
        stride: [usize; 3],
    ) -> Self {
        let reached = std::array::from_fn(|a| (size[a].max(1) - 1) * stride[a] + kernel[a]);
        Self::valid(batch, reached, [to, from], kernel, stride)
    }

    /// Rows, columns and depth of the result.
    ///
    /// # Panics
    /// When the kernel does not fit or a stride is zero.
    pub fn out_size(&self) -> [usize; 3] {
        std::array::from_fn(|a| {
            let room = self.size[a] + 2 * self.padding[a];
            assert!(
                self.kernel[a] >= 1 && room >= self.kernel[a] && self.stride[a] >= 1,
                "a kernel of {:?} with stride {:?} on {:?} pixels",
                self.kernel,
                self.stride,
                self.size
            );
            (room - self.kernel[a]) / self.stride[a] + 1
        })
    }

    /// Pixels of all volumes that are convolved.
    pub fn in_rows(&self) -> usize {
        self.batch * self.size.iter().product::<usize>()
    }

    /// Pixels of all results.
    ///
    /// # Panics
    /// As [`ConvGeometry::out_size`].
    pub fn out_rows(&self) -> usize {
        self.batch * self.out_size().iter().product::<usize>()
    }

    /// Taps of the kernel.
    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    /// Shape of the weight: (taps · in, out).
    pub fn weight_shape(&self) -> [usize; 2] {
        [self.taps() * self.in_channels, self.out_channels]
    }

    /// The convolution that is the transpose of this one, from its results to what it is convolved with: with the taps in
    /// the opposite order, between as many zeros as the kernel reaches. There is one where the kernel moves by one pixel
    /// and the zeros around the volume are fewer than the taps.
    pub(super) fn mirrored(&self) -> Option<Self> {
        let reach: [Option<usize>; 3] =
            std::array::from_fn(|a| self.kernel[a].checked_sub(1 + self.padding[a]));
        let [Some(rows), Some(columns), Some(depth)] = reach else { return None };
        (self.stride == [1; 3]).then(|| Self {
            size: self.out_size(),
            in_channels: self.out_channels,
            out_channels: self.in_channels,
            padding: [rows, columns, depth],
            ..*self
        })
    }

    /// Whether every pixel of the result comes from the same pixel of the volume alone.
    pub(super) fn is_pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.padding == [0; 3]
    }
}
