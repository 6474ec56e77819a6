//! Maps of features: images as points in the plane.

use std::collections::BTreeMap;

use image::{Rgb, RgbImage, imageops};
use maud::{Markup, PreEscaped, html};

use crate::captions::short_name;
use crate::colors::{self, N_COLORS, okabe_ito};
use crate::letters::{self, LETTER_PX};
use crate::sheet::fitted;
use crate::sprite::Sprite;

/// Side of the map in pixels of the picture.
const SIDE: f64 = 640.0;
/// Between the outermost points and the edge.
const MARGIN: f64 = 20.0;
/// Side of an image on the map.
const IMAGE_SIDE: f64 = 38.0;
/// Images on the map at the most.
const MOST_IMAGES: usize = 140;
/// How many shapes points have: with the colors, groups that can be told apart.
const N_SHAPES: usize = 4;

/// An image as a point.
#[derive(Clone, Debug)]
pub struct MapPoint {
    /// Its place.
    pub place: [f64; 2],
    /// Its group, an index of [`FeatureMap::groups`].
    pub group: usize,
    /// Its name.
    pub name: String,
}

/// Points of one color and shape: a class, or a cluster.
#[derive(Clone, Debug)]
pub struct MapGroup {
    /// Its name.
    pub name: String,
}

/// Images as points in the plane, near to each other where their features are alike.
#[derive(Clone, Debug)]
pub struct FeatureMap {
    /// The points.
    pub points: Vec<MapPoint>,
    /// What their colors and shapes mean.
    pub groups: Vec<MapGroup>,
    /// The images themselves; without, no image is shown.
    pub images: Option<MapImages>,
}

/// Images of some points, or of all.
#[derive(Clone, Debug)]
pub struct MapImages {
    sprite: Sprite,
    /// The place of each point's image in the sprite.
    places: BTreeMap<usize, usize>,
}

impl MapImages {
    /// `images` of the points that `points` numbers, in cells of `cell` by `cell` pixels.
    pub fn new(points: Vec<usize>, images: &[RgbImage], cell: u32) -> Self {
        let places = points.into_iter().zip(0..images.len()).collect();
        Self { sprite: Sprite::new(images, cell), places }
    }

    /// The part of the sprite that has the image of a point, as a `viewBox`.
    fn view_box(&self, point: usize) -> Option<String> {
        let (left, top) = self.sprite.corner(*self.places.get(&point)?);
        Some(format!("{left} {top} {cell} {cell}", cell = self.sprite.cell))
    }
}

impl FeatureMap {
    /// The points by color, with a legend.
    pub fn figure(&self, title: &str, how_to_read: &str) -> Markup {
        html! {
            figure {
                figcaption { b { (title) } span { (how_to_read) } }
                (self.legend())
                (self.svg(title))
            }
        }
    }

    /// The images themselves at their places, as many as there is room for.
    pub fn image_figure(&self, title: &str, how_to_read: &str) -> Option<Markup> {
        let images = self.images.as_ref()?;
        let places = self.pixels();
        let half = IMAGE_SIDE / 2.0;
        let (width, height) = images.sprite.size();
        let shown = self.apart().into_iter().filter_map(|index| Some((index, images.view_box(index)?)));
        Some(html! {
            figure {
                figcaption { b { (title) } span { (how_to_read) } }
                svg class="map" viewBox=(format!("0 0 {SIDE} {SIDE}")) role="img" aria-label=(title) {
                    title { (title) }
                    defs { image id="images" href=(images.sprite.uri) width=(width) height=(height) {} }
                    @for (index, view_box) in shown {
                        @let [x, y] = places[index];
                        g class=(colors::class(self.points[index].group)) {
                            title { (self.said_of(index)) }
                            svg x=(px(x - half)) y=(px(y - half)) width=(IMAGE_SIDE) height=(IMAGE_SIDE) viewBox=(view_box) {
                                use href="#images" {}
                            }
                            rect class="thumb-frame" x=(px(x - half)) y=(px(y - half)) width=(IMAGE_SIDE) height=(IMAGE_SIDE) rx="2" {}
                        }
                    }
                }
            }
        })
    }

