//! Batches of images on their way to the device, beside what it computes.
//!
//! A copy of pageable memory waits for all that the device was given before. Here values go through pinned memory and over a
//! stream of their own, and the main stream, not the host, waits for them.
//!
//! The memory that they go to is allocated on that stream and freed on the main one. The driver's pool keeps the order: it
//! gives out memory that was freed on another stream only once the free is done (what kernels before it read is read then),
//! or, where the system has no more, makes the allocating stream wait for it. That second way
//! (`CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES`) would put the copy behind what it is to run beside, but stays
//! allowed: without it, a run that nearly fills the device would fail.

use std::collections::VecDeque;
use std::ffi::c_void;
use std::sync::{Mutex, OnceLock, PoisonError};

use cudarc::driver::{
    DriverError,
    result::{event, malloc_async, memcpy_htod_async, stream},
    sys,
};
use rayon::prelude::*;

use crate::{
    array::upload,
    context::context,
    error::Result,
    memory::{Memory, with_room},
};

/// Pinned buffers that are kept: as many batches may be on their way.
const N_KEPT: usize = 4;

/// Values that one thread copies at a time: 1 MiB.
const CHUNK: usize = 1 << 18;

/// The side stream, and the pinned buffers that nobody fills at the moment, the one that was sent first in front.
struct Staging {
    stream: sys::CUstream,
    idle: Mutex<VecDeque<Pinned>>,
}

// SAFETY: the driver takes a stream from any thread, and nothing destroys this one.
unsafe impl Send for Staging {}
// SAFETY: as above; the buffers are behind a lock.
unsafe impl Sync for Staging {}

/// Memory of the host that the device copies from without the host's help.
struct Pinned {
    start: *mut f32,
    /// Values that it has room for.
    capacity: usize,
    /// Values that were written last.
    n_filled: usize,
    /// Recorded behind the last copy from it.
    sent: sys::CUevent,
}

// SAFETY: the memory and the event belong to this value alone, and the driver takes both from any thread.
unsafe impl Send for Pinned {}

/// Single-precision values, from the host. The host is done with them at once, and whatever the device is given from now on
/// finds them there.
///
/// # Errors
///
/// When the device fails.
pub fn upload_image_batch(values: &[f32]) -> Result<Memory<f32>> {
    if values.is_empty() {
        return upload(values);
    }
    let Some(staging) = staging()? else { return upload(values) };
    context()?.bind()?;
    // A host without memory to pin is no device without memory.
    let Ok(mut pinned) = staging.pinned(values.len()) else { return upload(values) };
    pinned.fill(values);
    staging.send(pinned)
}

/// The way over a stream of its own; `None` where the device has no memory pools.
fn staging() -> Result<Option<&'static Staging>> {
    static STAGING: OnceLock<Option<Staging>> = OnceLock::new();
    if let Some(staging) = STAGING.get() {
        return Ok(staging.as_ref());
    }
    let opened = Staging::open()?;
    Ok(STAGING.get_or_init(|| opened).as_ref())
}

impl Staging {
    fn open() -> Result<Option<Self>> {
        let context = context()?;
        context.bind()?;
        if !context.has_pools() {
            return Ok(None);
        }
        // The main stream is the legacy default one, which waits for every stream that is not of this kind.
        let stream = stream::create(stream::StreamKind::NonBlocking)?;
        Ok(Some(Self { stream, idle: Mutex::default() }))
    }

    /// A buffer with room for `len` values that no copy reads any more.
    fn pinned(&self, len: usize) -> Result<Pinned, DriverError> {
        match self.next_of_ring() {
            Some(pinned) if pinned.capacity >= len => {
                pinned.wait()?;
                Ok(pinned)
            }
            // What is too small is freed first.
            too_small => {
                drop(too_small);
                Pinned::new(len)
            }
        }
    }

    /// The buffer that was sent first; `None` if it is on its way yet and there may be one more. Threads take what they fill
    /// out of the ring: none waits here while another copies.
    fn next_of_ring(&self) -> Option<Pinned> {
        let mut idle = self.idle();
        let is_full = idle.len() >= N_KEPT;
        let may_wait = is_full || idle.front().is_some_and(Pinned::is_sent);
        if may_wait { idle.pop_front() } else { None }
    }

