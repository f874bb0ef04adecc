//! The image: 64×64 pixels of 4 channels.

/// Pixels along an edge.
pub const EDGE: usize = 64;
/// Channels of a pixel: distances, then differences along a, b, c.
pub const CHANNELS: usize = 4;
/// Numbers in an image.
pub const IMAGE_LEN: usize = EDGE * EDGE * CHANNELS;
/// Row and column of the first atom.
pub const FIRST_SLOT: usize = 12;
/// Slots for atoms: the most atoms that an image holds.
pub const SLOTS: usize = EDGE - FIRST_SLOT;

/// Attribute rows (and columns), in order: atomic number, fractional coordinates, cell lengths (Å), cell angles
/// (degrees), space-group number. Row 11 stays zero.
pub const ATTRIBUTES: [&str; 11] =
    ["Z", "x", "y", "z", "a", "b", "c", "alpha", "beta", "gamma", "space group"];
/// The row of the atomic number.
pub const NUMBER: usize = 0;
/// The row of x; y and z follow.
pub const X: usize = 1;
/// The row of a; b, c, alpha, beta and gamma follow.
pub const A: usize = 4;
/// The row of alpha.
pub const ALPHA: usize = 7;
/// The row of the space-group number.
pub const SPACE_GROUP: usize = 10;

/// Times that an attribute of an atom occurs: row and column, in all channels.
pub const REPEATS: usize = 2 * CHANNELS;

/// Numbers that make up no image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} numbers are no image of 64×64 pixels and 4 channels ({IMAGE_LEN})")]
pub struct ShapeError(pub usize);

/// An image of a crystal (Alverson et al. 2024, section 3.1), `[row, column, channel]`, channels last in memory.
///
/// With atom s in slot `12 + s`: the pixels `[a, 12 + s]` and `[12 + s, a]` hold attribute a of the atom in all channels
/// ([`ATTRIBUTES`]; those of the cell are repeated for every atom), and pixel `[12 + s, 12 + q]` the length of the
/// fractional difference (channel 0) and the difference `f_s − f_q` itself (channels 1–3), without periodic images.
/// Everything else is zero: the corner of 12×12 pixels, row and column 11, and the slots without atom.
///
/// The numbers are crystallographic ones (Å, degrees) or normalized ones ([`Normalization`](super::Normalization)); the
/// image does not know which.
#[derive(Debug, Clone, PartialEq)]
pub struct Image(Box<[f64]>);

impl Default for Image {
    fn default() -> Self {
        Self::zeros()
    }
}

impl Image {
    /// The image of nothing.
    pub fn zeros() -> Self {
        Self(vec![0.0; IMAGE_LEN].into_boxed_slice())
    }

    /// An image from [`IMAGE_LEN`] numbers in the order row, column, channel.
    ///
    /// # Errors
    /// [`ShapeError`] for another number of them.
    pub fn from_channels_last<T: Copy + Into<f64>>(values: &[T]) -> Result<Self, ShapeError> {
        match values.len() {
            IMAGE_LEN => Ok(Self(values.iter().map(|&x| x.into()).collect())),
            n => Err(ShapeError(n)),
        }
    }

    /// An image from [`IMAGE_LEN`] numbers in the order channel, row, column, as networks of two-dimensional images take
    /// them: a transpose. (The published script reshapes instead, which puts rows 16 c to 16 c + 15 into channel c.)
    ///
    /// # Errors
    /// [`ShapeError`] for another number of them.
    pub fn from_channels_first<T: Copy + Into<f64>>(values: &[T]) -> Result<Self, ShapeError> {
        if values.len() != IMAGE_LEN {
            return Err(ShapeError(values.len()));
        }
        let pixels = EDGE * EDGE;
        let transposed = (0..pixels).flat_map(|p| (0..CHANNELS).map(move |c| values[c * pixels + p].into()));
        Ok(Self(transposed.collect()))
    }

    /// The numbers in the order row, column, channel.
    pub fn channels_last(&self) -> &[f64] {
        &self.0
    }

    /// The numbers in the order channel, row, column.
    pub fn channels_first(&self) -> impl Iterator<Item = f64> + '_ {
        (0..CHANNELS).flat_map(|c| self.0.iter().skip(c).step_by(CHANNELS).copied())
    }

    /// One number.
    ///
    /// # Panics
    /// Outside the image.
    #[inline]
    pub fn at(&self, row: usize, column: usize, channel: usize) -> f64 {
        self.pixel(row, column)[channel]
    }

    /// The channels of a pixel.
    ///
    /// # Panics
    /// Outside the image.
    #[inline]
    pub fn pixel(&self, row: usize, column: usize) -> &[f64; CHANNELS] {
        let at = (row * EDGE + column) * CHANNELS;
        self.0[at..].first_chunk().expect("a pixel of the image")
    }

    /// The channels of a pixel, to change.
    ///
    /// # Panics
    /// Outside the image.
    #[inline]
    pub fn pixel_mut(&mut self, row: usize, column: usize) -> &mut [f64; CHANNELS] {
        let at = (row * EDGE + column) * CHANNELS;
        self.0[at..].first_chunk_mut().expect("a pixel of the image")
    }

    /// The eight numbers that state one attribute of the atom in slot `slot` (from 0).
    pub fn entries(&self, attribute: usize, slot: usize) -> [f64; REPEATS] {
        let (row, column) =
            (self.pixel(attribute, FIRST_SLOT + slot), self.pixel(FIRST_SLOT + slot, attribute));
        std::array::from_fn(|k| if k < CHANNELS { row[k] } else { column[k - CHANNELS] })
    }

    /// What is stated of the atoms in slots `s` and `q` (from 0): distance, then the differences `f_s − f_q`.
    #[inline]
    pub fn pair(&self, s: usize, q: usize) -> &[f64; CHANNELS] {
        self.pixel(FIRST_SLOT + s, FIRST_SLOT + q)
    }

    /// The first number that is not finite: row, column, channel.
    pub fn not_finite(&self) -> Option<[usize; 3]> {
        let at = self.0.iter().position(|x| !x.is_finite())?;
        Some([at / CHANNELS / EDGE, at / CHANNELS % EDGE, at % CHANNELS])
    }

    /// The number that the whole image consists of, if it is one: such an image shows nothing.
    pub fn constant(&self) -> Option<f64> {
        self.0.iter().all(|&x| x == self.0[0]).then_some(self.0[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_hold_the_same_pixels() {
        let values: Vec<f32> = (0..IMAGE_LEN as u16).map(f32::from).collect();
        let image = Image::from_channels_last(&values).unwrap();
        assert_eq!(image.at(3, 5, 2), ((3 * 64 + 5) * 4 + 2) as f64);
        let first: Vec<f64> = image.channels_first().collect();
        assert_eq!(first[2 * 64 * 64 + 3 * 64 + 5], image.at(3, 5, 2));
        assert_eq!(Image::from_channels_first(&first).unwrap(), image);
        assert_eq!(Image::from_channels_last(&first[1..]), Err(ShapeError(IMAGE_LEN - 1)));
        assert_eq!(Image::from_channels_first(&[0.0f32; 3]), Err(ShapeError(3)));
    }

    #[test]
    fn constants_and_numbers_that_are_none_are_found() {
        let mut image = Image::zeros();
        assert_eq!((image.constant(), image.not_finite()), (Some(0.0), None));
        image.pixel_mut(7, 9)[3] = f64::INFINITY;
        assert_eq!((image.constant(), image.not_finite()), (None, Some([7, 9, 3])));
    }
}
