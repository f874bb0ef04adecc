//! Why the processes of a training do not come together.

use std::io;
use std::time::Duration;

use druse_models::RankFailure;

/// Why the processes of a training do not come together, or part.
#[derive(Debug, thiserror::Error)]
pub enum RankError {
    /// Numbers of ranks that no training has.
    #[error("there is no rank {rank} of {world}: ranks are counted from 0, and there has to be one at least")]
    Numbers {
        /// The rank.
        rank: usize,
        /// Number of ranks.
        world: usize,
    },
    /// A model whose batches are never cut.
    #[error(
        "{model} takes statistics of the whole batch, which is never cut, so several processes have nothing to share; train it in one process (its threads share the work)"
    )]
    NotCut {
        /// Kind of the model.
        model: &'static str,
    },
    /// There is no secret.
    #[error("ranks on several machines need a common secret: {reason}")]
    Secret {
        /// What is missing.
        reason: String,
    },
    /// The random numbers of the system are not to be had.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// An address that is none.
    #[error("`{address}` is no address of the form HOST:PORT: {reason}")]
    Address {
        /// As it was given.
        address: String,
        /// The reason.
        reason: String,
    },
    /// Rank 0 cannot listen.
    #[error("rank 0 cannot listen at {address}: {source}{}", in_use(source))]
    Listen {
        /// Where.
        address: String,
        /// The system's reason.
        source: io::Error,
    },
    /// Rank 0 cannot be reached.
    #[error("rank 0 cannot be reached at {address}, tried for {:.0} s: {source}", tried.as_secs_f64())]
    Unreachable {
        /// Where it should be.
        address: String,
        /// For so long it was tried.
        tried: Duration,
        /// The system's reason.
        source: io::Error,
    },
    /// What answers is something else.
    #[error("what answers at {address} is no druse training")]
    Foreign {
        /// Where.
        address: String,
    },
    /// The connection broke before both knew each other.
    #[error("the connection with {address} broke before the training began: {reason}")]
    Handshake {
        /// Where.
        address: String,
        /// What happened.
        reason: String,
    },
    /// Rank 0 has another secret.
    #[error("rank 0 at {address} has another secret")]
    WrongSecret {
        /// Where.
        address: String,
    },
    /// Rank 0 does not want this rank.
    #[error("rank 0 refuses this process: {reason}")]
    Refused {
        /// Its words.
        reason: String,
    },
    /// Some ranks did not come.
    #[error("{} did not come within {:.0} s{}", ranks(missing), waited.as_secs_f64(), refusals(refused))]
    Missing {
        /// Which.
        missing: Vec<usize>,
        /// For so long they were waited for.
        waited: Duration,
        /// Connections that were refused meanwhile, and why.
        refused: Vec<String>,
    },
    /// A rank would train something else.
    #[error("rank {rank} has {what} = {theirs}, rank 0 has {ours}; start all ranks of a training alike")]
    Differs {
        /// The rank.
        rank: usize,
        /// What differs: `train.seed`.
        what: String,
        /// Its value there.
        theirs: String,
        /// Its value in rank 0.
        ours: String,
    },
    /// Two processes have one number.
    #[error(
        "two processes came as rank {rank}, from {first} and from {second}; give each a number of its own"
    )]
    Twice {
        /// The number.
        rank: usize,
        /// Where the first is.
        first: String,
        /// Where the second is.
        second: String,
    },
    /// A child process cannot be started.
    #[error("cannot start `{program}` as another rank: {source}")]
    Start {
        /// The program.
        program: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A child process has ended.
    #[error("rank {rank} ended before the training began ({status})")]
    Ended {
        /// Its rank.
        rank: usize,
        /// How.
        status: String,
    },
    /// What a child process was told cannot be understood.
    #[error("this command is started by `druse train --processes`, not by hand: {0}")]
    Orders(String),
    /// MPI cannot join the ranks.
    #[error("MPI joins no ranks here: {reason}")]
    Mpi {
        /// Why.
        reason: String,
    },
    /// Rank 0 is gone.
    #[error("rank 0 {0}; the run continues from its last checkpoint with --resume")]
    Root(RankFailure),
    /// Rank 0 has ended the training.
    #[error("rank 0 stopped the training: {0}")]
    Stopped(String),
}

impl RankError {
    /// Whether other arguments put it right.
    pub fn is_user_mistake(&self) -> bool {
        matches!(
            self,
            Self::Numbers { .. }
                | Self::NotCut { .. }
                | Self::Secret { .. }
                | Self::Address { .. }
                | Self::WrongSecret { .. }
                | Self::Refused { .. }
                | Self::Differs { .. }
                | Self::Twice { .. }
                | Self::Orders(_)
                | Self::Mpi { .. }
        )
    }
}

fn in_use(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::AddrInUse => "; another program uses the port, choose another one for all ranks",
        io::ErrorKind::AddrNotAvailable => "; rank 0 has to run on that machine, or listen at 0.0.0.0",
        _ => "",
    }
}

fn ranks(missing: &[usize]) -> String {
    let numbers = missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    if missing.len() == 1 { format!("rank {numbers}") } else { format!("the ranks {numbers}") }
}

fn refusals(refused: &[String]) -> String {
    if refused.is_empty() { String::new() } else { format!("; refused: {}", refused.join("; ")) }
}
