//! The field `read` of datasets of files: channels, range, orientation; and what is told about files.

use std::path::Path;

use datasets::{Orientation, ReadOptions, decode_bytes};
use image::{ImageBuffer, Luma, Rgb, RgbImage};
use plugin_api::ByteImage;
use tempfile::tempdir;

use super::pillow::{file, files};
use super::tiff_file::{TiffFile, floats, words};
use super::{dataset, open, save};

fn with_bands(bands: &[usize]) -> ReadOptions {
    ReadOptions { bands: Some(bands.to_vec()), ..ReadOptions::default() }
}

fn with_range(low: f64, high: f64) -> ReadOptions {
    ReadOptions { range: Some((low, high)), ..ReadOptions::default() }
}

fn read(bytes: &[u8]) -> Result<ByteImage, String> {
    decode_bytes(bytes, &ReadOptions::default())
}

/// Channels of 8 bits of which three are RGB.
fn rgb_and_more(extra: &[u16], samples: &[u8]) -> Vec<u8> {
    TiffFile {
        width: 1,
        height: 1,
        n_channels: samples.len() as u16,
        bits: 8,
        format: 1,
        photometric: 2,
        extra,
        samples: samples.to_vec(),
    }
    .bytes(1)
}

#[test]
fn thirteen_channels_are_counted_and_those_named_are_taken() {
    let values: Vec<u16> = (0..26).map(|i| 256 * i).collect();
    let bands = words(2, 13, &values);
    let reason = read(&bands).unwrap_err();
    assert_eq!(
        reason,
        "the file has 13 channels of 16 bits, and does not say which are red, green and blue: choose with `bands`"
    );
    // Writers declare them as extras of gray, or of RGB.
    for (photometric, n_extra) in [(1, 12), (2, 10)] {
        let declared = TiffFile {
            width: 1,
            height: 1,
            n_channels: 13,
            bits: 16,
            format: 1,
            photometric,
            extra: &vec![0; n_extra],
            samples: vec![7; 26],
        };
        assert_eq!(read(&declared.bytes(1)).unwrap_err(), reason, "{photometric}");
    }
    let image = decode_bytes(&bands, &with_bands(&[12, 0, 3, 3])).unwrap();
    assert_eq!((image.width, image.height, image.channels), (2, 1, 4));
    assert_eq!(image.values, [12, 0, 3, 3, 25, 13, 16, 16]);
    let reason = decode_bytes(&bands, &with_bands(&[0, 13])).unwrap_err();
    assert_eq!(
        reason,
        "the file has 13 channels of 16 bits, and `bands` asks for channel 13, counted from 0"
    );
}

#[test]
fn bands_are_taken_of_every_format() {
    for (name, (bytes, pillow)) in files() {
        let (Ok(plain), Some(_)) = (read(&bytes), pillow) else { continue };
        let first =
            decode_bytes(&bytes, &with_bands(&[0])).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert_eq!((first.width, first.height, first.channels), (plain.width, plain.height, 1), "{name}");
        let red: Vec<u8> = plain.values.iter().copied().step_by(3).collect();
        assert_eq!(first.values, red, "{name}");
        if let Ok(turned) = decode_bytes(&bytes, &with_bands(&[2, 1, 0])) {
            let reversed: Vec<u8> = plain.values.chunks(3).flat_map(|rgb| [rgb[2], rgb[1], rgb[0]]).collect();
            // The second channel of a gray image with three or more is not gray.
            assert_eq!(turned.values, reversed, "{name}");
        }
    }
    let alpha = decode_bytes(&file("rgba8-3x5.png"), &with_bands(&[3])).unwrap();
    assert_eq!(alpha.values.len(), 15);
    let reason = decode_bytes(&file("gray-3x5.jpg"), &with_bands(&[0, 1])).unwrap_err();
    assert_eq!(reason, "the file has 1 channel of 8 bits, and `bands` asks for channel 1, counted from 0");
}

#[test]
fn a_range_is_spread_over_all_bytes_and_what_is_outside_is_clipped() {
    let values = [0, 1000, 2040, 4080, 4095, 5000];
    let plain = read(&words(6, 1, &values)).unwrap();
    assert_eq!(plain.values.chunks(3).map(|rgb| rgb[0]).collect::<Vec<_>>(), [0, 3, 7, 15, 15, 19]);
    let png = |values: &[u16]| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = ImageBuffer::<Luma<u16>, _>::from_raw(6, 1, values.to_vec()).unwrap();
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    };
    let pgm =
        [b"P5 6 1 65535\n".to_vec(), values.iter().flat_map(|value| value.to_be_bytes()).collect()].concat();
    for bytes in [words(6, 1, &values), png(&values), pgm] {
        let image = decode_bytes(&bytes, &with_range(1000.0, 4080.0)).unwrap();
        assert_eq!(image.values.chunks(3).map(|rgb| rgb[0]).collect::<Vec<_>>(), [0, 0, 86, 255, 255, 255]);
    }
    // Bytes are taken as they are.
    let bytes = file("rgb8-3x5.png");
    assert_eq!(decode_bytes(&bytes, &with_range(0.0, 10.0)), read(&bytes));
}

