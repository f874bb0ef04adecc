//! The engine room: multigraphs, bases, operations, message-passing blocks, parameters, optimizers and weight files.
//!
//! This is the only crate that names the engine's backends. Its rooms read each other in one direction: functions of
//! numbers ([`basis`]) and graphs ([`graph`]) lie below the operations ([`ops`]), these below the layers ([`blocks`]).
//!
//! Parameters live outside layers: a layer registers what it needs and is afterwards a function of values that are
//! handed to it.
//!
//! ```
//! use druse_nn::blocks::Linear;
//! use druse_nn::memory::to_host;
//! use druse_nn::ops::matrix;
//! use druse_nn::{ParamBuilder, Params, device};
//!
//! let mut builder = ParamBuilder::default();
//! let layer = Linear::new(&mut builder, "layer", [3, 2], true);
//! let specs = builder.finish();
//! assert_eq!((specs[0].name.as_str(), specs[0].shape.as_slice()), ("layer.weight", [2, 3].as_slice()));
//!
//! // The seed alone determines the first values.
//! let params = Params::init(&specs, 7, &device::cpu());
//! assert_eq!(params.count(), 2 * 3 + 2);
//!
//! // Two rows through the layer, and the gradient of the sum of all results: for a weight the sum of its input over
//! // the rows, for a bias the number of rows.
//! let tracked = params.tracked();
//! let x = matrix(vec![1.0, 2.0, 3.0, -1.0, 0.0, 1.0], 3, tracked.device());
//! let y = layer.forward(&tracked, x);
//! assert_eq!(y.dims(), [2, 2]);
//! let gradients = tracked.gradients(&y.sum());
//! assert_eq!(to_host(gradients[0].clone())?, [0.0, 2.0, 4.0, 0.0, 2.0, 4.0]);
//! assert_eq!(to_host(gradients[1].clone())?, [2.0, 2.0]);
//! # Ok::<(), druse_nn::memory::ComputeError>(())
//! ```
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

pub mod arch;
pub mod basis;
pub mod blocks;
pub mod device;
pub mod graph;
mod init;
pub mod memory;
pub mod ops;
pub mod optim;
mod params;
mod precision;
pub mod roofline;
pub mod tangent;
pub mod weights;

pub use init::Init;
pub use params::{BufferUpdate, BufferUpdates, ParamBuilder, ParamGroup, ParamId, ParamSpec, Params, Role};
pub use precision::{Precision, PrecisionError};
