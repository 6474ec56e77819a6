//! STL-10 (Coates, Lee and Ng 2011), in its binary version.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ByteImage, ConfigError, Dataset, DatasetError, Images, Splits, UnreadableImage};
use regular_files::Opened;

use crate::flat_folder::check_not_empty;
use crate::places::{check_folder, error};
use crate::positioned::read_exact_at;
use crate::roots::at_home;

plugin_api::register! {
    dyn Dataset {
        name: "stl10",
        summary: "STL-10, from the files of the binary version",
        source: "Coates et al. 2011, An Analysis of Single-Layer Networks in Unsupervised Feature Learning",
        example: r#"(root: "data/stl10_binary")"#,
        build: |config: Stl10Config, _context| Stl10::new(config),
    }
}

const SIDE_PX: usize = 96;
const PLANE_BYTES: usize = SIDE_PX * SIDE_PX;
const IMAGE_BYTES: usize = 3 * PLANE_BYTES;
const FOLDER: &str = "stl10_binary";
const GET: &str = "unpack stl10_binary.tar.gz from https://cs.stanford.edu/~acoates/stl10/ here";
/// In order of their numbers.
const CLASSES: [&str; 10] =
    ["airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"];

/// The config of [`Stl10`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stl10Config {
    /// Folder with `train_X.bin` and `test_X.bin`, or its parent. A relative path starts at the working directory.
    pub root: PathBuf,
    /// Which images to train on.
    #[serde(default)]
    pub train: Stl10Part,
}

/// The images of STL-10 to train on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum Stl10Part {
    /// The 100 000 images without labels.
    #[default]
    Unlabeled,
    /// The 5 000 images with labels, on which monitors and classifiers can be measured.
    Labeled,
}

/// STL-10: 100 000 training images without labels or 5 000 with labels, and 8 000 test images, of 96 x 96 pixels.
#[derive(Debug, Clone)]
pub struct Stl10 {
    config: Stl10Config,
}

/// The images of one file.
struct Stl10Images {
    path: PathBuf,
    file: File,
    n: usize,
    labels: Option<Vec<u8>>,
    class_names: Vec<String>,
}

impl Stl10 {
    /// The dataset for `config`. Nothing is read yet.
    ///
    /// # Errors
    /// If the path is empty.
    pub fn new(config: Stl10Config) -> Result<Self, ConfigError> {
        check_not_empty("root", Some(&config.root))?;
        Ok(Self { config })
    }

    fn folder(&self) -> Result<PathBuf, DatasetError> {
        let root = at_home(&self.config.root);
        check_folder(&root)?;
        let inner = root.join(FOLDER);
        let found = [&root, &inner].into_iter().find(|folder| folder.join("test_X.bin").is_file());
        found.cloned().ok_or_else(|| {
            error(&root, format!("there is no `test_X.bin`, neither here nor in `{FOLDER}`"), GET)
        })
    }
}

impl Dataset for Stl10 {
    fn open(&self) -> Result<Splits, DatasetError> {
        let folder = self.folder()?;
        let train = match self.config.train {
            Stl10Part::Unlabeled => Stl10Images::open(&folder, "unlabeled_X.bin", None)?,
            Stl10Part::Labeled => Stl10Images::open(&folder, "train_X.bin", Some("train_y.bin"))?,
        };
        let test = Stl10Images::open(&folder, "test_X.bin", Some("test_y.bin"))?;
        Ok(Splits { train: Arc::new(train), test: Some(Arc::new(test)), notes: Vec::new() })
    }

    fn describe(&self) -> String {
        format!("STL-10 in {}", self.config.root.display())
    }
}

impl Stl10Images {
    fn open(folder: &Path, images: &str, labels: Option<&str>) -> Result<Self, DatasetError> {
        let path = folder.join(images);
        let cannot = |failure: std::io::Error| error(&path, format!("it cannot be read: {failure}"), GET);
        let Opened { file, n_bytes } = regular_files::open(&path).map_err(cannot)?;
        if n_bytes == 0 || !n_bytes.is_multiple_of(IMAGE_BYTES as u64) {
            let reason =
                format!("it has {n_bytes} bytes, which is not a multiple of the {IMAGE_BYTES} of an image");
            return Err(error(&path, reason, GET));
        }
        let n = (n_bytes / IMAGE_BYTES as u64) as usize;
        let labels = labels.map(|labels| read_labels(&folder.join(labels), n)).transpose()?;
        let class_names = labels.iter().flat_map(|_| CLASSES.map(str::to_owned)).collect();
        Ok(Self { path, file, n, labels, class_names })
    }
}

/// One byte an image, from 1 to 10.
fn read_labels(path: &Path, n: usize) -> Result<Vec<u8>, DatasetError> {
    let cannot = |failure: std::io::Error| error(path, format!("it cannot be read: {failure}"), GET);
    let n_labels = regular_files::open(path).map_err(cannot)?.n_bytes;
    if n_labels != n as u64 {
        return Err(error(path, format!("it has {n_labels} labels, and there are {n} images"), GET));
    }
    let bytes = regular_files::read(path, n_labels).map_err(cannot)?;
    match bytes.iter().position(|label| !(1..=CLASSES.len() as u8).contains(label)) {
        Some(at) => Err(error(path, format!("label {at} is {}, but they are from 1 to 10", bytes[at]), GET)),
        None => Ok(bytes.iter().map(|label| label - 1).collect()),
    }
}

impl Images for Stl10Images {
    fn len(&self) -> usize {
        self.n
    }

    fn label(&self, index: usize) -> Option<u32> {
        self.labels.as_ref().map(|labels| labels[index].into())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.display())
    }

    fn key(&self, index: usize) -> String {
        format!("{}, image {index}", self.path.file_name().unwrap_or_default().display())
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let mut planes = vec![0; IMAGE_BYTES];
        read_exact_at(&self.file, &mut planes, (index * IMAGE_BYTES) as u64)
            .map_err(|failure| UnreadableImage { name: self.name(index), reason: failure.to_string() })?;
        // (3, W, H), since the files were written column by column → (H, W, 3)
        let mut rgb = Vec::with_capacity(IMAGE_BYTES);
        for (y, x) in (0..SIDE_PX).flat_map(|y| (0..SIDE_PX).map(move |x| (y, x))) {
            rgb.extend((0..3).map(|channel| planes[channel * PLANE_BYTES + x * SIDE_PX + y]));
        }
        Ok(ByteImage::rgb(SIDE_PX, SIDE_PX, rgb))
    }
}
