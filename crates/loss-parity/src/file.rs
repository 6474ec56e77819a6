//! Reads golden files of losses.

use std::collections::{BTreeMap, HashMap};

use safetensors::tensor::{Dtype, SafeTensors};
use serde_json::Value;

use crate::ParityError;

/// Values and gradients of a loss, with its settings.
pub(crate) struct LossFile {
    name: String,
    settings: HashMap<String, Value>,
    floats: BTreeMap<String, Floats>,
}

/// One named array.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Floats {
    pub(crate) shape: Vec<usize>,
    /// The last axis fastest.
    pub(crate) values: Vec<f32>,
}

impl LossFile {
    /// Parses the bytes of a file called `name`.
    pub(crate) fn parse(name: &str, bytes: &[u8]) -> Result<Self, ParityError> {
        let wrong = |reason: String| ParityError { file: name.to_owned(), reason };
        let malformed = |error| wrong(format!("it is not a complete safetensors file: {error}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let settings = header.metadata().clone().unwrap_or_default();
        let settings = settings.into_iter().map(|(name, text)| (name, setting(text))).collect();
        let mut floats = BTreeMap::new();
        for (tensor, view) in SafeTensors::deserialize(bytes).map_err(malformed)?.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(wrong(format!("`{tensor}` is of type {:?}, expected F32", view.dtype())));
            }
            let values = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
            floats.insert(tensor, Floats { shape: view.shape().to_vec(), values });
        }
        Ok(Self { name: name.to_owned(), settings, floats })
    }

    /// The setting called `name`.
    pub(crate) fn setting(&self, name: &str) -> Option<&Value> {
        self.settings.get(name)
    }

    /// The array called `name`.
    pub(crate) fn get(&self, name: &str) -> Option<&Floats> {
        self.floats.get(name)
    }

    /// The array called `name`.
    pub(crate) fn floats(&self, name: &str) -> Result<&Floats, ParityError> {
        self.get(name).ok_or_else(|| self.wrong(format!("it has no `{name}`")))
    }

    /// The names of all arrays.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.floats.keys().map(String::as_str)
    }

    /// An error that names the file.
    pub(crate) fn wrong(&self, reason: impl Into<String>) -> ParityError {
        ParityError { file: self.name.clone(), reason: reason.into() }
    }
}

/// Each setting is JSON; what is none is text.
fn setting(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[cfg(test)]
pub(crate) mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    /// A file of these settings, and arrays `(N, D)`.
    pub(crate) fn bytes(settings: &[(&str, &str)], arrays: &[(&str, [usize; 2], Vec<f32>)]) -> Vec<u8> {
        let data: Vec<Vec<u8>> = arrays
            .iter()
            .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let views = arrays.iter().zip(&data).map(|((name, shape, _), data)| {
            (*name, TensorView::new(Dtype::F32, shape.to_vec(), data).unwrap())
        });
        let settings = settings.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        safetensors::serialize(views, Some(settings)).unwrap()
    }

    #[test]
    fn settings_are_json_or_text() {
        let bytes = bytes(&[("a", "0.5"), ("b", "\"x\""), ("c", "x y"), ("d", "[0, 1]")], &[]);
        let file = LossFile::parse("f", &bytes).unwrap();
        assert_eq!(file.setting("a"), Some(&serde_json::json!(0.5)));
        assert_eq!(file.setting("b"), Some(&serde_json::json!("x")));
        assert_eq!(file.setting("c"), Some(&serde_json::json!("x y")));
        assert_eq!(file.setting("d"), Some(&serde_json::json!([0, 1])));
        assert_eq!(file.setting("e"), None);
    }

    #[test]
    fn what_is_no_such_file_is_one_error() {
        let whole = bytes(&[], &[("x", [1, 2], vec![1.0, 2.0])]);
        for bytes in [&[][..], b"loss", &whole[..whole.len() - 1]] {
            let error = LossFile::parse("f", bytes).err().unwrap().to_string();
            assert!(error.starts_with("`f`: it is not a complete safetensors file"), "{error}");
        }
    }
}
