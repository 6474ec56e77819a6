//! `tests/fixtures/make.py` makes the files that the `image` crate cannot write.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use datasets::{ReadOptions, decode_file};
use image::{DynamicImage, ImageBuffer, ImageFormat, Luma, LumaA, Rgb, Rgba, RgbaImage};
use plugin_api::{ByteImage, Rng};
use tempfile::tempdir;

/// Upper left, upper right, lower left, lower right, each 16 x 8 pixels.
const QUADRANTS: [[u8; 3]; 4] = [[255, 0, 0], [0, 160, 0], [0, 0, 200], [230, 230, 60]];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn quadrants(image: &ByteImage) -> [[u8; 3]; 4] {
    [(8, 4), (24, 4), (8, 12), (24, 12)].map(|(x, y)| {
        let at = (y * image.width + x) * 3;
        [image.values[at], image.values[at + 1], image.values[at + 2]]
    })
}

fn decode_bytes(bytes: &[u8]) -> Result<ByteImage, String> {
    let folder = tempdir().unwrap();
    let path = folder.path().join("image.jpg");
    std::fs::write(&path, bytes).unwrap();
    decode_file(&path, &ReadOptions::default()).map_err(|error| {
        assert!(error.name.ends_with("image.jpg"));
        error.reason
    })
}

fn encode(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn every_kind_of_file_has_the_right_colors() {
    for name in ["baseline.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "turned_by_exif.jpg"] {
        let image = decode_file(&fixture(name), &ReadOptions::default()).unwrap();
        // An EXIF orientation is not applied, as torchvision does not.
        assert_eq!((image.width, image.height), (32, 16), "{name}");
        assert_eq!(image.values.len(), 32 * 16 * 3);
        for (found, expected) in quadrants(&image).iter().zip(QUADRANTS) {
            let far = found.iter().zip(expected).any(|(found, expected)| found.abs_diff(expected) > 3);
            assert!(!far, "{name}: {found:?}, expected {expected:?}");
        }
    }
}

#[test]
fn formats_are_known_by_their_content() {
    let picture = image::open(fixture("palette.png")).unwrap().into_rgb8();
    let exact = [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif];
    for format in exact {
        let image = decode_bytes(&encode(picture.clone(), format)).unwrap();
        for (found, expected) in quadrants(&image).iter().zip(QUADRANTS) {
            let far = found.iter().zip(expected).any(|(found, expected)| found.abs_diff(expected) > 1);
            assert!(!far, "{format:?}: {found:?}, expected {expected:?}");
        }
    }
}

#[test]
fn sixteen_bits_become_eight_and_gray_becomes_rgb() {
    let deep = ImageBuffer::from_pixel(1, 1, Rgb([65535_u16, 32896, 257]));
    assert_eq!(decode_bytes(&encode(deep, ImageFormat::Png)).unwrap().values, [255, 128, 1]);
    let deep_gray = ImageBuffer::from_pixel(1, 1, Luma([25700_u16]));
    assert_eq!(decode_bytes(&encode(deep_gray, ImageFormat::Png)).unwrap().values, [100; 3]);
    let gray = ImageBuffer::from_pixel(9, 5, Luma([77_u8]));
    assert_eq!(decode_bytes(&encode(gray.clone(), ImageFormat::Png)).unwrap().values, [77; 9 * 5 * 3]);
    assert_eq!(decode_bytes(&encode(gray, ImageFormat::Jpeg)).unwrap().values, [77; 9 * 5 * 3]);
}

#[test]
fn alpha_is_dropped_and_not_blended() {
    let clear = RgbaImage::from_pixel(1, 1, Rgba([200, 100, 50, 0]));
    for format in [ImageFormat::Png, ImageFormat::Tiff, ImageFormat::WebP] {
        assert_eq!(
            decode_bytes(&encode(clear.clone(), format)).unwrap().values,
            [200, 100, 50],
            "{format:?}"
        );
    }
    let gray = ImageBuffer::from_pixel(1, 1, LumaA([90_u8, 3]));
    assert_eq!(decode_bytes(&encode(gray, ImageFormat::Png)).unwrap().values, [90; 3]);
}

#[test]
fn a_jpeg_cut_short_anywhere_is_unreadable() {
    for name in ["baseline.jpg", "progressive.jpg", "cmyk.jpg"] {
        let whole = std::fs::read(fixture(name)).unwrap();
        for n in 3..whole.len() {
            let reason = decode_bytes(&whole[..n]).err();
            assert_eq!(reason.as_deref(), Some("the JPEG file is truncated"), "{name} cut to {n} bytes");
        }
        // Cameras append previews and more.
        let longer = [whole, vec![7; 100]].concat();
        assert!(decode_bytes(&longer).is_ok(), "{name}");
    }
}

#[test]
fn other_files_cut_short_are_unreadable() {
    let picture = image::open(fixture("palette.png")).unwrap().into_rgb8();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif]
    {
        let whole = encode(picture.clone(), format);
        for n in [20, whole.len() / 2] {
            assert!(decode_bytes(&whole[..n]).is_err(), "{format:?} cut to {n} of {} bytes", whole.len());
        }
    }
}

