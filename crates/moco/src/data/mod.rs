//! Datasets looked at and packed, without a network.
//!
//! [`DataSource::open`] finds the images, [`scan()`] says what is in them, and [`pack()`] writes them to one file that every
//! pipeline can read.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # for (name, value) in [("a", 10), ("b", 90), ("c", 10)] {
//! #     let pixel = image::Rgb([value, 2 * value, 7]);
//! #     image::RgbImage::from_pixel(9, 8, pixel).save(folder.path().join(name).with_extension("png"))?;
//! # }
//! # let photos = folder.path().to_owned();
//! use std::ops::ControlFlow;
//!
//! use moco::data::{DataSource, PackOptions, Scanned, pack, scan};
//!
//! let source = DataSource::open(&[photos])?; // for instance "photos"
//! let Scanned::All(found) = scan(&source, &mut |_| ControlFlow::Continue(())) else { unreachable!() };
//! assert_eq!(found.identical.len(), 1); // one group of images with the same bytes
//!
//! let file = folder.path().join("photos.pack");
//! pack(&source, &file, &PackOptions::default(), &mut |_| ControlFlow::Continue(()))?;
//! # assert!(file.is_file());
//! # Ok(())
//! # }
//! ```

mod colors;
mod error;
mod look;
mod named;
mod pack;
mod places;
mod scan;
mod source;

pub use self::colors::Channel;
pub use self::error::DataError;
pub use self::look::{look, look_again};
pub use self::named::DatasetSource;
pub use self::pack::{PackOptions, PackProgress, Packing, pack};
pub use self::scan::{Found, Scanned, Sizes, scan};
pub use self::source::DataSource;
