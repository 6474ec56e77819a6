//! The messages of an event file: the parts of TensorFlow's `event.proto` and `summary.proto` that are written here.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message as _;

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
    #[prost(message, optional, tag = "4")]
    pub image: Option<Image>,
    #[prost(message, optional, tag = "8")]
    pub tensor: Option<Tensor>,
    #[prost(message, optional, tag = "9")]
    pub metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub height: i32,
    #[prost(int32, tag = "2")]
    pub width: i32,
    /// 3 for RGB.
    #[prost(int32, tag = "3")]
    pub colorspace: i32,
    /// A PNG file.
    #[prost(bytes = "vec", tag = "4")]
    pub encoded_image_string: Vec<u8>,
}

/// A tensor of texts.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Tensor {
    #[prost(enumeration = "DataType", tag = "1")]
    pub dtype: i32,
    #[prost(message, optional, tag = "2")]
    pub shape: Option<Shape>,
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub texts: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum DataType {
    Unspecified = 0,
    String = 7,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Shape {
    #[prost(message, repeated, tag = "2")]
    pub axes: Vec<Axis>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Axis {
    #[prost(int64, tag = "1")]
    pub size: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub plugin: Option<Plugin>,
}

/// What of TensorBoard shows a value.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Plugin {
    #[prost(string, tag = "1")]
    pub name: String,
}

/// Which charts the page "custom scalars" has.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Layout {
    #[prost(message, repeated, tag = "2")]
    pub categories: Vec<Category>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Category {
    #[prost(string, tag = "1")]
    pub title: String,
    #[prost(message, repeated, tag = "2")]
    pub charts: Vec<Chart>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Chart {
    #[prost(string, tag = "1")]
    pub title: String,
    #[prost(message, optional, tag = "2")]
    pub lines: Option<Lines>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Lines {
    /// Regular expressions.
    #[prost(string, repeated, tag = "1")]
    pub tags: Vec<String>,
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
        Self::value(step, Value { tag: tag.into(), simple_value: Some(value), ..Value::default() })
    }

    /// A picture in RGB, of `(width, height)` pixels, as a PNG file.
    pub(super) fn picture(step: u64, tag: &str, png: &[u8], (width, height): (u32, u32)) -> Self {
        let [height, width] = [height, width].map(|side| i32::try_from(side).unwrap_or(i32::MAX));
        let image = Image { height, width, colorspace: 3, encoded_image_string: png.into() };
        Self::value(step, Value { tag: tag.into(), image: Some(image), ..Value::default() })
    }

    /// A text in Markdown.
    pub(super) fn text(step: u64, tag: &str, text: &str) -> Self {
        let shape = Shape { axes: vec![Axis { size: 1 }] };
        Self::value(step, text_value(tag, "text", shape, text.into()))
    }

    /// The charts with several lines, each with its title and its tags.
    pub(super) fn charts<'a>(charts: impl IntoIterator<Item = (&'a str, &'a [&'a str])>) -> Self {
        let chart = |(title, tags): (&str, &[&str])| Chart {
            title: title.into(),
            lines: Some(Lines { tags: tags.iter().map(|tag| format!("^{tag}$")).collect() }),
        };
        let charts = charts.into_iter().map(chart).collect();
        let layout = Layout { categories: vec![Category { title: "training".into(), charts }] };
        let value = text_value(
            "custom_scalars__config__",
            "custom_scalars",
            Shape::default(),
            layout.encode_to_vec(),
        );
        Self::value(0, value)
    }

    fn value(step: u64, value: Value) -> Self {
        Self { summary: Some(Summary { value: vec![value] }), ..Self::now(step as i64) }
    }

    fn now(step: i64) -> Self {
        let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { wall_time, step, ..Self::default() }
    }
}

fn text_value(tag: &str, plugin: &str, shape: Shape, text: Vec<u8>) -> Value {
    Value {
        tag: tag.into(),
        tensor: Some(Tensor { dtype: DataType::String.into(), shape: Some(shape), texts: vec![text] }),
        metadata: Some(Metadata { plugin: Some(Plugin { name: plugin.into() }) }),
        ..Value::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::append_record;
    use super::*;

    #[test]
    fn the_bytes_are_those_that_tensorboard_writes() {
        let mut bytes = vec![];
        for event in [
            Event { wall_time: 1.5, ..Event::version() },
            Event { wall_time: 2.0, ..Event::scalar(7, "loss", 0.0) },
            Event { wall_time: 2.0, ..Event::restart_after(40) },
            Event { wall_time: 2.0, ..Event::text(3, "pipeline", "hi") },
            Event { wall_time: 2.0, ..Event::charts([("loss", &["train/loss", "train/chance"][..])]) },
            Event { wall_time: 2.0, ..Event::picture(5, "map", b"png", (3, 2)) },
        ] {
            append_record(&mut bytes, &event.encode_to_vec());
        }
        // `tensorboard.summary.writer.record_writer.RecordWriter` given the same events.
        let expected = "1800000000000000a37f4b2209000000000000f83f1a0d627261696e2e4576656e743a322a2864\
             6c1a00000000000000129bd82d09000000000000004010072a0d0a0b0a046c6f73731500000000\
             e37398e50f000000000000006d532b0909000000000000004010293a0208018006093931000000\
             000000009d8383e909000000000000004010032a240a220a08706970656c696e65420c08071204\
             12020801420268694a080a060a04746578747ebf2dbe7700000000000000e6b4a6c30900000000\
             000000402a6c0a6a0a18637573746f6d5f7363616c6172735f5f636f6e6669675f5f423a080712\
             00423412320a08747261696e696e6712260a046c6f7373121e0a0c5e747261696e2f6c6f737324\
             0a0e5e747261696e2f6368616e6365244a120a100a0e637573746f6d5f7363616c617273233d4f\
             512100000000000000017becf609000000000000004010052a140a120a036d6170220b0802100318\
             032203706e6779fca42d";
        let bytes: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(bytes, expected);
    }
}
