//! Heights and widths in configs.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Height and width of an image in pixels. A config has one number for both, `224`, or `(height, width)`, as torchvision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// `H`.
    pub height: usize,
    /// `W`.
    pub width: usize,
}

impl Size {
    /// As many pixels high as wide.
    pub fn square(side: usize) -> Self {
        Self { height: side, width: side }
    }
}

/// As a config has it.
impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.height == self.width {
            true => write!(f, "{}", self.height),
            false => write!(f, "({}, {})", self.height, self.width),
        }
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SizeVisitor)
    }
}

struct SizeVisitor;

impl<'de> Visitor<'de> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number of pixels, or `(height, width)`")
    }

    fn visit_u64<E: Error>(self, side: u64) -> Result<Size, E> {
        usize::try_from(side).map(Size::square).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sides: A) -> Result<Size, A::Error> {
        let mut next = |place| {
            let side: Option<usize> = sides.next_element()?;
            side.ok_or_else(|| A::Error::invalid_length(place, &self))
        };
        Ok(Size { height: next(0)?, width: next(1)? })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "array", "items": { "type": "integer", "minimum": 1 }, "minItems": 2, "maxItems": 2 },
            ]
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use plugin_api::Config;

    #[test]
    fn one_number_is_a_square_and_two_are_height_and_width() {
        let parse = |text| Config::new(text).parse::<Size>();
        assert_eq!(parse("224").unwrap(), Size::square(224));
        assert_eq!(parse("(96, 64)").unwrap(), Size { height: 96, width: 64 });
        assert_eq!(["224", "(96, 64)"].map(|text| parse(text).unwrap().to_string()), ["224", "(96, 64)"]);
        let said = |text| parse(text).unwrap_err().to_string();
        assert!(
            said("2.5").contains("expected a whole number of pixels, or `(height, width)`"),
            "{}",
            said("2.5")
        );
        for wrong in ["(96,)", "(96, 64, 32)", "(96, -1)", "-3", "\"a\"", "()", "[]"] {
            assert!(!said(wrong).is_empty(), "{wrong}");
        }
    }
}
