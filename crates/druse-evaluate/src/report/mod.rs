//! Evaluations as tables for the terminal and as pages for a browser, and several of them side by side.

mod comparison;
pub mod crystals;
mod funnel;
pub mod html;
pub mod hull;
mod parity;
pub mod predictions;
pub mod screening;
mod style;
mod svg;
pub mod table;
mod text;

pub use comparison::{Comparison, ComparisonRow};
pub use funnel::FunnelGate;
pub use parity::Parity;
