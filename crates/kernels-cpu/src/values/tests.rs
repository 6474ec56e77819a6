//! Values in both precisions.

use super::Values;
use crate::{Precision, testing::noise};

#[test]
fn parts_and_the_whole_are_the_same_values() {
    let values = noise(1, 40_000);
    for precision in [Precision::F32, Precision::Bf16] {
        let kept = Values::new(values.clone(), precision);
        let parts = vec![&values[..30_000], &values[30_000..]];
        let built = Values::build_beside(precision, &[30_000, 10_000], parts, |_, part, out| {
            out.copy_from_slice(part);
        });
        assert_eq!((kept.len(), kept.precision()), (values.len(), precision));
        assert_eq!(kept.whole(), built.whole());
        kept.with_part(777..33_333, |part| assert_eq!(part, &built.whole()[777..33_333]));
        let error = |(&kept, &value): (&f32, &f32)| ((kept - value) / value).abs();
        let worst = kept.whole().iter().zip(&values).map(error).fold(0.0, f32::max);
        assert!(worst <= if precision == Precision::F32 { 0.0 } else { 1.0 / 256.0 });
        assert_eq!(built.whole().into_owned(), built.into_whole());
    }
}
