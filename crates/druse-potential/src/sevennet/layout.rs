//! Where the numbers of an atom lie.

use std::ops::Range;

/// Channels that are worked on together; the number of channels of every degree is a multiple.
pub(super) const GROUP: usize = 32;

/// Features of one atom: for each degree l from 0 on 2l + 1 rows of so many neighboring channels.
///
/// The published order is the other one, channel by channel; here the components of a degree are whole vectors.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Layout {
    channels: Vec<usize>,
    offsets: Vec<usize>,
    width: usize,
}

impl Layout {
    /// Channels by degree.
    pub fn new(channels: &[usize]) -> Self {
        let mut width = 0;
        let offsets = (0..).zip(channels).map(|(l, &c)| {
            let offset = width;
            width += (2 * l + 1) * c;
            offset
        });
        let offsets = offsets.collect();
        Self { channels: channels.to_vec(), offsets, width }
    }

    pub fn channels(&self) -> &[usize] {
        &self.channels
    }

    pub fn max_degree(&self) -> usize {
        self.channels.len() - 1
    }

    /// Numbers of one atom.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Where a degree begins.
    pub fn offset(&self, l: usize) -> usize {
        self.offsets[l]
    }

    /// Where a degree lies.
    pub fn range(&self, l: usize) -> Range<usize> {
        self.offsets[l]..self.offsets[l] + (2 * l + 1) * self.channels[l]
    }
}
