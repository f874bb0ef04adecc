//! What the tests and benchmarks of the workspace share.
//!
//! - [`mod@reference`]: finds and reads the reference data, and skips a test that has none.
//! - [`mod@prototypes`]: crystals known from textbooks, and functions that build more of their kinds.
#![cfg_attr(
    feature = "models",
    doc = "- [`contract`]: what every model promises to the drivers, checked by one call."
)]
//!
//! This crate is a development dependency and is not published. Its functions panic where a test should fail.

#[cfg(feature = "models")]
pub mod contract;
pub mod prototypes;
pub mod reference;

pub use prototypes::{prototype, prototypes};
pub use reference::{golden, shared_dir};
