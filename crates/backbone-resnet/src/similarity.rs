//! Which places of an image its features are like.

use plugin_api::AttentionMaps;
use tensor_ops::FeatureMap;

/// The cosine similarity of each place of the last feature map, `(N, H, W, C)`, with the mean over all places, which is what
/// the features are.
pub(crate) fn of_last_map(x: &FeatureMap) -> AttentionMaps {
    let [_, h, w, c] = x.shape();
    let values = x.to_nhwc();
    let similarities = values.chunks_exact(h * w * c).flat_map(|image| {
        let mut mean = vec![0.0; c];
        for place in image.chunks_exact(c) {
            mean.iter_mut().zip(place).for_each(|(sum, value)| *sum += f64::from(*value));
        }
        image.chunks_exact(c).map(move |place| cosine(place, &mean)).collect::<Vec<_>>()
    });
    AttentionMaps {
        what: "similarity of each place of the last feature map with the features",
        names: vec!["similarity".to_owned()],
        size: (h, w),
        values: similarities.collect(),
    }
}

/// 0 if one of them is.
fn cosine(place: &[f32], mean: &[f64]) -> f32 {
    let dot: f64 = place.iter().zip(mean).map(|(a, b)| f64::from(*a) * b).sum();
    let lengths =
        place.iter().map(|a| f64::from(*a).powi(2)).sum::<f64>() * mean.iter().map(|b| b * b).sum::<f64>();
    if lengths == 0.0 { 0.0 } else { (dot / lengths.sqrt()) as f32 }
}

#[cfg(test)]
mod tests {
    use tensor_ops::{Device, Recording};

    use super::*;

    #[test]
    fn places_like_the_mean_are_near_one_and_others_are_not() {
        // The mean is along (6, 8): a place of its own direction, two others, and one of nothing.
        let values = [3.0, 4.0, 3.0, 0.0, 0.0, 4.0, 0.0, 0.0];
        let map = FeatureMap::from_nhwc(&Device::default(), [1, 2, 2, 2], &values, Recording::Off).unwrap();
        let maps = of_last_map(&map);
        assert_eq!((maps.size, maps.values.len()), ((2, 2), 4));
        for (value, expected) in maps.values.iter().zip([1.0, 0.6, 0.8, 0.0]) {
            assert!((value - expected).abs() < 1e-6, "{:?}", maps.values);
        }
    }
}
