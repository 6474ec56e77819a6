//! One generated image: its contents, and how to draw it.

use std::f64::consts::TAU;

use plugin_api::{ByteImage, Rng};

use super::ShapesConfig;
use super::outline::{Outline, REACH};

/// All parameters of an image except its noise. Lengths are relative to the image size, colors to the full range.
pub(super) struct Scene<'a> {
    background: Ramp,
    clouds: Clouds,
    clutter: Vec<Bit>,
    object: Object<'a>,
    /// Brightness at the image's edges along `direction`, around 1.
    light: Light,
}

type Color = [f32; 3];

/// Two colors and the direction of the gradient between them.
struct Ramp {
    from: Color,
    to: Color,
    direction: (f32, f32),
}

/// Smooth random brightness, with the same statistics in every direction and everywhere.
struct Clouds {
    /// `CLOUD_CELLS + 1` squared values around 0.
    lattice: Vec<f32>,
}

struct Light {
    strength: f32,
    direction: (f32, f32),
}

/// A short line, or a dot if both ends are equal.
struct Bit {
    start: (f32, f32),
    end: (f32, f32),
    half_width: f32,
    color: Color,
}

struct Object<'a> {
    outline: &'a Outline,
    center: (f32, f32),
    radius: f32,
    angle: f32,
    /// Scale factors of the two axes of the outline.
    stretch: (f32, f32),
    fill: Color,
    /// The second color, for texture and border.
    ink: Color,
    texture: Texture,
    /// The phase of the texture, in periods.
    phase: (f32, f32),
    /// Width of the border relative to the radius; 0 for none.
    border: f32,
}

#[derive(Clone, Copy)]
enum Texture {
    Plain,
    Stripes,
    Dots,
}

/// The colors of an image.
struct Palette {
    ground: Color,
    fill: Color,
    ink: Color,
}

impl<'a> Scene<'a> {
    /// A random scene with this outline. The order of draws must stay the same, so that a seed gives the same images.
    pub(super) fn draw(config: &ShapesConfig, outline: &'a Outline, rng: &mut Rng) -> Self {
        let palette = Palette::draw(config, rng);
        let tint = uniform(rng, -0.06, 0.06);
        Self {
            background: Ramp {
                from: palette.ground.map(|value| value - tint),
                to: palette.ground.map(|value| value + tint),
                direction: direction(rng),
            },
            light: Light { strength: uniform(rng, 0.0, config.light), direction: direction(rng) },
            clouds: Clouds::draw(config.clouds, rng),
            object: Object::draw(config, outline, &palette, rng),
            clutter: (0..rng.below(config.clutter + 1)).map(|_| Bit::draw(palette.ground, rng)).collect(),
        }
    }

    /// Draws the image, `size` x `size`, with noise from `rng`.
    pub(super) fn paint(&self, size: usize, noise: f64, rng: &mut Rng) -> ByteImage {
        let mut canvas = vec![[0.0_f32; 3]; size * size];
        self.background.paint(&mut canvas, size);
        self.clouds.paint(&mut canvas, size);
        for bit in &self.clutter {
            bit.paint(&mut canvas, size);
        }
        self.object.paint(&mut canvas, size);
        let rgb = self.develop(&canvas, size, noise, rng);
        ByteImage::rgb(size, size, rgb)
    }

    /// Applies lighting and noise, and rounds.
    fn develop(&self, canvas: &[Color], size: usize, noise: f64, rng: &mut Rng) -> Vec<u8> {
        // The difference of two bytes has a standard deviation of 104.5.
        let noise = (255.0 / 104.5 * noise) as f32;
        let (along_x, along_y) = self.light.direction;
        let mut rgb = Vec::with_capacity(size * size * 3);
        for (y, row) in canvas.chunks(size).enumerate() {
            for (x, color) in row.iter().enumerate() {
                let place = (unit(x, size) - 0.5) * along_x + (unit(y, size) - 0.5) * along_y;
                let light = 255.0 * (1.0 + 2.0 * self.light.strength * place);
                let bytes = rng.bits().to_le_bytes();
                rgb.extend([0, 2, 4].map(|i| {
                    let grain = f32::from(bytes[i]) - f32::from(bytes[i + 1]);
                    // The cast rounds down and saturates.
                    (color[i / 2] * light + noise * grain + 0.5) as u8
                }));
            }
        }
        rgb
    }
}

/// Cells of the clouds along each axis.
const CLOUD_CELLS: usize = 6;

const DARKEST: f64 = 0.08;
const LIGHTEST: f64 = 0.92;

