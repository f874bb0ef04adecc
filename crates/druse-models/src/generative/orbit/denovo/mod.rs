//! Crystals without a composition: a known crystal with other elements, each a draw with a probability.
//!
//! A structure type is drawn by its frequency, in the form of one of the known crystals that have it ([`variants`]); elements
//! take the places of its own by probabilities that keep their frequencies ([`exchange`]); what was drawn has a probability,
//! whatever the way to it ([`draw`]).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use druse_crystal::Element;
use druse_data::substitution::Library;

mod draw;
mod exchange;
mod oxidation;
mod pattern;
mod roles;
mod variants;

#[cfg(test)]
mod tests;

use exchange::Exchange;

pub(super) use draw::{Draws, Wanted};
pub(super) use variants::{Variant, Variants, nearest};

/// What is known of the known crystals, and what was drawn from last.
#[derive(Debug, Default)]
pub(super) struct DeNovo {
    seen: OnceLock<BTreeSet<Element>>,
    variants: OnceLock<Arc<Variants>>,
    /// The learned numbers of the elements that exchanges were found with.
    draws: Mutex<Option<(Vec<f32>, Arc<Draws>)>>,
}

impl DeNovo {
    /// The elements of a library.
    pub fn seen(&self, library: &Library) -> &BTreeSet<Element> {
        let species =
            || library.parents().iter().flat_map(|parent| parent.structure().species.iter().copied());
        self.seen.get_or_init(|| species().collect())
    }

    /// What a library can be drawn from.
    pub fn variants(&self, library: &Library) -> Arc<Variants> {
        self.variants.get_or_init(|| Arc::new(Variants::new(library))).clone()
    }

    /// Draws among it; `elements` are learned numbers of the elements, as many for each atomic number from 0 on.
    pub fn draws(&self, library: &Library, elements: Vec<f32>) -> Arc<Draws> {
        let mut last = self.draws.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, draws)) = last.as_ref()
            && *of == elements
        {
            return draws.clone();
        }
        let variants = self.variants(library);
        let width = elements.len() / exchange::SIZE;
        let of = |z: usize| &elements[z * width..][..width];
        let distance = |a: usize, b: usize| {
            of(a).iter().zip(of(b)).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt()
        };
        let exchange = Exchange::fit(&variants.counts(), distance, &variants.families());
        let draws = Arc::new(Draws::new(variants, exchange));
        *last = Some((elements, draws.clone()));
        draws
    }
}
