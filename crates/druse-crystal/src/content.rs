//! From the bytes of a file to its text: gzip and character sets, the same for every reader.
//!
//! | bytes | text |
//! | --- | --- |
//! | gzip data, whatever the name of the file | decompressed first |
//! | UTF-8, with or without byte-order mark | as it is, the mark left out |
//! | UTF-16 with byte-order mark | decoded |
//! | lines that are no UTF-8 | Windows-1252, which is Latin-1 with letters in place of the control characters 80–9F |
//! | other compression, the byte 0 | refused |

use std::borrow::Cow;
use std::io::{ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

const GZIP: &[u8] = b"\x1f\x8b";
/// How other compressed files and archives begin.
const COMPRESSED: [(&[u8], &str); 5] = [
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
    (b"\x1f\x9d", "compress (.Z)"),
];
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// Windows-1252 at 80–9F. The five bytes that it leaves open are the control characters of Latin-1.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// Bytes that hold no text. The message continues a sentence that begins with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// The name ends in `.gz`, the content is something else.
    #[error(
        "is named .gz but is not gzip data (it begins with {begins}); rename it or compress it with `gzip`"
    )]
    NotGzip {
        /// Its first bytes, printable.
        begins: String,
    },
    /// The compressed data stops early.
    #[error(
        "is a truncated gzip file: it ends after {decoded} decompressed bytes; copy or download it again"
    )]
    TruncatedGzip {
        /// Bytes that could be decompressed.
        decoded: usize,
    },
    /// The compressed data is damaged.
    #[error("is a damaged gzip file ({reason}); copy or download it again")]
    DamagedGzip {
        /// What the decompressor found.
        reason: String,
    },
    /// It is compressed in a way that is not read.
    #[error("is compressed with {method}, which is not read; unpack it (gzip files are read as they are)")]
    OtherCompression {
        /// The program that compressed it.
        method: &'static str,
    },
    /// It has a byte that no text has.
    #[error("is no text: line {line} holds the byte 0; a structure file is plain text or gzip data")]
    Binary {
        /// Line of that byte, from 1.
        line: usize,
    },
    /// It begins as UTF-16 does and is none.
    #[error("begins with the byte-order mark of UTF-16 and is no such text; save it as UTF-8")]
    BrokenUtf16,
}

/// The bytes of a file without their gzip compression, which the content tells, not the name.
///
/// # Errors
/// [`ContentError`] for compressed data that is damaged or of another kind, and for a file named `.gz` that is not
/// compressed.
pub fn unpack<'a>(path: &Path, raw: &'a [u8]) -> Result<Cow<'a, [u8]>, ContentError> {
    if !raw.starts_with(GZIP) {
        if let Some((_, method)) = COMPRESSED.iter().find(|(magic, _)| raw.starts_with(magic))
            // Text may begin with the letters of a magic number, but has no byte 0.
            && raw.contains(&0)
        {
            return Err(ContentError::OtherCompression { method });
        }
        if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
            let begins = format!("`{}`", raw[..raw.len().min(16)].escape_ascii());
            return Err(ContentError::NotGzip { begins });
        }
        return Ok(Cow::Borrowed(raw));
    }
    let mut bytes = Vec::with_capacity(raw.len() * 8);
    match MultiGzDecoder::new(raw).read_to_end(&mut bytes) {
        Ok(_) => Ok(Cow::Owned(bytes)),
        Err(e) if e.kind() == ErrorKind::UnexpectedEof => {
            Err(ContentError::TruncatedGzip { decoded: bytes.len() })
        }
        Err(e) => Err(ContentError::DamagedGzip { reason: e.to_string() }),
    }
}

/// The text of a file of one or a few structures.
///
/// # Errors
/// [`ContentError`] for bytes that are no text.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, str>, ContentError> {
    let text = decode_rows(bytes)?;
    match text.bytes().position(|b| b == 0) {
        Some(place) => Err(binary(&text, place)),
        None => Ok(text),
    }
}

/// The text of a table, whose rows are judged one by one: as [`decode`], but the byte 0 is refused in the first line
/// only, so that a damaged row does not take the others with it.
///
/// # Errors
/// [`ContentError`] for bytes that are no text.
pub fn decode_rows(bytes: &[u8]) -> Result<Cow<'_, str>, ContentError> {
    let text = match bytes {
        [0xff, 0xfe, rest @ ..] => Cow::Owned(utf16(rest, u16::from_le_bytes)?),
        [0xfe, 0xff, rest @ ..] => Cow::Owned(utf16(rest, u16::from_be_bytes)?),
        _ => characters(bytes.strip_prefix(UTF8_MARK).unwrap_or(bytes)),
    };
    let first = text.bytes().take_while(|&b| b != b'\n').position(|b| b == 0);
    if let Some(place) = first {
        return Err(binary(&text, place));
    }
    // Lines that end in carriage returns alone, as on old Macintosh computers.
    if text.contains('\r') && !text.contains('\n') {
        return Ok(Cow::Owned(text.replace('\r', "\n")));
    }
    Ok(text)
}

