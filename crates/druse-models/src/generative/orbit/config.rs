//! Hyper-parameters.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::settings::{Settings, at_least_one, not_negative};

/// How the end of a path is chosen among the descriptions of a crystal, for the start that was drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Coupling {
    /// The description of the training set.
    None,
    /// The nearest image of each site on its own Wyckoff subspace, sites of one element and position exchanged for the shortest
    /// paths.
    Images,
    /// As `images`, and the nearest of the descriptions that a shift of the origin or an exchange of axes makes.
    Normalizer,
}

/// The network.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkConfig {
    /// Channels of a token.
    pub width: usize,
    /// Attention layers.
    pub layers: usize,
    /// Heads of attention; they divide the width.
    pub heads: usize,
    /// Channels of the features of pairs, and of the head for positions.
    pub pair_width: usize,
    /// Radial functions of distances.
    pub radial: usize,
    /// Distance up to which images of sites are seen, in units of the cube root of the volume per atom.
    pub cutoff: f64,
    /// A learned vector for each element and each space group, beside their numbers.
    pub learned_names: bool,
    /// Whether the network reads the absolute coordinates of sites.
    pub absolute_coordinates: bool,
    /// Displacements also along the free directions themselves, told from the token alone, beside those along the
    /// directions to other atoms.
    pub absolute_head: bool,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            width: 256,
            layers: 8,
            heads: 8,
            pair_width: 64,
            radial: 32,
            cutoff: 2.5,
            learned_names: true,
            absolute_coordinates: true,
            absolute_head: true,
        }
    }
}

/// The training objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowConfig {
    /// How the end of a path is chosen.
    pub coupling: Coupling,
    /// Share of the structures that see an earlier prediction of the end (Chen, Zhang, Hinton 2023).
    pub self_conditioning: f64,
    /// Share of the structures whose path begins at a known crystal of the same template with other elements, where there is
    /// one; all others begin anywhere.
    pub from_known: f64,
    /// Standard deviation of what is added to the sites of a known crystal (in units of the cube root of the volume per atom)
    /// and to the standardized numbers of its cell.
    pub known_noise: f64,
    /// Largest weight of a structure: an error of the end at time t counts (1 - t)⁻² times, up to this.
    pub most_weight: f64,
}

impl Default for FlowConfig {
    fn default() -> Self {
        Self {
            coupling: Coupling::Normalizer,
            self_conditioning: 0.5,
            from_known: 0.5,
            known_noise: 0.05,
            most_weight: 25.0,
        }
    }
}

/// Which template a composition has: the vote of known crystals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JudgeConfig {
    /// Numbers of the learned description of an element.
    pub width: usize,
    /// Width of the network that corrects the distances of the descriptions.
    pub hidden: usize,
    /// How many of the nearest known crystals vote.
    pub among: usize,
    /// Share of them that vote in a training step.
    pub kept: f64,
    /// Weight of the squares of what is learned of elements beside their numbers.
    pub names_decay: f64,
    /// Weight of the squares of the network's weights.
    pub layers_decay: f64,
    /// Learning rate; the schedule of the run applies to it.
    pub lr: f64,
}

impl Default for JudgeConfig {
    fn default() -> Self {
        Self { width: 8, hidden: 64, among: 100, kept: 0.7, names_decay: 1e-3, layers_decay: 3e-4, lr: 5e-3 }
    }
}

/// Templates that are written site by site.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WriterConfig {
    /// Channels of a state; with 0 there is no writer, and templates are those of known crystals alone.
    pub width: usize,
    /// Share of a state that is left out in a training step.
    pub dropout: f64,
    /// Share of the elements that are told by a learned vector, too, in a training step; the others by their numbers alone.
    pub named: f64,
    /// Epochs that it learns for; in more it would learn the training set by heart.
    pub epochs: u64,
    /// Learning rate; the schedule of the run applies to it, over its own epochs.
    pub lr: f64,
}

impl Default for WriterConfig {
    fn default() -> Self {
        Self { width: 0, dropout: 0.15, named: 0.7, epochs: 16, lr: 1e-3 }
    }
}

/// Weights of the parts of the objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrbitWeights {
    /// Squared error of the free cell coordinates, standardized.
    pub cell: f64,
    /// Squared error of the positions, in units of the cube root of the volume per atom.
    pub position: f64,
}

impl Default for OrbitWeights {
    fn default() -> Self {
        Self { cell: 1.0, position: 4.0 }
    }
}

/// All hyper-parameters of an orbit model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrbitConfig {
    /// The network.
    pub network: NetworkConfig,
    /// The training objective.
    pub flow: FlowConfig,
    /// Which template a composition has.
    pub judge: JudgeConfig,
    /// Templates beyond those that known crystals become.
    pub writer: WriterConfig,
    /// Weights of the objective.
    pub weights: OrbitWeights,
    /// Distance (Å) within which symmetry operations have to map atoms onto atoms.
    pub tolerance: f64,
}

