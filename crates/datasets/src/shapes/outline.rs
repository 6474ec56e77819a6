//! The outlines of the classes, as signed distances.

use std::f32::consts::TAU;

/// An outline that approximately fills the unit circle.
pub(super) enum Outline {
    /// A circle with this radius.
    Circle(f32),
    /// The area between two circles.
    Ring { inner: f32, outer: f32 },
    /// The unit circle minus a circle of radius `bite` around `(shift, 0)`.
    Crescent { bite: f32, shift: f32 },
    /// A simple polygon.
    Polygon(Vec<Edge>),
}

/// One side of a polygon, from `(x, y)`.
pub(super) struct Edge {
    x: f32,
    y: f32,
    dx: f32,
    dy: f32,
    end_y: f32,
    /// The inverse of the squared length.
    per_length2: f32,
    /// Change of x along y; unused if the side is horizontal.
    slope: f32,
}

/// No outline reaches further from its center.
pub(super) const REACH: f32 = 1.2;

/// The class names, by class index.
pub(super) const NAMES: [&str; 10] =
    ["circle", "square", "triangle", "star", "cross", "ring", "heart", "crescent", "arrow", "hourglass"];

impl Outline {
    /// The outline of each class of [`NAMES`].
    pub(super) fn all() -> [Self; 10] {
        [
            Self::Circle(0.9),
            polygon(&turn(4, 0.125, |_| 1.1)),
            polygon(&turn(3, 0.75, |_| 1.1)),
            polygon(&turn(10, 0.75, |corner| if corner % 2 == 0 { 1.1 } else { 0.45 })),
            polygon(&cross(1.0, 0.34)),
            Self::Ring { inner: 0.5, outer: 1.0 },
            polygon(&heart(32)),
            Self::Crescent { bite: 0.8, shift: 0.5 },
            polygon(&[
                (0.0, -1.05),
                (0.85, -0.05),
                (0.33, -0.05),
                (0.33, 1.0),
                (-0.33, 1.0),
                (-0.33, -0.05),
                (-0.85, -0.05),
            ]),
            polygon(&[(-0.75, -0.9), (0.75, -0.9), (0.1, 0.0), (0.75, 0.9), (-0.75, 0.9), (-0.1, 0.0)]),
        ]
    }

    /// The signed distances, negative inside, of the points `(x[i], y[i])`.
    pub(super) fn distances(&self, x: &[f32], y: &[f32], out: &mut [f32]) {
        let points = x.iter().zip(y);
        match self {
            Self::Circle(radius) => {
                for (d, (x, y)) in out.iter_mut().zip(points) {
                    *d = length(*x, *y) - radius;
                }
            }
            Self::Ring { inner, outer } => {
                let (middle, half) = (0.5 * (inner + outer), 0.5 * (outer - inner));
                for (d, (x, y)) in out.iter_mut().zip(points) {
                    *d = (length(*x, *y) - middle).abs() - half;
                }
            }
            Self::Crescent { bite, shift } => {
                for (d, (x, y)) in out.iter_mut().zip(points) {
                    *d = (length(*x, *y) - 1.0).max(bite - length(x - shift, *y));
                }
            }
            Self::Polygon(edges) => polygon_distances(edges, x, y, out),
        }
    }
}

/// Edge by edge over a row of points, so that the inner loop is plain arithmetic.
fn polygon_distances(edges: &[Edge], x: &[f32], y: &[f32], out: &mut [f32]) {
    const LANES: usize = 16;
    for ((x, y), out) in x.chunks(LANES).zip(y.chunks(LANES)).zip(out.chunks_mut(LANES)) {
        let (mut px, mut py) = ([0.0_f32; LANES], [0.0_f32; LANES]);
        px[..x.len()].copy_from_slice(x);
        py[..y.len()].copy_from_slice(y);
        let mut distance2 = [f32::INFINITY; LANES];
        let mut sign = [1.0_f32; LANES];
        for edge in edges {
            for i in 0..LANES {
                let (wx, wy) = (px[i] - edge.x, py[i] - edge.y);
                let along = ((wx * edge.dx + wy * edge.dy) * edge.per_length2).clamp(0.0, 1.0);
                let (ox, oy) = (wx - along * edge.dx, wy - along * edge.dy);
                distance2[i] = distance2[i].min(ox * ox + oy * oy);
                // A ray to the right crosses the sides an odd number of times if it starts inside.
                let crosses = ((edge.y <= py[i]) != (edge.end_y <= py[i])) & (wx < wy * edge.slope);
                sign[i] *= if crosses { -1.0 } else { 1.0 };
            }
        }
        for (out, (d2, sign)) in out.iter_mut().zip(distance2.iter().zip(&sign)) {
            *out = sign * d2.sqrt();
        }
    }
}

