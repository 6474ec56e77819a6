//! Which images there are, and what is left out.

mod endings;
mod entries;
mod names;
mod own_files;
mod passed_over;
mod patterns;
mod walk;

pub use self::own_files::PICTURE_MARK;
pub(crate) use self::own_files::{NAMES_OF_RUNS, has_runs, is_run_folder, own_pictures};

pub(crate) use self::endings::{ending_of, is_image};
pub(crate) use self::entries::{Entries, SEPARATOR, file_name, split_first};
pub(crate) use self::names::{bytes_of, path_of, shown, shown_path};
pub(crate) use self::passed_over::{PassedOver, Reason};
pub(crate) use self::patterns::Patterns;
pub(crate) use self::walk::{Top, Walked, is_hidden, walk, walk_top};
