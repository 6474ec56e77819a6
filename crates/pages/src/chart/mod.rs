//! Charts of values along a run, as SVG.

mod axis;
mod draw;
mod thin;

use maud::{Markup, html};

pub use self::axis::{Axis, Scale};
pub use self::thin::thinned;
use crate::colors;

/// Lines in one frame.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// What is drawn.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The lines, the later ones on top.
    pub series: Vec<Series>,
    /// Heights to compare with, by name: dashed lines.
    pub levels: Vec<(String, f64)>,
    /// Places along the horizontal axis to look at, with what to say of each: triangles at the top.
    pub marks: Vec<(f64, String)>,
}

/// One line of a chart.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// From left to right. Values that are not finite are gaps.
    pub points: Vec<(f64, f64)>,
    /// The number of its color.
    pub color: usize,
    /// How it is drawn.
    pub stroke: Stroke,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stroke {
    /// With a dot at each point, where there is room.
    Plain,
    /// Thin and pale, behind another: single steps behind the mean of an epoch. Not in the legend.
    Faint,
}

impl Series {
    /// A line in the first color.
    pub fn line(name: impl Into<String>, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, color: 0, stroke: Stroke::Plain }
    }

    /// The same in another color.
    #[must_use]
    pub fn colored(self, color: usize) -> Self {
        Self { color, ..self }
    }

    /// The same, pale.
    #[must_use]
    pub fn faint(self) -> Self {
        Self { stroke: Stroke::Faint, ..self }
    }
}

impl LineChart {
    /// Whether there is a point to draw.
    pub fn has_points(&self) -> bool {
        self.series.iter().flat_map(|series| &series.points).any(|point| self.is_drawn(*point))
    }

    /// The chart with its title, a legend if there are several lines, and one sentence that says how to read it.
    pub fn figure(&self, how_to_read: &str) -> Markup {
        html! {
            figure {
                figcaption { b { (self.title) } span { (how_to_read) } }
                (self.legend())
                (self.svg())
            }
        }
    }

    fn legend(&self) -> Markup {
        let named: Vec<&Series> =
            self.series.iter().filter(|series| series.stroke == Stroke::Plain).collect();
        html! {
            @if named.len() > 1 {
                ul class="legend" {
                    @for series in named {
                        li {
                            span class=(colors::class(series.color)) { span class="swatch" {} }
                            span { (series.name) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> LineChart {
        LineChart {
            title: "Loss".into(),
            x: Axis::linear("epoch"),
            y: Axis::linear("loss"),
            series: vec![Series::line("a <run>", points)],
            levels: vec![("chance".into(), 8.317_8)],
            marks: vec![(2.0, "spike & more".into())],
        }
    }

    #[test]
    fn a_chart_has_its_words_as_text() {
        let drawn = chart((0..30).map(|i| (f64::from(i) / 10.0, 8.0 - f64::from(i) / 10.0)).collect());
        let text = drawn.figure("How to read it.").into_string();
        for part in [
            "<title>Loss</title>",
            "chance 8.32",
            "spike &amp; more",
            ">epoch</text>",
            ">loss</text>",
            "How to read it.",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        assert!(!text.contains("<run>") && !text.contains("NaN") && !text.contains("inf"), "{text}");
        // One line needs no legend, two do.
        assert!(!text.contains("class=\"legend\""));
        let mut two = drawn.clone();
        two.series.push(Series::line("b", vec![(0.0, 1.0)]).colored(1));
        assert!(two.figure("").into_string().contains("class=\"legend\""));
    }

    #[test]
    fn what_is_not_finite_is_a_gap() {
        let text =
            chart(vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 2.0)]).svg().into_string();
        let path = text.split("class=\"line\" d=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(!text.contains("NaN"));
        assert!(!chart(vec![(0.0, f64::NAN)]).has_points() && chart(vec![(0.0, 0.0)]).has_points());
    }

    #[test]
    fn no_points_one_point_and_equal_points_are_drawn() {
        for points in [vec![], vec![(1.0, 3.0)], vec![(1.0, 3.0), (2.0, 3.0)], vec![(1.0, 0.0), (1.0, 0.0)]] {
            let mut chart = chart(points);
            chart.levels.clear();
            let text = chart.svg().into_string();
            assert!(text.contains("</svg>") && !text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }

    #[test]
    fn a_scale_of_powers_leaves_zero_out() {
        let mut chart = chart(vec![(0.0, 1e-4), (1.0, 0.0), (2.0, 10.0)]);
        chart.y = Axis::powers("gradient");
        chart.levels.clear();
        let text = chart.svg().into_string();
        assert!(text.contains(">1e-3<") && text.contains(">10<") && !text.contains("inf"), "{text}");
    }
}
