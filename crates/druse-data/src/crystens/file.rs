//! Files of images: one safetensors file with the images as one tensor, and in its header everything needed to read them.

use std::collections::HashMap;
use std::io::{self, Write};

use druse_crystal::Properties;
use rayon::prelude::*;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, TensorView};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::codec::Codec;
use super::consistency::Consistency;
use super::image::{CHANNELS, EDGE, IMAGE_LEN, Image};
use super::normalization::{ConstantsError, Method, Normalization};
use super::scale::Scales;

/// Name of the tensor.
pub const TENSOR: &str = "images";
/// What the header says the file is.
const FORMAT: &str = "crystens";
/// The order of the tensor's numbers: images of 64 rows, 64 columns, 4 channels.
const LAYOUT: &str = "image, row, column, channel";

/// What the header of a file of images says.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ImageHeader {
    /// How the images are normalized.
    pub normalization: Normalization,
    /// Identifier of each image; empty where they have none.
    pub ids: Vec<String>,
    /// Properties of the crystal of each image; empty where they have none.
    pub properties: Vec<Properties>,
}

/// Why a file holds no images that can be read. The message continues a sentence that begins with the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageFileError {
    /// The bytes are no safetensors file.
    #[error("is no safetensors file, or a damaged one ({0})")]
    Damaged(String),
    /// It is a safetensors file of something else.
    #[error(
        "holds no CrysTens images: its header does not name the format `{FORMAT}` with layout, normalization and \
         constants; its tensors are {0}"
    )]
    NotImages(String),
    /// The numbers lie in another order.
    #[error("holds images in the layout `{0}`, and only `{LAYOUT}` is read; transpose them, do not reshape")]
    Layout(String),
    /// The shape of the tensor is another.
    #[error("holds a tensor `{TENSOR}` of shape {0:?}, expected [images, {EDGE}, {EDGE}, {CHANNELS}]")]
    Shape(Vec<usize>),
    /// The type of numbers is another.
    #[error("holds images of type {0}, expected F32 or F64")]
    Type(String),
    /// The normalization is unknown.
    #[error("holds images normalized by `{0}`; known are {known}", known = Method::ALL.map(Method::name).join(", "))]
    Normalization(String),
    /// The constants of the normalization cannot be read.
    #[error("holds images whose constants of normalization cannot be read: {0}")]
    Constants(String),
    /// Identifiers or properties are damaged.
    #[error("holds {images} images, and its header {found}")]
    Names {
        /// Number of images.
        images: usize,
        /// What stands there instead of as many names.
        found: String,
    },
}

impl From<ConstantsError> for ImageFileError {
    fn from(e: ConstantsError) -> Self {
        Self::Constants(e.to_string())
    }
}

/// The images of a file whose bytes (uncompressed) are in memory. An image is made when it is asked for.
#[derive(Debug, Clone)]
pub struct ImageFile<'a> {
    header: ImageHeader,
    images: usize,
    dtype: Dtype,
    data: &'a [u8],
}

/// Whether bytes are a safetensors file whose header says that it holds images.
pub fn is_image_file(bytes: &[u8]) -> bool {
    SafeTensors::read_metadata(bytes).is_ok_and(|(_, metadata)| {
        metadata.metadata().as_ref().is_some_and(|m| m.get("format").is_some_and(|f| f == FORMAT))
    })
}

