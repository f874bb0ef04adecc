//! The presets: how the paper trained on each of its data sets, and a small model.

use crate::kinds::Preset;

pub(super) const PEROV_5: Preset = Preset::new("cdvae-perov-5", include_str!("presets/cdvae-perov-5.toml"));
pub(super) const CARBON_24: Preset =
    Preset::new("cdvae-carbon-24", include_str!("presets/cdvae-carbon-24.toml"));
pub(super) const MP_20: Preset = Preset::new("cdvae-mp-20", include_str!("presets/cdvae-mp-20.toml"));
pub(super) const SMALL: Preset = Preset::new("cdvae-small", include_str!("presets/cdvae-small.toml"));
