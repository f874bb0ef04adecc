//! Any bytes are a file of images or an error, and any image a structure or a reason: never a panic.
#![no_main]

use druse_data::crystens::{
    Codec, Consistency, Decoding, IMAGE_LEN, Image, ImageFile, Normalization, ShapeError,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(file) = ImageFile::parse(bytes) {
        for k in 0..file.len().min(4) {
            let _ = Codec::new(file.header().normalization).decode(&file.image(k));
        }
    }
    // An image of few numbers, repeated: the first byte says with which step.
    let [step, numbers @ ..] = bytes else { return };
    let numbers: Vec<f32> = numbers.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    if numbers.is_empty() {
        return;
    }
    let values: Vec<f32> =
        (0..IMAGE_LEN).map(|i| numbers[(i * (usize::from(*step) + 1) + i / 64) % numbers.len()]).collect();
    let image: Result<Image, ShapeError> = Image::from_channels_last(&values);
    let image = image.expect("as many numbers as an image has");
    for normalization in
        [Normalization::published(), Normalization::divide_near_max(), Normalization::divide_near_max_published()]
    {
        for decoding in [Decoding::default(), Decoding::paper(), Decoding::published()] {
            let codec = Codec { normalization, decoding };
            if let Ok(shown) = codec.decode(&image) {
                assert!(shown.structure.lattice.volume() > 0.0 && !shown.structure.is_empty());
                assert!(shown.structure.frac_coords.as_flattened().iter().all(|x| (0.0..1.0).contains(x)));
                // What is shown fits into an image again.
                let again = codec.encode_as(&shown.structure, 1).expect("at most 52 atoms");
                let _ = codec.decode(&again);
            }
            let _ = Consistency::of(&image, &codec);
        }
    }
});
