//! A chart as SVG.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::axis::Ranged;
use super::{LineChart, Series, Stroke};
use crate::colors;
use crate::number::shown;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 270.0;
/// Space around the frame, for ticks and names of axes.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 24.0;
const BOTTOM: f64 = 44.0;

/// With more points than this, they are a line without dots.
const MOST_DOTS: usize = 40;

/// The least distance of two names of levels.
const NAME_HEIGHT: f64 = 15.0;

/// Where things are, in pixels of the picture.
struct Frame<'a> {
    x: Ranged<'a>,
    y: Ranged<'a>,
}

impl Frame<'_> {
    fn x(&self, value: f64) -> f64 {
        LEFT + self.x.place(value) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        HEIGHT - BOTTOM - self.y.place(value) * (HEIGHT - TOP - BOTTOM)
    }
}

impl LineChart {
    pub(super) fn is_drawn(&self, (x, y): (f64, f64)) -> bool {
        self.x.takes(x) && self.y.takes(y)
    }

    /// The chart alone.
    pub fn svg(&self) -> Markup {
        let points = || self.series.iter().flat_map(|series| series.points.iter().copied());
        let drawn = || points().filter(|point| self.is_drawn(*point));
        let xs = drawn().map(|point| point.0).chain(self.marks.iter().map(|mark| mark.0));
        let ys = drawn().map(|point| point.1).chain(self.levels.iter().map(|level| level.1));
        let frame = Frame { x: Ranged::new(&self.x, xs, 6, false), y: Ranged::new(&self.y, ys, 5, true) };
        html! {
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(self.title) {
                title { (self.title) }
                (self.grid(&frame))
                (self.level_lines(&frame))
                @for series in &self.series { (self.drawn_series(&frame, series)) }
                (self.drawn_marks(&frame))
                (self.level_names(&frame))
            }
        }
    }

    fn grid(&self, frame: &Frame<'_>) -> Markup {
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        html! {
            @for (value, text) in &frame.y.ticks {
                @let y = px(frame.y(*value));
                line class="grid" x1=(LEFT) x2=(right) y1=(y) y2=(y) {}
                text x=(LEFT - 7.0) y=(px(frame.y(*value) + 4.5)) text-anchor="end" { (text) }
            }
            line class="axis" x1=(LEFT) x2=(right) y1=(bottom) y2=(bottom) {}
            @for (value, text) in &frame.x.ticks {
                @let x = px(frame.x(*value));
                line class="axis" x1=(x) x2=(x) y1=(bottom) y2=(bottom + 4.0) {}
                text x=(x) y=(bottom + 18.0) text-anchor="middle" { (text) }
            }
            text x=(px((LEFT + right) / 2.0)) y=(HEIGHT - 6.0) text-anchor="middle" { (self.x.name) }
            text x="2" y="13" { (self.y.name) }
        }
    }

    fn drawn_series(&self, frame: &Frame<'_>, series: &Series) -> Markup {
        let class = match series.stroke {
            Stroke::Plain => "line",
            Stroke::Faint => "faint",
        };
        let drawn: Vec<(f64, f64)> =
            series.points.iter().copied().filter(|point| self.is_drawn(*point)).collect();
        let has_dots = series.stroke == Stroke::Plain && drawn.len() <= MOST_DOTS;
        html! {
            g class=(colors::class(series.color)) {
                @if drawn.len() > 1 {
                    path class=(class) d=(self.path(frame, series)) { title { (series.name) } }
                }
                @if has_dots || drawn.len() == 1 {
                    @for (x, y) in &drawn {
                        circle class="dot" cx=(px(frame.x(*x))) cy=(px(frame.y(*y))) r="3" {
                            title { (self.said_of(series, (*x, *y))) }
                        }
                    }
                }
            }
        }
    }

    fn said_of(&self, series: &Series, (x, y): (f64, f64)) -> String {
        let x = format!("{x:.2}");
        let x = x.trim_end_matches('0').trim_end_matches('.');
        format!("{}, {} {x}: {}", series.name, self.x.name, shown(y, self.y.unit))
    }

    fn path(&self, frame: &Frame<'_>, series: &Series) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for &point in &series.points {
            if !self.is_drawn(point) {
                pen = 'M';
                continue;
            }
            let _ = write!(path, "{pen}{} {}", px(frame.x(point.0)), px(frame.y(point.1)));
            pen = 'L';
        }
        path
    }

    fn drawn_marks(&self, frame: &Frame<'_>) -> Markup {
        html! {
            @for (place, said) in &self.marks {
                @let x = frame.x(*place);
                path class="spike" d=(format!("M{} {}l6 -10h-12z", px(x), px(TOP + 4.0))) { title { (said) } }
            }
        }
    }

    fn level_lines(&self, frame: &Frame<'_>) -> Markup {
        html! {
            @for (_, value) in self.levels.iter().filter(|level| self.y.takes(level.1)) {
                @let y = px(frame.y(*value));
                line class="level" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(y) y2=(y) {}
            }
        }
    }

    /// The names of levels, last so that they are on top: each above its line, and higher where another one would be in its place.
    fn level_names(&self, frame: &Frame<'_>) -> Markup {
        let mut levels: Vec<(f64, String)> = self
            .levels
            .iter()
            .filter(|level| self.y.takes(level.1))
            .map(|(name, value)| (frame.y(*value) - 5.0, format!("{name} {}", shown(*value, self.y.unit))))
            .collect();
        levels.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut below = f64::INFINITY;
        for (y, _) in &mut levels {
            *y = y.min(below - NAME_HEIGHT);
            below = *y;
        }
        html! {
            @for (y, text) in &levels {
                text class="level-name" x=(WIDTH - RIGHT - 4.0) y=(px(*y)) text-anchor="end" { (text) }
            }
        }
    }
}

/// A place with a tenth of a pixel.
fn px(place: f64) -> String {
    let text = format!("{place:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
