//! What a network looks like: sizes, cutoff, elements.

use druse_crystal::Element;
use serde::{Deserialize, Serialize};

use super::layout::{GROUP, Layout};
use crate::basis::CutoffFunction;

/// Largest degree of spherical harmonics that the operations have.
pub const MAX_DEGREE: usize = 3;

/// Largest number of blocks, channels, radial functions and so on: some thirty times those of published networks.
const MAX_SIZE: usize = 4096;

/// Sizes, cutoff and elements of a network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the potential, as users give it.
    pub name: String,
    /// Elements in the order of their rows in the weights.
    pub elements: Vec<Element>,
    /// Distance (Å) beyond which sites do not see each other.
    pub cutoff: f64,
    /// How edges fade towards it.
    pub cutoff_function: CutoffFunction,
    /// Number of radial functions.
    pub radial_functions: usize,
    /// Width of the two hidden layers of the radial networks.
    pub radial_width: usize,
    /// Channels of the features between blocks, by degree from 0 on. The number of degrees is that of the spherical
    /// harmonics, too.
    pub channels: Vec<usize>,
    /// Number of blocks.
    pub blocks: usize,
    /// Width of the hidden layer of the read-out.
    pub readout_width: usize,
    /// Factor of x · sigmoid(x), everywhere in the network.
    pub silu_scale: f64,
}

impl Config {
    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// What was expected and what came, in words.
    pub fn validate(&self) -> Result<(), String> {
        let degrees = self.channels.len();
        if degrees == 0 || degrees > MAX_DEGREE + 1 {
            return Err(format!("channels of {degrees} degrees, expected 1 to {}", MAX_DEGREE + 1));
        }
        if let Some(odd) = self.channels.iter().find(|&&c| c == 0 || c % GROUP != 0) {
            return Err(format!("{odd} channels of a degree, expected a multiple of {GROUP}"));
        }
        let sizes = [self.blocks, self.radial_functions, self.radial_width, self.readout_width];
        if sizes.contains(&0) || self.blocks < 2 {
            return Err(format!(
                "sizes {sizes:?} (blocks, radial functions, radial width, read-out width), expected two blocks or more \
                 and none to be 0"
            ));
        }
        if let Some(large) = sizes.iter().chain(&self.channels).find(|&&size| size > MAX_SIZE) {
            return Err(format!("a size of {large}, more than {MAX_SIZE}"));
        }
        let begins = match self.cutoff_function {
            CutoffFunction::Xplor { on } => (0.0..self.cutoff).contains(&on),
            CutoffFunction::Polynomial { p } => p > 0,
        };
        if !(self.cutoff.is_finite() && self.cutoff > 0.0 && begins && self.silu_scale.is_finite()) {
            return Err(format!(
                "cutoff {} Å with {:?} and activation scale {}: no such functions",
                self.cutoff, self.cutoff_function, self.silu_scale
            ));
        }
        let mut sorted = self.elements.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.is_empty() || sorted.len() != self.elements.len() {
            return Err(format!("{} elements of which {} differ", self.elements.len(), sorted.len()));
        }
        Ok(())
    }

    /// Largest degree of spherical harmonics.
    pub fn max_degree(&self) -> usize {
        self.channels.len() - 1
    }

    /// Features that block `t` starts from.
    pub(super) fn input(&self, t: usize) -> Layout {
        Layout::new(if t == 0 { &self.channels[..1] } else { &self.channels })
    }

    /// Features that block `t` ends with.
    pub(super) fn output(&self, t: usize) -> Layout {
        Layout::new(if t + 1 == self.blocks { &self.channels[..1] } else { &self.channels })
    }

    /// What the gate of block `t` reads: its output with a gate for each channel of degree > 0 behind the scalars.
    pub(super) fn gated(&self, t: usize) -> Layout {
        let mut channels = self.output(t).channels().to_vec();
        channels[0] += channels[1..].iter().sum::<usize>();
        Layout::new(&channels)
    }

    /// Paths of the tensor product of block `t`.
    pub(super) fn paths(&self, t: usize) -> Paths {
        Paths::new(&self.input(t), self.max_degree(), self.output(t).max_degree())
    }
}