fn length(x: f32, y: f32) -> f32 {
    (x * x + y * y).sqrt()
}

fn polygon(corners: &[(f32, f32)]) -> Outline {
    let next = corners.iter().cycle().skip(1);
    let edges = corners.iter().zip(next).map(|(&(x, y), &(end_x, end_y))| {
        let (dx, dy) = (end_x - x, end_y - y);
        let per_length2 = 1.0 / (dx * dx + dy * dy);
        Edge { x, y, dx, dy, end_y, per_length2, slope: if dy == 0.0 { 0.0 } else { dx / dy } }
    });
    Outline::Polygon(edges.collect())
}

/// `n` corners around the center, the first at `start` steps (or turns, below 1), each at its radius. y points down.
fn turn(n: usize, start: f32, radius: impl Fn(usize) -> f32) -> Vec<(f32, f32)> {
    let corner = |i: usize| {
        let angle = TAU * (start + i as f32 / n as f32);
        (radius(i) * angle.cos(), radius(i) * angle.sin())
    };
    (0..n).map(corner).collect()
}

fn cross(reach: f32, half: f32) -> [(f32, f32); 12] {
    let (r, h) = (reach, half);
    [
        (-h, -r),
        (h, -r),
        (h, -h),
        (r, -h),
        (r, h),
        (h, h),
        (h, r),
        (-h, r),
        (-h, h),
        (-r, h),
        (-r, -h),
        (-h, -h),
    ]
}

/// The curve (16 sin³t, 13 cos t − 5 cos 2t − 2 cos 3t − cos 4t), scaled into the unit circle.
fn heart(n: usize) -> Vec<(f32, f32)> {
    let corner = |i: usize| {
        let t = TAU * i as f32 / n as f32;
        let y = 13.0 * t.cos() - 5.0 * (2.0 * t).cos() - 2.0 * (3.0 * t).cos() - (4.0 * t).cos();
        (t.sin().powi(3), -(y + 2.5) / 16.0)
    };
    (0..n).map(corner).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_square_has_the_distances_of_a_square() {
        let side = 0.5;
        let square = polygon(&[(-side, -side), (side, -side), (side, side), (-side, side)]);
        let x = [0.0, 1.0, 1.0, 0.4];
        let y = [0.0, 0.0, 1.0, -0.2];
        let mut distances = [0.0; 4];
        square.distances(&x, &y, &mut distances);
        let expected = [-0.5, 0.5, 0.5_f32.sqrt(), -0.1];
        for (distance, expected) in distances.iter().zip(expected) {
            assert!((distance - expected).abs() < 1e-6, "{distance} {expected}");
        }
    }

    #[test]
    fn every_outline_covers_a_fair_part_of_its_circle_and_nothing_beyond() {
        let steps: Vec<f32> = (0..120).map(|i| -1.5 + 3.0 * (i as f32 + 0.5) / 120.0).collect();
        for (name, outline) in NAMES.iter().zip(Outline::all()) {
            let (mut inside, mut beyond) = (0, 0);
            for &y in &steps {
                let mut distances = vec![0.0; steps.len()];
                outline.distances(&steps, &vec![y; steps.len()], &mut distances);
                for (x, _) in steps.iter().zip(&distances).filter(|(_, d)| **d < 0.0) {
                    inside += 1;
                    beyond += i32::from(length(*x, y) > REACH);
                }
            }
            let area = inside as f32 * (3.0_f32 / 120.0).powi(2);
            assert!((0.9..2.8).contains(&area), "{name}: {area}");
            assert_eq!(beyond, 0, "{name} reaches too far");
        }
    }
}
