//! Pictures of images, for people.

use super::image::{CHANNELS, EDGE, Image};

/// Edge of a pixel of the image in the picture.
const ZOOM: usize = 4;
/// Width of the lines between channels and images.
const GAP: usize = 8;
/// Color of these lines.
const LINES: [u8; 3] = [255, 255, 255];

/// A PNG picture of normalized images, one below the other, their channels side by side: distances, then differences along
/// a, b and c.
///
/// Numbers from 0 to 1 are black to white; below 0 blue, above 1 red, the stronger the farther; a number that is not
/// finite is green.
///
/// # Errors
/// [`png::EncodingError`], for no image at all and for more than a PNG can hold.
pub fn picture(images: &[Image]) -> Result<Vec<u8>, png::EncodingError> {
    let (panel, lines) = (EDGE * ZOOM, |n: usize| (n + 1) * GAP);
    let width = CHANNELS * panel + lines(CHANNELS);
    let height = images.len() * panel + if images.is_empty() { 0 } else { lines(images.len()) };
    let mut pixels = vec![LINES; width * height];
    for (k, image) in images.iter().enumerate() {
        for y in 0..panel {
            let line = (GAP + k * (panel + GAP) + y) * width;
            for channel in 0..CHANNELS {
                let start = line + GAP + channel * (panel + GAP);
                for x in 0..panel {
                    pixels[start + x] = color(image.at(y / ZOOM, x / ZOOM, channel));
                }
            }
        }
    }
    let too_large = |_| png::EncodingError::LimitsExceeded;
    let mut bytes = Vec::new();
    let (width, height) = (width as u32, u32::try_from(height).map_err(too_large)?);
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels.as_flattened())?;
    writer.finish()?;
    Ok(bytes)
}

fn color(x: f64) -> [u8; 3] {
    // How far outside: half at once, so that it shows, and full from 1 on.
    let outside = |d: f64| (127.0 + 128.0 * d.min(1.0)) as u8;
    match x {
        x if !x.is_finite() => [0, 200, 0],
        x if x < 0.0 => [0, 0, outside(-x)],
        x if x > 1.0 => [outside(x - 1.0), 0, 0],
        x => [(255.0 * x).round() as u8; 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_tell_what_is_outside() {
        assert_eq!((color(0.0), color(0.5), color(1.0)), ([0; 3], [128; 3], [255; 3]));
        assert_eq!((color(-0.5), color(1.5), color(9.0)), ([0, 0, 191], [191, 0, 0], [255, 0, 0]));
        assert_eq!(color(f64::NAN), [0, 200, 0]);
    }

    #[test]
    fn pictures_show_each_pixel_of_each_channel() {
        let mut image = Image::zeros();
        image.pixel_mut(12, 3)[2] = 1.0;
        let bytes = picture(&[Image::zeros(), image]).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.width, info.height), (4 * 256 + 5 * 8, 2 * 256 + 3 * 8));
        let at = |x: usize, y: usize| pixels[3 * (y * info.width as usize + x)];
        let (left, top) = (8 + 2 * 264 + 3 * 4, 8 + 264 + 12 * 4);
        assert_eq!((at(left, top), at(left + 3, top + 3), at(left + 4, top)), (255, 255, 0));
        assert_eq!((at(left, top - 264), at(left - 264, top), at(4, 100)), (0, 0, 255));
        assert!(picture(&[]).is_err());
    }
}
