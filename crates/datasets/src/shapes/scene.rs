//! One generated image: what is in it, and painting it.

use std::f32::consts::{PI, TAU};

use train_core::{ByteImage, Draws};

use super::ShapesConfig;
use super::outline::{Outline, REACH};

/// Everything about an image but its noise. Lengths are shares of the image's side, colours are of 1.
pub(super) struct Scene<'a> {
    background: Ramp,
    clouds: Clouds,
    clutter: Vec<Bit>,
    object: Object<'a>,
    /// Brightness at the image's edges along `direction`, around 1.
    light: Light,
}

type Colour = [f32; 3];

/// Two colours and the direction in which one turns into the other.
struct Ramp {
    from: Colour,
    to: Colour,
    direction: (f32, f32),
}

/// Smooth random brightness, the same in every direction and everywhere.
struct Clouds {
    /// `CLOUD_CELLS + 1` squared values around 0.
    lattice: Vec<f32>,
}

struct Light {
    strength: f32,
    direction: (f32, f32),
}

/// A short line, or a dot where both ends are one.
struct Bit {
    start: (f32, f32),
    end: (f32, f32),
    half_width: f32,
    colour: Colour,
}

struct Object<'a> {
    outline: &'a Outline,
    centre: (f32, f32),
    radius: f32,
    angle: f32,
    /// Factors on the two axes of the outline's frame.
    stretch: (f32, f32),
    fill: Colour,
    /// The second colour, of the texture and of the border.
    ink: Colour,
    texture: Texture,
    /// Where the texture begins, in its periods.
    phase: (f32, f32),
    /// Width of the border in units of the radius; 0 for none.
    border: f32,
}

#[derive(Clone, Copy)]
enum Texture {
    Plain,
    Stripes,
    Dots,
}

impl<'a> Scene<'a> {
    /// A scene with this outline. The order of the draws is part of what a seed means.
    pub(super) fn draw(config: &ShapesConfig, outline: &'a Outline, draws: &mut Draws) -> Self {
        let mut uniform = |low: f32, high: f32| draws.uniform(low.into(), high.into()) as f32;
        let ground = uniform(DARKEST, LIGHTEST);
        let figure = other_level(ground, config.contrast, uniform(0.0, 1.0));
        // The ink may be close to the ground, or on its other side: what is inside is then a pattern, not a level.
        let share = uniform(0.0, 1.0);
        let mut colour = |level: f32| {
            let (hue, chroma) = (uniform(0.0, TAU), config.chroma * uniform(0.0, 1.0));
            [0.0, TAU / 3.0, 2.0 * TAU / 3.0].map(|third| (level + chroma * (hue + third).cos()).clamp(0.0, 1.0))
        };
        let ground_colour = colour(ground);
        let fill = colour(figure);
        let ink = colour(other_level(figure, config.contrast, share));
        let tint = 0.12 * (uniform(0.0, 1.0) - 0.5);
        let turn = uniform(0.0, TAU);
        let background = Ramp {
            from: ground_colour.map(|value| value - tint),
            to: ground_colour.map(|value| value + tint),
            direction: (turn.cos(), turn.sin()),
        };
        let turn = uniform(0.0, TAU);
        let light = Light { strength: config.light * uniform(0.0, 1.0), direction: (turn.cos(), turn.sin()) };

        let radius = 0.5 * uniform(config.scale.0, config.scale.1);
        let free = (0.5 - (1.0 - config.cut) * radius).max(0.0);
        let centre = (0.5 + free * uniform(-1.0, 1.0), 0.5 + free * uniform(-1.0, 1.0));
        let angle = config.rotation * PI / 180.0 * uniform(-1.0, 1.0);
        let aspect = uniform(-config.stretch, config.stretch).exp2();
        let stretch = (aspect.sqrt(), 1.0 / aspect.sqrt());
        let phase = (uniform(0.0, 1.0), uniform(0.0, 1.0));
        let textured = draws.unit() < config.texture.into();
        let texture = match (textured, draws.below(2)) {
            (false, _) => Texture::Plain,
            (true, 0) => Texture::Stripes,
            (true, _) => Texture::Dots,
        };
        let clouds = Clouds::draw(config.clouds, draws);
        let border = if draws.chance(0.5) { 0.16 } else { 0.0 };
        let object = Object { outline, centre, radius, angle, stretch, fill, ink, texture, phase, border };
        let clutter = (0..draws.below(config.clutter + 1)).map(|_| Bit::draw(ground_colour, draws)).collect();
        Self { background, clouds, clutter, object, light }
    }

    /// The image, `size` x `size`, with noise from `draws`.
    pub(super) fn paint(&self, size: usize, noise: f32, draws: &mut Draws) -> ByteImage {
        let mut canvas = vec![[0.0_f32; 3]; size * size];
        self.background.paint(&mut canvas, size);
        self.clouds.paint(&mut canvas, size);
        for bit in &self.clutter {
            bit.paint(&mut canvas, size);
        }
        self.object.paint(&mut canvas, size);
        let rgb = self.develop(&canvas, size, noise, draws);
        ByteImage { width: size, height: size, rgb }
    }

