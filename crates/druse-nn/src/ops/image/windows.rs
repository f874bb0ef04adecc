//! Where the pixels below a kernel lie in memory.

use super::ConvGeometry;

/// Numbers of a group of volumes that are worked off together.
const GROUP: usize = 1 << 18;

/// Tables of where a group of volumes, with the zeros around them, is read: what lies below the kernel at the position
/// `q` is `base[q] + offset..` for every offset, `length` numbers each, in the order of the weight's rows.
pub(super) struct Windows {
    /// Volumes of a group.
    pub group: usize,
    /// Numbers of a volume as it is, and with what lies around and behind it.
    pub numbers: [usize; 2],
    /// Positions of the kernel in a volume.
    pub positions: usize,
    pub base: Vec<u32>,
    pub offsets: Vec<u32>,
    pub length: usize,
    size: [usize; 3],
    padding: [usize; 3],
    channels: usize,
}

impl Windows {
    /// The tables for volumes with so many numbers behind each.
    ///
    /// # Panics
    /// When a volume has more numbers than a table counts.
    pub fn new(g: &ConvGeometry, behind: usize) -> Self {
        let (channels, size, out) = (g.in_channels, g.size, g.out_size());
        let [rows, columns, depth]: [usize; 3] = std::array::from_fn(|a| size[a] + 2 * g.padding[a]);
        let padded = rows * columns * depth * channels + behind;
        let group = (GROUP / padded.max(1)).min(g.batch.div_ceil(8)).max(1);
        assert!(group * padded <= u32::MAX as usize, "a volume of {size:?} pixels is too large");
        let start = |r: usize, c: usize, d: usize| ((r * columns + c) * depth + d) * channels;
        let mut base = Vec::with_capacity(group * out.iter().product::<usize>());
        for image in 0..group {
            for r in 0..out[0] {
                for c in 0..out[1] {
                    let first = image * padded + start(r * g.stride[0], c * g.stride[1], 0);
                    base.extend((0..out[2]).map(|d| (first + d * g.stride[2] * channels) as u32));
                }
            }
        }
        // Taps that are neighbors in memory make one run.
        let [kr, kc, kd] = g.kernel;
        let (offsets, taps): (Vec<usize>, usize) = if kd < depth {
            ((0..kr * kc).map(|t| start(t / kc, t % kc, 0)).collect(), kd)
        } else if kc < columns {
            ((0..kr).map(|r| start(r, 0, 0)).collect(), kc * kd)
        } else {
            (vec![0], kr * kc * kd)
        };
        Self {
            group,
            numbers: [size.iter().product::<usize>() * channels, padded],
            positions: out.iter().product(),
            base,
            offsets: offsets.into_iter().map(|o| o as u32).collect(),
            length: taps * channels,
            size,
            padding: g.padding,
            channels,
        }
    }

    /// Pixels, with the zeros around the volume, from a position of the kernel to each of its taps.
    pub fn taps(&self, kernel: [usize; 3]) -> Vec<usize> {
        let [_, columns, depth] = [0, 1, 2].map(|a| self.size[a] + 2 * self.padding[a]);
        let [_, wide, deep] = kernel;
        let at = |tap: usize| [tap / (wide * deep), tap / deep % wide, tap % deep];
        let taps = (0..kernel.iter().product()).map(at);
        taps.map(|[r, c, d]| (r * columns + c) * depth + d).collect()
    }

    /// Whether volumes have to be copied to be as the tables say.
    pub fn are_apart(&self) -> bool {
        self.numbers[0] != self.numbers[1]
    }

    /// Calls `f` for every line of a volume (all depths of a column, or of several columns where these are neighbors) with
    /// its place without and with zeros around, and its length.
    fn lines(&self, mut f: impl FnMut(usize, usize, usize)) {
        let [rows, columns, depth] = self.size;
        let [pr, pc, pd] = self.padding;
        let (wide, deep) = (columns + 2 * pc, depth + 2 * pd);
        let (per_row, length) = if pd == 0 { (1, columns * depth) } else { (columns, depth) };
        for r in 0..rows {
            for line in 0..per_row {
                let inside = (r * per_row + line) * length;
                let outside = ((r + pr) * wide + pc + line) * deep + pd;
                f(inside * self.channels, outside * self.channels, length * self.channels);
            }
        }
    }

    /// Brings volumes between zeros, which `padded` has already, line by line.
    pub fn pad<T>(&self, volumes: &[f32], padded: &mut [T], line: impl Fn(&[f32], &mut [T])) {
        let [inner, outer] = self.numbers;
        for (volume, padded) in volumes.chunks_exact(inner).zip(padded.chunks_exact_mut(outer)) {
            self.lines(|from, to, n| line(&volume[from..from + n], &mut padded[to..to + n]));
        }
    }

    /// Copies volumes out of what surrounds them.
    pub fn crop(&self, padded: &[f32], volumes: &mut [f32]) {
        let [inner, outer] = self.numbers;
        for (volume, padded) in volumes.chunks_exact_mut(inner).zip(padded.chunks_exact(outer)) {
            self.lines(|to, from, n| volume[to..to + n].copy_from_slice(&padded[from..from + n]));
        }
    }
}