    /// What shows the image under the pointer, for a page that has both figures. Without scripts, the name is shown.
    pub fn hover_script(&self) -> Markup {
        let Some(images) = &self.images else { return html! {} };
        let corners = (0..self.points.len()).map(|index| images.view_box(index).unwrap_or_default());
        let cell = images.sprite.cell;
        let corners = corners.collect::<Vec<_>>().join("','");
        let script = format!(
            "const box=document.getElementById('hover'),view=box.firstElementChild,words=box.lastElementChild,corners=['{corners}'];\
             const points=[...document.querySelectorAll('.points>*')];\
             for(const point of points){{const title=point.firstElementChild;point.dataset.name=title.textContent;title.remove()}}\
             const show=event=>{{const name=event.target.dataset?.name;if(name===undefined){{box.style.display='none';return}}\
             view.setAttribute('viewBox',corners[event.target.dataset.i]);words.textContent=name;box.style.display='block';\
             box.style.left=Math.min(event.clientX+14,innerWidth-box.offsetWidth-6)+'px';\
             box.style.top=Math.min(event.clientY+14,innerHeight-box.offsetHeight-6)+'px'}};\
             document.addEventListener('pointermove',show);document.addEventListener('pointerdown',show)"
        );
        html! {
            div id="hover" {
                svg width="128" height="128" viewBox=(format!("0 0 {cell} {cell}")) { use href="#images" {} }
                span {}
            }
            script { (PreEscaped(script)) }
        }
    }

