//! Runs on a cluster: scripts for the batch systems that people have.

mod slurm;

pub use slurm::{Pieces, Resources, Scripts, SlurmJob};
