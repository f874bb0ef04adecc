//! The end of a rank that is not rank 0.

use std::net::{TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use druse_crystal::Structure;
use druse_models::{Batch, ModelError, Share, Trainable, TrainingPhase};
use druse_nn::Params;

use super::agree::Identity;
use super::handshake::{Verdict, introduce};
use super::link::Link;
use super::message::{Answer, Order, decode, encode};
use super::{Mpi, RankOptions, tcp};
use crate::config::RunConfig;
use crate::error::RankError;
use crate::observer::Silent;
use crate::train::driver::usable;
use crate::train::{Ending, TrainingData};
use crate::{Observer, RunError};

/// Time between attempts to reach rank 0.
const PAUSE: Duration = Duration::from_millis(200);

/// How a training has ended, as another rank than 0 sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As it should.
    Ended(Ending),
    /// Rank 0 has given up, and why.
    Stopped(String),
}

/// A rank that works off what rank 0 gives it. It writes no file.
pub struct Member {
    link: Link,
}

impl Member {
    /// Joins the training at an address (`HOST:PORT`), for which rank 0 is waited some time. `look` is called now and then and may
    /// end the waiting.
    ///
    /// # Errors
    /// [`RankError`] when rank 0 cannot be reached, has another secret or refuses; what `look` says.
    pub fn join(
        address: &str,
        rank: usize,
        options: &RankOptions,
        config: &RunConfig,
        look: &mut dyn FnMut() -> Result<(), RunError>,
    ) -> Result<Self, RunError> {
        if rank == 0 || rank >= options.world {
            return Err(RankError::Numbers { rank, world: options.world }.into());
        }
        let stream = connect(address, options.timeout, look)?;
        let identity = Identity::new(options.world, config);
        // Rank 0 looks at the others until all have come.
        introduce(&stream, address, &options.secret, rank, &identity, options.timeout)?;
        let broken =
            |e: std::io::Error| RankError::Handshake { address: address.to_owned(), reason: e.to_string() };
        Ok(Self { link: tcp::link(stream, options.timeout).map_err(broken)? })
    }

    /// Joins the training of the processes that mpirun has started, as [`Member::join`] does.
    ///
    /// # Errors
    /// [`RankError`] when rank 0 says nothing or refuses; what `look` says.
    pub fn join_started(
        mpi: &Mpi,
        timeout: Duration,
        config: &RunConfig,
        look: &mut dyn FnMut() -> Result<(), RunError>,
    ) -> Result<Self, RunError> {
        let broken = |reason| RankError::Handshake { address: "process 0 of MPI".into(), reason };
        let link = mpi.link(0, timeout)?;
        let identity = postcard::to_stdvec(&Identity::new(mpi.world(), config));
        let identity = identity.map_err(|e| broken(e.to_string()))?;
        link.send(&identity).map_err(RankError::Root)?;
        // Rank 0 looks at the others until all have come.
        let deadline = Instant::now() + timeout;
        let verdict = loop {
            look()?;
            let until = deadline.min(Instant::now() + PAUSE);
            match link.receive_until(until).map_err(RankError::Root)? {
                Some(frame) => {
                    break postcard::from_bytes::<Verdict>(&frame).map_err(|e| broken(e.to_string()))?;
                }
                None if Instant::now() < deadline => {}
                None => return Err(broken("it says nothing".into()).into()),
            }
        };
        verdict.map_err(|reason| RankError::Refused { reason })?;
        Ok(Self { link })
    }

    /// Works until rank 0 says that it is over. `load` reads the data, when it is time to.
    ///
    /// # Errors
    /// [`RankError::Root`] when rank 0 is gone, and why this rank cannot go on, which rank 0 is told.
    pub fn serve(
        self,
        model: &mut dyn Trainable,
        config: &RunConfig,
        load: impl FnOnce() -> Result<TrainingData, RunError>,
        device: &Device,
    ) -> Result<End, RunError> {
        let mut load = Some(load);
        let mut data = TrainingData::default();
        let mut ready: Option<Ready> = None;
        let mut frame = Vec::new();
        loop {
            let incoming = self.link.receive().map_err(RankError::Root)?;
            let (order, numbers) = decode::<Order>(&incoming)
                .map_err(|words| RankError::Root(druse_models::RankFailure::Malformed(words)))?;
            self.link.give_back(incoming);
            let answer = match order {
                Order::End(Ok(ending)) => return Ok(End::Ended(ending)),
                Order::End(Err(reason)) => return Ok(End::Stopped(reason)),
                Order::Load => {
                    let loaded = load.take().map(|load| load());
                    data = self.or_tell(loaded.unwrap_or_else(|| Ok(TrainingData::default())), &mut frame)?;
                    Some((Answer::Loaded(data.hash.clone()), Vec::new()))
                }
                Order::Model { statistics, arrays, structures } => {
                    let given = Given { statistics, arrays, numbers, structures };
                    let made = given.make(&mut *model, config, &mut data, device);
                    ready = Some(self.or_tell(made, &mut frame)?);
                    Some((Answer::Ready, Vec::new()))
                }
                Order::Weights(tensors) => {
                    let changed = ready.as_mut().ok_or_else(early).and_then(|r| r.change(&tensors, &numbers));
                    self.or_tell(changed, &mut frame)?;
                    None
                }
                Order::Work(share) => {
                    let part = match &ready {
                        Some(ready) => ready.work_off(model, &data, &share),
                        None => Err(ModelError::Config("a share came before the model".into())),
                    };
                    Some(match part {
                        Ok((answer, numbers)) => (answer, numbers),
                        Err(error) => (Answer::of_failure(&error), Vec::new()),
                    })
                }
            };
            if let Some((answer, numbers)) = answer {
                encode(&answer, &[&numbers], &mut frame);
                self.link.send(&frame).map_err(RankError::Root)?;
            }
        }
    }

