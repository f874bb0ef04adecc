//! How rank 0 and another rank come to know each other.
//!
//! ```text
//! root → rank   greeting, random number
//! rank → root   greeting, random number, rank, proof
//! root → rank   1 and proof, or 0
//! rank → root   what it is (a frame)
//! root → rank   yes, or why not (a frame)
//! ```
//!
//! Until the proof is there, a connection costs rank 0 a thread for some seconds and a hundred bytes, whatever it sends.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::agree::Identity;
use super::secret::{Nonces, PROOF, Purpose, Secret, nonce};
use super::wire::{Until, is_timeout, read_all, read_frame, write_frame};
use crate::error::RankError;

/// First bytes of both.
const GREETING: &[u8; 8] = b"druse-t1";

/// Longest time for a handshake.
pub(super) const LONGEST: Duration = Duration::from_secs(10);

/// Longest frame of a handshake: configurations have some kilobytes.
const FRAME: usize = 1 << 20;

/// Whether a rank is wanted, or why not.
pub(super) type Verdict = Result<(), String>;

/// What came of a connection at rank 0.
pub(super) enum Arrival {
    /// A process that knows the secret.
    Rank { rank: usize, identity: Identity, stream: TcpStream },
    /// Nothing that rank 0 is waiting for, and why.
    Refused(String),
}

/// Rank 0's side, up to the verdict.
pub(super) fn receive(stream: TcpStream, secret: &Secret, longest: Duration) -> Arrival {
    let from = match stream.peer_addr() {
        Ok(address) => address.to_string(),
        Err(e) => format!("a connection that is gone ({e})"),
    };
    match received(&stream, secret, Instant::now() + longest) {
        Ok(Some((rank, identity))) => Arrival::Rank { rank, identity, stream },
        Ok(None) => Arrival::Refused(format!("{from} does not know the secret")),
        Err(e) if is_timeout(&e) => Arrival::Refused(format!("{from} said nothing")),
        Err(e) => Arrival::Refused(format!("{from} is no rank of druse: {e}")),
    }
}

fn received(stream: &TcpStream, secret: &Secret, deadline: Instant) -> io::Result<Option<(usize, Identity)>> {
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    let mut until = Until::new(stream, deadline);
    let own = nonce().map_err(io::Error::other)?;
    until.write_all(&[&GREETING[..], &own].concat())?;
    expect_greeting(&mut until)?;
    let (mut theirs, mut rank, mut proof) = ([0; 32], [0; 4], [0; PROOF]);
    read_all(&mut until, &mut theirs)?;
    read_all(&mut until, &mut rank)?;
    read_all(&mut until, &mut proof)?;
    let (nonces, rank) = (Nonces { root: own, rank: theirs }, u32::from_le_bytes(rank));
    if !secret.accepts(&proof, Purpose::Rank, &nonces, rank) {
        until.write_all(&[0])?;
        return Ok(None);
    }
    until.write_all(&[&[1][..], &secret.proof(Purpose::Root, &nonces, rank)].concat())?;
    Ok(Some((rank as usize, get(&mut until)?)))
}

/// Tells a rank whether it is wanted.
pub(super) fn tell(stream: &TcpStream, verdict: &Verdict) -> io::Result<()> {
    put(&mut Until::new(stream, Instant::now() + LONGEST), verdict)
}

/// The side of another rank, up to the verdict.
///
/// # Errors
/// [`RankError`] that says what is wrong.
pub(super) fn introduce(
    stream: &TcpStream,
    address: &str,
    secret: &Secret,
    rank: usize,
    identity: &Identity,
    wait: Duration,
) -> Result<(), RankError> {
    let number = u32::try_from(rank).unwrap_or(u32::MAX);
    let broken = |e: io::Error| RankError::Handshake {
        address: address.to_owned(),
        reason: if is_timeout(&e) { "it says nothing".to_owned() } else { e.to_string() },
    };
    let mut until = Until::new(stream, Instant::now() + LONGEST.min(wait));
    stream.set_nodelay(true).map_err(broken)?;
    expect_greeting(&mut until).map_err(|e| match e.kind() {
        io::ErrorKind::InvalidData => RankError::Foreign { address: address.to_owned() },
        _ => broken(e),
    })?;
    let mut root = [0; 32];
    read_all(&mut until, &mut root).map_err(broken)?;
    let nonces = Nonces { root, rank: nonce()? };
    let proof = secret.proof(Purpose::Rank, &nonces, number);
    let bytes = [&GREETING[..], &nonces.rank, &number.to_le_bytes(), &proof].concat();
    until.write_all(&bytes).map_err(broken)?;
    let mut known = [0];
    read_all(&mut until, &mut known).map_err(broken)?;
    let mut proof = [0; PROOF];
    let wrong = || RankError::WrongSecret { address: address.to_owned() };
    if known != [1] {
        return Err(wrong());
    }
    read_all(&mut until, &mut proof).map_err(broken)?;
    if !secret.accepts(&proof, Purpose::Root, &nonces, number) {
        return Err(wrong());
    }
    put(&mut until, identity).map_err(broken)?;
    // Rank 0 looks at one rank after the other.
    let mut until = Until::new(stream, Instant::now() + wait);
    match get::<Verdict>(&mut until).map_err(broken)? {
        Ok(()) => Ok(()),
        Err(reason) => Err(RankError::Refused { reason }),
    }
}

fn expect_greeting(stream: &mut impl Read) -> io::Result<()> {
    let mut greeting = [0; GREETING.len()];
    read_all(stream, &mut greeting)?;
    match greeting == *GREETING {
        true => Ok(()),
        false => Err(io::Error::new(io::ErrorKind::InvalidData, "it greets in another language")),
    }
}

fn put(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    write_frame(stream, &postcard::to_stdvec(message).map_err(io::Error::other)?)
}

fn get<T: DeserializeOwned>(stream: &mut impl Read) -> io::Result<T> {
    let mut frame = Vec::new();
    read_frame(stream, &mut frame, FRAME)?;
    postcard::from_bytes(&frame).map_err(io::Error::other)
}
