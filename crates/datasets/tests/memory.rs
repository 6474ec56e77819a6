//! What decoding an image takes of memory, whatever its file says. One test, because the count is the process's.

use std::io::Cursor;
use std::path::Path;

use datasets::{MAX_DECODING_BYTES, Orientation, ReadOptions, decode_bytes};
use peak_alloc::PeakAlloc;
use plugin_api::{ByteImage, DecodingScope, MAX_DECODING_TOGETHER_BYTES};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// The outcome, and the most bytes that were taken at once beside what there was.
fn decode(bytes: &[u8], options: &ReadOptions) -> (Result<ByteImage, String>, usize) {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let outcome = decode_bytes(bytes, options);
    (outcome, MEMORY.peak_usage().saturating_sub(before))
}

#[test]
fn memory_is_bounded_by_the_image_and_not_by_what_its_header_says() {
    small_files_take_little();
    long_and_narrow_images_are_read();
    color_profiles_are_not_unpacked();
    headers_alone_take_nothing();
    nothing_takes_more_than_the_limit();
    threads_share_what_they_may_take();
}

fn small_files_take_little() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pillow/files.zip");
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let all = ReadOptions { bands: None, range: Some((0.0, 1.0)), orientation: Orientation::Exif };
    for i in 0..archive.len() {
        let mut entry = archive.by_index(i).unwrap();
        let mut bytes = Vec::new();
        std::io::copy(&mut entry, &mut bytes).unwrap();
        let name = entry.name().unwrap().into_owned();
        for options in [&ReadOptions::default(), &all] {
            let (_, taken) = decode(&bytes, options);
            assert!(taken < MIB, "{name}: {taken} bytes");
        }
    }
}

fn png(
    width: u32,
    height: u32,
    color: png::ColorType,
    depth: png::BitDepth,
    profile: Option<Vec<u8>>,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut info = png::Info::with_size(width, height);
    (info.color_type, info.bit_depth) = (color, depth);
    info.icc_profile = profile.map(Into::into);
    let mut writer = png::Encoder::with_info(&mut bytes, info).unwrap().write_header().unwrap();
    let n_row_bytes = (width as usize * color.samples() * depth as usize).div_ceil(8);
    let row = vec![0; n_row_bytes];
    let mut stream = writer.stream_writer().unwrap();
    for _ in 0..height {
        std::io::Write::write_all(&mut stream, &row).unwrap();
    }
    stream.finish().unwrap();
    drop(writer);
    bytes
}

fn long_and_narrow_images_are_read() {
    use png::{BitDepth, ColorType};
    for (width, height) in [(1_000_000, 1), (1, 1_000_000)] {
        for (color, depth) in [
            (ColorType::Grayscale, BitDepth::One),
            (ColorType::Grayscale, BitDepth::Eight),
            (ColorType::Rgba, BitDepth::Sixteen),
        ] {
            let (outcome, taken) = decode(&png(width, height, color, depth, None), &ReadOptions::default());
            let image = outcome.unwrap();
            assert_eq!((image.width, image.height), (width as usize, height as usize));
            // The image takes 3 bytes a pixel, and rows of 8 are kept a few times.
            assert!(taken < 64 * MIB, "{width} x {height} {color:?} {depth:?}: {taken} bytes");
        }
        let pgm = [format!("P5 {width} {height} 255\n").into_bytes(), vec![9; 1_000_000]].concat();
        let (outcome, taken) = decode(&pgm, &ReadOptions::default());
        assert!(outcome.unwrap().values.iter().all(|value| *value == 9) && taken < 16 * MIB, "{taken} bytes");
    }
}

fn color_profiles_are_not_unpacked() {
    let bomb = png(2, 2, png::ColorType::Rgb, png::BitDepth::Eight, Some(vec![0; 100 * MIB]));
    assert!(bomb.len() < MIB);
    // Alone, and in an icon.
    let mut icon = vec![0, 0, 1, 0, 1, 0, 2, 2, 0, 0, 1, 0, 24, 0];
    icon.extend((bomb.len() as u32).to_le_bytes());
    icon.extend(22_u32.to_le_bytes());
    icon.extend(&bomb);
    for file in [bomb, icon] {
        let (outcome, taken) = decode(&file, &ReadOptions::default());
        assert_eq!(outcome.unwrap().width, 2);
        assert!(taken < MIB, "{taken} bytes");
    }
}

