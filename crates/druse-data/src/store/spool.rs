//! Streams that grow side by side in one temporary file.

use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::SpooledTempFile;

/// Bytes of a stream kept before they go to the file.
const BUFFER: usize = 1 << 16;
/// Bytes of all streams that stay in memory; small sets touch no disk.
const IN_MEMORY: usize = 1 << 25;

/// The file behind the streams. It has no name and vanishes with the program.
pub(super) struct Spool {
    file: SpooledTempFile,
    end: u64,
}

/// A growing sequence of bytes.
#[derive(Default)]
pub(super) struct Stream {
    buffer: Vec<u8>,
    /// Places in the file, and their lengths.
    extents: Vec<(u64, usize)>,
}

impl Spool {
    /// The file lies in `folder`, where it is going to be needed, rather than in a folder for temporary files, which may
    /// be memory.
    pub(super) fn new(folder: Option<&Path>) -> Self {
        let file = match folder {
            Some(folder) => SpooledTempFile::new_in(IN_MEMORY, folder),
            None => SpooledTempFile::new(IN_MEMORY),
        };
        Self { file, end: 0 }
    }

    pub(super) fn append(&mut self, stream: &mut Stream, fill: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        fill(&mut stream.buffer);
        if stream.buffer.len() >= BUFFER {
            self.file.seek(SeekFrom::Start(self.end))?;
            self.file.write_all(&stream.buffer)?;
            stream.extents.push((self.end, stream.buffer.len()));
            self.end += stream.buffer.len() as u64;
            stream.buffer.clear();
        }
        Ok(())
    }

    /// Writes what the stream holds.
    pub(super) fn copy(&mut self, stream: &Stream, out: &mut dyn Write) -> io::Result<()> {
        let mut bytes = Vec::new();
        for &(at, length) in &stream.extents {
            bytes.resize(length, 0);
            self.file.seek(SeekFrom::Start(at))?;
            self.file.read_exact(&mut bytes)?;
            out.write_all(&bytes)?;
        }
        out.write_all(&stream.buffer)
    }
}
