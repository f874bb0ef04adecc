//! Options and course of a training by several processes.

use std::ffi::OsString;
use std::path::PathBuf;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use clap::Args;
use druse_models::{Alone, Reduce, Trainable};
use druse_nn::device;
use druse_run::train::ranks::{Children, End, Member, Mpi, RankOptions, Secret, TIMEOUT, Team, listen};
use druse_run::train::{Ending, Outcome, TrainingData, check_shared};
use druse_run::{RankError, RunConfig, RunError};

use crate::failure::Failure;

/// The hidden command that a child process runs.
pub const CHILD_COMMAND: &str = "train-rank";

/// Which of several processes this is.
#[derive(Args, Debug, Clone)]
pub struct RankArgs {
    /// Processes on this machine that share the micro-batches of every batch [default: one, or as many as --device names]. The
    /// results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    #[arg(conflicts_with_all = ["rank", "world", "rendezvous", "secret_file"])]
    processes: Option<u32>,
    /// Number of this process, from 0, where several machines train together: the command is started on all of them with
    /// --rank, --world and --rendezvous; `auto`: as mpirun or srun, which started it, say; `mpi`: the same, and MPI carries what
    /// they say to each other (a build with that feature). Rank 0 is the run and alone writes its folder. The results do not
    /// depend on it.
    #[arg(long, value_name = "R")]
    rank: Option<Rank>,
    /// Number of processes that train together.
    #[arg(long, value_name = "N", requires = "rank")]
    world: Option<usize>,
    /// Where rank 0 listens and the others find it.
    #[arg(long, value_name = "HOST:PORT", requires = "rank")]
    rendezvous: Option<String>,
    /// File with the secret that all ranks know [default: the variable DRUSE_TRAIN_SECRET].
    #[arg(long, value_name = "FILE", requires = "rank")]
    secret_file: Option<PathBuf>,
    /// Seconds that ranks wait for each other: to come, to give a sign of life, to finish after rank 0. Then the run is saved and
    /// stops.
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT)]
    rank_timeout: f64,
    /// What has started this process, where `--rank` asks for it.
    #[arg(skip)]
    started: Option<Started>,
}

/// A process among those that mpirun or srun has started.
#[derive(Debug, Clone)]
struct Started {
    /// Its number among those of its machine, where that is told.
    on_machine: Option<usize>,
    /// What carries, where that is MPI.
    mpi: Option<Rc<Mpi>>,
}

/// What `--rank` says.
#[derive(Debug, Clone, Copy)]
enum Rank {
    Number(usize),
    /// As the program says that has started the process.
    Auto,
    /// As MPI says.
    Mpi,
}

impl FromStr for Rank {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "mpi" => Ok(Self::Mpi),
            number => {
                number.parse().map(Self::Number).map_err(|_| "expected a number from 0, auto or mpi".into())
            }
        }
    }
}

/// Variables by which starters of processes tell each its number, and how many there are.
const STARTERS: [[&str; 2]; 5] = [
    ["OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"],
    ["MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"],
    ["PMI_RANK", "PMI_SIZE"],
    ["PALS_RANKID", "PALS_SIZE"],
    ["SLURM_PROCID", "SLURM_NTASKS"],
];

/// The same for the number of a process among those of its machine.
const ON_MACHINE: [&str; 5] = [
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "MV2_COMM_WORLD_LOCAL_RANK",
    "MPI_LOCALRANKID",
    "PALS_LOCAL_RANKID",
    "SLURM_LOCALID",
];

/// Number of this process and of all, as its starter says.
fn told_by_starter(variable: impl Fn(&str) -> Option<usize>) -> Option<[usize; 2]> {
    STARTERS.iter().find_map(|[rank, world]| Some([variable(rank)?, variable(world)?]))
}

/// The others that rank 0 trains with; none for a run in one process.
pub struct Others {
    team: Option<Team>,
    // They end with this value.
    _children: Option<Children>,
}

impl RankArgs {
    fn processes(&self) -> Option<usize> {
        self.processes.map(|n| n as usize)
    }

