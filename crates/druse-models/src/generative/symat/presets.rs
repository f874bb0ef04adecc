//! The presets: how the paper's code trained on each of its data sets, and a small model.

use crate::kinds::Preset;

pub(super) const PEROV_5: Preset = Preset::new("symat-perov-5", include_str!("presets/symat-perov-5.toml"));
pub(super) const CARBON_24: Preset =
    Preset::new("symat-carbon-24", include_str!("presets/symat-carbon-24.toml"));
pub(super) const MP_20: Preset = Preset::new("symat-mp-20", include_str!("presets/symat-mp-20.toml"));
pub(super) const SMALL: Preset = Preset::new("symat-small", include_str!("presets/symat-small.toml"));
