//! The network of the flow: it tells the end of a path.

use burn::tensor::Tensor;
use druse_nn::blocks::Linear;
use druse_nn::ops::{self, Activation};
use druse_nn::{ParamBuilder, Params};

use super::cell;
use super::config::NetworkConfig;
use super::tokens::Tokens;
use super::trunk::{Known, Trunk, silent};

pub(super) struct Network {
    trunk: Trunk,
    cell: Linear,
    /// Of the token that moves, of the other, of the pair.
    moves: [Linear; 3],
    along: Linear,
    absolute: Option<Linear>,
}

/// What the network tells of the end.
pub(super) struct Ends {
    /// Standardized numbers of each crystal's cell: (crystals, 6).
    pub cells: Tensor<2>,
    /// Displacement of each token, Cartesian, in units of ℓ, along its free directions: (tokens, 3).
    pub displacements: Tensor<2>,
}

impl Network {
    /// Registers its tensors below `prefix`, which ends with a dot or is empty.
    pub fn new(builder: &mut ParamBuilder, prefix: &str, config: &NetworkConfig) -> Self {
        let (d, p, radial) = (config.width, config.pair_width, config.radial);
        let name = |part: &str| format!("{prefix}{part}");
        let trunk = Trunk::new(builder, prefix, config);
        let moves = [("move.from", d, true), ("move.to", d, false), ("move.pair", p, false)];
        Self {
            trunk,
            cell: silent(builder, &name("cell"), [d, cell::COORDINATES]),
            moves: moves.map(|(part, input, bias)| Linear::new(builder, &name(part), [input, p], bias)),
            along: silent(builder, &name("along"), [p, radial]),
            absolute: config.absolute_head.then(|| silent(builder, &name("absolute"), [d, 3])),
        }
    }

    pub fn forward(&self, params: &Params, tokens: &Tokens) -> Ends {
        let known = self.trunk.forward(params, tokens);
        let device = params.device();
        // What is learned is how the end differs from the known crystal, where there is one.
        let cells = self.cell.forward(params, ops::gather(known.tokens.clone(), &tokens.cells))
            + tokens.known_cells(device);
        Ends { cells, displacements: self.displacements(params, tokens, known) + tokens.ways(device) }
    }

    /// Equivariant by construction: sums of directions to other atoms, and of the site's own free directions.
    fn displacements(&self, params: &Params, tokens: &Tokens, known: Known) -> Tensor<2> {
        let device = params.device();
        let (h, [from, to, pair]) = (known.tokens, &self.moves);
        let joined = ops::merge_edges(
            from.forward(params, h.clone()),
            to.forward(params, h.clone()),
            pair.forward(params, known.pairs),
            &tokens.first,
            &tokens.second,
            Activation::Silu,
        );
        let weights = self.along.forward(params, joined);
        let along = contracted(weights, tokens.vectors(device));
        let along = ops::scatter_sum(along, &tokens.first, tokens.sets.tokens());
        match &self.absolute {
            Some(absolute) => along + contracted(absolute.forward(params, h), tokens.directions(device)),
            None => along,
        }
    }
}

/// `Σ_c w_c v_c` of each row: w is (rows, n), v is (rows, 3 n), the result (rows, 3).
fn contracted(weights: Tensor<2>, vectors: Tensor<2>) -> Tensor<2> {
    let [rows, n] = weights.dims();
    let products = weights.reshape([rows, n, 1]) * vectors.reshape([rows, n, 3]);
    products.sum_dim(1).reshape([rows, 3])
}
