//! Values of the host on their way to the device.
//!
//! Whoever sends them may drop the device's memory before the copy has run, and need not wait for it. Most drivers have copied
//! pageable memory to a buffer of their own before the call returns, but CUDA only says that they may, and a device that reads
//! the host's pages itself has no need to. So values stay until an event behind their copy has passed.

use std::{
    any::Any,
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use cudarc::driver::{
    DeviceRepr, DriverError,
    result::{event, memcpy_htod_async},
    sys,
};

use crate::{context::context, error::Result};

/// What the device may be reading yet, the first copy in front, and events for the next.
struct OnTheirWay {
    sent: VecDeque<Sent>,
    idle: Vec<Event>,
}

struct Sent {
    /// Recorded behind the copy.
    event: Event,
    _values: Box<dyn Any + Send>,
}

struct Event(sys::CUevent);

// SAFETY: the event belongs to this value alone, and the driver takes it from any thread.
unsafe impl Send for Event {}

static ON_THEIR_WAY: Mutex<OnTheirWay> = Mutex::new(OnTheirWay { sent: VecDeque::new(), idle: Vec::new() });

/// Gives the device the copy of values to an address, without waiting for it.
///
/// # Safety
///
/// There is room for the values at the address, on the device of this process, and what uses it follows on the main stream.
///
/// # Errors
///
/// When the device fails.
pub(crate) unsafe fn send<T: DeviceRepr + Send + 'static>(address: u64, values: Vec<T>) -> Result<()> {
    let context = context()?;
    context.bind()?;
    // SAFETY: there is room for the values, which stay until the copy is done: see below.
    unsafe { memcpy_htod_async(address, &values, context.stream()) }?;
    // A panic of another thread leaves the lists whole.
    let mut on_their_way = ON_THEIR_WAY.lock().unwrap_or_else(PoisonError::into_inner);
    on_their_way.drop_done();
    match on_their_way.event_behind(context.stream()) {
        Ok(event) => on_their_way.sent.push_back(Sent { event, _values: Box::new(values) }),
        Err(error) => {
            // Nobody says when the copy is done.
            std::mem::forget(values);
            return Err(error.into());
        }
    }
    Ok(())
}

impl OnTheirWay {
    /// Drops what the device has copied.
    fn drop_done(&mut self) {
        while self.sent.front().is_some_and(|sent| sent.event.has_passed()) {
            self.idle.extend(self.sent.pop_front().map(|done| done.event));
        }
    }

    /// An event behind all that the stream was given.
    fn event_behind(&mut self, stream: sys::CUstream) -> Result<Event, DriverError> {
        let event = match self.idle.pop() {
            Some(event) => event,
            None => Event(event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING)?),
        };
        // SAFETY: event and stream are there.
        unsafe { event::record(event.0, stream) }?;
        Ok(event)
    }
}

impl Event {
    fn has_passed(&self) -> bool {
        // SAFETY: the event is there.
        unsafe { sys::cuEventQuery(self.0) }.result().is_ok()
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event belongs to this value alone.
        let _ = unsafe { event::destroy(self.0) };
    }
}

#[cfg(all(test, feature = "emulated"))]
mod tests {
    use crate::memory::Memory;

    #[test]
    fn values_arrive_whatever_is_dropped_meanwhile() {
        for len in [1, 1000] {
            let sent: Vec<_> = (0..20).map(|i| Memory::send(vec![i; len]).unwrap()).collect();
            drop(Memory::send(vec![0.5_f32; len]).unwrap());
            for (i, memory) in (0..20).zip(sent) {
                assert_eq!(memory.fetch().unwrap(), vec![i; len]);
            }
        }
        let kept = super::ON_THEIR_WAY.lock().unwrap().sent.len();
        // Other tests send at the same time.
        assert!(kept < 40, "{kept} arrays are kept");
    }
}
