//! Datasets.
//!
//! There is one file per dataset, each registered as a plugin:
//!
//! | plugin | file | labels |
//! |---|---|---|
//! | `class-folders` | [`ClassFolders`]: `root/train/<class>/**` and `root/val/<class>/**` | yes |
//! | `flat-folder` | [`FlatFolder`]: all images in a folder and its subfolders | no |
//! | `archive` | [`ArchiveDataset`]: images in .zip and .tar files | optional |
//! | `list-file` | [`ListFile`]: a text file with one path per line | optional |
//! | `cifar10`, `cifar100` | [`Cifar10`], [`Cifar100`]: the binary versions of these datasets | yes |
//! | `parquet` | [`ParquetDataset`]: a column of images in Parquet files, with the feature `parquet` | optional |
//! | `pack` | [`PackFile`]: all images in one file, written by [`PackWriter`] | optional |
//! | `stl10` | [`Stl10`]: the binary version | of the labeled part |
//! | `tiny-imagenet` | [`TinyImageNet`]: its folder or its zip file | yes |
//! | `split` | [`SplitDataset`]: a share of another dataset, and another share held out | as there |
//! | `shapes` | [`Shapes`]: generated images, no download | yes |
//!
//! Datasets of files share the `listing` and [`decode_file`], which reads any supported format as [`ReadOptions`] say.
//! [`open_images`] is for images outside of a pipeline. Opening a dataset lists its images but reads none; an image
//! that cannot be decoded is an error of that image only.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod classes;
mod decode;
mod folder_of_files;
mod given;
mod images;
mod joined;
mod listing;
mod overlap;
mod places;
mod positioned;
mod root;
mod roots;
mod split_names;
mod splits;
mod store;

mod archive;
mod cifar;
mod cifar10;
mod cifar100;
mod class_folders;
mod flat_folder;
mod list;
mod pack;
mod parquet;
mod shapes;
mod split;
mod stl10;
mod tiny_imagenet;

pub use self::archive::{ArchiveConfig, ArchiveDataset};
pub use self::cifar10::{Cifar10, Cifar10Config};
pub use self::cifar100::{Cifar100, Cifar100Config};
pub use self::class_folders::{ClassFolders, ClassFoldersConfig};
pub use self::decode::is_decoding;
pub use self::decode::{
    Decode, ImageHeader, MAX_DECODING_BYTES, MAX_PIXELS, Orientation, ReadOptions, decode_bytes, decode_file,
    format_name, image_header, notes_as_read, read_image_file,
};
pub use self::flat_folder::{FlatFolder, FlatFolderConfig};
pub use self::folder_of_files::{FolderOfFiles, dataset_of_folder};
pub use self::given::{OpenedImages, dataset_of_file, open_images};
pub use self::list::{ListFile, ListFileConfig};
pub use self::listing::PICTURE_MARK;
pub use self::overlap::nested;
pub use self::pack::{Encoding, PackConfig, PackError, PackFile, PackPlan, PackWriter, Packed};
pub use self::parquet::{ParquetConfig, ParquetDataset, is_parquet_file};
pub use self::roots::OneOrMore;
pub use self::shapes::{Shapes, ShapesConfig};
pub use self::split::{SplitConfig, SplitDataset};
pub use self::split_names::SplitFolders;
pub use self::stl10::{Stl10, Stl10Config, Stl10Part};
pub use self::tiny_imagenet::{TinyImageNet, TinyImageNetConfig};
