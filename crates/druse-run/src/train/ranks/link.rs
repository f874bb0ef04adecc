//! The connection of two ranks once they know each other.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use druse_models::RankFailure;

use super::wire::{LONGEST, is_timeout, read_frame, write_frame};

/// How often a sign of life is given in the time after which silence is death.
const BEATS: u32 = 4;

/// Longest time between signs of life.
const SLOWEST_BEAT: Duration = Duration::from_secs(5);

/// A connection on which frames come and go. A thread reads whatever comes, so that no writer waits for a reader that computes, and
/// another gives signs of life.
pub(super) struct Link {
    writer: Arc<Mutex<TcpStream>>,
    incoming: Receiver<Result<Vec<u8>, RankFailure>>,
    /// Buffers that the reader may use again.
    spare: Sender<Vec<u8>>,
    /// Dropped with the link, which ends the signs of life.
    _beating: Sender<()>,
    /// Whether a frame could not be sent whole: nothing that follows would be understood.
    broken: AtomicBool,
    timeout: Duration,
}

impl Link {
    /// A link on a connection; silence for longer than `timeout` is death.
    pub(super) fn new(stream: TcpStream, timeout: Duration) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        let reader = stream.try_clone()?;
        let (frames, incoming) = channel();
        let (spare, buffers) = channel();
        thread::spawn(move || read_frames(reader, timeout, &frames, &buffers));
        let writer = Arc::new(Mutex::new(stream));
        let (beating, stopped) = channel::<()>();
        let beats = writer.clone();
        thread::spawn(move || {
            let pause = (timeout / BEATS).min(SLOWEST_BEAT);
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                // The reader finds out what is wrong.
                if write(&beats, &[]).is_err() {
                    return;
                }
            }
        });
        Ok(Self { writer, incoming, spare, _beating: beating, broken: AtomicBool::new(false), timeout })
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// [`RankFailure`].
    pub(super) fn send(&self, frame: &[u8]) -> Result<(), RankFailure> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(closed());
        }
        write(&self.writer, frame).map_err(|e| {
            self.broken.store(true, Ordering::Relaxed);
            failure(&e, self.timeout)
        })
    }

    /// The next frame; `None` when none has come by then.
    ///
    /// # Errors
    /// [`RankFailure`] when the other is gone or silent.
    pub(super) fn receive_until(&self, deadline: Instant) -> Result<Option<Vec<u8>>, RankFailure> {
        match self.incoming.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(frame) => frame.map(Some),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(closed()),
        }
    }

    /// The next frame, however long it takes, as long as there are signs of life.
    ///
    /// # Errors
    /// As [`Link::receive_until`].
    pub(super) fn receive(&self) -> Result<Vec<u8>, RankFailure> {
        self.incoming.recv().unwrap_or_else(|_| Err(closed()))
    }

    /// Returns the buffer of a frame that has been read.
    pub(super) fn give_back(&self, frame: Vec<u8>) {
        // Without a reader nobody needs it.
        let _ = self.spare.send(frame);
    }

    /// Ends the connection so that what was sent arrives: waits for the other to close it, until then.
    pub(super) fn finish(&self, deadline: Instant) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.shutdown(Shutdown::Write).is_err() {
            return;
        }
        drop(writer);
        while let Ok(Some(_)) = self.receive_until(deadline) {}
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Wakes the reader; a connection that is closed already needs none.
        let _ = self.writer.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
    }
}

fn closed() -> RankFailure {
    RankFailure::Lost("the connection was closed".into())
}

fn failure(error: &io::Error, timeout: Duration) -> RankFailure {
    match error.kind() {
        _ if is_timeout(error) => RankFailure::Silent { seconds: timeout.as_secs_f64() },
        io::ErrorKind::InvalidData => RankFailure::Malformed(error.to_string()),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => closed(),
        _ => RankFailure::Lost(error.to_string()),
    }
}

fn write(writer: &Mutex<TcpStream>, frame: &[u8]) -> io::Result<()> {
    let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
    write_frame(&mut *writer, frame)?;
    writer.flush()
}

fn read_frames(
    mut stream: TcpStream,
    timeout: Duration,
    frames: &Sender<Result<Vec<u8>, RankFailure>>,
    buffers: &Receiver<Vec<u8>>,
) {
    let mut buffer = Vec::new();
    loop {
        match read_frame(&mut stream, &mut buffer, LONGEST) {
            Ok(()) if buffer.is_empty() => {}
            Ok(()) => {
                let frame = std::mem::replace(&mut buffer, buffers.try_recv().unwrap_or_default());
                if frames.send(Ok(frame)).is_err() {
                    return;
                }
            }
            Err(e) => {
                // Nobody listens where the link was dropped.
                let _ = frames.send(Err(failure(&e, timeout)));
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn pair() -> [TcpStream; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        [one, listener.accept().unwrap().0]
    }

    #[test]
    fn frames_pass_while_nobody_reads_and_buffers_come_back() {
        let [a, b] = pair().map(|s| Link::new(s, Duration::from_secs(20)).unwrap());
        // More than the system keeps: both send before either reads.
        let large = vec![3; 20_000_000];
        a.send(&large).unwrap();
        b.send(&large).unwrap();
        for link in [&a, &b] {
            let frame = link.receive().unwrap();
            assert!(frame == large);
            link.give_back(frame);
        }
        assert_eq!(a.receive_until(Instant::now()), Ok(None));
        drop(a);
        assert_eq!(b.receive(), Err(closed()));
    }

    #[test]
    fn a_living_link_beats_and_a_silent_one_is_noticed() {
        let timeout = Duration::from_millis(300);
        let [a, b] = pair();
        let (a, b) = (Link::new(a, timeout).unwrap(), Link::new(b, timeout).unwrap());
        assert_eq!(a.receive_until(Instant::now() + 3 * timeout), Ok(None));
        a.send(b"x").unwrap();
        assert_eq!(b.receive().unwrap(), b"x");
        let [mute, c] = pair();
        let c = Link::new(c, timeout).unwrap();
        assert_eq!(c.receive(), Err(RankFailure::Silent { seconds: timeout.as_secs_f64() }));
        drop(mute);
    }
}
