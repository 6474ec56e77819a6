//! Panics of a plugin, as faults.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::fault::{Checked, wrong};

/// What `work` gives; a panic is a fault that says where it was: `when` completes "it panics".
pub(crate) fn calm<T>(when: &str, work: impl FnOnce() -> T) -> Checked<T> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| wrong!("it panics {when}: {}", message(&*panic)))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a message")
}
