//! Pages, charts and pictures that show what a run has learned.
//!
//! Plain data goes in: points, names, images in memory. What comes out is HTML that asks for nothing elsewhere ([`page`]), SVG
//! with text that can be selected, and pictures. [`Report`] is the page of a run, [`LineChart`] one of its charts, [`FeatureMap`]
//! a map of features, [`Confusion`] a confusion matrix, [`ImageRows`] a sheet of images, as neighbors and views have it.
//!
//! Absent: runs, encoders, files and the terminal. What a page shows is collected by `moco`.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod captions;
mod chart;
mod colors;
mod confusion;
mod frame;
mod image_rows;
mod letters;
mod map;
mod number;
mod report;
mod sheet;
mod sprite;
mod thumbnail;

pub use self::captions::short_name;
pub use self::chart::{Axis, LineChart, Scale, Series, Stroke, thinned};
pub use self::colors::{N_COLORS, okabe_ito};
pub use self::confusion::Confusion;
pub use self::frame::{LIVE_CHECK, page, page_with};
pub use self::image_rows::{Caption, ImageRows, ImageTile, Relation, TileSize};
pub use self::map::{FeatureMap, MapGroup, MapImages, MapPoint};
pub use self::number::{Unit, shown};
pub use self::report::{
    Confused, Course, Difference, Fact, ImagePart, Measured, Reach, Report, Standing, WeakClass,
};
pub use self::sheet::{captioned, fitted, sheet};
pub use self::thumbnail::{MAX_THUMBNAIL_PX, Thumbnail, shrunk};
