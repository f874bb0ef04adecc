//! Ranks that are child processes of rank 0.

use std::ffi::OsString;
use std::io::{BufRead, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::RankOptions;
use super::secret::Secret;
use crate::config::RunConfig;
use crate::error::RankError;

/// How long children are given to end by themselves.
const PARTING: Duration = Duration::from_secs(3);

/// What a child is told, as a line of JSON on its standard input. That stays open as long as the parent lives: its end is the sign
/// for the child to end, too. So the secret stands in no list of arguments and no environment.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    /// Its rank.
    pub rank: usize,
    /// Where rank 0 listens.
    pub address: String,
    /// The configuration of the training.
    pub config: RunConfig,
    world: usize,
    timeout: f64,
    secret: String,
}

impl Orders {
    /// Reads the orders.
    ///
    /// # Errors
    /// [`RankError::Orders`] when there are none.
    pub fn read(input: &mut impl BufRead) -> Result<Self, RankError> {
        let mut line = String::new();
        input.read_line(&mut line).map_err(|e| RankError::Orders(e.to_string()))?;
        serde_json::from_str(&line).map_err(|e| RankError::Orders(e.to_string()))
    }

    /// What the child has to know of the others.
    ///
    /// # Errors
    /// [`RankError`] when it is not what a parent says.
    pub fn options(&self) -> Result<RankOptions, RankError> {
        let timeout =
            Duration::try_from_secs_f64(self.timeout).map_err(|e| RankError::Orders(e.to_string()))?;
        Ok(RankOptions { world: self.world, secret: Secret::new(&self.secret)?, timeout })
    }
}

/// Child processes, which end with this value.
pub struct Children(Vec<(usize, Child)>);

impl Children {
    /// Starts the ranks from 1 on as child processes of a program that reads its [`Orders`]. `devices` are those of the ranks
    /// in turn, from rank 0 on.
    ///
    /// # Errors
    /// [`RankError::Start`].
    pub fn start(
        program: &[OsString],
        address: &str,
        options: &RankOptions,
        config: &RunConfig,
        devices: &[String],
    ) -> Result<Self, RankError> {
        let name = program.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let failed = |source| RankError::Start { program: name.clone(), source };
        let mut children = Self(Vec::new());
        for rank in 1..options.world {
            let mut config = config.clone();
            if let Some(device) = devices.iter().cycle().nth(rank) {
                config.train.device.clone_from(device);
            }
            let orders = Orders {
                rank,
                address: address.to_owned(),
                config,
                world: options.world,
                timeout: options.timeout.as_secs_f64(),
                secret: options.secret.reveal().to_owned(),
            };
            let mut command = Command::new(program.first().map(OsString::as_os_str).unwrap_or_default());
            command.args(program.get(1..).unwrap_or_default());
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            let mut child = command.spawn().map_err(failed)?;
            let mut line = serde_json::to_vec(&orders).expect("orders are plain numbers and texts");
            line.push(b'\n');
            let told = child.stdin.as_mut().map_or(Ok(()), |input| input.write_all(&line));
            children.0.push((rank, child));
            // One that has ended at once is found by the next look.
            if let Err(e) = told
                && e.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(failed(e));
            }
        }
        Ok(children)
    }

    /// Whether all of them are there.
    ///
    /// # Errors
    /// [`RankError::Ended`].
    pub fn look(&mut self) -> Result<(), RankError> {
        for (rank, child) in &mut self.0 {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(RankError::Ended { rank: *rank, status: words(status) });
            }
        }
        Ok(())
    }

    /// Their process numbers.
    pub fn ids(&self) -> Vec<u32> {
        self.0.iter().map(|(_, child)| child.id()).collect()
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(|(_, child)| drop(child.stdin.take()));
        let deadline = Instant::now() + PARTING;
        for (_, child) in &mut self.0 {
            while matches!(child.try_wait(), Ok(None)) && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
            // One that has ended cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn words(status: ExitStatus) -> String {
    status.to_string()
}
