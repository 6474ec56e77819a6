//! Generated images whose class is the outline of an object.

mod outline;
mod scene;

use std::sync::Arc;

use plugin_api::{
    ByteImage, ConfigError, Dataset, DatasetError, Images, Rng, Split, Splits, UnreadableImage,
};

use self::outline::{NAMES, Outline};
use self::scene::Scene;

plugin_api::register! {
    dyn Dataset {
        name: "shapes",
        summary: "generated images of ten kinds of objects, labeled; no download needed",
        source: "",
        example: "(train: 8192, test: 1024)",
        build: |config: ShapesConfig, context| Shapes::new(config, context.seed),
    }
}

/// More than any dataset of labeled images has; the order of an epoch takes 8 bytes for each.
const MOST_IMAGES: usize = 1 << 26;

/// The config of [`Shapes`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShapesConfig {
    /// Number of training images. They are generated on the fly. A queue should be short compared with it.
    #[serde(default = "ShapesConfig::default_train")]
    pub train: usize,
    /// Number of test images; 0 for no test split.
    #[serde(default = "ShapesConfig::default_test")]
    pub test: usize,
    /// Height and width of an image, in pixels; at least 16.
    #[serde(default = "ShapesConfig::default_size")]
    pub size: usize,
    /// Number of classes, 2-10: circle, square, triangle, star, cross, ring, heart, crescent, arrow, hourglass.
    #[serde(default = "ShapesConfig::default_classes")]
    pub classes: usize,
    /// Smallest and largest diameter of the object, relative to the image size.
    #[serde(default = "ShapesConfig::default_scale")]
    pub scale: (f64, f64),
    /// Maximum stretching of the object, as a power of 2, 0-1. At 0.5, its aspect ratio is 0.71-1.41.
    #[serde(default = "ShapesConfig::default_stretch")]
    pub stretch: f64,
    /// How much of the object's radius may be outside the image, 0-0.5.
    #[serde(default = "ShapesConfig::default_cut")]
    pub cut: f64,
    /// Maximum rotation of the object in either direction, in degrees: 0-180.
    #[serde(default = "ShapesConfig::default_rotation")]
    pub rotation: f64,
    /// Minimum difference in brightness between object and background, 0.05-0.4 of the full range. Either may be
    /// brighter.
    #[serde(default = "ShapesConfig::default_contrast")]
    pub contrast: f64,
    /// Maximum saturation, 0-0.5; 0 gives gray images.
    #[serde(default = "ShapesConfig::default_chroma")]
    pub chroma: f64,
    /// Share of objects with stripes or dots.
    #[serde(default = "ShapesConfig::default_texture")]
    pub texture: f64,
    /// Strength of the uneven background: its brightness varies by up to this share of the full range, 0-0.5.
    #[serde(default = "ShapesConfig::default_clouds")]
    pub clouds: f64,
    /// Maximum number of random lines and dots in the background.
    #[serde(default = "ShapesConfig::default_clutter")]
    pub clutter: usize,
    /// Standard deviation of the noise on every value, relative to the full range.
    #[serde(default = "ShapesConfig::default_noise")]
    pub noise: f64,
    /// Maximum unevenness of the lighting: how much brighter or darker the image's edges are than its center.
    #[serde(default = "ShapesConfig::default_light")]
    pub light: f64,
}

impl ShapesConfig {
    fn default_train() -> usize {
        8192
    }
    fn default_test() -> usize {
        1024
    }
    fn default_size() -> usize {
        32
    }
    fn default_classes() -> usize {
        NAMES.len()
    }
    fn default_scale() -> (f64, f64) {
        (0.5, 0.8)
    }
    fn default_stretch() -> f64 {
        0.3
    }
    fn default_cut() -> f64 {
        0.2
    }
    fn default_rotation() -> f64 {
        20.0
    }
    fn default_contrast() -> f64 {
        0.3
    }
    fn default_chroma() -> f64 {
        0.2
    }
    fn default_texture() -> f64 {
        0.0
    }
    fn default_clouds() -> f64 {
        0.0
    }
    fn default_clutter() -> usize {
        2
    }
    fn default_noise() -> f64 {
        0.02
    }
    fn default_light() -> f64 {
        0.1
    }
}

/// Generated images: an object on a plain background. The class is the object's outline.
///
/// Position, size, stretching, rotation, brightness, tint, lighting, clutter and noise vary from image to image,
/// independently of the class; `texture` and `clouds` make classification harder. Nearest neighbors in raw pixels have
/// an accuracy of about 40 %.
///
/// Image `i` of a split depends only on the seed, the split and `i`, and is generated on access.
#[derive(Debug, Clone)]
pub struct Shapes {
    config: ShapesConfig,
    seed: u64,
}