impl Palette {
    fn draw(config: &ShapesConfig, rng: &mut Rng) -> Self {
        let ground = rng.uniform(DARKEST, LIGHTEST);
        let fill = other_level(ground, config.contrast, rng);
        // The colors may be similar to the background, or on its other side: the inside is then a pattern, not a level.
        let ink = other_level(fill, config.contrast, rng);
        // One tint for all: a second one would mark the image in a way that no change of hue removes.
        let (hue, chroma) = (rng.uniform(0.0, TAU), rng.uniform(0.0, config.chroma));
        let color = |level: f64| {
            [0.0, TAU / 3.0, 2.0 * TAU / 3.0]
                .map(|third| (level + chroma * (hue + third).cos()).clamp(0.0, 1.0) as f32)
        };
        Self { ground: color(ground), fill: color(fill), ink: color(ink) }
    }
}

/// A level that differs from `level` by `contrast`, or up to 0.2 more, in either direction.
fn other_level(level: f64, contrast: f64, rng: &mut Rng) -> f64 {
    let below = (level - contrast - DARKEST).clamp(0.0, 0.2);
    let above = (LIGHTEST - level - contrast).clamp(0.0, 0.2);
    let at = rng.uniform(0.0, below + above);
    if at < below { level - contrast - at } else { level + contrast + (at - below) }
}

fn uniform(rng: &mut Rng, low: f64, high: f64) -> f32 {
    rng.uniform(low, high) as f32
}

/// A unit vector.
fn direction(rng: &mut Rng) -> (f32, f32) {
    let (sin, cos) = rng.uniform(0.0, TAU).sin_cos();
    (cos as f32, sin as f32)
}

/// The center of pixel `i` relative to the image size.
fn unit(i: usize, size: usize) -> f32 {
    (i as f32 + 0.5) / size as f32
}

fn mix(from: Color, to: Color, share: f32) -> Color {
    std::array::from_fn(|i| from[i] + share * (to[i] - from[i]))
}

impl Ramp {
    fn paint(&self, canvas: &mut [Color], size: usize) {
        for (y, row) in canvas.chunks_mut(size).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (x, y) = (unit(x, size) - 0.5, unit(y, size) - 0.5);
                *pixel = mix(self.from, self.to, 0.5 + 0.7 * (x * self.direction.0 + y * self.direction.1));
            }
        }
    }
}

impl Clouds {
    fn draw(strength: f64, rng: &mut Rng) -> Self {
        let n = (CLOUD_CELLS + 1) * (CLOUD_CELLS + 1);
        Self { lattice: (0..n).map(|_| uniform(rng, -strength, strength)).collect() }
    }

    fn paint(&self, canvas: &mut [Color], size: usize) {
        // The position of pixel `i` in the lattice: the cell, and the smoothed offset in it.
        let places: Vec<(usize, f32)> = (0..size)
            .map(|i| {
                let at = unit(i, size) * CLOUD_CELLS as f32;
                let share = at.fract();
                (at as usize, share * share * (3.0 - 2.0 * share))
            })
            .collect();
        for (row, &(cell_y, share_y)) in canvas.chunks_mut(size).zip(&places) {
            let upper = &self.lattice[cell_y * (CLOUD_CELLS + 1)..];
            let lower = &self.lattice[(cell_y + 1) * (CLOUD_CELLS + 1)..];
            for (pixel, &(cell_x, share_x)) in row.iter_mut().zip(&places) {
                let level = |x: usize| upper[x] + share_y * (lower[x] - upper[x]);
                let level = level(cell_x) + share_x * (level(cell_x + 1) - level(cell_x));
                pixel.iter_mut().for_each(|value| *value += level);
            }
        }
    }
}

impl Bit {
    fn draw(ground: Color, rng: &mut Rng) -> Self {
        let start = (uniform(rng, 0.0, 1.0), uniform(rng, 0.0, 1.0));
        let is_line = rng.chance(0.5);
        let length = if is_line { uniform(rng, 0.1, 0.3) } else { 0.0 };
        let (along_x, along_y) = direction(rng);
        let end = (start.0 + length * along_x, start.1 + length * along_y);
        let half_width = if is_line { uniform(rng, 0.012, 0.03) } else { uniform(rng, 0.02, 0.05) };
        let size = uniform(rng, 0.1, 0.25);
        let shift = if rng.chance(0.5) { size } else { -size };
        Self { start, end, half_width, color: ground.map(|value| (value + shift).clamp(0.0, 1.0)) }
    }

