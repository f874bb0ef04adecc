//! Files of CrysTens images on the command line.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use clap::Args;
use clap::builder::PossibleValuesParser;
use druse_crystal::{content, files};
use druse_data::DataError;
use druse_data::crystens::{Codec, Decoding, Image, ImageFile, is_image_file, picture};
use schemars::JsonSchema;
use serde::Serialize;

use crate::failure::Failure;

/// Images of a picture.
pub const MAX_PICTURED: usize = 8;
/// Images without a crystal that are named.
const MAX_NAMED: usize = 5;

/// How images are decoded.
#[derive(Args, Clone)]
pub struct DecodingArgs {
    /// With a file of images as input: default, paper (3 clusters of atomic numbers, 6 of coordinates), or published (the
    /// script with its quirks).
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(Decoding::NAMES), hide_possible_values = true)]
    decoding: Option<String>,
}

impl DecodingArgs {
    /// How this source is decoded; refuses a wish for a source that holds no images.
    pub fn of_source(&self, path: &Path) -> Result<Decoding, Failure> {
        let Some(name) = &self.decoding else { return Ok(Decoding::default()) };
        if files::is_file(path) && !is_image_file(&image_bytes(path)?) {
            let words = format!("--decoding belongs to images, and `{}` is no file of them", path.display());
            return Err(Failure::mistake(words));
        }
        Ok(Decoding::named(name).unwrap_or_default())
    }
}

/// The bytes of a file, decompressed.
pub fn image_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    let raw = files::read(path)?;
    let unpacked =
        content::unpack(path, &raw).map_err(|source| DataError::Content { path: path.to_owned(), source })?;
    Ok(unpacked.into_owned())
}

/// What a file of images holds.
#[derive(Serialize, JsonSchema)]
pub struct ImagesFound {
    /// Images.
    images: usize,
    /// Images that show a crystal.
    crystals: usize,
    /// How numbers are normalized, in words.
    normalization: String,
    /// Atoms of each image; `null` where there is none to be counted.
    atoms: Vec<Option<usize>>,
    /// The statistics of consistency; docs/crystens.md defines them.
    consistency: BTreeMap<String, Option<f64>>,
    /// Images that show no crystal, and why.
    failures: Vec<String>,
}

/// What a file of images holds, in lines and for programs.
pub fn describe(path: &Path, file: &ImageFile<'_>) -> (String, ImagesFound) {
    let normalization = file.header().normalization;
    let codec = Codec::new(normalization);
    let consistency = file.consistency(&codec);
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    let mut failures = Vec::new();
    for k in 0..file.len() {
        let image = file.image(k);
        for x in image.channels_last().iter().filter(|x| x.is_finite()) {
            (low, high) = (low.min(*x), high.max(*x));
        }
        if let Err(e) = codec.decode(&image) {
            failures.push(format!("{}: {e}", file.name(k)));
        }
    }
    let mut text = format!("CrysTens images: {}\n", path.display());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<36}{value}");
    };
    line("images", format!("{} of 64×64 pixels and 4 channels ({})", file.len(), file.number_type()));
    line("layout", "image, row, column, channel".to_owned());
    line("normalization", normalization.describe());
    if low <= high {
        line("normalized numbers", format!("{low:.4} to {high:.4}"));
    }
    let atoms: Vec<usize> = consistency.atoms.iter().flatten().copied().collect();
    if let (Some(least), Some(most)) = (atoms.iter().min(), atoms.iter().max()) {
        let mean = atoms.iter().sum::<usize>() as f64 / atoms.len() as f64;
        line("atoms", format!("{least} to {most}, {mean:.1} on average"));
    }
    line("crystals", format!("{} of {} images show one", file.len() - failures.len(), file.len()));
    for failure in failures.iter().take(MAX_NAMED) {
        line("", failure.clone());
    }
    if failures.len() > MAX_NAMED {
        line("", format!("… and {} more", failures.len() - MAX_NAMED));
    }
    let six = consistency.six();
    for (_, name, value) in &six {
        line(name, value.map_or_else(|| "none".to_owned(), |x| format!("{x:.4e}")));
    }
    let found = ImagesFound {
        images: file.len(),
        crystals: file.len() - failures.len(),
        normalization: normalization.describe(),
        atoms: consistency.atoms.clone(),
        consistency: six.into_iter().map(|(key, _, value)| (key.to_owned(), value)).collect(),
        failures,
    };
    (text, found)
}

/// Writes a picture of the first images of a file or of structures.
pub fn write_picture(path: &Path, images: &[Image]) -> Result<(), Failure> {
    let shown = &images[..images.len().min(MAX_PICTURED)];
    let png = picture(shown).map_err(|e| Failure::mistake(format!("no picture can be made: {e}")))?;
    if let Some(folder) = path.parent() {
        files::create_dir_all(folder)?;
    }
    files::write_atomic(path, &png)?;
    Ok(())
}
