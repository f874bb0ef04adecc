//! Layers that the networks of the DimeNet family share: first messages, what is done with messages before and after
//! their sum over triplets, atoms.

use burn::tensor::Tensor;
use druse_crystal::Element;

use crate::blocks::linear::Linear;
use crate::graph::Index;
use crate::ops::{self, Activation, MessageUpdateWeights};
use crate::{Init, ParamBuilder, ParamId, Params};

/// Layers whose weight starts glorot-orthogonal.
pub(crate) fn linear(
    builder: &mut ParamBuilder,
    name: &str,
    shape: [usize; 2],
    bias: Option<Init>,
) -> Linear {
    Linear::with_init(builder, name, shape, Init::GlorotOrthogonal, bias)
}

/// `u + SiLU(W₂ SiLU(W₁ u + b₁) + b₂)`.
#[derive(Debug, Clone)]
struct ResidualLayer([Linear; 2]);

impl ResidualLayer {
    /// Registers two layers below `name`.
    fn new(builder: &mut ParamBuilder, name: &str, parts: [&str; 2], width: usize) -> Self {
        Self(parts.map(|part| linear(builder, &format!("{name}.{part}"), [width, width], Some(Init::Zeros))))
    }

    /// `[W₁, b₁, W₂, b₂]`.
    fn weights(&self, params: &Params) -> [Tensor<2>; 4] {
        let [[w1, b1], [w2, b2]] = self.0.each_ref().map(|layer| layer.parts(params));
        [w1, b1, w2, b2]
    }
}

fn residual_layers(
    builder: &mut ParamBuilder,
    name: &str,
    parts: [&str; 2],
    count: usize,
    width: usize,
) -> Vec<ResidualLayer> {
    (0..count).map(|i| ResidualLayer::new(builder, &format!("{name}.{i}"), parts, width)).collect()
}

/// A table of elements: a row for each atomic number from a first one on.
#[derive(Debug, Clone)]
pub(crate) struct ElementTable {
    table: ParamId,
    first: u32,
}

impl ElementTable {
    /// Registers `name.weight`, uniform in ±√3, with rows for the atomic numbers from `first` to `last`.
    pub fn new(builder: &mut ParamBuilder, name: &str, [first, last]: [u8; 2], width: usize) -> Self {
        let shape = [usize::from(last - first) + 1, width];
        let table = builder.add(format!("{name}.weight"), &shape, Init::Uniform(3f32.sqrt()));
        Self { table, first: u32::from(first) }
    }

    /// A row for each element: (elements, width).
    ///
    /// # Panics
    /// For elements outside the table.
    pub fn rows(&self, params: &Params, species: &[Element]) -> Tensor<2> {
        let rows: Index = species.iter().map(|e| u32::from(e.z()) - self.first).collect();
        ops::gather(params.get(self.table), &rows)
    }
}

/// First messages, from the elements at both ends and the distance.
#[derive(Debug, Clone)]
pub(crate) struct EmbeddingBlock {
    /// The table of elements.
    pub elements: ElementTable,
    radial: Linear,
    merge: Linear,
    hidden: usize,
}

impl EmbeddingBlock {
    /// Registers `name.emb`, `name.` with the name of the radial layer, `name.lin`, for atomic numbers from the first to
    /// the last of `elements` and so many radial functions.
    pub fn new(
        builder: &mut ParamBuilder,
        [name, radial]: [&str; 2],
        elements: [u8; 2],
        num_radial: usize,
        hidden: usize,
    ) -> Self {
        Self {
            elements: ElementTable::new(builder, &format!("{name}.emb"), elements, hidden),
            radial: Linear::new(builder, &format!("{name}.{radial}"), [num_radial, hidden], true),
            merge: Linear::new(builder, &format!("{name}.lin"), [3 * hidden, hidden], true),
            hidden,
        }
    }

    /// `SiLU(W [e_i ‖ e_j ‖ SiLU(V rbf + c)] + b)` for messages j → i, given the atoms j and i: rbf is (E, R), the result
    /// (E, H).
    pub fn forward(
        &self,
        params: &Params,
        species: &[Element],
        rbf: Tensor<2>,
        [source, destination]: [&Index; 2],
    ) -> Tensor<2> {
        let atoms = self.elements.rows(params, species);
        let h = self.hidden;
        let part = |x: Tensor<2>, start: usize| {
            ops::dense(x, self.merge.slice(params, start, h), Activation::Identity)
        };
        let target = part(atoms.clone(), 0) + self.merge.bias(params);
        let from = part(atoms, h);
        let radial = self.radial.activated(params, rbf, Activation::Silu);
        let radial = part(radial, 2 * h);
        ops::merge_edges(target, from, radial, destination, source, Activation::Silu)
    }
}

/// Widths and numbers of the layers of [`MessageLayers`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageSizes {
    /// Width H of messages.
    pub hidden: usize,
    /// Width I of messages in the sum over triplets.
    pub interaction: usize,
    /// Width C of the projected radial basis.
    pub basis: usize,
    /// Number R of radial functions.
    pub num_radial: usize,
    /// Residual layers before the skip connection.
    pub before_skip: usize,
    /// Residual layers after it.
    pub after_skip: usize,
}