#[test]
fn what_is_no_image_says_so_in_a_few_words() {
    assert_eq!(decode_bytes(b"").unwrap_err(), "the file is empty");
    let unknown = "the file has no supported image format";
    assert_eq!(decode_bytes(b"no image at all").unwrap_err(), unknown);
    for (bytes, what) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"[..],
            "a Git LFS pointer: the image itself",
        ),
        (b"/annex/objects/SHA256E-s5--1.jpg\n", "a git-annex pointer"),
        (b"../.git/annex/objects/x/y/SHA256E-s5--1.jpg", "a git-annex pointer"),
        (b"<html>404 Not Found</html>", "an HTML page and no image"),
        (b"\n <!DOCTYPE html><p>", "an HTML page and no image"),
        (b"<?xml version=\"1.0\"?><Error>", "an XML text and no image"),
        (b"PF\n1 1\n-1.0\n", "PFM is not read"),
        (b"\x0a\x05\x01\x08\0\0", "PCX is not read"),
    ] {
        let reason = decode_bytes(bytes).unwrap_err();
        assert!(reason.starts_with(what), "{reason}");
    }
    assert!(!decode_file(Path::new("no/such.jpg"), &ReadOptions::default()).unwrap_err().reason.is_empty());
}

#[test]
fn an_image_that_claims_to_be_huge_is_refused_before_memory_is_taken() {
    let mut jpeg = std::fs::read(fixture("baseline.jpg")).unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
    let reason = decode_bytes(&jpeg).unwrap_err();
    assert!(reason.contains("65535 x 65535 pixels are more than"), "{reason}");

    let mut bmp = encode(ImageBuffer::from_pixel(2, 2, Rgb([1_u8, 2, 3])), ImageFormat::Bmp);
    bmp[18..26].copy_from_slice(&[0x60, 0xea, 0, 0, 0x60, 0xea, 0, 0]);
    let reason = decode_bytes(&bmp).unwrap_err();
    assert!(reason.contains("60000 x 60000 pixels are more than"), "{reason}");
}

#[test]
fn damaged_files_are_errors_and_never_panics() {
    let picture = image::open(fixture("palette.png")).unwrap().into_rgb8();
    let mut files: Vec<Vec<u8>> = ["baseline.jpg", "progressive.jpg", "cmyk.jpg", "palette.png"]
        .map(|name| std::fs::read(fixture(name)).unwrap())
        .to_vec();
    for format in [ImageFormat::Png, ImageFormat::Bmp, ImageFormat::Tiff, ImageFormat::WebP, ImageFormat::Gif]
    {
        files.push(encode(picture.clone(), format));
    }
    let mut rng = Rng::new(0, "damage", &[]);
    for file in files {
        for _ in 0..300 {
            let mut damaged = file.clone();
            for _ in 0..=rng.below(4) {
                let at = rng.below(damaged.len());
                damaged[at] = rng.bits() as u8;
            }
            // Both outcomes are right: what is left may still be an image.
            if let Ok(image) = decode_bytes(&damaged) {
                assert_eq!(image.values.len(), image.width * image.height * 3);
            }
        }
    }
}

#[test]
fn a_bitmap_without_the_header_of_its_file_is_read() {
    let picture = RgbaImage::from_fn(5, 3, |x, y| Rgba([x as u8 * 50, y as u8 * 80, 7, 255]));
    let picture = DynamicImage::from(picture).into_rgb8();
    let bmp = encode(picture.clone(), ImageFormat::Bmp);
    assert_eq!(decode_bytes(&bmp[14..]).unwrap(), decode_bytes(&bmp).unwrap());
    assert_eq!(decode_bytes(&bmp[14..]).unwrap().values, picture.into_raw());
    let header = datasets::image_header(&bmp[14..]).unwrap();
    assert_eq!((header.width, header.height, datasets::format_name(&bmp[14..])), (5, 3, Some("DIB")));
    let mut long = encode(ImageBuffer::from_pixel(70_000, 1, Rgb([1_u8, 2, 3])), ImageFormat::Bmp);
    let reason = decode_bytes(&long).unwrap_err();
    assert!(
        reason.starts_with("a BMP with a side of more than 65535 pixels is not read, and this has 70000 x 1"),
        "{reason}"
    );
    long.truncate(60);
    assert!(decode_bytes(&long).is_err());
}
