//! Files of CrysTens images: what each shows.

use std::path::Path;

use druse_crystal::content;
use druse_crystal::files as disk;
use druse_crystal::formats::{CoincidentSites, coincident_sites};
use rayon::prelude::*;

use super::{Found, Reading, Row, Rows};
use crate::DataError;
use crate::crystens::{Codec, Consistency, ImageFile, STATED_SPACE_GROUP, is_image_file};
use crate::properties::{number, scalar};

/// Decodes every image; one that shows no crystal is a row without structure.
pub(super) fn read(path: &Path, bytes: &[u8], reading: Reading) -> Result<Rows, DataError> {
    let file =
        ImageFile::parse(bytes).map_err(|source| DataError::Images { path: path.to_owned(), source })?;
    Ok(Rows { rows: rows(&file, reading), warnings: Vec::new() })
}

/// A row for each image.
fn rows(file: &ImageFile<'_>, reading: Reading) -> Vec<Row> {
    let codec = Codec { normalization: file.header().normalization, decoding: reading.decoding };
    let row = |k: usize| {
        let known = file.header().properties.get(k).cloned().unwrap_or_default();
        let mut properties: druse_crystal::Properties =
            known.into_iter().filter_map(|(name, value)| Some((name, scalar(&value)?))).collect();
        let shown = codec.decode(&file.image(k)).map_err(|e| e.to_string());
        if let Some(group) = shown.as_ref().ok().and_then(|d| number(d.space_group.round())) {
            properties.insert(STATED_SPACE_GROUP.to_owned(), group);
        }
        let outcome =
            shown.and_then(|decoded| match (reading.coincident, coincident_sites(&decoded.structure)) {
                (CoincidentSites::Refuse, Some((i, j, distance))) => {
                    Err(format!("atoms {} and {} of the image are {distance:.3} Å apart", i + 1, j + 1))
                }
                _ => Ok(Found { structure: decoded.structure, warnings: Vec::new() }),
            });
        Row {
            row: Some(k + 1),
            line: None,
            id: Some(file.name(k)),
            counted: file.header().ids.is_empty(),
            properties,
            composition: None,
            outcome,
        }
    };
    (0..file.len()).into_par_iter().map(row).collect()
}

/// The consistency of the images of a file, counted by the defaults; `None` where it is no file of images.
///
/// # Errors
/// [`DataError`]: the file cannot be read, or its images cannot.
pub fn image_consistency(path: &Path) -> Result<Option<Consistency>, DataError> {
    if disk::is_dir(path)? {
        return Ok(None);
    }
    let raw = disk::read(path)?;
    let bytes =
        content::unpack(path, &raw).map_err(|source| DataError::Content { path: path.to_owned(), source })?;
    if !is_image_file(&bytes) {
        return Ok(None);
    }
    let file =
        ImageFile::parse(&bytes).map_err(|source| DataError::Images { path: path.to_owned(), source })?;
    Ok(Some(file.consistency(&Codec::new(file.header().normalization))))
}
