//! Ranges in configs of which one number may stand for both ends.

use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// `0.1` as torchvision has it, or `(0.1, 2.0)`.
pub(crate) fn of<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(f64, f64), D::Error> {
    deserializer.deserialize_any(Numbers)
}

pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    let number = json_schema!({ "type": "number", "format": "double" });
    json_schema!({
        "anyOf": [
            number,
            { "type": "array", "prefixItems": [number, number], "minItems": 2, "maxItems": 2 },
        ]
    })
}

struct Numbers;

impl<'de> Visitor<'de> for Numbers {
    type Value = (f64, f64);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number, or `(least, most)`")
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok((number, number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        self.visit_f64(number as f64)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut ends: A) -> Result<Self::Value, A::Error> {
        let mut next = |place| {
            let end: Option<f64> = ends.next_element()?;
            end.ok_or_else(|| A::Error::invalid_length(place, &self))
        };
        Ok((next(0)?, next(1)?))
    }
}