/// What published implementations call the layers of [`MessageLayers`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct MessageNames {
    /// Both layers of the radial basis, without their number.
    pub radial: &'static str,
    /// Before and after the sum.
    pub down_up: [&'static str; 2],
    /// Of the messages that are summed, of the message itself, and at the skip connection.
    pub other_own_skip: [&'static str; 3],
    /// Both layers of a residual layer.
    pub residual: [&'static str; 2],
    /// Whether the layer at the skip connection starts as layers do by default, and not glorot-orthogonal.
    pub default_skip: bool,
}

impl MessageNames {
    /// Those of DimeNet++ in PyTorch Geometric, which CDVAE and SphereNet have kept.
    pub const GEOMETRIC: Self = Self {
        radial: "lin_rbf",
        down_up: ["lin_down", "lin_up"],
        other_own_skip: ["lin_kj", "lin_ji", "lin"],
        residual: ["lin1", "lin2"],
        default_skip: false,
    };
}

/// What a round of messages does before and after its sum over triplets.
#[derive(Debug, Clone)]
pub(crate) struct MessageLayers {
    radial: [Linear; 2],
    own: Linear,
    other: Linear,
    down: Linear,
    up: Linear,
    before_skip: Vec<ResidualLayer>,
    skip: Linear,
    after_skip: Vec<ResidualLayer>,
}

impl MessageLayers {
    /// Registers the layers below `name`; `gates` registers those of the sum itself after the radial ones.
    pub fn new<T>(
        builder: &mut ParamBuilder,
        name: &str,
        sizes: &MessageSizes,
        names: &MessageNames,
        gates: impl FnOnce(&mut ParamBuilder) -> T,
    ) -> (Self, T) {
        let MessageSizes { hidden: h, interaction, basis, num_radial, before_skip, after_skip } = *sizes;
        let radial = plain_pair(builder, name, names.radial, [num_radial, basis, h]);
        let gates = gates(builder);
        let mut plain = |part: &str, shape| linear(builder, &format!("{name}.{part}"), shape, None);
        let [down, up] = names.down_up;
        let (down, up) = (plain(down, [h, interaction]), plain(up, [interaction, h]));
        let mut square = |part: &str, [weight, bias]: [Init; 2]| {
            Linear::with_init(builder, &format!("{name}.{part}"), [h, h], weight, Some(bias))
        };
        let orthogonal = [Init::GlorotOrthogonal, Init::Zeros];
        let at_skip = if names.default_skip { [Init::FanIn(h); 2] } else { orthogonal };
        let [other, own, skip] = names.other_own_skip;
        let (other, own, skip) = (square(other, orthogonal), square(own, orthogonal), square(skip, at_skip));
        let mut residual =
            |part: &str, count| residual_layers(builder, &format!("{name}.{part}"), names.residual, count, h);
        let layers = Self {
            radial,
            own,
            other,
            down,
            up,
            before_skip: residual("layers_before_skip", before_skip),
            skip,
            after_skip: residual("layers_after_skip", after_skip),
        };
        (layers, gates)
    }

    /// What the messages m (E, H) bring into the sum, (E, I), given the radial basis (E, R).
    pub fn down(&self, params: &Params, m: Tensor<2>, rbf: Tensor<2>) -> Tensor<2> {
        let [first, second] = &self.radial;
        let radial = first.forward(params, rbf);
        let [weight, bias] = self.other.parts(params);
        let (filter, down) = (second.weight(params), self.down.weight(params));
        ops::message_down(m, radial, weight, bias, filter, down)
    }

    /// New messages (E, H) from the old ones (E, H) and the sums (E, I).
    pub fn update(&self, params: &Params, m: Tensor<2>, sums: Tensor<2>) -> Tensor<2> {
        let weights = MessageUpdateWeights {
            own: self.own.parts(params),
            up: self.up.weight(params),
            before: self.before_skip.iter().map(|layer| layer.weights(params)).collect(),
            skip: self.skip.parts(params),
            after: self.after_skip.iter().map(|layer| layer.weights(params)).collect(),
        };
        ops::message_update(m, sums, weights)
    }
}

/// Two layers without bias and without activation between them: `name.part1` and `name.part2`.
pub(crate) fn plain_pair(
    builder: &mut ParamBuilder,
    name: &str,
    part: &str,
    [input, middle, output]: [usize; 3],
) -> [Linear; 2] {
    let mut plain = |number, shape| linear(builder, &format!("{name}.{part}{number}"), shape, None);
    [plain(1, [input, middle]), plain(2, [middle, output])]
}

/// What is done with the sums of messages of the atoms.
#[derive(Debug, Clone)]
pub(crate) struct AtomLayers {
    up: Linear,
    layers: Vec<Linear>,
    output: Linear,
}

impl AtomLayers {
    /// Registers `name.lin_up`, `name.lins.*` (so many) and `name.lin` from sums of the first width, through the second,
    /// to the third; `last` are the initial values of the last layer.
    pub fn new(
        builder: &mut ParamBuilder,
        name: &str,
        [hidden, width, output]: [usize; 3],
        layers: usize,
        last: Init,
    ) -> Self {
        Self {
            up: linear(builder, &format!("{name}.lin_up"), [hidden, width], Some(Init::FanIn(hidden))),
            layers: (0..layers)
                .map(|i| linear(builder, &format!("{name}.lins.{i}"), [width, width], Some(Init::Zeros)))
                .collect(),
            output: Linear::with_init(builder, &format!("{name}.lin"), [width, output], last, None),
        }
    }

    /// Sums (N, H) to (N, output).
    pub fn forward(&self, params: &Params, sums: Tensor<2>) -> Tensor<2> {
        self.output.forward(params, self.hidden(params, sums))
    }

    /// What the last layer reads: sums (N, H) to (N, width).
    pub fn hidden(&self, params: &Params, sums: Tensor<2>) -> Tensor<2> {
        let mut x = self.up.forward(params, sums);
        for layer in &self.layers {
            x = layer.activated(params, x, Activation::Silu);
        }
        x
    }
}
