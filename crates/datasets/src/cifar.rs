//! The binary files of CIFAR-10 and CIFAR-100: records of labels and a 32 x 32 image.

use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use plugin_api::{ByteImage, DatasetError, Images, Splits, UnreadableImage};
use regular_files::Opened;

use crate::places::{check_folder, error};

const SIDE_PX: usize = 32;
const PLANE_BYTES: usize = SIDE_PX * SIDE_PX;
const IMAGE_BYTES: usize = 3 * PLANE_BYTES;

/// The largest file has 50,000.
const MAX_RECORDS: u64 = 1 << 20;

/// The format of one of the two datasets.
pub(crate) struct Layout {
    /// The folder in the archive.
    pub(crate) folder: &'static str,
    /// The file to download.
    pub(crate) archive: &'static str,
    pub(crate) train_files: &'static [&'static str],
    pub(crate) test_files: &'static [&'static str],
    /// Bytes before the image. The last of them is the class.
    pub(crate) label_bytes: usize,
    /// In order of their indices, separated by spaces.
    pub(crate) class_names: &'static str,
}

/// Records in one or more files.
struct CifarImages {
    files: Vec<CifarFile>,
    labels: Vec<u8>,
    label_bytes: usize,
    class_names: Arc<[String]>,
}

struct CifarFile {
    path: PathBuf,
    /// The index of the file's first image.
    first: usize,
}

impl Layout {
    /// Both splits, from `root` or from the archive's folder in it.
    pub(crate) fn open(&self, root: &Path) -> Result<Splits, DatasetError> {
        let folder = self.find(root)?;
        Ok(Splits {
            train: Arc::new(self.list(&folder, self.train_files)?),
            test: Some(Arc::new(self.list(&folder, self.test_files)?)),
            notes: Vec::new(),
        })
    }

    fn find(&self, root: &Path) -> Result<PathBuf, DatasetError> {
        check_folder(root)?;
        let candidates = [root.to_owned(), root.join(self.folder)];
        let first = self.train_files[0];
        candidates.into_iter().find(|folder| folder.join(first).is_file()).ok_or_else(|| {
            let python = root.join(first.trim_end_matches(".bin")).is_file();
            let hint = if python {
                format!("this is the Python version; download the binary version, {}", self.archive)
            } else {
                format!("unpack {} from https://www.cs.toronto.edu/~kriz/cifar.html here", self.archive)
            };
            error(root, format!("there is no `{first}`, neither here nor in `{}`", self.folder), hint)
        })
    }

    fn list(&self, folder: &Path, files: &[&str]) -> Result<CifarImages, DatasetError> {
        let mut images = CifarImages {
            files: Vec::new(),
            labels: Vec::new(),
            label_bytes: self.label_bytes,
            class_names: self.class_names.split(' ').map(str::to_owned).collect(),
        };
        for name in files {
            let path = folder.join(name);
            let first = images.labels.len();
            self.read_labels(&path, &mut images)?;
            images.files.push(CifarFile { path, first });
        }
        Ok(images)
    }

    fn read_labels(&self, path: &Path, images: &mut CifarImages) -> Result<(), DatasetError> {
        let again = format!("unpack {} again", self.archive);
        let unreadable =
            |failure: std::io::Error| error(path, format!("it cannot be read: {failure}"), &again);
        let Opened { file, n_bytes } = regular_files::open(path).map_err(unreadable)?;
        let record_bytes = (self.label_bytes + IMAGE_BYTES) as u64;
        if n_bytes == 0 || !n_bytes.is_multiple_of(record_bytes) {
            return Err(error(
                path,
                format!(
                    "it has {n_bytes} bytes, which is not a multiple of the record size of {record_bytes}"
                ),
                again,
            ));
        }
        if n_bytes / record_bytes > MAX_RECORDS {
            let reason = format!("it has {} records, more than {MAX_RECORDS}", n_bytes / record_bytes);
            return Err(error(path, reason, again));
        }
        let n_classes = images.class_names.len();
        let mut reader = BufReader::new(file);
        let mut label = [0_u8];
        for record in 0..n_bytes / record_bytes {
            reader.seek_relative(self.label_bytes as i64 - 1).map_err(unreadable)?;
            reader.read_exact(&mut label).map_err(unreadable)?;
            reader.seek_relative(IMAGE_BYTES as i64).map_err(unreadable)?;
            if usize::from(label[0]) >= n_classes {
                let reason =
                    format!("record {record} has class {}, but there are only {n_classes} classes", label[0]);
                return Err(error(path, reason, again));
            }
            images.labels.push(label[0]);
        }
        Ok(())
    }
}

impl CifarImages {
    /// The file of image `index`, and its record there.
    fn locate(&self, index: usize) -> (&Path, usize) {
        let file = &self.files[self.files.partition_point(|file| file.first <= index) - 1];
        (&file.path, index - file.first)
    }

    fn read_planes(&self, index: usize) -> std::io::Result<[u8; IMAGE_BYTES]> {
        let (path, record) = self.locate(index);
        let mut file = regular_files::open(path)?.file;
        let start = record * (self.label_bytes + IMAGE_BYTES) + self.label_bytes;
        file.seek(SeekFrom::Start(start as u64))?;
        let mut planes = [0; IMAGE_BYTES];
        file.read_exact(&mut planes)?;
        Ok(planes)
    }
}

impl Images for CifarImages {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.labels[index].into())
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        let (path, record) = self.locate(index);
        format!("{}, record {record}", path.display())
    }

    fn key(&self, index: usize) -> String {
        let (path, record) = self.locate(index);
        format!("{}, record {record}", path.file_name().unwrap_or_default().display())
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let planes = self
            .read_planes(index)
            .map_err(|failure| UnreadableImage { name: self.name(index), reason: failure.to_string() })?;
        // (3, H, W) → (H, W, 3)
        let rgb = (0..PLANE_BYTES)
            .flat_map(|at| [planes[at], planes[PLANE_BYTES + at], planes[2 * PLANE_BYTES + at]])
            .collect();
        Ok(ByteImage::rgb(SIDE_PX, SIDE_PX, rgb))
    }
}