    /// The same options with the numbers that a starter of processes says, where these are asked for.
    ///
    /// # Errors
    /// [`Failure`] when none has said any, the number of processes or a place to meet is missing, or nothing joins them.
    pub fn resolved(&self) -> Result<Self, Failure> {
        let number = |name: &str| std::env::var(name).ok()?.trim().parse().ok();
        let on_machine = ON_MACHINE.iter().find_map(|name| number(name));
        let mut ranks = self.clone();
        match self.rank {
            Some(Rank::Mpi) => {
                let given = [
                    ("--world", self.world.is_some()),
                    ("--rendezvous", self.rendezvous.is_some()),
                    ("--secret-file", self.secret_file.is_some()),
                ];
                if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
                    return Err(Failure::mistake(format!("--rank mpi leaves nothing to {option}"))
                        .hint("MPI knows all processes and where they are; leave it out"));
                }
                let mpi = Rc::new(Mpi::enter().map_err(RunError::from)?);
                (ranks.rank, ranks.world) = (Some(Rank::Number(mpi.rank())), Some(mpi.world()));
                ranks.started = Some(Started { on_machine, mpi: Some(mpi) });
            }
            Some(_) if self.rendezvous.is_none() => {
                return Err(Failure::mistake("--rank without --rendezvous")
                    .hint("add --rendezvous HOST:PORT, where rank 0 listens and the others find it"));
            }
            Some(Rank::Auto) => {
                let [rank, world] = told_by_starter(number).ok_or_else(|| {
                    let names: Vec<&str> = STARTERS.iter().map(|[rank, _]| *rank).collect();
                    Failure::mistake(format!("--rank auto, but none of {} is set", names.join(", ")))
                        .hint("start it by mpirun or srun, or give --rank and --world")
                })?;
                ranks.rank = Some(Rank::Number(rank));
                ranks.world = self.world.or(Some(world));
                ranks.started = Some(Started { on_machine, mpi: None });
            }
            Some(Rank::Number(_)) if self.world.is_none() => {
                return Err(
                    Failure::mistake("--rank without --world").hint("add --world with the number of ranks")
                );
            }
            _ => {}
        }
        Ok(ranks)
    }

    fn mpi(&self) -> Option<&Mpi> {
        self.started.as_ref()?.mpi.as_deref()
    }

    fn number(&self) -> Option<usize> {
        match self.rank {
            Some(Rank::Number(rank)) => Some(rank),
            Some(Rank::Auto | Rank::Mpi) | None => None,
        }
    }

    /// The same options with a process for each device that is named, where no number of processes is, and the device of this
    /// process by its name.
    ///
    /// # Errors
    /// [`Failure`] when one of the devices is not there, several are named for one rank, or more than there are processes.
    pub fn on_devices(&self, config: &RunConfig) -> Result<(Self, String), Failure> {
        let mut names = devices(config);
        if names.len() > 1 && self.world.is_some() {
            let Some(place) = self.started.as_ref().and_then(|started| started.on_machine) else {
                return Err(Failure::mistake(format!(
                    "--rank takes one device, not `{}`",
                    config.train.device
                ))
                .hint("start a rank for each device"));
            };
            // One command starts all processes of a machine, which take its devices in turn.
            names = vec![names.swap_remove(place % names.len())];
        }
        if let Some(processes) = self.processes().filter(|&n| n < names.len()) {
            let text = format!("--processes {processes} leaves some of `{}` idle", config.train.device);
            return Err(Failure::mistake(text).hint("leave out --processes, or name fewer devices"));
        }
        // All are looked at before anything is begun.
        for name in &names {
            device::parse(name)?;
        }
        let several = u32::try_from(names.len()).ok().filter(|&n| n > 1);
        let ranks = Self { processes: self.processes.or(several), ..self.clone() };
        Ok((ranks, names.swap_remove(0)))
    }

    /// Number of processes.
    pub fn world(&self) -> usize {
        self.world.or(self.processes()).unwrap_or(1)
    }

    /// The rank of this process, where it is another one than 0.
    pub fn other_rank(&self) -> Option<usize> {
        self.number().filter(|&rank| rank > 0)
    }

    /// Worker threads of each process: cores are divided among the processes of a machine.
    pub fn threads(&self, threads: usize) -> usize {
        match self.processes() {
            Some(n) if n > 1 && threads == 0 => (available_parallelism().map_or(1, usize::from) / n).max(1),
            _ => threads,
        }
    }

    /// Refuses impossible numbers, and a model that cannot be shared, before anything is started.
    pub fn check(&self, model: &dyn Trainable) -> Result<(), Failure> {
        let (rank, world) = (self.number().unwrap_or(0), self.world());
        if rank >= world {
            return Err(RunError::from(RankError::Numbers { rank, world }).into());
        }
        self.timeout()?;
        check_shared(model, world).map_err(|e| RunError::from(e).into())
    }

    fn timeout(&self) -> Result<Duration, Failure> {
        let positive = Duration::try_from_secs_f64(self.rank_timeout).ok().filter(|d| !d.is_zero());
        positive.ok_or_else(|| {
            Failure::mistake(format!("--rank-timeout is {}, expected a positive number", self.rank_timeout))
        })
    }

    fn options(&self, secret: Secret) -> Result<RankOptions, Failure> {
        Ok(RankOptions { world: self.world(), secret, timeout: self.timeout()? })
    }

    /// Brings the other ranks together; child processes run `program`.
    pub fn gather(
        &self,
        config: &RunConfig,
        program: &[OsString],
        stop: &AtomicBool,
        note: &mut dyn FnMut(&str),
    ) -> Result<Others, Failure> {
        if self.world() == 1 {
            return Ok(Others { team: None, _children: None });
        }
        if let Some(mpi) = self.mpi() {
            let mut look = || not_stopped(stop);
            let team = Team::gather_started(mpi, self.timeout()?, config, &mut look, note)?;
            return Ok(Others { team: Some(team), _children: None });
        }
        let (secret, address) = match &self.rendezvous {
            Some(address) => (Secret::find(self.secret_file.as_deref())?, address.as_str()),
            // Nobody else has anything to look for there.
            None => (Secret::random().map_err(RunError::from)?, "127.0.0.1:0"),
        };
        let options = self.options(secret)?;
        let listener = listen(address).map_err(RunError::from)?;
        let mut children = None;
        if self.rendezvous.is_none() {
            let at = listener.local_addr().map_err(|e| Failure::environment(format!("{address}: {e}")))?;
            let threads = self.threads(config.train.threads);
            let mut config = config.clone();
            config.train.threads = threads;
            let devices = devices(&config);
            let started = Children::start(program, &at.to_string(), &options, &config, &devices);
            children = Some(started.map_err(RunError::from)?);
        }
        let mut look = || {
            if let Some(children) = &mut children {
                children.look()?;
            }
            not_stopped(stop)
        };
        let team = Team::gather(listener, &options, config, &mut look, note)?;
        Ok(Others { team: Some(team), _children: children })
    }

    /// Works as another rank than 0, until rank 0 says that it is over.
    pub fn serve(
        &self,
        rank: usize,
        config: &RunConfig,
        model: &mut dyn Trainable,
        stop: &AtomicBool,
    ) -> Result<Ending, Failure> {
        let device = device::parse(&self.on_devices(config)?.1)?;
        let mut look = || not_stopped(stop);
        let member = match self.mpi() {
            Some(mpi) => Member::join_started(mpi, self.timeout()?, config, &mut look)?,
            None => {
                let options = self.options(Secret::find(self.secret_file.as_deref())?)?;
                let address = self.rendezvous.as_deref().unwrap_or_default();
                Member::join(address, rank, &options, config, &mut look)?
            }
        };
        match member.serve(model, config, || config.data.load(), &device)? {
            End::Ended(ending) => Ok(ending),
            End::Stopped(reason) => Err(RunError::from(RankError::Stopped(reason)).into()),
        }
    }
}