#[test]
fn floats_outside_of_zero_to_one_need_a_range() {
    for n_channels in [1, 3] {
        let reflectance: Vec<f32> = (0..12).map(|i| i as f32 * 3060.0 / 11.0).collect();
        let reason = read(&floats(2, n_channels, &reflectance)).unwrap_err();
        let expected = "float values up to 3060, outside 0 to 1: say with `range` which become 0 and 255";
        assert_eq!(reason, expected, "{n_channels} channels");
        let scaled = decode_bytes(&floats(2, n_channels, &reflectance), &with_range(0.0, 3060.0)).unwrap();
        let unit: Vec<f32> = reflectance.iter().map(|value| value / 3060.0).collect();
        assert_eq!(read(&floats(2, n_channels, &unit)).as_ref(), Ok(&scaled), "{n_channels} channels");
        assert_eq!(scaled.values[scaled.values.len() - 1], 255);
    }
    let reason = read(&floats(2, 1, &[-0.5, 0.25])).unwrap_err();
    assert!(reason.starts_with("float values down to -0.5, outside 0 to 1"), "{reason}");
    // What is no number is black, and what is infinite is clipped.
    let odd =
        decode_bytes(&floats(3, 1, &[f32::NAN, f32::INFINITY, f32::NEG_INFINITY]), &with_range(0.0, 9.0));
    assert_eq!(odd.unwrap().values, [0, 0, 0, 255, 255, 255, 0, 0, 0]);
}

#[test]
fn integers_with_a_sign_need_a_range() {
    let hounsfield = TiffFile {
        width: 3,
        height: 1,
        n_channels: 1,
        bits: 16,
        format: 2,
        photometric: 1,
        extra: &[],
        samples: [-1000_i16, 0, 1000].iter().flat_map(|value| value.to_le_bytes()).collect(),
    }
    .bytes(1);
    let reason = read(&hounsfield).unwrap_err();
    assert_eq!(reason, "the file has integers of 16 bits: say with `range` which become 0 and 255");
    let image = decode_bytes(&hounsfield, &with_range(-1000.0, 1000.0)).unwrap();
    assert_eq!(image.values, [0, 0, 0, 128, 128, 128, 255, 255, 255]);
}

#[test]
fn exif_orientation_is_applied_on_request_and_that_of_tiff_always() {
    let exif = ReadOptions { orientation: Orientation::Exif, ..ReadOptions::default() };
    for (name, size) in [("exif.jpg", (20, 19)), ("exif.png", (17, 9)), ("exif.webp", (17, 9))] {
        let (width, height) = size;
        let plain = read(&file(name)).unwrap();
        let turned = decode_bytes(&file(name), &exif).unwrap();
        assert_eq!(
            ((plain.width, plain.height), (turned.width, turned.height)),
            (size, (height, width)),
            "{name}"
        );
        // A quarter to the right: the first row becomes the last column.
        for x in 0..width {
            let first_row = &plain.values[x * 3..x * 3 + 3];
            let at = (x * height + height - 1) * 3;
            assert_eq!(first_row, &turned.values[at..at + 3], "{name}");
        }
    }
    // All eight are compared with Pillow's in the test of all files.
    assert_ne!(read(&file("orientation6.tif")), read(&file("orientation1.tif")));
    assert_eq!(decode_bytes(&file("gray-3x5.jpg"), &exif), read(&file("gray-3x5.jpg")), "there is no EXIF");
}

