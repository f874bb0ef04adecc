//! The local page of druse: structures, sampling and training runs in a browser.
//!
//! [`Server`] serves one page to the person at this machine, from what is embedded in the program: it binds to the loopback
//! interface alone, wants a random token that only its address has, and refuses requests that come through other names or
//! from other pages ([`guard`]). It reads the paths it was given, follows those that grow, and writes nowhere but in the
//! first folder of them, where runs of `druse sample` that are started from the page put their structures.
//!
//! Structures are not kept in memory where they are lines of a file: the table has a few numbers of each, the rest is read
//! when it is looked at.
#![cfg_attr(not(test), warn(clippy::disallowed_methods))]

mod describe;
mod error;
mod export;
pub mod guard;
mod jobs;
mod known;
mod lines;
mod page;
mod places;
mod routes;
mod runs;
mod server;
mod store;
mod table;
mod zip;

pub use error::ViewError;
pub use jobs::FOLLOW_STDIN;
pub use server::{Options, Server};
