//! Data sets as files of CrysTens images.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use druse_crystal::files;
use flate2::Compression;
use flate2::write::GzEncoder;
use rayon::prelude::*;

use crate::crystens::{Codec, ImageHeader, Normalization, space_group, write_images};
use crate::{DataError, Dataset, Entry, Skipped};

/// Images made at a time, so that memory stays small beside the data set.
const BLOCK: usize = 256;

/// How a data set becomes a file of images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ImageOptions {
    /// The normalization: a published one, or that of another file or of a model; `None` for `avg-std` with the constants
    /// of the structures that are written.
    pub normalization: Option<Normalization>,
    /// Largest share of structures that may have no image.
    pub max_skipped_share: f64,
    /// Whether the file is gzip-compressed, which makes it many times smaller.
    pub gzip: bool,
    /// Whether an existing file is replaced.
    pub overwrite: bool,
}

impl Default for ImageOptions {
    /// Published constants; every structure has to have an image; not compressed; nothing is replaced.
    fn default() -> Self {
        let normalization = Some(Normalization::published());
        Self { normalization, max_skipped_share: 0.0, gzip: false, overwrite: false }
    }
}

/// Writes the images of a data set, 32-bit numbers, with identifiers and properties in the header; returns the structures
/// that have none: more than 52 atoms, or no space group.
///
/// # Errors
/// [`DataError::OutputExists`]; [`DataError::TooManySkipped`] for more of them than the allowed share;
/// [`DataError::Empty`] where nothing is left; [`DataError::File`].
pub fn write_image_file(
    dataset: &Dataset,
    path: &Path,
    options: &ImageOptions,
) -> Result<Vec<Skipped>, DataError> {
    if !options.overwrite && super::is_in_the_way(path, false) {
        return Err(DataError::OutputExists { path: path.to_owned() });
    }
    let (fit, skipped) = fitting(dataset);
    let source = || PathBuf::from(&dataset.name);
    if skipped.len() as f64 > options.max_skipped_share * dataset.len() as f64 {
        let (total, allowed) = (dataset.len(), options.max_skipped_share);
        return Err(DataError::TooManySkipped { path: source(), skipped, total, allowed });
    }
    if fit.is_empty() {
        let reason = "it has no structure that fits into an image of 52 atoms".to_owned();
        return Err(DataError::Empty { path: source(), reason });
    }
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    files::write_atomic_with(path, |file| {
        let mut out = BufWriter::new(file);
        if options.gzip {
            let mut gzip = GzEncoder::new(&mut out, Compression::default());
            write(&fit, options.normalization.as_ref(), &mut gzip)?;
            gzip.finish()?;
        } else {
            write(&fit, options.normalization.as_ref(), &mut out)?;
        }
        out.flush()
    })?;
    Ok(skipped)
}

/// The entries that have an image with their space groups, and the others.
fn fitting(dataset: &Dataset) -> (Vec<(&Entry, u16)>, Vec<Skipped>) {
    let groups: Vec<_> = dataset.entries.par_iter().map(|e| (e, space_group(&e.structure))).collect();
    let (mut fit, mut skipped) = (Vec::new(), Vec::new());
    for (row, (entry, group)) in groups.into_iter().enumerate() {
        match group {
            Ok(group) => fit.push((entry, group)),
            Err(e) => skipped.push(Skipped {
                file: PathBuf::from(&dataset.name),
                row: Some(row + 1),
                line: None,
                id: Some(entry.id.clone()),
                reason: e.to_string(),
            }),
        }
    }
    (fit, skipped)
}

fn write(
    entries: &[(&Entry, u16)],
    normalization: Option<&Normalization>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let fitted = || Normalization::fitted(entries.iter().map(|(e, group)| (&e.structure, *group)));
    let normalization = normalization.copied().unwrap_or_else(fitted);
    let header = ImageHeader {
        normalization,
        ids: entries.iter().map(|(e, _)| e.id.clone()).collect(),
        properties: entries.iter().map(|(e, _)| e.structure.properties.clone()).collect(),
    };
    let codec = Codec::new(normalization);
    let images = entries.chunks(BLOCK).flat_map(|block| {
        let images: Vec<_> = block
            .par_iter()
            // Only the number of atoms could stand against it, which the search for the group has checked.
            .filter_map(|(e, group)| codec.encode_as(&e.structure, *group).ok())
            .collect();
        images
    });
    write_images(out, &header, entries.len(), images)
}
