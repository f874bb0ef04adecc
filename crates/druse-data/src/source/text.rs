//! The text of a large file in blocks of whole lines.

use std::io::{self, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};

use druse_crystal::content::{self, ContentError};
use druse_crystal::files::{self as disk, Action, FileError};
use flate2::read::MultiGzDecoder;

use crate::DataError;

const GZIP: &[u8] = b"\x1f\x8b";
const UTF16_MARKS: [&[u8]; 2] = [b"\xff\xfe", b"\xfe\xff"];
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads a file block by block. Blocks end with a line; gzip data is decompressed on the way.
pub(super) struct TextBlocks {
    path: PathBuf,
    input: Box<dyn Read + Send>,
    size: usize,
    /// Bytes read behind the last line of the last block.
    carry: Vec<u8>,
    gzip: bool,
    /// Decompressed bytes so far.
    decoded: usize,
    first: bool,
    ended: bool,
}

impl TextBlocks {
    /// Opens a file to be read in blocks of some `size` bytes. `None` for text that cannot be cut before it is decoded as a
    /// whole: UTF-16, and lines that end in carriage returns alone.
    pub(super) fn open(path: &Path, size: usize) -> Result<Option<Self>, DataError> {
        // The first block has to hold a byte-order mark.
        let size = size.max(4);
        let mut file = disk::reader(path)?;
        let failed = FileError::wrap(Action::Read, path);
        let mut head = Vec::new();
        file.by_ref().take(1 << 16).read_to_end(&mut head).map_err(failed)?;
        let gzip = head.starts_with(GZIP);
        if !gzip {
            // Names and magic numbers of other compression are refused here.
            content::unpack(path, &head).map_err(|e| wrong(path, e))?;
        }
        let raw = io::Cursor::new(head).chain(file);
        let input: Box<dyn Read + Send> = match gzip {
            true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(raw))),
            false => Box::new(raw),
        };
        let path = path.to_owned();
        let mut blocks =
            Self { path, input, size, carry: Vec::new(), gzip, decoded: 0, first: true, ended: false };
        blocks.read_on()?;
        let head = &blocks.carry;
        let whole = UTF16_MARKS.iter().any(|mark| head.starts_with(mark))
            || head.contains(&b'\r') && !head.contains(&b'\n');
        Ok((!whole).then_some(blocks))
    }

    /// Reads up to `size` more bytes behind what was carried over.
    fn read_on(&mut self) -> Result<(), DataError> {
        let before = self.carry.len();
        let read = self.input.by_ref().take(self.size as u64).read_to_end(&mut self.carry);
        self.decoded += self.carry.len() - before;
        match read {
            Ok(n) => {
                self.ended = n < self.size;
                Ok(())
            }
            Err(e) if !self.gzip => Err(FileError::wrap(Action::Read, &self.path)(e).into()),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
                Err(wrong(&self.path, ContentError::TruncatedGzip { decoded: self.decoded }))
            }
            Err(e) => Err(wrong(&self.path, ContentError::DamagedGzip { reason: e.to_string() })),
        }
    }

    /// The next block; `None` behind the end. Only the last one may end without a line feed.
    pub(super) fn next(&mut self) -> Result<Option<String>, DataError> {
        loop {
            if self.ended {
                let rest = std::mem::take(&mut self.carry);
                return (!rest.is_empty()).then(|| self.decode(&rest)).transpose();
            }
            if self.carry.len() >= self.size
                && let Some(end) = self.carry.iter().rposition(|&b| b == b'\n')
            {
                let rest = self.carry.split_off(end + 1);
                let block = std::mem::replace(&mut self.carry, rest);
                return self.decode(&block).map(Some);
            }
            self.read_on()?;
        }
    }

    fn decode(&mut self, bytes: &[u8]) -> Result<String, DataError> {
        let wrong = |e| wrong(&self.path, e);
        if std::mem::take(&mut self.first) {
            return Ok(content::decode_rows(bytes).map_err(wrong)?.into_owned());
        }
        // The first line of a file is judged more strictly than others, and may begin with a mark.
        let marked = bytes.starts_with(UTF8_MARK);
        if let (Ok(text), false) = (std::str::from_utf8(bytes), marked) {
            return Ok(text.to_owned());
        }
        let text = content::decode_rows(&[b"\n", bytes].concat()).map_err(wrong)?.into_owned();
        Ok(text[1..].to_owned())
    }
}

fn wrong(path: &Path, source: ContentError) -> DataError {
    DataError::Content { path: path.to_owned(), source }
}

/// The blocks as a stream of bytes in UTF-8, for readers that find the ends of rows themselves.
pub(super) struct TextReader {
    blocks: TextBlocks,
    text: String,
    at: usize,
    /// Quotation marks so far.
    pub(super) quotes: usize,
}

impl TextReader {
    pub(super) fn new(blocks: TextBlocks) -> Self {
        Self { blocks, text: String::new(), at: 0, quotes: 0 }
    }
}

impl Read for TextReader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.at == self.text.len() {
            // The error travels through the reader of rows, see `unwrap_io`.
            self.text = self.blocks.next().map_err(io::Error::other)?.unwrap_or_default();
            self.at = 0;
        }
        let rest = &self.text.as_bytes()[self.at..];
        let n = rest.len().min(out.len());
        out[..n].copy_from_slice(&rest[..n]);
        self.quotes += out[..n].iter().filter(|&&b| b == b'"').count();
        self.at += n;
        Ok(n)
    }
}

/// The error that a [`TextReader`] gave, or one of reading the file.
pub(super) fn unwrap_io(error: io::Error, path: &Path) -> DataError {
    match error.downcast::<DataError>() {
        Ok(error) => error,
        Err(error) => FileError::wrap(Action::Read, path)(error).into(),
    }
}
