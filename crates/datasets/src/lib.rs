//! Where images come from.
//!
//! One file a dataset, each registered as a plugin:
//!
//! | plugin | file | labels |
//! |---|---|---|
//! | `class-folders` | [`ClassFolders`]: `root/train/<class>/**` and `root/val/<class>/**` | yes |
//! | `flat-folder` | [`FlatFolder`]: every image under a folder | no |
//! | `list-file` | [`ListFile`]: a text file with a path a line | if it says so |
//! | `cifar10`, `cifar100` | [`Cifar10`], [`Cifar100`]: the binary versions of these datasets | yes |
//! | `shapes` | [`Shapes`]: generated images, no download | yes |
//!
//! Datasets of files share the listing (`files`) and [`decode`], which turns any of the known formats into RGB bytes.
//! [`open_images`] is for images that no pipeline names.
//! Opening lists and reads no image; an image that cannot be decoded is an error of that image alone.

mod decode;
mod files;
mod given;

mod cifar;
mod cifar10;
mod cifar100;
mod class_folders;
mod flat_folder;
mod list_file;
mod shapes;

pub use self::cifar10::{Cifar10, Cifar10Config};
pub use self::cifar100::{Cifar100, Cifar100Config};
pub use self::class_folders::{ClassFolders, ClassFoldersConfig};
pub use self::decode::{MAX_PIXELS, decode};
pub use self::flat_folder::{FlatFolder, FlatFolderConfig};
pub use self::given::open_images;
pub use self::list_file::{ListFile, ListFileConfig};
pub use self::shapes::{Shapes, ShapesConfig};
