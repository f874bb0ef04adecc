//! Errors of the server and of its requests.

use std::io;
use std::path::PathBuf;

use druse_crystal::files::FileError;
use druse_data::DataError;

/// Why there is no page, or why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// Another program has the port.
    #[error("port {0} is used by another program")]
    PortInUse(u16),
    /// The server could not begin.
    #[error("cannot serve on 127.0.0.1:{port}: {source}")]
    Bind {
        /// The port that was asked for.
        port: u16,
        /// The system's error.
        source: io::Error,
    },
    /// The system gives no random numbers.
    #[error("cannot make a token: {0}")]
    Random(getrandom::Error),
    /// A path that was given is not there.
    #[error("{}: there is no such file or folder", .0.display())]
    NotFound(PathBuf),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A set could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A request asks for something that is not there.
    #[error("{0}")]
    Missing(String),
    /// A request asks for something that is not done.
    #[error("{0}")]
    Refused(String),
    /// The server's runtime failed.
    #[error("the server failed: {0}")]
    Runtime(io::Error),
}
