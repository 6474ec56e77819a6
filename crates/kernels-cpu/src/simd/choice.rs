//! Which family of instructions the kernels of this process use.

use std::ffi::OsStr;
use std::sync::LazyLock;

use super::Family;
use crate::FamilyError;

/// What names a family, for whoever wants another than the fastest: to look for a difference between machines, or to have
/// the bits of a lesser one.
const VARIABLE: &str = "MOCO_KERNELS";

/// Read once, so that all operations of a process use the same instructions.
static CHOSEN: LazyLock<Result<Family, FamilyError>> =
    LazyLock::new(|| choose(std::env::var_os(VARIABLE).as_deref()));

/// Says whether the environment asks for kernels that there are: `MOCO_KERNELS` is `portable`, `avx2`, `avx512`,
/// `avx512bf16` or `neon`, or is not set, or empty, which is for the fastest of the machine.
///
/// A program calls this at its start. Operations, which have no such start, use the fastest if what is asked for is not
/// there; [`kernel_family`] tells what is in use.
///
/// # Errors
///
/// When `MOCO_KERNELS` is none of these, or names what this machine does not have.
pub fn choose_kernels() -> Result<(), FamilyError> {
    CHOSEN.clone().map(drop)
}

/// The instructions that the kernels use: `portable`, `avx2+fma`, `avx512f`, `avx512f+bf16` or `neon`.
pub fn kernel_family() -> &'static str {
    chosen().instructions()
}

/// What the environment asks for, or else the fastest that this machine has.
pub(super) fn chosen() -> Family {
    CHOSEN.as_ref().map_or_else(|_| fastest(), |family| *family)
}

fn fastest() -> Family {
    Family::available().last().copied().unwrap_or(Family::portable())
}

fn choose(asked: Option<&OsStr>) -> Result<Family, FamilyError> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(fastest()) };
    let available = Family::available();
    let found = available.iter().find(|family| asked == family.name());
    found.copied().ok_or_else(|| FamilyError {
        variable: VARIABLE,
        asked: asked.to_string_lossy().into_owned(),
        available: available.into_iter().map(Family::name).collect::<Vec<_>>().join(", "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_of_the_machine_can_be_named() {
        for family in Family::available() {
            assert_eq!(choose(Some(family.name().as_ref())), Ok(family));
        }
    }

    #[test]
    fn without_a_name_the_fastest_is_used() {
        assert_eq!(choose(None), Ok(fastest()));
        assert_eq!(choose(Some("".as_ref())), Ok(fastest()));
    }

    #[test]
    fn what_is_not_there_is_an_error_that_lists_what_is() {
        let told = choose(Some("AVX2".as_ref())).unwrap_err().to_string();
        assert!(told.starts_with("`MOCO_KERNELS` is `AVX2`, but this machine has only "), "{told}");
        assert!(told.contains("portable"), "{told}");
    }

    /// Or tests that are meant for one family would run with another, unnoticed.
    #[test]
    fn the_environment_of_the_tests_names_kernels_that_are_there() {
        assert_eq!(choose_kernels(), Ok(()));
    }
}
