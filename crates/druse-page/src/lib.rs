//! Crystals in pages: the 3-D viewer, what it draws, and galleries for reports.
//!
//! Nothing is loaded from elsewhere: the viewer (3Dmol, `assets/3dmol`) and our own script and style are part of the
//! program. A page has the scripts once, however many crystals it shows.
//!
//! ```
//! use druse_crystal::{Element, Lattice, Structure};
//! use druse_page::{Card, Crystal, gallery, gallery_assets};
//!
//! let polonium = Structure::new(Lattice::cubic(3.36)?, vec![Element::from_symbol("Po")?], vec![[0.0; 3]])?;
//! let card = Card { title: "Po".into(), crystal: Some(Crystal::of(&polonium)), ..Card::default() };
//! let page = format!("<!doctype html><title>Crystals</title>{}{}", gallery(&[card]), gallery_assets());
//! assert!(page.contains("a = b = c = 3.3600 Å"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod assets;
mod bonds;
mod crystal;
mod gallery;
mod html;

pub use assets::{
    CRYSTAL_CSS, CRYSTAL_JS, GALLERY_CSS, GALLERY_JS, THREE_D_MOL_JS, THREE_D_MOL_LICENSE, crystal_assets,
    gallery_assets,
};
pub use crystal::{Crystal, ElementStyle};
pub use gallery::{Card, gallery};
pub use html::{escape, script_json};
