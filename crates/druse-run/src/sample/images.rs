//! The images of a model that makes images, beside its structures: one file with a place for each.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::PathBuf;

use druse_crystal::files;
use druse_data::crystens::{
    IMAGE_BYTES, Image, ImageFile, ImageHeader, Normalization, image_bytes, image_file_start,
};

use super::Shard;
use crate::RunError;
use crate::folder::RunFolder;

/// The images, in the order of the indices of the structures, which are their identifiers. One whose network failed, or that
/// is not made yet, is zero everywhere.
pub const IMAGES_FILE: &str = "images.safetensors";

/// A file of images in which every index has its place from the beginning, so that a run can be continued.
#[derive(Debug)]
pub struct ImageStore {
    path: PathBuf,
    file: File,
    /// Where the first image begins.
    start: u64,
    shard: Shard,
}

impl ImageStore {
    /// Opens or begins the file of a run of so many structures, of which it holds a share; `None` where no images are kept.
    /// `continued` says that structures are there.
    ///
    /// # Errors
    /// [`RunError::Changed`] when the run was begun with images and is continued without, or the other way round;
    /// [`RunError::Damaged`] when the file has another length; [`RunError::Read`], [`RunError::Write`].
    pub fn open(
        folder: &RunFolder,
        (count, shard): (u64, Shard),
        normalization: Option<Normalization>,
        continued: bool,
    ) -> Result<Option<Self>, RunError> {
        let path = folder.join(IMAGES_FILE);
        let exists = path.exists();
        if continued && exists != normalization.is_some() {
            let [stored, given] = [exists, !exists].map(|kept| if kept { "yes" } else { "no" }.to_owned());
            let (path, key) = (folder.path().to_owned(), "--keep-images".to_owned());
            return Err(RunError::Changed { path, key, stored, given });
        }
        let Some(normalization) = normalization else { return Ok(None) };
        let indices: Vec<u64> = (0..count).filter(|i| i % shard.count == shard.index).collect();
        let size = (indices.len() * IMAGE_BYTES) as u64;
        let mut options = OpenOptions::new();
        options.create(true).read(true).write(true).truncate(false);
        let mut file = files::open_with(&path, &options)?;
        let start = if continued {
            let read = |source| RunError::Read { path: path.clone(), source };
            let mut bytes = [0; 8];
            file.read_exact(&mut bytes).map_err(read)?;
            let start = u64::from_le_bytes(bytes).saturating_add(8);
            if file.metadata().map_err(read)?.len() != start.saturating_add(size) {
                let reason = format!("it has no place for {} images", indices.len());
                return Err(RunError::Damaged { path, reason });
            }
            start
        } else {
            let ids = indices.iter().map(u64::to_string).collect();
            let header = ImageHeader { normalization, ids, properties: Vec::new() };
            image_file_start(&header, indices.len())
                .and_then(|bytes| {
                    file.set_len(0)?;
                    file.write_all(&bytes)?;
                    file.set_len(bytes.len() as u64 + size)?;
                    Ok(bytes.len() as u64)
                })
                .map_err(RunError::write(&path))?
        };
        Ok(Some(Self { path, file, start, shard }))
    }

    /// Writes the image of an index.
    ///
    /// # Errors
    /// [`RunError::Write`].
    pub fn put(&mut self, index: u64, image: &Image) -> Result<(), RunError> {
        let place = index / self.shard.count;
        let at = self.start + place * IMAGE_BYTES as u64;
        let written = self.file.seek(SeekFrom::Start(at));
        written.and_then(|_| self.file.write_all(&image_bytes(image))).map_err(RunError::write(&self.path))
    }
}