    /// Tells rank 0 of a failure after which this rank cannot go on.
    fn or_tell<T>(&self, result: Result<T, RunError>, frame: &mut Vec<u8>) -> Result<T, RunError> {
        if let Err(error) = &result {
            encode(&Answer::Failed(error.to_string()), &[], frame);
            self.link.send(frame).map_err(RankError::Root)?;
            self.link.finish(Instant::now() + Duration::from_secs(1));
        }
        result
    }
}

/// A model that shares can be worked off with.
struct Ready {
    params: Params,
    phases: Vec<TrainingPhase>,
}

/// What rank 0 says of its model.
struct Given {
    statistics: String,
    arrays: Vec<(String, Vec<usize>)>,
    numbers: Vec<f32>,
    structures: [usize; 2],
}

impl Given {
    fn make(
        self,
        model: &mut dyn Trainable,
        config: &RunConfig,
        data: &mut TrainingData,
        device: &Device,
    ) -> Result<Ready, RunError> {
        let silent: &mut dyn Observer = &mut Silent;
        let statistics = serde_json::from_str(&self.statistics)
            .map_err(|e| ModelError::Config(format!("statistics of the training set: {e}")))?;
        let mut rest = self.numbers.as_slice();
        let mut arrays = druse_models::Arrays::new();
        for (name, shape) in self.arrays {
            let short = || ModelError::Config(format!("statistics of the training set: `{name}` is cut off"));
            let (numbers, others) = rest.split_at_checked(shape.iter().product()).ok_or_else(short)?;
            rest = others;
            arrays.insert(name, (shape, numbers.to_vec()));
        }
        model.restore_statistics(&statistics)?;
        model.restore_arrays(&arrays)?;
        let left = usable(model, data, silent)?.into_owned();
        *data = left;
        let found = [data.train.len(), data.validation.len()];
        if found != self.structures {
            let (expected, reason) = (self.structures, "of the same data");
            return Err(RunError::NoData(format!(
                "{found:?} structures can be used, rank 0 uses {expected:?} {reason}"
            )));
        }
        for set in [&data.train, &data.validation] {
            // Rank 0 tells of what is unusual.
            model.inspect(&set.structures().collect::<Vec<&Structure>>())?;
        }
        let zeros: Vec<Vec<f32>> = model.parameters().iter().map(|spec| vec![0.0; spec.len()]).collect();
        let params = Params::from_host(model.parameters(), &zeros, device);
        let params = params.with_precision(config.train.precision)?;
        Ok(Ready { params, phases: TrainingPhase::all(model)? })
    }
}

impl Ready {
    fn change(&mut self, tensors: &[usize], numbers: &[f32]) -> Result<(), RunError> {
        let mut rest = numbers;
        let mut values = Vec::with_capacity(tensors.len());
        for &i in tensors {
            let n = self.params.specs().get(i).map_or(usize::MAX, |spec| spec.len());
            let (value, others) = rest.split_at_checked(n).ok_or_else(|| not_these(i))?;
            rest = others;
            values.push((i, value.to_vec()));
        }
        self.params.replace(values).map_err(not_these)
    }

    fn work_off(
        &self,
        model: &dyn Trainable,
        data: &TrainingData,
        share: &Share,
    ) -> Result<(Answer, Vec<f32>), ModelError> {
        let set = if share.counts.is_some() { &data.train } else { &data.validation };
        let structure = |index: u64| {
            let entry = set.entries.get(usize::try_from(index).ok()?)?;
            Some(&entry.structure)
        };
        let missing = |index| ModelError::Config(format!("there is no structure {index}"));
        let batch = Batch::of_share(model, share, structure).map_err(missing)?;
        let phase = self.phases.get(share.phase);
        let phase = phase.ok_or_else(|| ModelError::Config(format!("there is no phase {}", share.phase)))?;
        let mut part = batch.work_off(&self.params, share, &phase.group)?.to_host()?;
        let numbers = std::mem::take(&mut part.numbers);
        Ok((Answer::Part(part), numbers))
    }
}

fn early() -> RunError {
    ModelError::Config("weights came before the model".into()).into()
}

fn not_these(tensor: usize) -> RunError {
    ModelError::Config(format!("the weights of tensor {tensor} are those of another model")).into()
}

/// Reaches rank 0, which may not listen yet.
fn connect(
    address: &str,
    timeout: Duration,
    look: &mut dyn FnMut() -> Result<(), RunError>,
) -> Result<TcpStream, RunError> {
    let begun = Instant::now();
    loop {
        look()?;
        // A name may come to be known with its machine.
        let resolved = address.to_socket_addrs();
        if let Err(e) = &resolved
            && e.kind() == std::io::ErrorKind::InvalidInput
        {
            return Err(RankError::Address { address: address.to_owned(), reason: e.to_string() }.into());
        }
        let mut last = None;
        for one in resolved.map_err(|e| last = Some(e)).into_iter().flatten() {
            match TcpStream::connect_timeout(&one, timeout.min(Duration::from_secs(5))) {
                Ok(stream) => return Ok(stream),
                Err(e) => last = Some(e),
            }
        }
        if begun.elapsed() >= timeout {
            let source = last.unwrap_or_else(|| std::io::Error::other("the name stands for no address"));
            let tried = begun.elapsed();
            return Err(RankError::Unreachable { address: address.to_owned(), tried, source }.into());
        }
        thread::sleep(PAUSE);
    }
}