#[test]
fn options_that_make_no_sense_are_refused_by_every_dataset_of_files() {
    let configs = [
        ("flat-folder", r#"root: "photos""#),
        ("class-folders", r#"root: "photos""#),
        ("list-file", r#"path: "list""#),
    ];
    for (name, place) in configs {
        let refused =
            |read: &str| dataset(name, &format!("({place}, read: {read})")).err().unwrap().to_string();
        let error = refused("(range: (9, 9))");
        assert!(error.contains("read.range") && error.contains("(9, 9)"), "{name}: {error}");
        let error = refused("(bands: [])");
        assert!(error.contains("read.bands") && error.contains("1 to 16 channels"), "{name}: {error}");
        let seventeen = format!("(bands: {:?})", [0; 17]);
        assert!(refused(&seventeen).contains("1 to 16 channels"), "{name}");
        assert!(refused("(band: [1])").contains("band"), "{name}");
        let read = "(bands: [3, 0], range: (0, 4095), orientation: Exif)";
        assert_eq!(dataset(name, &format!("({place}, read: {read})")).unwrap().channels(), 2, "{name}");
        assert_eq!(dataset(name, &format!("({place})")).unwrap().channels(), 3, "{name}");
    }
}

/// The notes on the files of a folder.
fn notes(folder: &Path, read: &str) -> Vec<String> {
    let config = format!("(root: {:?}, read: {read})", folder.to_str().unwrap());
    open("flat-folder", &config).unwrap().train.notes()
}

#[test]
fn what_a_person_would_not_see_is_told() {
    let folder = tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    save(folder.path().join("0.png"), [1, 2, 3]);
    assert!(notes(folder.path(), "()").is_empty());

    let page = TiffFile {
        width: 1,
        height: 1,
        n_channels: 1,
        bits: 8,
        format: 1,
        photometric: 1,
        extra: &[],
        samples: vec![7],
    };
    put("a stack.tif", &page.bytes(5));
    put("bands.tif", &rgb_and_more(&[0], &[1, 2, 3, 4]));
    put("dark.png", &{
        let mut bytes = std::io::Cursor::new(Vec::new());
        let image = ImageBuffer::<Luma<u16>, Vec<u16>>::from_raw(2, 1, vec![17, 4080]).unwrap();
        image.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        bytes.into_inner()
    });
    put("empty.jpg", b"");
    let told = notes(folder.path(), "()");
    // The last one is of the empty file.
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].ends_with("a stack.tif has 5 pages, the first is taken"), "{told:?}");
    assert!(told[1].contains("bands.tif has 4 channels, of which the first 3 are taken"), "{told:?}");
    assert!(told[2].contains("no value above 4080") && told[2].contains("`range: (0, 4095)`"), "{told:?}");
    // Who has chosen needs no word.
    assert!(notes(folder.path(), "(range: (0, 4095))").iter().all(|note| !note.contains("4080")));
    assert!(notes(folder.path(), "(bands: [0])").iter().all(|note| !note.contains("channels")));
    assert_eq!(notes(folder.path(), "()"), told, "the same each time");
}

#[test]
fn first_images_of_animations_are_told() {
    for (name, n) in
        [("animated.gif", 3), ("animated.png", 2), ("animated.webp", 2), ("several-pages.tif", 3)]
    {
        let folder = tempdir().unwrap();
        std::fs::write(folder.path().join(name), file(name)).unwrap();
        let told = notes(folder.path(), "()");
        assert_eq!(told.len(), 1, "{name}: {told:?}");
        assert!(told[0].contains(&format!("has {n} ")), "{name}: {told:?}");
    }
}

#[test]
fn alpha_is_no_channel_that_is_left_out() {
    let folder = tempdir().unwrap();
    for name in ["rgba8-3x5.png", "rgba-3x5.tif", "gray-alpha-3x5.tif", "rgb-undeclared.tif"] {
        std::fs::write(folder.path().join(name), file(name)).unwrap();
    }
    assert!(notes(folder.path(), "()").is_empty());
}

#[test]
fn images_as_torchvision_lists_them_are_found_by_extension() {
    let folder = tempdir().unwrap();
    for name in ["binary-3x5.ppm", "binary-3x5.pgm", "big-3x5.tif", "rgb-3x5.qoi", "rgb-3x5.tga"] {
        std::fs::write(folder.path().join(name), file(name)).unwrap();
    }
    std::fs::write(folder.path().join("photo.jfif"), file("gray-3x5.jpg")).unwrap();
    let images =
        open("flat-folder", &format!("(root: {:?})", folder.path().to_str().unwrap())).unwrap().train;
    assert_eq!(images.len(), 6);
    for i in 0..images.len() {
        assert_eq!(
            (images.load(i).unwrap().width, images.load(i).unwrap().height),
            (3, 5),
            "{}",
            images.name(i)
        );
    }
}

#[test]
fn formats_that_are_not_read_are_named() {
    let cases: [(&[u8], &str); 4] = [
        (b"\0\0\0\x20ftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (&[&[0; 128][..], b"DICM"].concat(), "DICOM"),
    ];
    for (bytes, name) in cases {
        let reason = read(bytes).unwrap_err();
        assert_eq!(reason, format!("{name} is not read: convert the file to PNG or JPEG"));
    }
    #[cfg(not(feature = "jxl"))]
    assert_eq!(
        read(b"\xff\x0a\xfa\x1f").unwrap_err(),
        "JPEG XL is not read: convert the file to PNG or JPEG, or build with the feature `jxl`"
    );
    #[cfg(not(feature = "npy"))]
    assert_eq!(
        read(b"\x93NUMPY\x01\0").unwrap_err(),
        "a NumPy array is not read: convert the file to PNG or TIFF, or build with the feature `npy`"
    );
    let mut arithmetic = file("rgb444-20x19.jpg");
    let frame = arithmetic.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    arithmetic[frame + 1] = 0xc9;
    let reason = read(&arithmetic).unwrap_err();
    assert_eq!(reason, "a JPEG with arithmetic coding is not read: convert the file to another JPEG or PNG");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_not_opened() {
    let folder = tempdir().unwrap();
    let socket = folder.path().join("socket.png");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    for path in [Path::new("/dev/zero"), Path::new("/dev/null"), folder.path(), &socket] {
        let error = datasets::decode_file(path, &ReadOptions::default()).unwrap_err();
        let expected =
            if path.is_dir() { "is a directory" } else { "it is a pipe or a device, not a regular file" };
        assert_eq!(error.reason, expected, "{}", path.display());
    }
    // A link to a file is one.
    RgbImage::from_pixel(2, 1, Rgb([1, 2, 3])).save(folder.path().join("a.png")).unwrap();
    let link = folder.path().join("link.png");
    std::os::unix::fs::symlink("a.png", &link).unwrap();
    assert_eq!(datasets::decode_file(&link, &ReadOptions::default()).unwrap().values, [1, 2, 3, 1, 2, 3]);
}

#[test]
fn a_range_that_hardly_fits_is_told_with_one_that_does() {
    let folder = tempdir().unwrap();
    let values: Vec<u16> = (0..64).map(|i| i * 65).collect();
    std::fs::write(folder.path().join("slice.tif"), words(8, 1, &values)).unwrap();
    for (range, become_what) in [("(0, 10)", "white"), ("(60000, 65535)", "black"), ("(0, 65535)", "black")] {
        let told = notes(folder.path(), &format!("(range: {range})"));
        let expected = format!(
            "the 16-bit images that were looked at have values from 0 to 4095, which with `range: {range}` become nearly all \
             {become_what}: `range: (0, 4095)` of the dataset's `read` spreads them"
        );
        assert_eq!(told, [expected]);
    }
    assert!(notes(folder.path(), "(range: (1000, 3000))").is_empty());
    let folder = tempdir().unwrap();
    let tile: Vec<f32> = (0..64).map(|i| i as f32 / 6400.0).collect();
    std::fs::write(folder.path().join("tile.tif"), floats(8, 1, &tile)).unwrap();
    for read in ["()", "(range: (0, 1000000))"] {
        let told = notes(folder.path(), read);
        assert!(told.len() == 1 && told[0].contains("`range: (0, 0.0098"), "{told:?}");
    }
    assert!(notes(folder.path(), "(range: (0, 0.01))").is_empty());
}

#[test]
fn what_a_tiff_has_that_is_not_read_is_named() {
    let page = TiffFile {
        width: 1,
        height: 1,
        n_channels: 1,
        bits: 64,
        format: 1,
        photometric: 1,
        extra: &[],
        samples: vec![7; 8],
    };
    let reason = read(&page.bytes(1)).unwrap_err();
    assert_eq!(reason, "a TIFF of integers of 64 bits is not read: convert the file to 8 or 16");
    assert_eq!(decode_bytes(&page.bytes(1), &with_range(0.0, 9.0)).unwrap_err(), reason);
    let mut lzma = TiffFile { bits: 8, samples: vec![7], ..page }.bytes(1);
    let at = lzma.windows(4).position(|entry| entry == [3, 1, 3, 0]).unwrap();
    lzma[at + 8..at + 10].copy_from_slice(&34925_u16.to_le_bytes());
    assert_eq!(read(&lzma).unwrap_err(), "a TIFF of compression LZMA is not read: convert the file");
}

#[test]
fn gray_with_alpha_in_a_jpeg_image_is_refused_and_not_read_wrongly() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/gray_alpha_in_jpeg.tif");
    let reason = read(&std::fs::read(path).unwrap()).unwrap_err();
    assert_eq!(reason, "a TIFF of 2 channels in a JPEG image is not read: convert the file");
}