/// Puts the images of the parts of a run together, if they were kept.
///
/// # Errors
/// [`RunError::Merge`] when some parts kept them and others did not, or a file is none of images.
pub(crate) fn merge(parts: &[PathBuf], out: &RunFolder, count: u64) -> Result<(), RunError> {
    let kept: Vec<PathBuf> =
        parts.iter().map(|part| part.join(IMAGES_FILE)).filter(|path| path.exists()).collect();
    if kept.is_empty() {
        return Ok(());
    }
    if kept.len() < parts.len() {
        let (some, all) = (kept.len(), parts.len());
        return Err(RunError::Merge(format!("{some} of {all} parts hold {IMAGES_FILE}, the others do not")));
    }
    let mut store = None;
    for path in kept {
        let bytes = files::read(&path)?;
        let wrong = |e: &dyn std::fmt::Display| RunError::Merge(format!("`{}` {e}", path.display()));
        let file = ImageFile::parse(&bytes).map_err(|e| wrong(&e))?;
        let header = file.header();
        let whole = (count, Shard::default());
        let store = match &mut store {
            Some(store) => store,
            None => store.insert(ImageStore::open(out, whole, Some(header.normalization), false)?),
        };
        for (k, id) in header.ids.iter().enumerate() {
            let index = id.parse().map_err(|_| wrong(&format!("has an image `{id}`, which is no index")))?;
            if let Some(store) = store {
                store.put(index, &file.image(k))?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn every_index_has_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let folder = RunFolder::open(dir.path()).unwrap();
        let shard = Shard { index: 1, count: 2 };
        let image = |x: f64| {
            let mut image = Image::zeros();
            image.pixel_mut(3, 4)[1] = x;
            image
        };
        let normalization = Some(Normalization::published());
        let open =
            |continued| ImageStore::open(&folder, (5, shard), normalization, continued).map(Option::unwrap);
        open(false).unwrap().put(3, &image(0.25)).unwrap();
        open(true).unwrap().put(1, &image(0.5)).unwrap();
        let bytes = fs::read(folder.join(IMAGES_FILE)).unwrap();
        let file = ImageFile::parse(&bytes).unwrap();
        assert_eq!(file.header().ids, ["1", "3"]);
        assert_eq!((file.image(0), file.image(1)), (image(0.5), image(0.25)));
        // Without the images of the first part the file would be no account of the run.
        let error = ImageStore::open(&folder, (5, shard), None, true).unwrap_err().to_string();
        assert!(error.contains("--keep-images = yes, not no"), "{error}");
        fs::write(folder.join(IMAGES_FILE), &bytes[..bytes.len() - 1]).unwrap();
        assert!(open(true).unwrap_err().to_string().contains("no place for 2 images"));
        fs::remove_file(folder.join(IMAGES_FILE)).unwrap();
        assert!(open(true).unwrap_err().to_string().contains("--keep-images = no, not yes"));
        assert!(ImageStore::open(&folder, (5, shard), None, true).unwrap().is_none());
    }

    #[test]
    fn parts_are_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let parts: Vec<PathBuf> = (0..2).map(|k| dir.path().join(k.to_string())).collect();
        let mut image = Image::zeros();
        for (k, part) in (0..).zip(&parts) {
            let folder = RunFolder::open(part).unwrap();
            let place = (3, Shard { index: k, count: 2 });
            let store = ImageStore::open(&folder, place, Some(Normalization::published()), false);
            image.pixel_mut(0, 0)[0] = k as f64;
            store.unwrap().unwrap().put(k, &image).unwrap();
        }
        let out = RunFolder::open(&dir.path().join("all")).unwrap();
        merge(&parts, &out, 3).unwrap();
        let bytes = fs::read(out.join(IMAGES_FILE)).unwrap();
        let file = ImageFile::parse(&bytes).unwrap();
        assert_eq!((file.len(), file.image(1), file.image(2)), (3, image, Image::zeros()));
        fs::remove_file(parts[1].join(IMAGES_FILE)).unwrap();
        assert!(merge(&parts, &out, 3).unwrap_err().to_string().contains("1 of 2 parts"));
    }
}