impl Others {
    /// Has the others read the data, and compares them.
    pub fn compare_data(&self, data: &TrainingData, stop: &AtomicBool) -> Result<(), Failure> {
        match &self.team {
            Some(team) => Ok(team.compare_data(data, &mut || not_stopped(stop))?),
            None => Ok(()),
        }
    }

    /// Tells the others of what keeps rank 0 from training.
    pub fn told(&self, error: RunError) -> Failure {
        if let Some(team) = &self.team {
            team.end(Err(&error.to_string()));
        }
        error.into()
    }

    /// What the trainer shares batches with.
    pub fn reduce(&self) -> &dyn Reduce {
        match &self.team {
            Some(team) => team,
            None => &Alone,
        }
    }

    /// Tells the others how it has ended.
    pub fn end(&self, outcome: &Result<Outcome, RunError>) {
        let Some(team) = &self.team else { return };
        match outcome {
            Ok(outcome) => team.end(Ok(outcome.ending)),
            Err(error) => team.end(Err(&error.to_string())),
        }
    }
}

fn not_stopped(stop: &AtomicBool) -> Result<(), RunError> {
    if stop.load(Ordering::Relaxed) { Err(RunError::Interrupted) } else { Ok(()) }
}

/// The devices that a configuration names, at least one: that of each process in turn.
fn devices(config: &RunConfig) -> Vec<String> {
    config.train.device.split(',').map(|name| name.trim().to_owned()).collect()
}

/// This program as the child process of a training.
///
/// # Errors
/// [`Failure`] when the system does not tell where it lies.
pub fn own_program() -> Result<Vec<OsString>, Failure> {
    let program = std::env::current_exe()
        .map_err(|e| Failure::environment(format!("cannot find this program, to start it again: {e}")))?;
    Ok(vec![program.into(), CHILD_COMMAND.into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_a_process_come_from_whoever_has_started_it() {
        let told = |set: &[(&str, usize)]| {
            told_by_starter(|name| set.iter().find(|(n, _)| *n == name).map(|&(_, value)| value))
        };
        assert_eq!(told(&[]), None);
        assert_eq!(told(&[("PMI_RANK", 1)]), None, "one of how many?");
        assert_eq!(told(&[("PMI_RANK", 1), ("PMI_SIZE", 4)]), Some([1, 4]));
        // mpirun within an allocation of Slurm, of one task.
        let both = [
            ("SLURM_PROCID", 0),
            ("SLURM_NTASKS", 1),
            ("OMPI_COMM_WORLD_RANK", 2),
            ("OMPI_COMM_WORLD_SIZE", 3),
        ];
        assert_eq!(told(&both), Some([2, 3]));
        assert!("auto".parse::<Rank>().is_ok() && "-1".parse::<Rank>().is_err());
    }
}