    fn paint(&self, canvas: &mut [Color], size: usize) {
        let (dx, dy) = (self.end.0 - self.start.0, self.end.1 - self.start.1);
        let per_length2 = 1.0 / (dx * dx + dy * dy).max(1e-12);
        let margin = self.half_width + 1.0 / size as f32;
        let range = |a: f32, b: f32| {
            // The casts saturate at 0.
            let low = ((a.min(b) - margin) * size as f32) as usize;
            low.min(size)..(((a.max(b) + margin) * size as f32) as usize + 1).min(size)
        };
        for y in range(self.start.1, self.end.1) {
            for x in range(self.start.0, self.end.0) {
                let (wx, wy) = (unit(x, size) - self.start.0, unit(y, size) - self.start.1);
                let along = ((wx * dx + wy * dy) * per_length2).clamp(0.0, 1.0);
                let (ox, oy) = (wx - along * dx, wy - along * dy);
                let distance = (ox * ox + oy * oy).sqrt() - self.half_width;
                let pixel = &mut canvas[y * size + x];
                *pixel = mix(*pixel, self.color, coverage(distance, size as f32));
            }
        }
    }
}

impl<'a> Object<'a> {
    fn draw(config: &ShapesConfig, outline: &'a Outline, palette: &Palette, rng: &mut Rng) -> Self {
        let radius = 0.5 * uniform(rng, config.scale.0, config.scale.1);
        let free = (0.5 - (1.0 - config.cut as f32) * radius).max(0.0);
        let center = [(); 2].map(|()| 0.5 + free * uniform(rng, -1.0, 1.0));
        let angle = uniform(rng, -config.rotation, config.rotation).to_radians();
        let aspect = uniform(rng, -config.stretch, config.stretch).exp2();
        let texture = match (rng.chance(config.texture), rng.chance(0.5)) {
            (false, _) => Texture::Plain,
            (true, true) => Texture::Stripes,
            (true, false) => Texture::Dots,
        };
        Self {
            outline,
            center: center.into(),
            radius,
            angle,
            stretch: (aspect.sqrt(), 1.0 / aspect.sqrt()),
            fill: palette.fill,
            ink: palette.ink,
            texture,
            phase: (uniform(rng, 0.0, 1.0), uniform(rng, 0.0, 1.0)),
            border: if rng.chance(0.5) { 0.16 } else { 0.0 },
        }
    }

    fn paint(&self, canvas: &mut [Color], size: usize) {
        let (sin, cos) = self.angle.sin_cos();
        let px_per_unit = self.radius * size as f32;
        let (mut u, mut v) = (vec![0.0; size], vec![0.0; size]);
        let mut distances = vec![0.0; size];
        let reach = REACH * self.stretch.0.max(self.stretch.1) + 1.0 / px_per_unit;
        for (y, row) in canvas.chunks_mut(size).enumerate() {
            let down = (unit(y, size) - self.center.1) / self.radius;
            if down.abs() > reach {
                continue;
            }
            for x in 0..size {
                let right = (unit(x, size) - self.center.0) / self.radius;
                u[x] = (cos * right + sin * down) / self.stretch.0;
                v[x] = (cos * down - sin * right) / self.stretch.1;
            }
            self.outline.distances(&u, &v, &mut distances);
            for (x, pixel) in row.iter_mut().enumerate() {
                let distance = distances[x];
                let inside = coverage(distance, px_per_unit);
                if inside > 0.0 {
                    let inked = self.texture.ink(u[x], v[x], self.phase, px_per_unit);
                    let inked = if self.border > 0.0 {
                        inked.max(1.0 - coverage(distance + self.border, px_per_unit))
                    } else {
                        inked
                    };
                    *pixel = mix(*pixel, mix(self.fill, self.ink, inked), inside);
                }
            }
        }
    }
}

impl Texture {
    /// The amount of the second color at a point of the outline's frame.
    fn ink(self, u: f32, v: f32, phase: (f32, f32), px_per_unit: f32) -> f32 {
        let from_middle = |w: f32| (w - w.floor() - 0.5).abs();
        match self {
            Self::Plain => 0.0,
            Self::Stripes => {
                let per_unit = 1.8;
                coverage((from_middle(v * per_unit + phase.1) - 0.25) / per_unit, px_per_unit)
            }
            Self::Dots => {
                let per_unit = 1.7;
                let (u, v) = (from_middle(u * per_unit + phase.0), from_middle(v * per_unit + phase.1));
                coverage(((u * u + v * v).sqrt() - 0.28) / per_unit, px_per_unit)
            }
        }
    }
}

/// The share of a pixel that is inside, from the distance of its center: anti-aliasing.
fn coverage(distance: f32, px_per_unit: f32) -> f32 {
    (0.5 - distance * px_per_unit).clamp(0.0, 1.0)
}
