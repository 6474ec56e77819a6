//! The pixels that Pillow reads of hundreds of small files, which `tests/pillow/make.py` has made.
//!
//! What differs is listed here, and in the book's chapter "Your own images".

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use datasets::{ReadOptions, decode_bytes};
use plugin_api::ByteImage;

/// Files by name, and what Pillow reads of those that it reads.
pub(crate) fn files() -> BTreeMap<String, (Vec<u8>, Option<ByteImage>)> {
    files_of("files.zip")
}

/// The same for another archive.
pub(crate) fn files_of(archive: &str) -> BTreeMap<String, (Vec<u8>, Option<ByteImage>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillow").join(archive);
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut entries = BTreeMap::new();
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        entries.insert(entry.name().unwrap().into_owned(), bytes);
    }
    let names: Vec<String> = entries.keys().filter(|name| !name.ends_with(".pixels")).cloned().collect();
    let read = |entries: &BTreeMap<String, Vec<u8>>, name: &str| {
        let pixels = entries.get(&format!("{name}.pixels"))?;
        let size = |at: usize| usize::from(u16::from_be_bytes([pixels[at], pixels[at + 1]]));
        Some(ByteImage::rgb(size(0), size(2), pixels[4..].to_vec()))
    };
    names.into_iter().map(|name| (name.clone(), (entries[&name].clone(), read(&entries, &name)))).collect()
}

/// The file `name` of the archive.
pub(crate) fn file(name: &str) -> Vec<u8> {
    files().remove(name).unwrap_or_else(|| panic!("there is no {name}")).0
}

fn read(bytes: &[u8]) -> Result<ByteImage, String> {
    decode_bytes(bytes, &ReadOptions::default())
}

/// How far a value may be from Pillow's.
fn bound(name: &str) -> u8 {
    let is_jpeg = name.ends_with(".jpg") || name.starts_with("jpeg-");
    let is_subsampled = !["gray", "444", "cmyk", "rgb-", "kept-rgb"].iter().any(|kind| name.contains(kind));
    match name {
        // The cosine transform rounds otherwise, and so does the interpolation of colors.
        _ if is_jpeg && is_subsampled => 4,
        _ if is_jpeg => 2,
        // Five bits become eight by rounding, and not by cutting off.
        _ if ["rgb555", "rgb565", "palette16.tga"].iter().any(|kind| name.starts_with(kind)) => 1,
        // The sums of the conversion are rounded once.
        _ if name.starts_with("ycbcr") => 1,
        _ => 0,
    }
}

/// 16-bit gray is scaled here, and clipped to 255 in Pillow.
fn is_clipped_by_pillow(name: &str) -> bool {
    let is_deep = name.starts_with("gray16") || name.contains("1023.") || name.contains("65535.");
    is_deep && !name.ends_with(".ppm")
}

/// Read by Pillow only.
const REFUSED: [(&str, &str); 3] = [
    ("fill-order.tif", "a TIFF with its bits in reversed order is not read: convert the file"),
    ("no-palette.gif", "damaged GIF: no color table available for current frame"),
    ("os2-header.bmp", "Unknown bitmap header type (size=64)"),
];

/// Read here only.
const READ_HERE: [&str; 7] = [
    "big-tiff-big-endian.tif",
    "palette2.bmp",
    "premultiplied-gray.tif",
    "rle8-skips.bmp",
    "stray-many-progressive.jpg",
    "stray-many.jpg",
    "unused-palette.tga",
];

#[test]
fn files_of_every_kind_have_the_pixels_that_pillow_reads() {
    let mut n_compared = 0;
    for (name, (bytes, pillow)) in files() {
        let Some(pillow) = pillow else { continue };
        // Pillow takes the low bytes of the planes.
        if name == "planes16.tif" || REFUSED.iter().any(|(refused, _)| *refused == name) {
            continue;
        }
        let ours = read(&bytes).unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert_eq!((ours.width, ours.height, ours.channels), (pillow.width, pillow.height, 3), "{name}");
        assert_eq!(ours.values.len(), pillow.values.len(), "{name}");
        let pairs = || ours.values.iter().zip(&pillow.values);
        if is_clipped_by_pillow(&name) {
            assert!(pairs().all(|(ours, pillow)| *ours == 0 || *pillow == 255), "{name}");
        } else {
            let far = pairs().map(|(ours, pillow)| ours.abs_diff(*pillow)).max();
            assert!(far <= Some(bound(&name)), "{name}: a value is {far:?} from Pillow's");
        }
        n_compared += 1;
    }
    assert!(n_compared > 400, "{n_compared} files were compared");
}

#[test]
fn what_one_of_the_two_refuses_is_listed() {
    for (name, (bytes, pillow)) in files() {
        match (read(&bytes), pillow) {
            (Err(reason), Some(_)) => {
                let (_, listed) = REFUSED.iter().find(|(refused, _)| *refused == name).expect(&reason);
                assert!(reason.contains(listed), "{name}: {reason}");
            }
            (Ok(_), None) => assert!(READ_HERE.contains(&name.as_str()), "{name} is read, and not by Pillow"),
            _ => {}
        }
    }
}

#[test]
fn files_cut_short_say_so() {
    for (name, (bytes, _)) in
        files().into_iter().filter(|(name, _)| name.starts_with("cut") || name.starts_with("no-end"))
    {
        // What is cut in these has nothing to do with pixels.
        if ["cut-last-chunk.png", "no-end.gif"].contains(&name.as_str()) {
            assert!(read(&bytes).is_ok(), "{name}");
            continue;
        }
        let reason = read(&bytes).unwrap_err();
        let says_so = ["truncated", "failed to fill whole buffer", "Corrupt bitstream"];
        assert!(says_so.iter().any(|words| reason.contains(words)), "{name}: {reason}");
    }
}

#[test]
fn bytes_between_the_segments_of_a_jpeg_change_nothing() {
    for kind in ["", "-progressive"] {
        let plain = read(&file(&format!("rgb420{kind}-20x19.jpg"))).unwrap();
        for what in ["stray-zeros", "stray-many", "fill-bytes", "bytes-behind"] {
            let with_bytes = file(&format!("{what}{kind}.jpg"));
            assert_eq!(read(&with_bytes).as_ref(), Ok(&plain), "{what}{kind}");
            // A file that is cut short is not mistaken for one with stray bytes.
            assert_eq!(read(&with_bytes[..with_bytes.len() / 2]).unwrap_err(), "the JPEG file is truncated");
        }
    }
}

#[test]
fn an_image_without_its_last_chunk_has_all_pixels() {
    let whole = read(&file("many-idat.png")).unwrap();
    for name in ["no-last-chunk.png", "no-last-chunk-interlaced.png", "cut-last-chunk.png"] {
        assert_eq!(read(&file(name)).as_ref(), Ok(&whole), "{name}");
    }
}

#[test]
fn planes_have_the_pixels_of_a_file_without_planes() {
    assert_eq!(read(&file("planes16.tif")), read(&file("rgb16-17x9.tif")));
    assert_eq!(read(&file("planes.tif")), read(&file("big-endian.tif")));
}
