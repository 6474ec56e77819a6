//! Reads golden files.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr;

use safetensors::tensor::{Dtype, SafeTensors};

use moco_cli::Failure;
use moco_cli::pipeline_file::check_file;

/// Results of the reference implementation, with its settings.
pub(super) struct Golden {
    name: String,
    settings: HashMap<String, String>,
    tensors: BTreeMap<String, Tensor>,
    bytes: Vec<u8>,
}

/// One named array.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    /// Lengths of the axes.
    pub(super) shape: Vec<usize>,
    /// The values, the last axis fastest.
    pub(super) values: Values,
}

/// The types in golden files.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Weights, images, results.
    Floats(Vec<f32>),
    /// Counts.
    Counts(Vec<i64>),
    /// Decoded images.
    Bytes(Vec<u8>),
}

/// The contents of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Training steps of MoCo v1 or v2.
    Moco,
    /// Training steps of MoCo v3.
    MocoV3,
    /// Single augmentations.
    Augmentations,
    /// A loss on given embeddings.
    Loss,
}

impl Golden {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        check_file(path)?;
        let name = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|error| Failure::plain(format!("`{name}` cannot be read: {error}")))?;
        Self::parse(name, bytes)
    }

    fn parse(name: String, bytes: Vec<u8>) -> Result<Self, Failure> {
        let malformed = |reason: String| {
            Failure::new(
                format!("`{name}` is not a golden file: {reason}"),
                "it must be a complete safetensors file",
            )
        };
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| malformed(error.to_string()))?;
        let settings = header.metadata().clone().unwrap_or_default();
        let file = SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
        let mut tensors = BTreeMap::new();
        for (tensor, view) in file.tensors() {
            let values = match view.dtype() {
                Dtype::F32 => {
                    Values::Floats(view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
                }
                Dtype::I64 => {
                    Values::Counts(view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect())
                }
                Dtype::U8 => Values::Bytes(view.data().to_vec()),
                other => {
                    return Err(malformed(format!("`{tensor}` has the unexpected type {other:?}")));
                }
            };
            tensors.insert(tensor, Tensor { shape: view.shape().to_vec(), values });
        }
        Ok(Self { name, settings, tensors, bytes })
    }

    /// The path, as the user wrote it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The kind of the file.
    pub(super) fn kind(&self) -> Result<Kind, Failure> {
        match self.settings.get("kind").map(String::as_str) {
            Some("moco-v1" | "moco-v2") => Ok(Kind::Moco),
            Some("moco-v3") => Ok(Kind::MocoV3),
            // Settings of losses are JSON.
            Some("loss" | "\"loss\"") => Ok(Kind::Loss),
            Some(kind) => {
                let known = "and only moco-v1, moco-v2, moco-v3 and loss are known";
                Err(self.wrong(format!("its kind is `{kind}`, {known}")))
            }
            None if self.tensors.keys().any(|name| name.ends_with("/input")) => Ok(Kind::Augmentations),
            None => Err(self.wrong("it has neither a `kind` nor images to augment")),
        }
    }

    /// The setting called `name`.
    pub(super) fn setting<T: FromStr>(&self, name: &str) -> Result<T, Failure> {
        let text = self.setting_text(name)?;
        text.parse().map_err(|_| self.wrong(format!("its setting `{name}` has the invalid value `{text}`")))
    }

    /// The length of the file.
    pub(super) fn n_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The setting called `name`, as text.
    pub(super) fn setting_text(&self, name: &str) -> Result<&str, Failure> {
        self.settings
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| self.wrong(format!("it has no setting `{name}`")))
    }

    /// The floats called `name`, with their shape.
    pub(super) fn floats(&self, name: &str) -> Result<(&[usize], &[f32]), Failure> {
        match self.tensors.get(name) {
            Some(Tensor { shape, values: Values::Floats(values) }) => Ok((shape, values)),
            Some(_) => Err(self.wrong(format!("`{name}` has no floats"))),
            None => Err(self.wrong(format!("it has no `{name}`"))),
        }
    }

    /// The tensors whose names start with `prefix`, with this prefix removed.
    pub(super) fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        self.tensors.iter().filter_map(move |(name, tensor)| Some((name.strip_prefix(prefix)?, tensor)))
    }

    /// An error that names the file.
    pub(super) fn wrong(&self, what: impl std::fmt::Display) -> Failure {
        Failure::plain(format!("`{}`: {what}", self.name))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use safetensors::tensor::TensorView;

    use super::*;

    /// A golden file with one tensor of two floats.
    fn file(settings: &[(&str, &str)], tensor: &str) -> Vec<u8> {
        let data = [1.5_f32, -2.0].map(f32::to_le_bytes).concat();
        let view = TensorView::new(Dtype::F32, vec![2], &data).unwrap();
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        safetensors::serialize([(tensor, view)], Some(settings)).unwrap()
    }

    fn parse(settings: &[(&str, &str)], tensor: &str) -> Golden {
        Golden::parse("g".into(), file(settings, tensor)).unwrap()
    }

    #[test]
    fn settings_and_tensors_are_read() {
        let golden = parse(&[("kind", "moco-v1"), ("lr", "0.03")], "init/a");
        assert_eq!(golden.kind().unwrap(), Kind::Moco);
        assert_eq!(golden.setting::<f64>("lr").unwrap(), 0.03);
        assert_eq!(golden.floats("init/a").unwrap(), (&[2][..], &[1.5, -2.0][..]));
        assert_eq!(golden.under("init/").map(|(name, _)| name).collect::<Vec<_>>(), ["a"]);
    }

    #[test]
    fn every_flaw_is_one_error_and_no_panic() {
        let bytes = file(&[], "x");
        for (name, bytes) in
            [("empty", &[][..]), ("text", b"kind: moco-v1"), ("cut", &bytes[..bytes.len() - 3])]
        {
            let error = Golden::parse(name.into(), bytes.to_vec()).err().unwrap().to_string();
            assert!(error.starts_with(&format!("`{name}` is not a golden file")), "{error}");
        }
        let golden = parse(&[("kind", "moco-v4"), ("lr", "fast")], "x");
        for (error, expected) in [
            (
                golden.kind().err().unwrap(),
                "`g`: its kind is `moco-v4`, and only moco-v1, moco-v2, moco-v3 and loss are known",
            ),
            (
                golden.setting::<f64>("lr").err().unwrap(),
                "`g`: its setting `lr` has the invalid value `fast`",
            ),
            (golden.setting::<f64>("dim").err().unwrap(), "`g`: it has no setting `dim`"),
            (golden.floats("y").err().unwrap(), "`g`: it has no `y`"),
        ] {
            assert_eq!(error.to_string(), expected);
        }
        assert!(parse(&[], "x").kind().is_err());
        assert_eq!(parse(&[], "0/input").kind().unwrap(), Kind::Augmentations);
        assert_eq!(parse(&[("kind", "\"loss\"")], "x").kind().unwrap(), Kind::Loss);
    }
}