/// One way in which features of degree `l1` and harmonics of degree `l2` give messages of degree `l3`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Path {
    pub l1: usize,
    pub l2: usize,
    pub l3: usize,
    /// Channels: those of the features of degree `l1`.
    pub channels: usize,
    /// Where its radial weights begin among those of the block.
    pub weight: usize,
    /// Where its channels begin among the messages of degree `l3`.
    pub slot: usize,
}

/// The paths of a tensor product, sorted by the degree of the message, then of the features, then of the harmonics.
#[derive(Debug, Clone)]
pub(super) struct Paths {
    pub list: Vec<Path>,
    /// Number of radial weights.
    pub weights: usize,
    /// Layout of the messages.
    pub messages: Layout,
}

impl Paths {
    fn new(input: &Layout, max_harmonic: usize, max_output: usize) -> Self {
        let (mut list, mut weight, mut messages) = (Vec::new(), 0, Vec::new());
        for l3 in 0..=max_output {
            let mut slot = 0;
            for (l1, &channels) in input.channels().iter().enumerate() {
                for l2 in l1.abs_diff(l3)..=max_harmonic.min(l1 + l3) {
                    list.push(Path { l1, l2, l3, channels, weight, slot });
                    weight += channels;
                    slot += channels;
                }
            }
            messages.push(slot);
        }
        Self { list, weights: weight, messages: Layout::new(&messages) }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::sevennet) fn published(channels: &[usize]) -> Config {
        Config {
            name: "test".into(),
            elements: ["H", "O"].map(|s| s.parse().unwrap()).to_vec(),
            cutoff: 5.0,
            cutoff_function: CutoffFunction::Xplor { on: 4.5 },
            radial_functions: 8,
            radial_width: 64,
            channels: channels.to_vec(),
            blocks: 5,
            readout_width: 64,
            silu_scale: 1.679,
        }
    }

    #[test]
    fn paths_are_those_of_the_published_networks() {
        let config = published(&[128, 64, 32]);
        let weights: Vec<usize> = (0..5).map(|t| config.paths(t).weights).collect();
        assert_eq!(weights, [384, 960, 960, 960, 224]);
        let paths = config.paths(2);
        let names: Vec<[usize; 3]> = paths.list.iter().map(|p| [p.l1, p.l2, p.l3]).collect();
        assert_eq!(
            names,
            [
                [0, 0, 0],
                [1, 1, 0],
                [2, 2, 0],
                [0, 1, 1],
                [1, 0, 1],
                [1, 1, 1],
                [1, 2, 1],
                [2, 1, 1],
                [2, 2, 1],
                [0, 2, 2],
                [1, 1, 2],
                [1, 2, 2],
                [2, 0, 2],
                [2, 1, 2],
                [2, 2, 2]
            ]
        );
        assert_eq!(paths.messages.channels(), [224, 384, 352]);
        assert_eq!(config.gated(1).channels(), [224, 64, 32]);

        let larger = published(&[128, 64, 32, 32]);
        let weights: Vec<usize> = (0..5).map(|t| larger.paths(t).weights).collect();
        assert_eq!(weights, [512, 1760, 1760, 1760, 256]);
        assert_eq!(larger.paths(1).list.len(), 34);
    }

    #[test]
    fn impossible_sizes_are_refused() {
        let refused = |change: fn(&mut Config)| {
            let mut config = published(&[128, 64, 32]);
            change(&mut config);
            config.validate().unwrap_err()
        };
        assert!(published(&[128, 64, 32]).validate().is_ok());
        assert!(refused(|c| c.channels = vec![128, 60]).contains("60 channels"));
        assert!(refused(|c| c.channels = vec![32; 5]).contains("5 degrees"));
        assert!(refused(|c| c.radial_width = usize::MAX).contains("more than 4096"));
        assert!(refused(|c| c.blocks = 1).contains("two blocks"));
        assert!(refused(|c| c.cutoff_function = CutoffFunction::Xplor { on: 5.0 }).contains("cutoff 5 Å"));
        assert!(refused(|c| c.elements[0] = c.elements[1]).contains("2 elements of which 1 differ"));
    }
}
