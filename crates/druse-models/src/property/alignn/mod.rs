//! ALIGNN: convolutions over the edges of a crystal, and over its line graph, whose nodes are these edges and whose edges are the
//! angles between them (K. Choudhary and B. DeCost, "Atomistic Line Graph Neural Network for improved materials property
//! predictions", npj Comput. Mater. 7, 185, 2021).

use crate::Model;
use crate::kinds::{Kind, Preset};
use crate::reference::ReferenceFiles;
use crate::settings::NoSettings;

mod config;
mod graph;
mod network;
mod parity;

use super::Regressor;
pub use config::{AlignnConfig, AlignnSizes};
pub use graph::{AlignnGraph, shell_graph};
pub use network::{AlignnInput, AlignnNetwork, AlignnTrace};

/// ALIGNN with a property to predict, without its parameters.
pub type AlignnPredictor = Regressor<AlignnNetwork>;

/// ALIGNN as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "alignn",
        "prediction of a property: ALIGNN, edge-gated convolutions over bonds and angles",
        |settings, _: NoSettings| Ok(Model::predictor(AlignnPredictor::new(settings)?)),
    )
    .with_presets([
        Preset::new("property-alignn", include_str!("presets/property-alignn.toml")),
        Preset::new("property-alignn-small", include_str!("presets/property-alignn-small.toml")),
    ])
    .with_reference_files(ReferenceFiles {
        name: "alignn",
        recognizes: parity::recognizes,
        compare: parity::compare,
    })
}
