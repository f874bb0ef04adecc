//! The heads of SyMat on given latents.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use druse_crystal::Element;
use druse_nn::blocks::MAX_ELEMENT;
use druse_nn::graph::Index;
use druse_nn::ops::{self, matrix};
use druse_nn::{Init, ParamBuilder, ParamId, Params};
use serde::Deserialize;
use serde_json::Value;

use crate::error::check_elements;
use crate::generative::symat::heads::{HeadSizes, Heads};
use crate::reference::file::{File, elements, read};
use crate::reference::report::{Output, Outputs};
use crate::reference::{ParityError, Part};

#[derive(Deserialize)]
struct FileConfig {
    latent: usize,
    max_atoms: usize,
}

#[derive(Deserialize)]
struct FileInput {
    atomic_numbers: Vec<i64>,
    latent_composition: Vec<f64>,
    latent_lattice: Vec<f64>,
}

struct Published {
    heads: Heads,
    /// The encoder's table, under the name that the heads know it by.
    elements: ParamId,
    params: Params,
    latent: usize,
}

/// Builds the heads of a file.
pub(crate) fn build(file: &File, device: &Device) -> Result<Box<dyn Part>, ParityError> {
    let FileConfig { latent, max_atoms } = read(&file.config)?;
    let hidden = file.rows("fc_elem_type.0.weight")?;
    let mut builder = ParamBuilder::default();
    let heads = Heads::new(&mut builder, HeadSizes { latent, hidden, max_atoms, property: false });
    let shape = [usize::from(MAX_ELEMENT), latent];
    let elements = builder.add("elem_emb.weight", &shape, Init::Zeros);
    let params = file.fill(&builder.finish(), device)?;
    Ok(Box::new(Published { heads, elements, params, latent }))
}

impl Part for Published {
    fn outputs(&self, input: &Value, _: &BTreeMap<String, Value>) -> Result<Outputs, ParityError> {
        let input: FileInput = read(input)?;
        let mut distinct: Vec<Element> = elements(&input.atomic_numbers)?;
        check_elements(&distinct, MAX_ELEMENT)?;
        distinct.sort_unstable_by_key(|e| e.z());
        distinct.dedup();
        let (heads, params) = (&self.heads, &self.params);
        let latent = |values: &[f64]| -> Result<Tensor<2>, ParityError> {
            if values.len() != self.latent {
                return Err(ParityError::Format("a latent of another width".into()));
            }
            Ok(matrix(values.iter().map(|&x| x as f32).collect(), self.latent, params.device()))
        };
        let (composition, cell) = (latent(&input.latent_composition)?, latent(&input.latent_lattice)?);
        let rows: Index = distinct.iter().map(|e| u32::from(e.z()) - 1).collect();
        let embeddings = ops::gather(params.get(self.elements), &rows);
        let repeated = ops::gather(composition.clone(), &vec![0; distinct.len()].into());
        Ok(Outputs::from([
            ("elem_type_num_logits", Output::tensor(&heads.num_elements(params, composition.clone()))),
            ("elem_type_logits", Output::tensor(&heads.presence(params, composition))),
            (
                "elem_num_logits_sorted_elements",
                Output::tensor(&heads.num_atoms(params, repeated, embeddings)),
            ),
            ("lattice_head", Output::tensor(&heads.cell(params, cell))),
        ]))
    }
}
