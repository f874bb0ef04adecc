//! A round of messages, whichever pairs of edges are summed over.

use burn::tensor::Tensor;

use super::DimeNetConfig;
use super::bases::Bases;
use super::layers::{MessageLayers, MessageNames, plain_pair};
use crate::blocks::linear::Linear;
use crate::{ParamBuilder, Params};

/// One round of messages from pairs of edges.
#[derive(Debug, Clone)]
pub(super) struct InteractionBlock {
    messages: MessageLayers,
    spherical: [Linear; 2],
}

impl InteractionBlock {
    /// Registers the layers below `name`; `basis` is what the two layers of the spherical basis are called.
    pub fn new(
        builder: &mut ParamBuilder,
        name: &str,
        config: &DimeNetConfig,
        names: &MessageNames,
        basis: &str,
    ) -> Self {
        let functions = config.num_spherical * config.num_radial;
        let widths = [functions, config.basis, config.interaction];
        let (messages, spherical) = MessageLayers::new(builder, name, &config.messages(), names, |builder| {
            plain_pair(builder, name, basis, widths)
        });
        Self { messages, spherical }
    }

    /// m is (E, H), returns (E, H). `sum` adds up messages (E, A) over pairs of edges, with the projected basis (E, L · C) and
    /// the weight (A, C) of its second layer.
    pub fn forward(
        &self,
        params: &Params,
        m: Tensor<2>,
        bases: &Bases,
        sum: impl FnOnce(Tensor<2>, Tensor<2>, Tensor<2>) -> Tensor<2>,
    ) -> Tensor<2> {
        let x = self.messages.down(params, m.clone(), bases.radial.clone());
        let [first, second] = &self.spherical;
        let sums = sum(x, bases.project(first.weight(params)), second.weight(params));
        self.messages.update(params, m, sums)
    }
}
