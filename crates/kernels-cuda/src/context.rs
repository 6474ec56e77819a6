//! The device, and what there is one of.

use std::cell::Cell;
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use cudarc::{
    cublas::CudaBlas,
    driver::{CudaDevice, DriverError, result, sys},
    nvrtc,
};

use crate::{
    error::{Error, OpenError, Result},
    memory_pool::pool_of,
    versions,
};

/// The device of this process.
pub(crate) struct Context {
    device: Arc<CudaDevice>,
    /// One caller at a time, because a handle has one workspace.
    blas: Mutex<CudaBlas>,
    n_multiprocessors: usize,
    has_pools: bool,
}

static CONTEXT: OnceLock<Context> = OnceLock::new();
static TENSOR_FLOAT: AtomicBool = AtomicBool::new(false);
thread_local! {
    /// Whether this thread works on the device already.
    static IS_BOUND: Cell<bool> = const { Cell::new(false) };
    static TENSOR_FLOAT_HERE: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The device, made ready by whoever asks first: the first of the machine, unless [`open`] has named another.
pub(crate) fn context() -> Result<&'static Context> {
    if let Some(context) = CONTEXT.get() {
        return Ok(context);
    }
    let opened = Context::open(0)?;
    Ok(CONTEXT.get_or_init(|| opened))
}

/// Makes device `ordinal` that of this process, after a look at what cudarc would panic at.
///
/// # Errors
///
/// When there is no such device, its driver is not there or too old, or the process works on another already.
pub fn open(ordinal: usize) -> Result<(), OpenError> {
    if let Err(error) = result::init() {
        return Err(OpenError(format!("the driver does not start: {}", reason(error))));
    }
    let n_devices = result::device::get_count().map_err(Error::from)?;
    if i32::try_from(ordinal).map_or(true, |ordinal| ordinal >= n_devices) {
        return Err(OpenError(format!("there is no device {ordinal}, the machine has {n_devices}")));
    }
    if CONTEXT.get().is_none() {
        check_versions(ordinal)?;
        let opened = Context::open(ordinal)?;
        let _ = CONTEXT.set(opened);
    }
    let in_use = context()?.device.ordinal();
    if in_use != ordinal {
        return Err(OpenError(format!("device {ordinal} is asked for, but this process works on {in_use}")));
    }
    Ok(())
}

/// Looks for what would fail at the first kernel, where there is no good place to tell it.
fn check_versions(ordinal: usize) -> Result<(), OpenError> {
    let device = result::device::get(i32::try_from(ordinal).unwrap_or(i32::MAX)).map_err(Error::from)?;
    let capability = versions::capability(device).map_err(Error::from)?;
    if capability.0 < LEAST_CAPABILITY {
        let (major, minor) = capability;
        return Err(OpenError(format!(
            "the GPU has compute capability {major}.{minor}, but the kernels need {LEAST_CAPABILITY}.0 or more"
        )));
    }
    let driver = versions::driver().map_err(Error::from)?;
    let (major, minor) = versions::compiler();
    if (major, minor) > driver {
        return Err(OpenError(format!(
            "the driver knows CUDA up to {}.{}, but NVRTC is {major}.{minor}: install a newer driver, or put an older NVRTC \
             before it in the library path",
            driver.0, driver.1
        )));
    }
    nvrtc::compile_ptx("extern \"C\" __global__ void nothing() {}").map(drop).map_err(|error| {
        OpenError(format!(
            "NVRTC {major}.{minor} does not compile ({error:?}): libnvrtc-builtins of its version must be in the library path"
        ))
    })
}

/// Tensor cores that multiply TensorFloat-32 and bfloat16, and copies to shared memory in the background.
const LEAST_CAPABILITY: i32 = 8;

/// What the driver calls an error.
fn reason(error: DriverError) -> String {
    let text = error.error_string().ok().map(|text| text.to_string_lossy().into_owned());
    text.unwrap_or_else(|| format!("{error:?}"))
}

/// Whether values are best left on the device: unless the environment asks for the host's kernels.
pub fn is_used() -> bool {
    static USED: OnceLock<bool> = OnceLock::new();
    *USED.get_or_init(|| std::env::var_os("MOCO_KERNELS").is_none_or(|asked| asked.is_empty()))
}

/// Whether products may round their factors to TensorFloat-32.
pub(crate) fn is_tensor_float() -> bool {
    TENSOR_FLOAT_HERE.get().unwrap_or_else(|| TENSOR_FLOAT.load(Ordering::Relaxed))
}

/// Lets products of single precision round their factors, or not, whatever [`allow_tensor_float`] says, on this thread and
/// while `work` runs.
pub fn with_tensor_float<R>(is_allowed: bool, work: impl FnOnce() -> R) -> R {
    /// What the thread had before, and has again behind a panic too.
    struct Before(Option<bool>);

    impl Drop for Before {
        fn drop(&mut self) {
            TENSOR_FLOAT_HERE.set(self.0);
        }
    }

    let _before = Before(TENSOR_FLOAT_HERE.replace(Some(is_allowed)));
    work()
}

/// Lets products of single precision round their factors to TensorFloat-32 (10 bits of mantissa), which tensor cores multiply.
pub fn allow_tensor_float(is_allowed: bool) {
    TENSOR_FLOAT.store(is_allowed, Ordering::Relaxed);
}

impl Context {
    fn open(ordinal: usize) -> Result<Self> {
        use sys::CUdevice_attribute_enum as Attribute;
        let device = CudaDevice::new(ordinal)?;
        keep_freed_memory(&device)?;
        let blas = Mutex::new(CudaBlas::new(Arc::clone(&device))?);
        let count = device.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let n_multiprocessors = usize::try_from(count).unwrap_or(1).max(1);
        // What cudarc asks too, to allocate and free in the order of a stream.
        let has_pools = device.attribute(Attribute::CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED)? != 0;
        Ok(Self { device, blas, n_multiprocessors, has_pools })
    }

    pub(crate) fn device(&self) -> &Arc<CudaDevice> {
        &self.device
    }

    pub(crate) fn blas(&self) -> MutexGuard<'_, CudaBlas> {
        // A panic of another thread leaves the handle as it was.
        self.blas.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The one stream of kernels and copies.
    pub(crate) fn stream(&self) -> sys::CUstream {
        *self.device.cu_stream()
    }

    /// Whether memory can be had and given back in the order of a stream.
    pub(crate) fn has_pools(&self) -> bool {
        self.has_pools
    }

    /// Multiprocessors of the device.
    pub(crate) fn n_multiprocessors(&self) -> usize {
        self.n_multiprocessors
    }

    /// Makes this thread one that works on the device. A process has one device, so a thread is told once.
    pub(crate) fn bind(&self) -> Result<()> {
        if !IS_BOUND.get() {
            // SAFETY: the context lives as long as `device`.
            unsafe { result::ctx::set_current(*self.device.cu_primary_ctx()) }?;
            IS_BOUND.set(true);
        }
        Ok(())
    }
}

/// Without this, the driver gives all free memory back to the system whenever the host waits for the device.
fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    // A device without pools allocates otherwise.
    let Some(pool) = pool_of(device) else { return Ok(()) };
    let mut threshold = u64::MAX;
    let attribute = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's own, and the threshold is of the type that the call reads.
    unsafe { sys::cuMemPoolSetAttribute(pool, attribute, std::ptr::from_mut(&mut threshold).cast()) }
        .result()?;
    Ok(())
}
