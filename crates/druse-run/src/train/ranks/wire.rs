//! Frames of bytes: a length of four bytes, little-endian, and as many bytes. A frame of length 0 is a sign of life.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest frame: enough for gradients of some hundreds of millions of numbers.
pub(super) const LONGEST: usize = 1 << 31;

/// Bytes that memory is reserved for at a time: a length that is a lie costs no more.
const AT_A_TIME: usize = 1 << 22;

/// Whether a read or write has waited for as long as it was allowed to.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Reads until the buffer is full; an end of the stream is an error.
pub(super) fn read_all(stream: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match stream.read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the connection was closed")),
            Ok(n) => buffer = &mut buffer[n..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Reads a frame into a buffer, whose length is that of the frame afterwards.
pub(super) fn read_frame(stream: &mut impl Read, buffer: &mut Vec<u8>, longest: usize) -> io::Result<()> {
    let mut length = [0; 4];
    read_all(stream, &mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > longest {
        let text = format!("a frame of {length} bytes, and {longest} are the most");
        return Err(io::Error::new(ErrorKind::InvalidData, text));
    }
    buffer.clear();
    while buffer.len() < length {
        let filled = buffer.len();
        buffer.resize(length.min(filled + AT_A_TIME), 0);
        read_all(stream, &mut buffer[filled..])?;
    }
    Ok(())
}

/// Writes a frame.
pub(super) fn write_frame(stream: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let too_long = || io::Error::new(ErrorKind::InvalidInput, "a frame is too long");
    let length = u32::try_from(bytes.len()).ok().filter(|&n| n as usize <= LONGEST).ok_or_else(too_long)?;
    stream.write_all(&length.to_le_bytes())?;
    stream.write_all(bytes)
}

/// A stream of which every byte has to have come by a deadline: whoever sends one byte at a time gains nothing.
pub(super) struct Until<'s> {
    stream: &'s TcpStream,
    deadline: Instant,
}

impl<'s> Until<'s> {
    pub(super) fn new(stream: &'s TcpStream, deadline: Instant) -> Self {
        Self { stream, deadline }
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Until<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        let mut stream = self.stream;
        stream.read(buffer)
    }
}

impl Write for Until<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        let mut stream = self.stream;
        stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_as_they_went_and_lies_about_lengths_are_refused() {
        let mut bytes = Vec::new();
        let long = vec![7; AT_A_TIME + 5];
        for frame in [&b"one"[..], b"", &long] {
            write_frame(&mut bytes, frame).unwrap();
        }
        let (mut stream, mut buffer) = (bytes.as_slice(), vec![1, 2, 3]);
        for frame in [&b"one"[..], b"", &long] {
            read_frame(&mut stream, &mut buffer, LONGEST).unwrap();
            assert_eq!(buffer, frame);
        }
        let end = read_frame(&mut stream, &mut buffer, LONGEST).unwrap_err();
        assert_eq!(end.kind(), ErrorKind::UnexpectedEof);
        let mut lie = &[255, 255, 255, 255, 1][..];
        assert_eq!(read_frame(&mut lie, &mut buffer, LONGEST).unwrap_err().kind(), ErrorKind::InvalidData);
        let mut short = &[0, 0, 0, 64, 1][..];
        assert_eq!(
            read_frame(&mut short, &mut buffer, LONGEST).unwrap_err().kind(),
            ErrorKind::UnexpectedEof
        );
        assert!(buffer.capacity() <= 4 * AT_A_TIME, "{}", buffer.capacity());
    }
}