impl<'a> ImageFile<'a> {
    /// Reads the header and checks that everything is there.
    ///
    /// # Errors
    /// [`ImageFileError`] for another kind of file, layout, shape, type or normalization.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ImageFileError> {
        let damaged = |e: safetensors::SafeTensorError| ImageFileError::Damaged(e.to_string());
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(damaged)?;
        let names = || {
            let mut names: Vec<String> = tensors.names().iter().map(|name| format!("`{name}`")).collect();
            names.sort_unstable();
            let more = names.len().saturating_sub(6);
            names.truncate(6);
            let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("{}{rest}", if names.is_empty() { "none".to_owned() } else { names.join(", ") })
        };
        let not_images = || ImageFileError::NotImages(names());
        let words = metadata.metadata().as_ref().filter(|m| m.get("format").is_some_and(|f| f == FORMAT));
        let words = words.ok_or_else(not_images)?;
        let word = |key: &str| words.get(key).ok_or_else(not_images);
        if word("layout")? != LAYOUT {
            return Err(ImageFileError::Layout(word("layout")?.clone()));
        }
        let method = word("normalization")?;
        let method = Method::ALL
            .into_iter()
            .find(|known| known.name() == method)
            .ok_or_else(|| ImageFileError::Normalization(method.clone()))?;
        let scales: Scales =
            serde_json::from_str(word("constants")?).map_err(|e| ImageFileError::Constants(e.to_string()))?;
        let normalization = Normalization { method, scales };
        normalization.check()?;
        let view: TensorView<'a> = tensors.tensor(TENSOR).map_err(|_| not_images())?;
        let &[images, EDGE, EDGE, CHANNELS] = view.shape() else {
            return Err(ImageFileError::Shape(view.shape().to_vec()));
        };
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F64) {
            return Err(ImageFileError::Type(format!("{:?}", view.dtype())));
        }
        let ids: Vec<String> = list(words, "ids", images)?;
        let properties: Vec<Value> = list(words, "properties", images)?;
        let properties = properties.into_iter().map(|p| match p {
            Value::Object(p) => p.into_iter().collect(),
            _ => Properties::new(),
        });
        let header = ImageHeader { normalization, ids, properties: properties.collect() };
        Ok(Self { header, images, dtype: view.dtype(), data: view.data() })
    }

    /// What the header says.
    pub fn header(&self) -> &ImageHeader {
        &self.header
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.images == 0
    }

    /// `F32` or `F64`.
    pub fn number_type(&self) -> String {
        format!("{:?}", self.dtype)
    }

    /// One image, normalized as the header says.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn image(&self, index: usize) -> Image {
        let size = IMAGE_LEN * self.dtype.bitsize() / 8;
        let bytes = &self.data[index * size..][..size];
        let numbers: Vec<f64> = match self.dtype {
            Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            _ => bytes.as_chunks().0.iter().map(|b| f64::from(f32::from_le_bytes(*b))).collect(),
        };
        Image::from_channels_last(&numbers).unwrap_or_default()
    }

    /// The consistency of all images, which are made one by one.
    pub fn consistency(&self, codec: &Codec) -> Consistency {
        let parts: Vec<Consistency> =
            (0..self.images).into_par_iter().map(|k| Consistency::or_none(&self.image(k), codec)).collect();
        let mut all = Consistency::default();
        parts.into_iter().for_each(|part| all.merge(part));
        all
    }

    /// Name of an image: its identifier, else its number from 1.
    pub fn name(&self, index: usize) -> String {
        self.header.ids.get(index).cloned().unwrap_or_else(|| format!("image-{}", index + 1))
    }
}

/// A list of the header, one item an image; empty where there is none.
fn list<T: for<'de> Deserialize<'de>>(
    words: &HashMap<String, String>,
    key: &str,
    images: usize,
) -> Result<Vec<T>, ImageFileError> {
    let Some(text) = words.get(key) else { return Ok(Vec::new()) };
    let wrong = |found| ImageFileError::Names { images, found };
    let list: Vec<T> = serde_json::from_str(text).map_err(|e| wrong(format!("damaged {key} ({e})")))?;
    match list.len() {
        n if n == images || n == 0 => Ok(list),
        n => Err(wrong(format!("{n} {key}"))),
    }
}

/// Bytes of an image in a file.
pub const IMAGE_BYTES: usize = IMAGE_LEN * size_of::<f32>();

/// An image as it is in a file, in numbers of 32 bits.
pub fn image_bytes(image: &Image) -> Vec<u8> {
    image.channels_last().iter().flat_map(|&x| (x as f32).to_le_bytes()).collect()
}

/// How a file of `count` images begins; the images follow, [`IMAGE_BYTES`] each.
///
/// # Errors
/// When the header is too long.
pub fn image_file_start(header: &ImageHeader, count: usize) -> io::Result<Vec<u8>> {
    let mut words = HashMap::from([
        ("format".to_owned(), FORMAT.to_owned()),
        ("layout".to_owned(), LAYOUT.to_owned()),
        ("normalization".to_owned(), header.normalization.method.name().to_owned()),
        ("constants".to_owned(), serde_json::to_string(&header.normalization.scales)?),
        ("written_by".to_owned(), format!("druse {}", env!("CARGO_PKG_VERSION"))),
    ]);
    if !header.ids.is_empty() {
        words.insert("ids".to_owned(), serde_json::to_string(&header.ids)?);
    }
    if header.properties.iter().any(|p| !p.is_empty()) {
        words.insert("properties".to_owned(), serde_json::to_string(&header.properties)?);
    }
    let info = TensorInfo {
        dtype: Dtype::F32,
        shape: vec![count, EDGE, EDGE, CHANNELS],
        data_offsets: (0, count * IMAGE_BYTES),
    };
    let metadata = Metadata::new(Some(words), vec![(TENSOR.to_owned(), info)]).map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&metadata)?;
    // The data begins at a multiple of 8, which readers that map the file rely on.
    text.resize(text.len().next_multiple_of(8), b' ');
    Ok([&(text.len() as u64).to_le_bytes()[..], &text].concat())
}

/// Writes `count` images, which come one by one, as numbers of 32 bits.
///
/// # Errors
/// Those of the writer, and `InvalidData` when the iterator gives another number of images.
pub fn write_images(
    out: &mut dyn Write,
    header: &ImageHeader,
    count: usize,
    images: impl IntoIterator<Item = Image>,
) -> io::Result<()> {
    out.write_all(&image_file_start(header, count)?)?;
    let mut written = 0;
    for image in images {
        out.write_all(&image_bytes(&image))?;
        written += 1;
    }
    if written == count {
        return Ok(());
    }
    let words = format!("{written} images came where {count} were announced");
    Err(io::Error::new(io::ErrorKind::InvalidData, words))
}