    /// Light, noise and rounding.
    fn develop(&self, canvas: &[Colour], size: usize, noise: f32, draws: &mut Draws) -> Vec<u8> {
        // The difference of two bytes has a standard deviation of 104.5.
        let noise = 255.0 * noise / 104.5;
        let (along_x, along_y) = self.light.direction;
        let mut rgb = Vec::with_capacity(size * size * 3);
        for (y, row) in canvas.chunks(size).enumerate() {
            for (x, colour) in row.iter().enumerate() {
                let place = (unit(x, size) - 0.5) * along_x + (unit(y, size) - 0.5) * along_y;
                let light = 255.0 * (1.0 + 2.0 * self.light.strength * place);
                let bytes = draws.bits().to_le_bytes();
                rgb.extend([0, 2, 4].map(|i| {
                    let grain = f32::from(bytes[i]) - f32::from(bytes[i + 1]);
                    // The cast rounds down and saturates.
                    (colour[i / 2] * light + noise * grain + 0.5) as u8
                }));
            }
        }
        rgb
    }
}

/// Cells of the clouds along a side.
const CLOUD_CELLS: usize = 6;

const DARKEST: f32 = 0.08;
const LIGHTEST: f32 = 0.92;

/// A level at least `contrast` away from `level`, at `share` of what is possible.
fn other_level(level: f32, contrast: f32, share: f32) -> f32 {
    let below = (level - contrast - DARKEST).clamp(0.0, 0.2);
    let above = (LIGHTEST - level - contrast).clamp(0.0, 0.2);
    let at = share * (below + above);
    if at < below { level - contrast - at } else { level + contrast + (at - below) }
}

/// The middle of pixel `i` as a share of the side.
fn unit(i: usize, size: usize) -> f32 {
    (i as f32 + 0.5) / size as f32
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|i| from[i] + share * (to[i] - from[i]))
}

impl Ramp {
    fn paint(&self, canvas: &mut [Colour], size: usize) {
        for (y, row) in canvas.chunks_mut(size).enumerate() {
            for (x, pixel) in row.iter_mut().enumerate() {
                let (x, y) = (unit(x, size) - 0.5, unit(y, size) - 0.5);
                *pixel = mix(self.from, self.to, 0.5 + 0.7 * (x * self.direction.0 + y * self.direction.1));
            }
        }
    }
}

impl Clouds {
    fn draw(strength: f32, draws: &mut Draws) -> Self {
        let n = (CLOUD_CELLS + 1) * (CLOUD_CELLS + 1);
        Self { lattice: (0..n).map(|_| strength * draws.uniform(-1.0, 1.0) as f32).collect() }
    }

    fn paint(&self, canvas: &mut [Colour], size: usize) {
        // Where pixel `i` lies in the lattice: the cell, and how far into it, eased.
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
    fn draw(ground: Colour, draws: &mut Draws) -> Self {
        let start = (draws.unit() as f32, draws.unit() as f32);
        let length = if draws.chance(0.5) { 0.0 } else { draws.uniform(0.1, 0.3) as f32 };
        let angle = draws.uniform(0.0, f64::from(TAU)) as f32;
        let end = (start.0 + length * angle.cos(), start.1 + length * angle.sin());
        let half_width = draws.uniform(0.012, 0.03) as f32 * if length == 0.0 { 1.6 } else { 1.0 };
        let shift = (draws.uniform(0.1, 0.25) * if draws.chance(0.5) { 1.0 } else { -1.0 }) as f32;
        Self { start, end, half_width, colour: ground.map(|value| (value + shift).clamp(0.0, 1.0)) }
    }

    fn paint(&self, canvas: &mut [Colour], size: usize) {
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
                *pixel = mix(*pixel, self.colour, coverage(distance, size as f32));
            }
        }
    }
}

impl Object<'_> {
    fn paint(&self, canvas: &mut [Colour], size: usize) {
        let (sin, cos) = self.angle.sin_cos();
        let px_per_unit = self.radius * size as f32;
        let (mut u, mut v) = (vec![0.0; size], vec![0.0; size]);
        let mut distances = vec![0.0; size];
        let reach = REACH * self.stretch.0.max(self.stretch.1) + 1.0 / px_per_unit;
        for (y, row) in canvas.chunks_mut(size).enumerate() {
            let down = (unit(y, size) - self.centre.1) / self.radius;
            if down.abs() > reach {
                continue;
            }
            for x in 0..size {
                let right = (unit(x, size) - self.centre.0) / self.radius;
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
    /// How much of the second colour there is at a point of the outline's frame.
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

/// The share of a pixel that is inside, from the distance of its middle: anti-aliasing.
fn coverage(distance: f32, px_per_unit: f32) -> f32 {
    (0.5 - distance * px_per_unit).clamp(0.0, 1.0)
}