    fn put_back(&self, pinned: Pinned) {
        let mut idle = self.idle();
        if idle.len() < N_KEPT {
            idle.push_back(pinned);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, VecDeque<Pinned>> {
        // A panic of another thread leaves the buffers whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the device the copy of what the buffer was filled with, and the buffer back to the ring: nobody fills it before
    /// the copy is done.
    fn send(&self, pinned: Pinned) -> Result<Memory<f32>> {
        let sent = self.copy(&pinned);
        self.put_back(pinned);
        sent
    }

    /// A copy of what the buffer was filled with.
    fn copy(&self, pinned: &Pinned) -> Result<Memory<f32>> {
        let values = pinned.filled();
        let main = context()?.stream();
        // SAFETY: the stream is there, and nothing reads the memory before the copy below has written it: the side stream in
        // its order, the main one because it waits.
        let address = with_room(|| unsafe { malloc_async(self.stream, size_of_val(values)) })?;
        // SAFETY: the address is that of so many values, and nobody else frees it.
        let memory = unsafe { Memory::of_driver(address, values.len()) };
        // SAFETY: there is room for the values, and whoever writes the buffer next waits for the event. The streams and the
        // event are there.
        let sent = unsafe {
            memcpy_htod_async(address, values, self.stream)
                .and_then(|()| event::record(pinned.sent, self.stream))
                .and_then(|()| {
                    stream::wait_event(main, pinned.sent, sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT)
                })
        };
        if let Err(error) = sent {
            // The memory is freed on the main stream, which may not be waiting: everything is over before that.
            // SAFETY: the stream is there.
            let _ = unsafe { stream::synchronize(self.stream) };
            return Err(error.into());
        }
        Ok(memory)
    }
}

impl Pinned {
    fn new(len: usize) -> Result<Self, DriverError> {
        let mut start: *mut c_void = std::ptr::null_mut();
        // SAFETY: the pointer is of what the call writes, and this thread works on the device.
        unsafe { sys::cuMemHostAlloc(&mut start, len * size_of::<f32>(), 0) }.result()?;
        let start = start.cast::<f32>();
        match event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING) {
            Ok(sent) => Ok(Self { start, capacity: len, n_filled: 0, sent }),
            Err(error) => {
                // SAFETY: the memory was allocated above, and nobody has seen it.
                let _ = unsafe { sys::cuMemFreeHost(start.cast()) };
                Err(error)
            }
        }
    }

    /// Whether the last copy from the buffer is done; an event that was never recorded is.
    fn is_sent(&self) -> bool {
        // SAFETY: the event is there.
        unsafe { sys::cuEventQuery(self.sent) }.result().is_ok()
    }

    /// Waits until [`is_sent`](Self::is_sent).
    fn wait(&self) -> Result<(), DriverError> {
        // SAFETY: the event is there.
        unsafe { sys::cuEventSynchronize(self.sent) }.result()
    }

    /// Writes the values, which the buffer has room for, and which no copy reads.
    fn fill(&mut self, values: &[f32]) {
        assert!(values.len() <= self.capacity, "a buffer is asked for by the length of what it is for");
        // SAFETY: the memory has that room, belongs to this value alone, and numbers of any bits are valid.
        let target = unsafe { std::slice::from_raw_parts_mut(self.start, values.len()) };
        self.n_filled = values.len();
        if values.len() <= CHUNK {
            return target.copy_from_slice(values);
        }
        let chunks = target.par_chunks_mut(CHUNK).zip(values.par_chunks(CHUNK));
        chunks.for_each(|(target, values)| target.copy_from_slice(values));
    }

    /// What was written last.
    fn filled(&self) -> &[f32] {
        // SAFETY: `fill` has written so many values, and whoever writes others has the buffer to itself.
        unsafe { std::slice::from_raw_parts(self.start, self.n_filled) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.wait();
        // SAFETY: no copy reads the memory any more, and memory and event belong to this value alone.
        unsafe {
            let _ = event::destroy(self.sent);
            let _ = sys::cuMemFreeHost(self.start.cast());
        }
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use super::*;
    use crate::download;

    /// Values that differ from batch to batch and from place to place.
    fn batch(number: usize, len: usize) -> Vec<f32> {
        (0..len).map(|i| (number * 31 + i % 8191) as f32).collect()
    }

    #[test]
    fn a_batch_arrives_whole() {
        for len in [0, 1, 255, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
            let values = batch(len, len);
            let uploaded = upload_image_batch(&values).unwrap();
            assert!(download(&uploaded).unwrap()[..len] == values, "{len} values");
        }
    }

    #[test]
    fn batches_of_changing_sizes_follow_each_other() {
        let lens = [70_000, 3, 300_000, 12_345, 299_999, 1, 640_000, 2, 70_000, 70_001, 5];
        let uploaded: Vec<_> =
            lens.iter().enumerate().map(|(i, &len)| upload_image_batch(&batch(i, len)).unwrap()).collect();
        for (i, (uploaded, &len)) in uploaded.iter().zip(&lens).enumerate() {
            assert!(download(uploaded).unwrap() == batch(i, len), "batch {i}");
        }
    }

    #[test]
    fn threads_upload_at_the_same_time() {
        std::thread::scope(|scope| {
            for thread in 0..7 {
                scope.spawn(move || {
                    for turn in 0..12 {
                        let number = 100 * thread + turn;
                        let values = batch(number, 1 + number * 997 % 50_000);
                        let uploaded = upload_image_batch(&values).unwrap();
                        assert!(download(&uploaded).unwrap() == values, "batch {number}");
                    }
                });
            }
        });
        let staging = staging().unwrap().unwrap();
        assert!(staging.idle().len() <= N_KEPT);
    }
}