/// Starts of files that promise 100 million pixels.
fn promises() -> Vec<(&'static str, Vec<u8>)> {
    let side = 10_000_u32;
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend([side.to_le_bytes(), side.to_le_bytes()].concat());
    bmp.extend([1, 0, 24, 0]);
    bmp.resize(200, 0);
    let mut tga = vec![0; 18];
    (tga[2], tga[16]) = (2, 24);
    tga[12..14].copy_from_slice(&(side as u16).to_le_bytes());
    tga[14..16].copy_from_slice(&(side as u16).to_le_bytes());
    tga.resize(200, 0);
    let mut qoi = b"qoif".to_vec();
    qoi.extend([side.to_be_bytes(), side.to_be_bytes()].concat());
    qoi.extend([3, 0]);
    qoi.resize(200, 0);
    let mut gif = b"GIF89a".to_vec();
    gif.extend([(side as u16).to_le_bytes(), (side as u16).to_le_bytes()].concat());
    gif.extend([0x80, 0, 0, 1, 2, 3, 4, 5, 6, b',', 0, 0, 0, 0, 1, 0, 1, 0, 0, 2, 2, 0x4c, 1, 0, b';']);
    let ppm = format!("P6 {side} {side} 255\n").into_bytes();
    let mut png = png(1, 1, png::ColorType::Rgb, png::BitDepth::Eight, None);
    png[16..24].copy_from_slice(&[side.to_be_bytes(), side.to_be_bytes()].concat());
    let checksum = crc32(&png[12..29]);
    png[29..33].copy_from_slice(&checksum.to_be_bytes());
    let mut tiff = b"II*\0\x08\0\0\0\x09\0".to_vec();
    let entries =
        [(256, side), (257, side), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, side), (279, 100)];
    for (tag, value) in entries {
        let kind = if value > 65535 { 4_u16 } else { 3 };
        tiff.extend([u16::to_le_bytes(tag), kind.to_le_bytes(), 1_u16.to_le_bytes(), [0; 2]].concat());
        tiff.extend(value.to_le_bytes());
    }
    tiff.resize(300, 0);
    // Entries of 2^40 values.
    let mut big_tiff = b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x11\x01\x10\0".to_vec();
    big_tiff.extend((1_u64 << 40).to_le_bytes());
    big_tiff.extend(16_u64.to_le_bytes());
    big_tiff.resize(300, 0);
    let jpeg = {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(16, 16).write_to(&mut bytes, image::ImageFormat::Jpeg).unwrap();
        let mut bytes = bytes.into_inner();
        let frame = bytes.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
        bytes[frame + 5..frame + 9].copy_from_slice(&[0x27, 0x10, 0x27, 0x10]);
        bytes
    };
    vec![
        ("BMP", bmp),
        ("TGA", tga),
        ("QOI", qoi),
        ("GIF", gif),
        ("PPM", ppm),
        ("PNG", png),
        ("TIFF", tiff),
        ("BigTIFF", big_tiff),
        ("JPEG", jpeg),
    ]
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

fn headers_alone_take_nothing() {
    for (name, bytes) in promises() {
        let (outcome, taken) = decode(&bytes, &ReadOptions::default());
        let reason = outcome.expect_err(name);
        assert!(reason.contains("truncated") || reason.contains("cannot hold"), "{name}: {reason}");
        assert!(taken < MIB, "{name}: {taken} bytes");
    }
}

fn nothing_takes_more_than_the_limit() {
    // A file of a few kilobytes with 60 million pixels: as RGB it is within the limit, as sixteen channels not.
    let (width, height) = (60_000, 1000);
    let file = png(width, height, png::ColorType::Grayscale, png::BitDepth::One, None);
    let (outcome, taken) = decode(&file, &ReadOptions::default());
    assert_eq!(outcome.unwrap().values.len(), 180_000_000);
    assert!((180_000_000..MAX_DECODING_BYTES).contains(&taken), "{taken} bytes");
    let bands = ReadOptions { bands: Some(vec![0; 16]), ..ReadOptions::default() };
    let (outcome, taken) = decode(&file, &bands);
    let reason = outcome.unwrap_err();
    assert!(reason.contains("more than the limit of 536870912"), "{reason}");
    assert!(taken < MIB, "{taken} bytes");
    // Turned, it is there twice.
    let turned = ReadOptions { orientation: Orientation::Exif, ..ReadOptions::default() };
    let exif = [
        &b"\0\0\0\x1aeXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"[..],
        &crc32(b"eXIfMM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0").to_be_bytes(),
    ]
    .concat();
    let with_exif = [&file[..33], &exif, &file[33..]].concat();
    let (outcome, taken) = decode(&with_exif, &turned);
    assert_eq!(outcome.unwrap().width, height as usize);
    assert!(taken < MAX_DECODING_BYTES, "{taken} bytes");
}

/// Each takes 180 MB, and is held for a while after it is decoded, as a worker of the loader holds it.
fn threads_share_what_they_may_take() {
    const N_THREADS: usize = 12;
    let file = png(60_000, 1000, png::ColorType::Grayscale, png::BitDepth::One, None);
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    std::thread::scope(|scope| {
        for _ in 0..N_THREADS {
            scope.spawn(|| {
                let _scope = DecodingScope::begin();
                let image = decode_bytes(&file, &ReadOptions::default()).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(20));
                assert_eq!(image.values.len(), 180_000_000);
            });
        }
    });
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!((180_000_000..MAX_DECODING_TOGETHER_BYTES + 100 * MIB).contains(&taken), "{taken} bytes");
}