fn binary(text: &str, place: usize) -> ContentError {
    ContentError::Binary { line: 1 + text.as_bytes()[..place].iter().filter(|&&b| b == b'\n').count() }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, ContentError> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(ContentError::BrokenUtf16);
    }
    char::decode_utf16(pairs.iter().map(|&pair| unit(pair)))
        .collect::<Result<String, _>>()
        .map_err(|_| ContentError::BrokenUtf16)
}

/// UTF-8, but lines that are none in Windows-1252: a name in Latin-1 in one row of a table changes no other row.
fn characters(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + bytes.len() / 16);
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        match std::str::from_utf8(line) {
            Ok(text) => out.push_str(text),
            Err(_) => out.extend(line.iter().map(|&b| match b {
                0x80..=0x9f => WINDOWS_1252[usize::from(b - 0x80)],
                b => char::from(b),
            })),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn each_character_set_gives_the_same_text() {
        let text = "data_x\n_cell_angle_alpha 90 # Grad: °, Autor: Müller\n";
        let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
        let wide = |swap: bool| -> Vec<u8> {
            let pair = |u: u16| if swap { u.to_be_bytes() } else { u.to_le_bytes() };
            std::iter::once(0xfeff).chain(text.encode_utf16()).flat_map(pair).collect()
        };
        let marked = [UTF8_MARK, text.as_bytes()].concat();
        for bytes in [text.as_bytes().to_vec(), marked, latin, wide(false), wide(true)] {
            assert_eq!(decode(&bytes).unwrap(), text);
        }
        assert_eq!(decode(b"a \x80 \x93b\x94 \x81").unwrap(), "a € “b” \u{81}");
        assert_eq!(decode(b"one\rtwo\r").unwrap(), "one\ntwo\n");
        // A line in another character set leaves its neighbors alone.
        assert_eq!(
            decode("é\n".bytes().chain(*b"\xe9\n").collect::<Vec<u8>>().as_slice()).unwrap(),
            "é\né\n"
        );
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        assert_eq!(decode(b"a\nb\0"), Err(ContentError::Binary { line: 2 }));
        assert!(decode_rows(b"a\nb\0").is_ok() && decode_rows(b"a\0\nb").is_err());
        assert_eq!(decode(b"\xff\xfea"), Err(ContentError::BrokenUtf16));
        assert_eq!(decode(b"\xff\xfe\0\xd8a\0"), Err(ContentError::BrokenUtf16));
        // UTF-32 begins like UTF-16.
        assert!(matches!(decode(b"\xff\xfe\0\0a\0\0\0"), Err(ContentError::Binary { .. })));
    }

    #[test]
    fn compression_is_told_by_the_content() {
        let unpack = |name: &str, bytes: &[u8]| unpack(Path::new(name), bytes).map(Cow::into_owned);
        let packed = gzip(b"salt");
        for name in ["POSCAR", "CONTCAR.gz", "x.cif.GZ"] {
            assert_eq!(unpack(name, &packed).unwrap(), b"salt", "{name}");
        }
        assert_eq!(unpack("two.gz", &[packed.clone(), gzip(b" lake")].concat()).unwrap(), b"salt lake");
        assert!(matches!(unpack("x.cif.gz", b"data_x"), Err(ContentError::NotGzip { .. })));
        assert!(matches!(unpack("x", &packed[..packed.len() / 2]), Err(ContentError::TruncatedGzip { .. })));
        let method = |bytes: &[u8]| match unpack("x.cif", bytes) {
            Err(ContentError::OtherCompression { method }) => method,
            other => panic!("{other:?}"),
        };
        assert_eq!([method(b"BZh91AY&SY\0"), method(b"PK\x03\x04\0")], ["bzip2", "zip"]);
        assert!(unpack("names", b"BZh of Zurich\n").is_ok());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_text_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(text) = decode(&bytes) {
                prop_assert!(!text.contains('\0'));
            }
            let _ = unpack(Path::new("x.gz"), &bytes);
        }
    }
}