impl Shapes {
    /// The dataset for `config`, with `seed`.
    ///
    /// # Errors
    /// If a value is out of its range.
    pub fn new(config: ShapesConfig, seed: u64) -> Result<Self, ConfigError> {
        if config.train == 0 {
            return Err(ConfigError::field("train", config.train, "it must be at least 1"));
        }
        for (field, n) in [("train", config.train), ("test", config.test)] {
            if n > MOST_IMAGES {
                return Err(ConfigError::field(field, n, format!("it must be at most {MOST_IMAGES}")));
            }
        }
        if !(16..=4096).contains(&config.size) {
            return Err(ConfigError::field("size", config.size, "it must be in 16-4096"));
        }
        if !(2..=NAMES.len()).contains(&config.classes) {
            return Err(ConfigError::field(
                "classes",
                config.classes,
                format!("it must be in 2-{}", NAMES.len()),
            ));
        }
        let scale = config.scale;
        if !(scale.0 >= 0.1 && scale.0 <= scale.1 && scale.1 <= 1.0) {
            let value = format!("({}, {})", scale.0, scale.1);
            return Err(ConfigError::field(
                "scale",
                value,
                "it must be two numbers in 0.1-1, the smaller one first",
            ));
        }
        if config.clutter > 1000 {
            return Err(ConfigError::field("clutter", config.clutter, "it must be at most 1000"));
        }
        let ranges = [
            ("stretch", config.stretch, 0.0, 1.0),
            ("cut", config.cut, 0.0, 0.5),
            ("rotation", config.rotation, 0.0, 180.0),
            ("contrast", config.contrast, 0.05, 0.4),
            ("chroma", config.chroma, 0.0, 0.5),
            ("texture", config.texture, 0.0, 1.0),
            ("clouds", config.clouds, 0.0, 0.5),
            ("noise", config.noise, 0.0, 0.5),
            ("light", config.light, 0.0, 1.0),
        ];
        for (field, value, low, high) in ranges {
            if !(low..=high).contains(&value) {
                return Err(ConfigError::field(field, value, format!("it must be in {low}-{high}")));
            }
        }
        Ok(Self { config, seed })
    }

    fn split(&self, split: Split, len: usize) -> Arc<dyn Images> {
        let class_names = NAMES[..self.config.classes].iter().map(|&name| name.to_owned()).collect();
        let Self { config, seed } = self.clone();
        Arc::new(ShapeImages { config, seed, split, len, outlines: Outline::all(), class_names })
    }
}

impl Dataset for Shapes {
    fn open(&self) -> Result<Splits, DatasetError> {
        let ShapesConfig { train, test, .. } = self.config;
        Ok(Splits {
            train: self.split(Split::Train, train),
            test: (test > 0).then(|| self.split(Split::Test, test)),
            notes: Vec::new(),
        })
    }

    fn describe(&self) -> String {
        let ShapesConfig { classes, size, .. } = self.config;
        format!("generated shapes, {classes} classes, {size} x {size} pixels")
    }
}

struct ShapeImages {
    config: ShapesConfig,
    seed: u64,
    split: Split,
    len: usize,
    outlines: [Outline; NAMES.len()],
    class_names: Vec<String>,
}

impl ShapeImages {
    fn split_name(&self) -> &'static str {
        match self.split {
            Split::Train => "train",
            Split::Test => "test",
        }
    }

    /// Classes alternate, so that their sizes are as equal as possible.
    fn class(&self, index: usize) -> usize {
        index % self.config.classes
    }
}

impl Images for ShapeImages {
    fn len(&self) -> usize {
        self.len
    }

    fn label(&self, index: usize) -> Option<u32> {
        Some(self.class(index) as u32)
    }

    fn class_names(&self) -> &[String] {
        &self.class_names
    }

    fn name(&self, index: usize) -> String {
        format!("shapes, {} image {index}", self.split_name())
    }

    fn load(&self, index: usize) -> Result<ByteImage, UnreadableImage> {
        let purpose = format!("shapes {}", self.split_name());
        let mut rng = Rng::new(self.seed, &purpose, &[index as u64]);
        let scene = Scene::draw(&self.config, &self.outlines[self.class(index)], &mut rng);
        Ok(scene.paint(self.config.size, self.config.noise, &mut rng))
    }
}
