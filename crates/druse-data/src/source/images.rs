//! Files of CrysTens images: what each shows.

use std::path::Path;

use druse_crystal::formats::{CoincidentSites, coincident_sites};
use rayon::prelude::*;

use super::{Found, Reading, Row, Rows};
use crate::DataError;
use crate::crystens::{Codec, Decoding, ImageFile};
use crate::properties::{number, scalar};

/// Property that holds the space-group number that an image states.
pub(crate) const STATED_SPACE_GROUP: &str = "image_space_group";

/// Decodes every image by the defaults; one that shows no crystal is a row without structure.
pub(super) fn read(path: &Path, bytes: &[u8], reading: Reading) -> Result<Rows, DataError> {
    let file =
        ImageFile::parse(bytes).map_err(|source| DataError::Images { path: path.to_owned(), source })?;
    Ok(Rows { rows: rows(&file, Decoding::default(), reading), warnings: Vec::new() })
}

/// A row for each image, decoded in this way.
pub(crate) fn rows(file: &ImageFile<'_>, decoding: Decoding, reading: Reading) -> Vec<Row> {
    let codec = Codec { normalization: file.header().normalization, decoding };
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
