//! Rank 0's end of a training by several processes.

use std::cell::RefCell;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use druse_models::{ModelError, Part, RankFailure, Reduce, Share, Trainable};
use druse_nn::memory::{ComputeError, to_host};
use druse_nn::{ParamGroup, Params};

use super::agree::Identity;
use super::handshake::{Arrival, LONGEST, Verdict, receive, tell};
use super::link::Link;
use super::message::{Answer, Order, decode, encode};
use super::{Mpi, RankOptions, tcp};
use crate::RunError;
use crate::config::RunConfig;
use crate::error::RankError;
use crate::train::{Ending, TrainingData};

/// How often it is looked whether to go on waiting.
const LOOK: Duration = Duration::from_millis(50);

/// Connections that are listened to at a time, besides one for each rank.
const STRANGERS: usize = 32;

/// How long ranks are given to close their connection.
const PARTING: Duration = Duration::from_secs(2);

/// The other ranks, and what rank 0 says to them.
pub struct Team {
    /// In the order of ranks, from rank 1.
    links: Vec<Link>,
    timeout: Duration,
    state: RefCell<State>,
}

/// Time and bytes of the exchange between ranks.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Exchange {
    /// Batches that were worked off.
    pub batches: u64,
    /// Seconds in which weights and shares were sent.
    pub sending: f64,
    /// Seconds for which rank 0 waited for others after its own share.
    pub waiting: f64,
    /// Seconds in which answers were read.
    pub reading: f64,
    /// Bytes sent to all ranks.
    pub sent: u64,
    /// Bytes received of all ranks.
    pub received: u64,
}

#[derive(Default)]
struct State {
    /// Weights that the others have.
    weights: Vec<Vec<f32>>,
    /// Whether they have yet to say that the model is ready.
    unready: bool,
    frame: Vec<u8>,
    exchange: Exchange,
}

/// Listens for other ranks. A host without a port takes one that is free.
///
/// # Errors
/// [`RankError::Listen`].
pub fn listen(address: &str) -> Result<TcpListener, RankError> {
    let listening = TcpListener::bind(address);
    listening.map_err(|source| match source.kind() {
        io::ErrorKind::InvalidInput => {
            RankError::Address { address: address.to_owned(), reason: source.to_string() }
        }
        _ => RankError::Listen { address: address.to_owned(), source },
    })
}

