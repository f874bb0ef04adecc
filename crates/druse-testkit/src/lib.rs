//! What the tests and benchmarks of the workspace share.
//!
//! - [`mod@reference`]: finds and reads the reference data, and skips a test that has none.
//! - [`mod@prototypes`]: crystals known from textbooks, and functions that build more of their kinds.
#![cfg_attr(
    feature = "models",
    doc = "- [`contract`]: what every model promises to the drivers, checked by one call."
)]
//!
//! ```
//! use druse_testkit::prototypes::rock_salt;
//! use druse_testkit::{golden, prototype};
//!
//! let salt = rock_salt("Na", "Cl", 5.64);
//! assert_eq!(salt.len(), 2);
//! assert!((prototype("NaCl").density() - salt.density()).abs() < 1e-9);
//!
//! // Records of the reference data; where those are absent, a test says that it is skipped and returns.
//! if let Some(records) = golden("neighbours.jsonl.gz") {
//!     assert!(!records.is_empty());
//! }
//! ```
//!
//! This crate is a development dependency and is not published. Its functions panic where a test should fail.

#[cfg(feature = "models")]
pub mod contract;
pub mod prototypes;
pub mod reference;

pub use prototypes::{prototype, prototypes};
pub use reference::{golden, shared_dir};
