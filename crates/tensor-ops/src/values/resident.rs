//! Values that outlive an operation: parameters, running statistics, queues.

use std::sync::OnceLock;

#[cfg(feature = "cuda")]
use kernels_cuda::{Forms, Memory, Weight, optimize::Moving};

#[cfg(feature = "cuda")]
use crate::backend::OnDevice as _;
use crate::device::DeviceError;

/// Values on the host, on the device, or on both, copied when they are asked for where they are not.
///
/// On the CPU device it is a vector.
#[derive(Debug, Default)]
pub(crate) struct Resident {
    len: usize,
    host: OnceLock<Vec<f32>>,
    #[cfg(feature = "cuda")]
    device: OnceLock<Memory<f32>>,
    /// Copies of what is on the device.
    #[cfg(feature = "cuda")]
    forms: Forms,
}

impl Resident {
    pub(crate) fn new(values: Vec<f32>) -> Self {
        let mut resident = Self::zeros(values.len());
        resident.host = OnceLock::from(values);
        resident
    }

    /// Zeros, which are nowhere until somebody asks for them.
    pub(crate) fn zeros(len: usize) -> Self {
        Self { len, ..Self::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The values on the host.
    ///
    /// # Panics
    ///
    /// If the device fails to give them back: it has failed for good then.
    pub(crate) fn host(&self) -> &[f32] {
        self.host.get_or_init(|| self.fetch())
    }

    /// The values on the host, for a change in place; a copy on the device is dropped.
    pub(crate) fn host_mut(&mut self) -> &mut Vec<f32> {
        self.host();
        #[cfg(feature = "cuda")]
        {
            self.device.take();
            self.forms = Forms::default();
        }
        self.host.get_mut().expect("the line above puts it there")
    }

    /// The values, moved out.
    pub(crate) fn into_host(mut self) -> Vec<f32> {
        std::mem::take(self.host_mut())
    }

    /// A copy that is there where this is.
    pub(crate) fn duplicate(&self) -> Result<Self, DeviceError> {
        let copy = Self { len: self.len, ..Self::default() };
        #[cfg(feature = "cuda")]
        if let Some(device) = self.device.get() {
            let _ = copy.device.set(kernels_cuda::duplicate(device).computed()?);
            return Ok(copy);
        }
        let _ = copy.host.set(self.host().to_vec());
        Ok(copy)
    }

    #[cfg(not(feature = "cuda"))]
    fn fetch(&self) -> Vec<f32> {
        vec![0.0; self.len]
    }

    #[cfg(feature = "cuda")]
    fn fetch(&self) -> Vec<f32> {
        let Some(device) = self.device.get() else { return vec![0.0; self.len] };
        let mut values = kernels_cuda::download(device).expect("the device gives back what it holds");
        values.truncate(self.len);
        values
    }
}

impl std::ops::Deref for Resident {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.host()
    }
}

#[cfg(feature = "cuda")]
impl Resident {
    /// The values on the device.
    pub(crate) fn on_device(&self) -> Result<&Memory<f32>, DeviceError> {
        if let Some(device) = self.device.get() {
            return Ok(device);
        }
        let uploaded = match self.host.get() {
            Some(host) => kernels_cuda::upload(host),
            None => kernels_cuda::zeros(self.len),
        }
        .computed()?;
        Ok(self.device.get_or_init(|| uploaded))
    }

    /// The values on the device, and their copies there.
    pub(crate) fn as_weight(&self) -> Result<Weight<'_>, DeviceError> {
        Ok(Weight { values: self.on_device()?, forms: &self.forms })
    }

    /// The values on the device and their copy in bfloat16 there, for a change of both in place; all other copies are dropped.
    pub(crate) fn moving(&mut self) -> Result<Moving<'_>, DeviceError> {
        self.on_device()?;
        self.host.take();
        let values = self.device.get_mut().expect("the lines above put it there");
        Ok(Moving { values, narrow: self.forms.changing() })
    }

    /// The values on the device, for a change in place; all other copies are dropped.
    pub(crate) fn on_device_mut(&mut self) -> Result<&mut Memory<f32>, DeviceError> {
        self.on_device()?;
        self.host.take();
        self.forms = Forms::default();
        Ok(self.device.get_mut().expect("the line above puts it there"))
    }
}
