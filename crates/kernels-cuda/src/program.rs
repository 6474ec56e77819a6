//! Kernels: CUDA C, compiled for the device when one of them is first used.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::sync::{Mutex, OnceLock};

use cudarc::{
    driver::{result, sys},
    nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts},
};

use crate::{
    context::{Context, context},
    error::Result,
    versions,
};

/// A file of kernels.
pub(crate) struct Program {
    name: &'static str,
    /// What is the same for both precisions.
    plain: &'static str,
    /// What is compiled for each precision, with `TYPED` replaced by its name.
    typed: &'static str,
    /// Macros, for files that are compiled in several ways.
    macros: &'static str,
    module: OnceLock<Module>,
}

struct Module {
    module: sys::CUmodule,
    functions: Mutex<BTreeMap<&'static str, Function>>,
}

// SAFETY: both are handles that any thread may use, once its context is the one they are of.
unsafe impl Send for Module {}
// SAFETY: as above.
unsafe impl Sync for Module {}

/// One kernel.
#[derive(Clone, Copy)]
pub(crate) struct Function(pub(crate) sys::CUfunction);

// SAFETY: a handle that any thread may use, once its context is the one it is of.
unsafe impl Send for Function {}

const PRELUDE: &str = include_str!("kernels/prelude.cu");

impl Program {
    pub(crate) const fn new(name: &'static str, plain: &'static str, typed: &'static str) -> Self {
        Self::with_macros(name, plain, typed, "")
    }

    pub(crate) const fn with_macros(
        name: &'static str,
        plain: &'static str,
        typed: &'static str,
        macros: &'static str,
    ) -> Self {
        Self { name, plain, typed, macros, module: OnceLock::new() }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    /// The source as the compiler gets it.
    pub(crate) fn source(&self) -> String {
        let Self { plain, typed, macros, .. } = self;
        let [single, half] = ["f32", "bf16"].map(|name| typed.replace("TYPED", name));
        [macros, PRELUDE, plain, &single, &half].join("\n")
    }

    /// The kernel of this name. Shared memory beyond what every device gives is asked for on its first use.
    pub(crate) fn function(&self, name: &'static str, shared_bytes: u32) -> Result<Function> {
        let context = context()?;
        context.bind()?;
        let module = match self.module.get() {
            Some(module) => module,
            None => {
                let loaded = self.load(context)?;
                self.module.get_or_init(|| loaded)
            }
        };
        let mut functions = module.functions.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(function) = functions.get(name) {
            return Ok(*function);
        }
        let c_name = CString::new(name).expect("names of kernels have no zero bytes");
        // SAFETY: the module is loaded, and never unloaded.
        let function = Function(unsafe { result::module::get_function(module.module, c_name) }?);
        if shared_bytes > EVERY_DEVICE_SHARES {
            let attribute = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function is one of a loaded module.
            unsafe { sys::cuFuncSetAttribute(function.0, attribute, shared_bytes as i32) }.result()?;
        }
        functions.insert(name, function);
        Ok(function)
    }

    fn load(&self, context: &Context) -> Result<Module> {
        #[cfg(test)]
        assert!(
            crate::programs().any(|listed| std::ptr::eq(listed, self)),
            "`{}` is not in the list of all kernels",
            self.name
        );
        let (major, minor) = versions::capability(*context.device().cu_device())?;
        // The options want text that lives for ever: a few bytes for each file of kernels.
        let arch: &'static str = Box::leak(format!("compute_{major}{minor}").into_boxed_str());
        let options = CompileOptions { arch: Some(arch), ..CompileOptions::default() };
        let ptx = compile_ptx_with_opts(self.source(), options)
            .unwrap_or_else(|error| panic!("kernels `{}`: {}", self.name, log_of(&error)));
        let image = CString::new(ptx.to_src()).expect("PTX is text");
        // SAFETY: `image` is PTX that ends in a zero byte.
        let module = unsafe { result::module::load_data(image.as_ptr().cast()) }?;
        Ok(Module { module, functions: Mutex::new(BTreeMap::new()) })
    }
}

/// Shared memory that a kernel has without asking.
const EVERY_DEVICE_SHARES: u32 = 48 * 1024;

fn log_of(error: &CompileError) -> String {
    match error {
        CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_kernels_compiles() {
        let context = context().unwrap();
        context.bind().unwrap();
        for program in crate::programs() {
            program.load(context).unwrap();
        }
    }
}
