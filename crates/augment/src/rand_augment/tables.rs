//! Operations that look a new value up for each value, as in Pillow's ImageOps.

use plugin_api::ByteImage;

/// A new value for each value.
type Table = [u8; 256];

/// Stretches each channel so that its smallest value becomes 0 and its largest 255: Pillow's `autocontrast`.
pub fn stretch_contrast(image: &mut ByteImage) {
    by_channel(image, |counts| {
        let low = counts.iter().position(|&count| count > 0)?;
        let high = counts.iter().rposition(|&count| count > 0)?;
        if high <= low {
            return None;
        }
        let scale = 255.0 / (high - low) as f64;
        let offset = -(low as f64) * scale;
        // `as` cuts off and clips.
        Some(std::array::from_fn(|value| (value as f64 * scale + offset) as u8))
    });
}

/// Spreads the values of each channel evenly: Pillow's `equalize`.
pub fn equalize(image: &mut ByteImage) {
    by_channel(image, |counts| {
        let last = counts.iter().rfind(|&&count| count > 0)?;
        let step = (counts.iter().sum::<usize>() - last) / 255;
        if step == 0 {
            return None;
        }
        let mut below = step / 2;
        let mut table = [0; 256];
        for (new, count) in table.iter_mut().zip(counts) {
            *new = (below / step).min(255) as u8;
            below += count;
        }
        Some(table)
    });
}

/// `255 - v` for each value.
pub fn invert(image: &mut ByteImage) {
    for value in &mut image.values {
        *value = 255 - *value;
    }
}

/// Keeps the highest `bits` bits of each value; 8 and more keep all.
pub fn posterize(image: &mut ByteImage, bits: u32) {
    let mask = 0xff_u8.checked_shl(8_u32.saturating_sub(bits)).unwrap_or(0);
    for value in &mut image.values {
        *value &= mask;
    }
}

/// `255 - v` for each value of `threshold` and more, up to 256, where all stay.
pub fn solarize_from(image: &mut ByteImage, threshold: u16) {
    for value in &mut image.values {
        if u16::from(*value) >= threshold {
            *value = 255 - *value;
        }
    }
}

/// Adds `addend` to each value below 128, up to 255: timm's `SolarizeAdd`.
pub fn add_to_dark(image: &mut ByteImage, addend: u8) {
    for value in &mut image.values {
        if *value < 128 {
            *value = value.saturating_add(addend);
        }
    }
}

/// Changes each channel by the table that `table` makes of how often it has each value, if it makes one.
fn by_channel(image: &mut ByteImage, table: impl Fn(&[usize; 256]) -> Option<Table>) {
    let n = image.channels;
    for channel in 0..n {
        let mut counts = [0; 256];
        for &value in image.values.iter().skip(channel).step_by(n) {
            counts[usize::from(value)] += 1;
        }
        if let Some(table) = table(&counts) {
            for value in image.values.iter_mut().skip(channel).step_by(n) {
                *value = table[usize::from(*value)];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(values: &[u8], change: impl Fn(&mut ByteImage)) -> Vec<u8> {
        let mut image = ByteImage { width: values.len(), height: 1, channels: 1, values: values.to_vec() };
        change(&mut image);
        image.values
    }

    #[test]
    fn values_are_looked_up() {
        assert_eq!(changed(&[10, 20, 30], stretch_contrast), [0, 127, 255]);
        assert_eq!(changed(&[7, 7], stretch_contrast), [7, 7]);
        assert_eq!(changed(&[0, 255], invert), [255, 0]);
        assert_eq!(changed(&[255, 127, 200], |image| posterize(image, 1)), [128, 0, 128]);
        assert_eq!(changed(&[255, 3], |image| posterize(image, 0)), [0, 0]);
        assert_eq!(changed(&[255, 3], |image| posterize(image, 8)), [255, 3]);
        assert_eq!(changed(&[25, 26, 255], |image| solarize_from(image, 26)), [25, 229, 0]);
        assert_eq!(changed(&[255], |image| solarize_from(image, 256)), [255]);
        assert_eq!(changed(&[127, 128, 3], |image| add_to_dark(image, 110)), [237, 128, 113]);
    }

    #[test]
    fn channels_are_changed_by_themselves() {
        let mut image = ByteImage { width: 2, height: 1, channels: 2, values: vec![10, 50, 20, 50] };
        stretch_contrast(&mut image);
        assert_eq!(image.values, [0, 50, 255, 50]);
    }

    #[test]
    fn equal_values_are_spread_and_few_stay() {
        let values: Vec<u8> = (0..1024).map(|i| (i / 256) as u8).collect();
        let even = changed(&values, equalize);
        assert_eq!([even[0], even[300], even[600], even[900]], [0, 85, 171, 255]);
        assert_eq!(changed(&[1, 2, 3], equalize), [1, 2, 3]);
    }
}
