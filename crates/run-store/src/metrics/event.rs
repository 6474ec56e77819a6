//! The messages of an event file: the parts of TensorFlow's `event.proto` and `summary.proto` that are written here.

use std::time::{SystemTime, UNIX_EPOCH};

/// One message. It has one of `file_version`, `summary` and `session_log`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(string, optional, tag = "3")]
    pub file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Value {
    #[prost(string, tag = "1")]
    pub tag: String,
    #[prost(float, optional, tag = "2")]
    pub simple_value: Option<f32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SessionLog {
    #[prost(enumeration = "SessionStatus", tag = "1")]
    pub status: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum SessionStatus {
    Unspecified = 0,
    /// Earlier events of this step and later steps no longer count.
    Start = 1,
}

impl Event {
    /// The first event of a file.
    pub(super) fn version() -> Self {
        Self { file_version: Some("brain.Event:2".into()), ..Self::now(0) }
    }

    /// Discards all earlier events of steps after `step`.
    pub(super) fn restart_after(step: u64) -> Self {
        let status = SessionStatus::Start.into();
        Self { session_log: Some(SessionLog { status }), ..Self::now(step as i64 + 1) }
    }

    /// A scalar.
    pub(super) fn scalar(step: u64, tag: &str, value: f32) -> Self {
        let value = vec![Value { tag: tag.into(), simple_value: Some(value) }];
        Self { summary: Some(Summary { value }), ..Self::now(step as i64) }
    }

    fn now(step: i64) -> Self {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { wall_time, step, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::super::record::append_record;
    use super::*;

    #[test]
    fn the_bytes_are_those_that_tensorboard_writes() {
        let mut bytes = vec![];
        for event in [
            Event { wall_time: 1.5, ..Event::version() },
            Event { wall_time: 2.0, ..Event::scalar(7, "loss", 0.0) },
            Event { wall_time: 2.0, ..Event::restart_after(40) },
        ] {
            append_record(&mut bytes, &event.encode_to_vec());
        }
        // `tensorboard.summary.writer.record_writer.RecordWriter` given the same three events.
        let expected = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a28646c\
             1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f73731500000000e37398e5\
             0f000000000000006d532b0909000000000000004010293a02080180060939";
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, expected);
    }
}
