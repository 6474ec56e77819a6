//! Predictions as a table for other programs: CSV or JSON.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::Path;

use plugin_api::Images;
use run_store::{cell, path_cell, write_whole};
use serde_json::json;

use super::{Prediction, Predictions};

/// Predictions with the path of each image, for a file.
pub struct PredictionTable<'a> {
    /// The path of each image.
    paths: Vec<String>,
    /// The classes of each image, the likeliest first.
    rows: Vec<Vec<Prediction>>,
    classes: &'a [String],
}

/// The format of a table of predictions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PredictionFormat {
    /// The columns `path`, `class` and `confidence`, and `class2`, `confidence2` and so on for further classes.
    Csv,
    /// A list with an object for each image: `path`, `class`, `confidence`, and `top` with the likeliest classes.
    Json,
}

impl PredictionFormat {
    /// The format for the extension of `path`; `None` if the extension is not known.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension().and_then(OsStr::to_str)?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl<'a> PredictionTable<'a> {
    /// The `n_top` likeliest of `classes` for each of `images` that has predictions.
    pub fn new(images: &dyn Images, predictions: &Predictions, n_top: usize, classes: &'a [String]) -> Self {
        Self {
            paths: predictions.images().iter().map(|image| images.name(*image)).collect(),
            rows: (0..predictions.n()).map(|row| predictions.top(row, n_top)).collect(),
            classes,
        }
    }

    /// For each image its path, and its likeliest classes by name with their confidence.
    pub fn rows(&self) -> impl Iterator<Item = (&str, Vec<(&'a str, f32)>)> {
        let classes = self.classes;
        let named = move |row: &Vec<Prediction>| {
            row.iter().map(|found| (classes[found.class].as_str(), found.confidence)).collect()
        };
        self.paths.iter().zip(&self.rows).map(move |(path, row)| (path.as_str(), named(row)))
    }

    /// Writes the file at `path`, whole or not at all. An existing file is overwritten.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, format: PredictionFormat, path: &Path) -> io::Result<()> {
        write_whole(path, |file| match format {
            PredictionFormat::Csv => self.write_csv(file),
            PredictionFormat::Json => self.write_json(file),
        })
    }

    fn write_csv(&self, file: impl Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(file);
        let n_top = self.rows.iter().map(Vec::len).max().unwrap_or(1);
        writer.write_field("path")?;
        for place in 1..=n_top {
            let number = if place == 1 { String::new() } else { place.to_string() };
            writer.write_field(format!("class{number}"))?;
            writer.write_field(format!("confidence{number}"))?;
        }
        writer.write_record(None::<&[u8]>)?;
        for (path, classes) in self.rows() {
            writer.write_field(&*path_cell(path))?;
            for (class, confidence) in classes {
                writer.write_field(&*cell(class))?;
                writer.write_field(confidence.to_string())?;
            }
            writer.write_record(None::<&[u8]>)?;
        }
        writer.flush()
    }

    fn write_json(&self, mut file: impl Write) -> io::Result<()> {
        let object = |(path, classes): (&str, Vec<(&str, f32)>)| {
            let top: Vec<_> = classes
                .iter()
                .map(|(class, confidence)| json!({ "class": class, "confidence": shortest(*confidence) }))
                .collect();
            json!({ "path": path, "class": classes[0].0, "confidence": shortest(classes[0].1), "top": top })
        };
        let list: Vec<_> = self.rows().map(object).collect();
        serde_json::to_writer_pretty(&mut file, &list)?;
        file.write_all(b"\n")
    }
}

/// The number with the fewest digits that reads back as the same float32.
fn shortest(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_of_a_float32() {
        assert_eq!(json!(shortest(0.3_f32)).to_string(), "0.3");
        for value in [1.0_f32, 1e-7, 0.500_499_9, f32::MIN_POSITIVE] {
            assert_eq!((shortest(value) as f32).to_bits(), value.to_bits());
        }
    }

    #[test]
    fn a_spreadsheet_computes_nothing_of_a_table() {
        let classes = ["=1+1".to_owned()];
        let rows = vec![vec![Prediction { class: 0, confidence: 0.5 }]];
        let table = PredictionTable { paths: vec!["-a.jpg".into()], rows, classes: &classes };
        let mut file = Vec::new();
        table.write_csv(&mut file).unwrap();
        let text = String::from_utf8(file).unwrap();
        assert_eq!(text, "path,class,confidence\n./-a.jpg,'=1+1,0.5\n");
    }

    #[test]
    fn the_extension_is_the_format() {
        assert_eq!(PredictionFormat::of(Path::new("a/b.CSV")), Some(PredictionFormat::Csv));
        assert_eq!(PredictionFormat::of(Path::new("b.json")), Some(PredictionFormat::Json));
        assert!(["b", ".csv", "b.npy"].iter().all(|name| PredictionFormat::of(Path::new(name)).is_none()));
    }
}
