//! Arrays of NumPy as images.

use datasets::{ReadOptions, decode_bytes};
use plugin_api::ByteImage;

/// A file as `numpy.save` writes it.
fn npy(kind: &str, shape: &str, fortran_order: bool, data: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
    header.push_str(&" ".repeat(117 - header.len()));
    header.push('\n');
    [&b"\x93NUMPY\x01\0"[..], &(header.len() as u16).to_le_bytes(), header.as_bytes(), data].concat()
}

fn read(bytes: &[u8]) -> Result<ByteImage, String> {
    decode_bytes(bytes, &ReadOptions::default())
}

#[test]
fn arrays_of_bytes_are_gray_or_rgb_with_channels_last_or_first() {
    let gray = read(&npy("|u1", "(2, 3)", false, &[1, 2, 3, 4, 5, 6])).unwrap();
    assert_eq!((gray.width, gray.height), (3, 2));
    assert_eq!(gray.values, [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5, 6, 6, 6]);
    let last: Vec<u8> = (0..60).collect();
    let rgb = read(&npy("|u1", "(4, 5, 3)", false, &last)).unwrap();
    assert_eq!((rgb.width, rgb.height, &rgb.values), (5, 4, &last));
    let first: Vec<u8> = (0..3).flat_map(|c| (0..20).map(move |i| i * 3 + c)).collect();
    assert_eq!(read(&npy("|u1", "(3, 4, 5)", false, &first)), Ok(rgb));
}

#[test]
fn other_values_are_scaled() {
    let words: Vec<u8> = [0_u16, 4095, 65535].iter().flat_map(|value| value.to_be_bytes()).collect();
    assert_eq!(
        read(&npy(">u2", "(1, 3)", false, &words)).unwrap().values,
        [0, 0, 0, 15, 15, 15, 255, 255, 255]
    );
    let floats: Vec<u8> = [0.0_f32, 0.5, 1.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    let unit = read(&npy("<f4", "(1, 3)", false, &floats)).unwrap();
    assert_eq!(unit.values, [0, 0, 0, 128, 128, 128, 255, 255, 255]);
    let range = ReadOptions { range: Some((-1.0, 1.0)), bands: Some(vec![0]), ..ReadOptions::default() };
    let doubles: Vec<u8> = [-1.0_f64, 0.0, 7.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    assert_eq!(decode_bytes(&npy("<f8", "(1, 3)", false, &doubles), &range).unwrap().values, [0, 128, 255]);
    let reason = read(&npy("<f8", "(1, 3)", false, &doubles)).unwrap_err();
    assert!(reason.starts_with("float values up to 7, outside 0 to 1"), "{reason}");
}

#[test]
fn arrays_that_are_no_images_say_why() {
    let reason = |kind: &str, shape: &str, fortran_order: bool, n: usize| {
        read(&npy(kind, shape, fortran_order, &vec![0; n])).unwrap_err()
    };
    assert!(reason("|u1", "(2, 3)", true, 6).contains("numpy.ascontiguousarray"));
    assert!(reason("<c8", "(2, 3)", false, 48).contains("type `c8` is not read"));
    assert!(reason("|u1", "(7,)", false, 7).contains("shape [7] is no image"));
    assert!(reason("|u1", "(2, 2, 2, 2)", false, 16).contains("shape [2, 2, 2, 2] is no image"));
    assert!(reason("|u1", "(64, 64, 13)", false, 64 * 64 * 13).contains("13 channels of 8 bits"));
    assert!(reason("|u1", "(2, 3)", false, 5).contains("truncated"));
    assert!(reason("|u1", "(99999, 99999)", false, 5).contains("more than the limit"));
    assert_eq!(read(b"\x93NUMPY\x01\0").unwrap_err(), "the NumPy file is truncated");
}