impl Default for OrbitConfig {
    fn default() -> Self {
        Self {
            network: NetworkConfig::default(),
            flow: FlowConfig::default(),
            judge: JudgeConfig::default(),
            writer: WriterConfig::default(),
            weights: OrbitWeights::default(),
            tolerance: 0.1,
        }
    }
}

fn wrong<T>(key: &str, value: &dyn std::fmt::Debug, expected: &str) -> Result<T, ModelError> {
    Err(ModelError::Config(format!("{key} = {value:?}, expected {expected}")))
}

impl Settings for OrbitConfig {
    fn validate(&self) -> Result<(), ModelError> {
        let n = &self.network;
        at_least_one(&[
            ("network.width", n.width),
            ("network.layers", n.layers),
            ("network.heads", n.heads),
            ("network.pair_width", n.pair_width),
            ("judge.width", self.judge.width),
            ("judge.hidden", self.judge.hidden),
        ])?;
        if !n.width.is_multiple_of(n.heads) {
            return wrong("network.heads", &n.heads, &format!("a divisor of network.width = {}", n.width));
        }
        if !(2..=256).contains(&n.radial) {
            return wrong("network.radial", &n.radial, "2 to 256");
        }
        if !(1.0..=6.0).contains(&n.cutoff) {
            return wrong("network.cutoff", &n.cutoff, "1 to 6");
        }
        if self.judge.among < 2 {
            return wrong("judge.among", &self.judge.among, "2 or more");
        }
        if !(self.judge.lr > 0.0 && self.judge.lr.is_finite()) {
            return wrong("judge.lr", &self.judge.lr, "a positive number");
        }
        for (key, share) in [
            ("flow.from_known", self.flow.from_known),
            ("judge.kept", self.judge.kept),
            ("writer.named", self.writer.named),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return wrong(key, &share, "a share, 0 to 1");
            }
        }
        let writer = &self.writer;
        if writer.epochs == 0 {
            return wrong("writer.epochs", &writer.epochs, "1 or more");
        }
        if !(0.0..1.0).contains(&writer.dropout) {
            return wrong("writer.dropout", &writer.dropout, "a share below 1");
        }
        if !(writer.lr > 0.0 && writer.lr.is_finite()) {
            return wrong("writer.lr", &writer.lr, "a positive number");
        }
        let decays = [self.judge.names_decay, self.judge.layers_decay];
        not_negative(&[("judge.names_decay", decays[0]), ("judge.layers_decay", decays[1])])?;
        not_negative(&[("flow.known_noise", self.flow.known_noise)])?;
        if !(0.0..=1.0).contains(&self.flow.self_conditioning) {
            return wrong("flow.self_conditioning", &self.flow.self_conditioning, "a share, 0 to 1");
        }
        if !(self.flow.most_weight >= 1.0 && self.flow.most_weight.is_finite()) {
            return wrong("flow.most_weight", &self.flow.most_weight, "1 or more");
        }
        if !(self.tolerance > 0.0 && self.tolerance.is_finite()) {
            return wrong("tolerance", &self.tolerance, "a positive number");
        }
        not_negative(&[("weights.cell", self.weights.cell), ("weights.position", self.weights.position)])
    }
}

/// How crystals are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OrbitSampling {
    /// Evaluations of the network for a crystal.
    pub evaluations: usize,
    /// By how much positions move faster than their velocity at the end of the path: by `1 + push · t`.
    pub position_push: f64,
    /// The same for cells.
    pub cell_push: f64,
    /// How many templates are compared for a composition.
    pub proposals: usize,
    /// Where the path of a template begins that a known crystal has.
    pub begin: Begin,
    /// Whether a composition without any template is refused; otherwise each of its atoms is drawn by itself, in P1.
    pub templates_only: bool,
}

/// Where a path begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// At the known crystal, slightly moved.
    Known,
    /// At the known crystal, and it ends there: its coordinates, its cell scaled.
    Stays,
    /// Anywhere.
    Anywhere,
}

impl Default for OrbitSampling {
    fn default() -> Self {
        Self {
            evaluations: 16,
            position_push: 0.0,
            cell_push: 0.0,
            proposals: 40,
            begin: Begin::Stays,
            templates_only: false,
        }
    }
}

impl Settings for OrbitSampling {
    fn validate(&self) -> Result<(), ModelError> {
        at_least_one(&[("evaluations", self.evaluations), ("proposals", self.proposals)])?;
        not_negative(&[("position_push", self.position_push), ("cell_push", self.cell_push)])
    }
}
