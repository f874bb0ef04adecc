//! CGCNN: convolutions over the gated edges to the nearest neighbors of each atom (T. Xie and J. C. Grossman, "Crystal Graph
//! Convolutional Neural Networks for an Accurate and Interpretable Prediction of Material Properties", Phys. Rev. Lett. 120, 145301,
//! 2018).

use crate::Model;
use crate::kinds::{Kind, Preset};
use crate::settings::NoSettings;

mod config;
mod neighbors;
mod network;
mod published;

use super::Regressor;
pub use config::{CgcnnConfig, CgcnnSizes};
pub use neighbors::{CgcnnEdges, nearest_edges};
pub use network::{CgcnnInput, CgcnnNetwork, CgcnnTrace};

/// CGCNN with a property to predict, without its parameters.
pub type CgcnnPredictor = Regressor<CgcnnNetwork>;

/// CGCNN as a kind of model.
pub fn kind() -> Kind {
    Kind::new(
        "cgcnn",
        "prediction of a property: CGCNN, gated convolutions over the nearest neighbors",
        |settings, _: NoSettings| Ok(Model::predictor(CgcnnPredictor::new(settings)?)),
    )
    .with_presets([Preset::new("property-cgcnn", include_str!("presets/property-cgcnn.toml"))])
    .with_import(published::import)
}
