//! JPEG XL beside libjxl, whose pixels `tests/pillow/make_jxl.py` has written.

use datasets::{ReadOptions, decode_bytes};

use super::pillow::files_of;

#[test]
fn jpeg_xl_has_the_pixels_that_libjxl_reads() {
    let mut n_compared = 0;
    for (name, (bytes, libjxl)) in files_of("jxl.zip") {
        let ours = decode_bytes(&bytes, &ReadOptions::default());
        let Some(libjxl) = libjxl else {
            assert_eq!(ours.unwrap_err(), "the JPEG XL file is truncated", "{name}");
            continue;
        };
        let ours = ours.unwrap_or_else(|reason| panic!("{name}: {reason}"));
        assert_eq!((ours.width, ours.height, ours.channels), (libjxl.width, libjxl.height, 3), "{name}");
        let far = ours.values.iter().zip(&libjxl.values).map(|(ours, theirs)| ours.abs_diff(*theirs)).max();
        let bound = if name.starts_with("lossy") { 1 } else { 0 };
        assert!(far <= Some(bound), "{name}: a value is {far:?} from libjxl's");
        n_compared += 1;
    }
    assert_eq!(n_compared, 11);
}
