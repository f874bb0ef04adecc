//! Ranks joined by TCP.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use druse_models::RankFailure;

use super::link::{Carrier, Incoming, Link, closed};
use super::wire::{LONGEST, is_timeout, read_frame, write_frame};

/// A link on a connection; silence for longer than `timeout` is death.
///
/// # Errors
/// Those of the system.
pub(super) fn link(stream: TcpStream, timeout: Duration) -> io::Result<Link> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let reader = stream.try_clone()?;
    let (sender, frames) = channel();
    let (spare, buffers) = channel();
    thread::spawn(move || read_frames(reader, timeout, &sender, &buffers));
    let carrier = Arc::new(Tcp { writer: Mutex::new(stream), timeout });
    Ok(Link::new(carrier, Incoming { frames, spare }, timeout))
}

struct Tcp {
    writer: Mutex<TcpStream>,
    timeout: Duration,
}

impl Carrier for Tcp {
    fn send(&self, frame: &[u8]) -> Result<(), RankFailure> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write_frame(&mut *writer, frame).and_then(|()| writer.flush());
        written.map_err(|e| failure(&e, self.timeout))
    }

    fn finish(&self) -> bool {
        self.shutdown(Shutdown::Write)
    }

    fn close(&self) {
        // Wakes the reader; a connection that is closed already needs none.
        self.shutdown(Shutdown::Both);
    }
}

impl Tcp {
    fn shutdown(&self, how: Shutdown) -> bool {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).shutdown(how).is_ok()
    }
}

fn failure(error: &io::Error, timeout: Duration) -> RankFailure {
    match error.kind() {
        _ if is_timeout(error) => RankFailure::Silent { seconds: timeout.as_secs_f64() },
        io::ErrorKind::InvalidData => RankFailure::Malformed(error.to_string()),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => closed(),
        _ => RankFailure::Lost(error.to_string()),
    }
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
    use std::time::Instant;

    use super::*;

    fn pair() -> [TcpStream; 2] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        [one, listener.accept().unwrap().0]
    }

    #[test]
    fn frames_pass_while_nobody_reads_and_buffers_come_back() {
        let [a, b] = pair().map(|s| link(s, Duration::from_secs(20)).unwrap());
        // More than the system keeps: both send before either reads.
        let large = vec![3; 20_000_000];
        a.send(&large).unwrap();
        b.send(&large).unwrap();
        for end in [&a, &b] {
            let frame = end.receive().unwrap();
            assert!(frame == large);
            end.give_back(frame);
        }
        assert_eq!(a.receive_until(Instant::now()), Ok(None));
        drop(a);
        assert_eq!(b.receive(), Err(closed()));
    }

    #[test]
    fn a_living_link_beats_and_a_silent_one_is_noticed() {
        let timeout = Duration::from_millis(300);
        let [a, b] = pair();
        let (a, b) = (link(a, timeout).unwrap(), link(b, timeout).unwrap());
        assert_eq!(a.receive_until(Instant::now() + 3 * timeout), Ok(None));
        a.send(b"x").unwrap();
        assert_eq!(b.receive().unwrap(), b"x");
        let [mute, c] = pair();
        let c = link(c, timeout).unwrap();
        assert_eq!(c.receive(), Err(RankFailure::Silent { seconds: timeout.as_secs_f64() }));
        drop(mute);
    }
}