impl Team {
    /// Waits until all ranks are there. `look` is called many times a second and may end the waiting; `note` is told of connections
    /// that are refused, and of ranks whose processors compute otherwise.
    ///
    /// # Errors
    /// [`RankError`] when a rank does not come, comes twice, or would train something else; what `look` says.
    pub fn gather(
        listener: TcpListener,
        options: &RankOptions,
        config: &RunConfig,
        look: &mut dyn FnMut() -> Result<(), RunError>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self, RunError> {
        let own = Identity::new(options.world, config);
        let mut links: Vec<Option<(Link, String)>> = (1..options.world).map(|_| None).collect();
        let found = Self::find(&listener, options, &own, &mut links, look, note);
        drop(listener);
        let present: Vec<Link> = links.into_iter().flatten().map(|(link, _)| link).collect();
        let (timeout, state) = (options.timeout, RefCell::default());
        let team = Self { links: present, timeout, state };
        match found {
            Ok(()) => Ok(team),
            Err(error) => {
                team.end(Err(&error.to_string()));
                Err(error)
            }
        }
    }

    /// Waits until all processes that mpirun has started are there, as [`Team::gather`] does.
    ///
    /// # Errors
    /// [`RankError`] when a rank does not come or would train something else; what `look` says.
    pub fn gather_started(
        mpi: &Mpi,
        timeout: Duration,
        config: &RunConfig,
        look: &mut dyn FnMut() -> Result<(), RunError>,
        note: &mut dyn FnMut(&str),
    ) -> Result<Self, RunError> {
        let links = (1..mpi.world()).map(|rank| mpi.link(rank, timeout)).collect::<Result<_, _>>()?;
        let team = Self { links, timeout, state: RefCell::default() };
        let own = Identity::new(mpi.world(), config);
        match team.greet(&own, look, note) {
            Ok(()) => Ok(team),
            Err(error) => {
                team.end(Err(&error.to_string()));
                Err(error)
            }
        }
    }

    /// Looks at every rank as it comes, and tells it whether it is wanted.
    fn greet(
        &self,
        own: &Identity,
        look: &mut dyn FnMut() -> Result<(), RunError>,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), RunError> {
        let begun = Instant::now();
        let mut missing: Vec<usize> = (1..self.world()).collect();
        while !missing.is_empty() {
            look()?;
            if begun.elapsed() > self.timeout {
                return Err(RankError::Missing { missing, waited: self.timeout, refused: Vec::new() }.into());
            }
            for rank in std::mem::take(&mut missing) {
                let link = &self.links[rank - 1];
                let frame =
                    link.receive_until(Instant::now() + LOOK).map_err(|failure| lost(rank, failure))?;
                let Some(frame) = frame else {
                    missing.push(rank);
                    continue;
                };
                let malformed = |e: postcard::Error| lost(rank, RankFailure::Malformed(e.to_string()));
                let identity: Identity = postcard::from_bytes(&frame).map_err(malformed)?;
                let verdict = own.accept(rank, &identity);
                let told = link.send(&verdict_frame(&verdict));
                verdict?;
                told.map_err(|failure| lost(rank, failure))?;
                own.note_instructions(rank, &identity, note);
            }
        }
        Ok(())
    }

    fn find(
        listener: &TcpListener,
        options: &RankOptions,
        own: &Identity,
        links: &mut [Option<(Link, String)>],
        look: &mut dyn FnMut() -> Result<(), RunError>,
        note: &mut dyn FnMut(&str),
    ) -> Result<(), RunError> {
        let address = || listener.local_addr().map_or_else(|_| "its address".into(), |a| a.to_string());
        let broken = |source| RankError::Listen { address: address(), source };
        listener.set_nonblocking(true).map_err(broken)?;
        let begun = Instant::now();
        let (arrivals, arrived) = channel();
        let pending = Arc::new(AtomicUsize::new(0));
        let mut refused = Vec::new();
        while links.iter().any(Option::is_none) {
            look()?;
            if begun.elapsed() > options.timeout {
                let missing = links.iter().zip(1..).filter(|(l, _)| l.is_none()).map(|(_, r)| r).collect();
                return Err(RankError::Missing { missing, waited: options.timeout, refused }.into());
            }
            loop {
                match listener.accept() {
                    Ok((stream, _)) => {
                        if pending.fetch_add(1, Ordering::Relaxed) < STRANGERS + options.world {
                            hear(stream, options, &arrivals, &pending);
                        } else {
                            pending.fetch_sub(1, Ordering::Relaxed);
                        }
                    }
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                    // The connection was given up before it was looked at.
                    Err(e)
                        if matches!(
                            e.kind(),
                            io::ErrorKind::ConnectionAborted | io::ErrorKind::Interrupted
                        ) => {}
                    Err(e) => return Err(broken(e).into()),
                }
            }
            match arrived.recv_timeout(LOOK) {
                Ok(Arrival::Refused(reason)) => {
                    note(&format!("a connection was refused: {reason}"));
                    refused.push(reason);
                }
                Ok(Arrival::Rank { rank, identity, stream }) => {
                    take(rank, &identity, stream, options, own, links, note)?;
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {}
            }
        }
        Ok(())
    }

    /// Has the other ranks read the data, now that rank 0 has, and compares them.
    ///
    /// # Errors
    /// [`RankError::Differs`], [`ModelError::Rank`], and what `look` says.
    pub fn compare_data(
        &self,
        data: &TrainingData,
        look: &mut dyn FnMut() -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        let compared = self.compared(data, look);
        if let Err(error) = &compared {
            self.end(Err(&error.to_string()));
        }
        compared
    }

    fn compared(
        &self,
        data: &TrainingData,
        look: &mut dyn FnMut() -> Result<(), RunError>,
    ) -> Result<(), RunError> {
        self.tell_all(&Order::Load, &[])?;
        for rank in 1..self.world() {
            let answer = loop {
                look()?;
                if let Some(answer) = self.answer(rank, Instant::now() + LOOK)? {
                    break answer;
                }
            };
            let hash = match answer {
                (Answer::Loaded(hash), _) => hash,
                (Answer::Failed(reason), _) => return Err(lost(rank, RankFailure::Failed(reason)).into()),
                _ => return Err(lost(rank, unexpected()).into()),
            };
            if hash != data.hash {
                let (what, ours) = ("the hash of the data".to_owned(), data.hash.clone());
                return Err(RankError::Differs { rank, what, theirs: hash, ours }.into());
            }
        }
        Ok(())
    }

    /// Tells the other ranks that it is over: how it has ended, or why it has not as it should.
    pub fn end(&self, how: Result<Ending, &str>) {
        tracing::debug!("exchange between ranks: {:?}", self.exchange());
        let mut frame = Vec::new();
        encode(&Order::End(how.map_err(str::to_owned)), &[], &mut frame);
        // Who is gone needs not be told.
        self.links.iter().for_each(|link| drop(link.send(&frame)));
        let deadline = Instant::now() + PARTING;
        self.links.iter().for_each(|link| link.finish(deadline));
    }

    /// Time and bytes of the exchange so far.
    pub fn exchange(&self) -> Exchange {
        self.state.borrow().exchange
    }

    fn tell_all(&self, order: &Order, numbers: &[&[f32]]) -> Result<(), ModelError> {
        let mut state = self.state.borrow_mut();
        encode(order, numbers, &mut state.frame);
        self.send_all(&mut state)
    }

    fn send_all(&self, state: &mut State) -> Result<(), ModelError> {
        for (link, rank) in self.links.iter().zip(1..) {
            link.send(&state.frame).map_err(|failure| lost(rank, failure))?;
            state.exchange.sent += state.frame.len() as u64;
        }
        Ok(())
    }

    /// What a rank says next, if it does by then.
    fn answer(&self, rank: usize, deadline: Instant) -> Result<Option<(Answer, Vec<f32>)>, ModelError> {
        let link = &self.links[rank - 1];
        let frame = link.receive_until(deadline).map_err(|failure| lost(rank, failure))?;
        let Some(frame) = frame else { return Ok(None) };
        let answer = decode(&frame).map_err(|words| lost(rank, RankFailure::Malformed(words)))?;
        link.give_back(frame);
        Ok(Some(answer))
    }

    /// Sends the weights that the others do not have yet.
    fn send_weights(&self, state: &mut State, params: &Params) -> Result<(), ModelError> {
        let mut changed = Vec::new();
        state.weights.resize(params.specs().len(), Vec::new());
        for (i, value) in params.values().iter().enumerate() {
            let now = to_host(value.clone())?;
            let before = &mut state.weights[i];
            // By their bits: a number that is none differs from itself.
            let same =
                before.len() == now.len() && before.iter().zip(&now).all(|(a, b)| a.to_bits() == b.to_bits());
            if !same {
                *before = now;
                changed.push(i);
            }
        }
        if changed.is_empty() {
            return Ok(());
        }
        let numbers: Vec<&[f32]> = changed.iter().map(|&i| state.weights[i].as_slice()).collect();
        let mut frame = std::mem::take(&mut state.frame);
        encode(&Order::Weights(changed), &numbers, &mut frame);
        state.frame = frame;
        self.send_all(state)
    }

    /// Waits until the other ranks have built the model.
    fn wait_until_ready(&self, state: &mut State) -> Result<(), ModelError> {
        if !std::mem::take(&mut state.unready) {
            return Ok(());
        }
        for rank in 1..self.world() {
            let answer = loop {
                // It may take its time, as long as it gives signs of life.
                if let Some(answer) = self.answer(rank, Instant::now() + self.timeout)? {
                    break answer.0;
                }
            };
            match answer {
                Answer::Ready => {}
                Answer::Failed(reason) => return Err(lost(rank, RankFailure::Failed(reason))),
                _ => return Err(lost(rank, unexpected())),
            }
        }
        Ok(())
    }
}

impl Reduce for Team {
    fn world(&self) -> usize {
        self.links.len() + 1
    }

    fn begin(&self, model: &dyn Trainable, structures: [usize; 2]) -> Result<(), ModelError> {
        let arrays = model.arrays();
        let shapes = arrays.iter().map(|(name, (shape, _))| (name.clone(), shape.clone())).collect();
        let numbers: Vec<&[f32]> = arrays.values().map(|(_, numbers)| numbers.as_slice()).collect();
        let statistics = model.statistics().to_string();
        self.tell_all(&Order::Model { statistics, arrays: shapes, structures }, &numbers)?;
        self.state.borrow_mut().unready = true;
        Ok(())
    }

    fn work_off(
        &self,
        params: &Params,
        group: &ParamGroup,
        others: Vec<Share>,
        own: &mut dyn FnMut() -> Result<Part, ModelError>,
    ) -> Result<Vec<Part>, ModelError> {
        let state = &mut *self.state.borrow_mut();
        self.wait_until_ready(state)?;
        let begun = Instant::now();
        self.send_weights(state, params)?;
        let mut at_work = Vec::new();
        for (share, rank) in others.into_iter().zip(1..).filter(|(share, _)| !share.is_empty()) {
            encode(&Order::Work(share), &[], &mut state.frame);
            self.links[rank - 1].send(&state.frame).map_err(|failure| lost(rank, failure))?;
            state.exchange.sent += state.frame.len() as u64;
            at_work.push(rank);
        }
        state.exchange.sending += begun.elapsed().as_secs_f64();
        let part = own();
        let deadline = Instant::now() + self.timeout;
        let (mut parts, mut failed) = (Vec::new(), None);
        for rank in at_work {
            let waiting = Instant::now();
            let link = &self.links[rank - 1];
            let frame = link.receive_until(deadline).map_err(|failure| lost(rank, failure))?;
            let late = || lost(rank, RankFailure::Late { seconds: self.timeout.as_secs_f64() });
            let frame = frame.ok_or_else(late)?;
            let reading = Instant::now();
            let malformed = |words| lost(rank, RankFailure::Malformed(words));
            let (answer, numbers) = decode::<Answer>(&frame).map_err(malformed)?;
            state.exchange.received += frame.len() as u64;
            link.give_back(frame);
            let failure = match answer {
                Answer::Part(mut part) => {
                    part.numbers = numbers;
                    parts.push(Part::from_host(part, params, group).map_err(malformed)?);
                    None
                }
                Answer::OutOfMemory(words) => Some(ComputeError::OutOfMemory(words).into()),
                Answer::Collapsed(words) => Some(ModelError::Collapsed(words)),
                Answer::Failed(words) => Some(lost(rank, RankFailure::Failed(words))),
                Answer::Loaded(_) | Answer::Ready => Some(lost(rank, unexpected())),
            };
            failed = failed.or(failure);
            state.exchange.waiting += (reading - waiting).as_secs_f64();
            state.exchange.reading += reading.elapsed().as_secs_f64();
        }
        state.exchange.batches += 1;
        // Nobody is at work any more, whatever went wrong.
        parts.insert(0, part?);
        failed.map_or(Ok(parts), Err)
    }
}

fn lost(rank: usize, failure: RankFailure) -> ModelError {
    ModelError::Rank { rank, failure }
}

fn unexpected() -> RankFailure {
    RankFailure::Malformed("it answers something else than what it was asked".into())
}

/// What a rank is told of whether it is wanted.
fn said(verdict: &Result<(), RankError>) -> Verdict {
    verdict.as_ref().map(drop).map_err(ToString::to_string)
}

fn verdict_frame(verdict: &Result<(), RankError>) -> Vec<u8> {
    postcard::to_stdvec(&said(verdict)).expect("a verdict is plain text")
}

/// Listens to a connection on a thread of its own, so that one that says nothing keeps nobody waiting.
fn hear(stream: TcpStream, options: &RankOptions, arrivals: &Sender<Arrival>, pending: &Arc<AtomicUsize>) {
    let (secret, arrivals, pending) = (options.secret.clone(), arrivals.clone(), pending.clone());
    let longest = LONGEST.min(options.timeout);
    thread::spawn(move || {
        // Nobody waits for it any more where the sending fails.
        let _ = arrivals.send(receive(stream, &secret, longest));
        pending.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Takes in a rank that knows the secret.
fn take(
    rank: usize,
    identity: &Identity,
    stream: TcpStream,
    options: &RankOptions,
    own: &Identity,
    links: &mut [Option<(Link, String)>],
    note: &mut dyn FnMut(&str),
) -> Result<(), RunError> {
    let from = stream.peer_addr().map_or_else(|_| "an address that is gone".into(), |a| a.to_string());
    let verdict = own.accept(rank, identity).and_then(|()| match rank.checked_sub(1).map(|i| links.get(i)) {
        Some(Some(None)) => Ok(()),
        Some(Some(Some((_, first)))) => {
            Err(RankError::Twice { rank, first: first.clone(), second: from.clone() })
        }
        _ => Err(RankError::Numbers { rank, world: options.world }),
    });
    let told = tell(&stream, &said(&verdict));
    verdict?;
    own.note_instructions(rank, identity, note);
    let link = told.and_then(|()| tcp::link(stream, options.timeout));
    let link = link.map_err(|e| lost(rank, RankFailure::Lost(e.to_string())))?;
    links[rank - 1] = Some((link, from));
    Ok(())
}
