//! Ranks that MPI joins: what mpirun or srun has started, over whatever network MPI knows. A build without the feature `mpi`
//! has nothing but the words for it.

#[cfg(not(feature = "mpi"))]
mod absent;
#[cfg(feature = "mpi")]
mod post;
#[cfg(feature = "mpi")]
mod world;

#[cfg(not(feature = "mpi"))]
pub use absent::Mpi;
#[cfg(feature = "mpi")]
pub use world::Mpi;