    fn svg(&self, title: &str) -> Markup {
        let places = self.pixels();
        html! {
            svg class="map" viewBox=(format!("0 0 {SIDE} {SIDE}")) role="img" aria-label=(title) {
                title { (title) }
                rect width=(SIDE) height=(SIDE) fill="none" class="grid" rx="6" {}
                @for group in 0..self.groups.len() {
                    g class=(format!("points {}", colors::class(group))) {
                        @for (index, _) in self.points.iter().enumerate().filter(|(_, point)| point.group == group) {
                            (shape(group / N_COLORS, places[index], index, &self.said_of(index)))
                        }
                    }
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        let sizes = self.sizes();
        html! {
            ul class="legend" {
                @for (group, MapGroup { name }) in self.groups.iter().enumerate().filter(|(group, _)| sizes[*group] > 0) {
                    li {
                        svg viewBox="-7 -7 14 14" class=(colors::class(group)) { g class="points" { (shape(group / N_COLORS, [0.0; 2], 0, name)) } }
                        span { (name) " " span class="soft" { (sizes[group]) } }
                    }
                }
            }
        }
    }

    fn sizes(&self) -> Vec<usize> {
        let mut sizes = vec![0; self.groups.len()];
        for point in &self.points {
            sizes[point.group] += 1;
        }
        sizes
    }

    fn said_of(&self, index: usize) -> String {
        let MapPoint { name, group, .. } = &self.points[index];
        format!("{}, {}", short_name(name), self.groups[*group].name)
    }

    /// The points in pixels: the same scale along both axes.
    fn pixels(&self) -> Vec<[f64; 2]> {
        let range = |axis: usize| {
            let values = self.points.iter().map(|point| point.place[axis]);
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            })
        };
        let ranges = [range(0), range(1)];
        let widest = ranges.iter().map(|(low, high)| high - low).fold(0.0, f64::max);
        let scale = if widest > 0.0 { (SIDE - 2.0 * MARGIN) / widest } else { 0.0 };
        let place = |point: &MapPoint, axis: usize| {
            let (low, high) = ranges[axis];
            (point.place[axis] - f64::midpoint(low, high)) * scale
        };
        // The second axis of a picture points down.
        self.points.iter().map(|point| [SIDE / 2.0 + place(point, 0), SIDE / 2.0 - place(point, 1)]).collect()
    }

    /// Points whose images do not lie on each other.
    pub fn apart(&self) -> Vec<usize> {
        let places = self.pixels();
        // Mixed, because lists are sorted by class: the first classes would take all the room.
        let mut order: Vec<usize> = (0..places.len()).collect();
        order.sort_by_key(|index| (*index as u32).wrapping_mul(0x9e37_79b1));
        let mut kept: Vec<usize> = Vec::new();
        for index in order {
            if kept.len() == MOST_IMAGES {
                break;
            }
            let [x, y] = places[index];
            let is_free = |other: &usize| {
                let [other_x, other_y] = places[*other];
                (x - other_x).abs().max((y - other_y).abs()) > IMAGE_SIDE + 3.0
            };
            if kept.iter().all(is_free) {
                kept.push(index);
            }
        }
        kept
    }

    /// The map as a picture on white, with a legend to its right: points for all, and over them `images` of the points that stand
    /// before them, which [`apart`](Self::apart) gives.
    pub fn picture(&self, images: &[(usize, RgbImage)]) -> RgbImage {
        let scale = 2_u32;
        let side = SIDE as u32 * scale;
        let sizes = self.sizes();
        let lines: Vec<(usize, String)> = (0..self.groups.len())
            .filter(|group| sizes[*group] > 0)
            .map(|group| {
                (
                    group,
                    format!("{} {}", letters::cut(&self.groups[group].name, 24 * LETTER_PX), sizes[group]),
                )
            })
            .collect();
        let longest = lines.iter().map(|(_, text)| letters::width(text)).max().unwrap_or(0);
        let line_px = 2 * LETTER_PX;
        let height = side.max((lines.len() as u32 + 2) * line_px);
        let mut picture = RgbImage::from_pixel(side + longest + 5 * LETTER_PX, height, Rgb([255; 3]));
        let places = self.pixels();
        let at = |place: [f64; 2]| place.map(|value| value * f64::from(scale));
        for (place, point) in places.iter().zip(&self.points) {
            dot(&mut picture, at(*place), 5.0, point.group);
        }
        let image_px = IMAGE_SIDE as u32 * scale;
        for (index, image) in images {
            let [x, y] = at(places[*index]).map(|value| value as i64 - i64::from(image_px / 2));
            let mut frame = RgbImage::from_pixel(image_px, image_px, okabe_ito(self.points[*index].group));
            imageops::replace(&mut frame, &fitted(image, (image_px - 6, image_px - 6)), 3, 3);
            imageops::replace(&mut picture, &frame, x, y);
        }
        for (line, (group, text)) in (1..).zip(&lines) {
            let middle = [f64::from(side + LETTER_PX), f64::from(line * line_px) + 4.0];
            dot(&mut picture, middle, 5.0, *group);
            letters::write(&mut picture, text, (side + 3 * LETTER_PX, line * line_px), Rgb([0; 3]));
        }
        picture
    }
}

/// A point of the shape that `kind` numbers.
fn shape(kind: usize, [x, y]: [f64; 2], index: usize, said: &str) -> Markup {
    let (x, y) = (px(x), px(y));
    let title = html! { title { (said) } };
    match kind % N_SHAPES {
        0 => html! { circle data-i=(index) cx=(x) cy=(y) r="4" { (title) } },
        1 => html! { path data-i=(index) d=(format!("M{x} {y}m-3.5 -3.5h7v7h-7z")) { (title) } },
        2 => html! { path data-i=(index) d=(format!("M{x} {y}m0 -4.5l4.5 8h-9z")) { (title) } },
        _ => html! { path data-i=(index) d=(format!("M{x} {y}m0 -5l5 5l-5 5l-5 -5z")) { (title) } },
    }
}

/// A point of the group `group`, with the shape that [`shape`] gives it.
fn dot(picture: &mut RgbImage, [x, y]: [f64; 2], radius: f64, group: usize) {
    let reach = radius.ceil() as i64;
    let is_inside = |dx: f64, dy: f64| match group / N_COLORS % N_SHAPES {
        0 => dx.hypot(dy) <= radius,
        1 => dx.abs().max(dy.abs()) <= radius - 1.0,
        2 => dy.abs() < radius && dx.abs() <= (dy + radius) / 2.0,
        _ => dx.abs() + dy.abs() <= radius,
    };
    for dy in -reach..=reach {
        for dx in -reach..=reach {
            let (left, top) = (x as i64 + dx, y as i64 + dy);
            let is_on = left >= 0
                && top >= 0
                && left < i64::from(picture.width())
                && top < i64::from(picture.height());
            if is_on && is_inside(dx as f64, dy as f64) {
                picture.put_pixel(left as u32, top as u32, okabe_ito(group));
            }
        }
    }
}

/// A place with a tenth of a pixel.
fn px(place: f64) -> String {
    format!("{place:.1}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(n: usize, n_groups: usize) -> FeatureMap {
        let points = (0..n).map(|i| MapPoint {
            place: [i as f64, (i * i % 17) as f64],
            group: i % n_groups,
            name: format!("photos/<{i}>.png"),
        });
        let images: Vec<RgbImage> = (0..n).map(|i| RgbImage::from_pixel(9, 9, Rgb([i as u8; 3]))).collect();
        FeatureMap {
            points: points.collect(),
            groups: (0..n_groups).map(|group| MapGroup { name: format!("class & {group}") }).collect(),
            images: Some(MapImages::new((0..n).collect(), &images, 8)),
        }
    }

    #[test]
    fn every_point_is_on_the_map_with_its_name() {
        let map = map(100, 20);
        let text = map.figure("Map", "").into_string();
        assert_eq!(text.matches("data-i=").count(), 100 + 20, "points, and one of each in the legend");
        assert!(text.contains("&lt;3&gt;.png, class &amp; 3") && !text.contains("<3>"), "{text}");
        for place in map.pixels() {
            assert!(
                place.iter().all(|value| (MARGIN - 1e-9..=SIDE - MARGIN + 1e-9).contains(value)),
                "{place:?}"
            );
        }
    }

    #[test]
    fn images_on_the_map_do_not_hide_each_other() {
        let map = map(300, 3);
        let (places, kept) = (map.pixels(), map.apart());
        assert!(kept.len() > 5 && kept[0] == 0);
        for (i, a) in kept.iter().enumerate() {
            for b in &kept[..i] {
                let [dx, dy] = [0, 1].map(|axis| (places[*a][axis] - places[*b][axis]).abs());
                assert!(dx.max(dy) > IMAGE_SIDE);
            }
        }
        let text = map.image_figure("Map", "").unwrap().into_string();
        assert_eq!(text.matches("<use ").count(), kept.len());
        assert_eq!(text.matches("data:image/jpeg").count(), 1, "all images are one file");
    }

    #[test]
    fn points_in_one_place_are_drawn_in_the_middle() {
        let mut map = map(3, 1);
        map.points.iter_mut().for_each(|point| point.place = [7.0, 7.0]);
        assert_eq!(map.pixels(), [[SIDE / 2.0; 2]; 3]);
        map.points.clear();
        assert!(map.figure("Map", "").into_string().contains("</svg>"));
    }

    #[test]
    fn a_picture_has_the_images_and_their_colors() {
        let map = map(30, 2);
        let images: Vec<(usize, RgbImage)> =
            map.apart().into_iter().map(|i| (i, RgbImage::from_pixel(9, 9, Rgb([11, 22, 33])))).collect();
        let picture = map.picture(&images);
        for color in [Rgb([11, 22, 33]), okabe_ito(0), okabe_ito(1)] {
            assert!(picture.pixels().any(|pixel| *pixel == color), "{color:?}");
        }
        assert!(picture == map.picture(&images), "the same each time");
    }
}
