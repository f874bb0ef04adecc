//! Sizes of DimeNet++ read off its tensors.

use druse_nn::blocks::dimenet::DimeNetConfig;

use super::Keys;

/// Sizes of the network below `encoder`, as all published models call it; `base` has what tensors do not tell.
pub(crate) fn encoder_sizes(keys: &mut Keys, base: &DimeNetConfig) -> DimeNetConfig {
    let mut sizes = keys.sizes();
    let (block, output) = ("encoder.interaction_blocks.0", "encoder.output_blocks.0");
    let num_radial = sizes.extent("encoder.rbf.freq", 0, base.num_radial);
    let angular = base.num_spherical * base.num_radial;
    DimeNetConfig {
        hidden: sizes.extent("encoder.emb.emb.weight", 1, base.hidden),
        interaction: sizes.extent(&format!("{block}.lin_down.weight"), 0, base.interaction),
        basis: sizes.extent(&format!("{block}.lin_rbf1.weight"), 0, base.basis),
        output_embedding: sizes.extent(&format!("{output}.lin_up.weight"), 0, base.output_embedding),
        blocks: sizes.count("encoder.interaction_blocks."),
        num_spherical: sizes.extent(&format!("{block}.lin_sbf1.weight"), 1, angular) / num_radial,
        num_radial,
        cutoff: base.cutoff,
        before_skip: sizes.count(&format!("{block}.layers_before_skip.")),
        after_skip: sizes.count(&format!("{block}.layers_after_skip.")),
        output_layers: sizes.count(&format!("{output}.lins.")),
    }
}
