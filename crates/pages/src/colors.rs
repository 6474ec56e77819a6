//! Colors that most people tell apart, color-blind or not (Okabe and Ito 2008).

use image::Rgb;

/// How many colors there are. What is numbered beyond starts again.
pub const N_COLORS: usize = 8;

/// In the order in which they are used on paper. On a dark page the style sheet has the same in another order.
const COLORS: [[u8; 3]; N_COLORS] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [0, 0, 0],
    [240, 228, 66],
];

/// Color `index` for a picture on white.
pub fn okabe_ito(index: usize) -> Rgb<u8> {
    Rgb(COLORS[index % N_COLORS])
}

/// The class of the style sheet that draws in color `index`.
pub(crate) fn class(index: usize) -> String {
    format!("c{}", index % N_COLORS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_sheet_has_the_same_colors() {
        let style = include_str!("style.css");
        for index in 0..N_COLORS {
            let [r, g, b] = okabe_ito(index).0;
            let expected = format!("--c{index}: #{r:02x}{g:02x}{b:02x};");
            assert!(style.contains(&expected), "{expected} is not in the style sheet");
            assert!(style.contains(&format!(".c{index} {{ color: var(--c{index}) }}")), "c{index}");
        }
        assert_eq!((okabe_ito(8), class(9)), (okabe_ito(0), "c1".to_owned()));
    }
}
