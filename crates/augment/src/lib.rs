//! Augmentations that match torchvision on Pillow images.
//!
//! There is one file per operation: the pure function on bytes, then the plugin that draws its parameters and applies
//! it. Start at [`RandomResizedCrop`]; [`Normalize`] ends every view. [`reference_names`] maps names in golden files
//! from Pillow to the pure functions, and its tests compare the two.
//!
//! **Random draws.** Each augmentation makes the same number of draws for every image, whatever their values and
//! whether or not it is applied, so one step does not shift the draws of the next. Each type documents its number and
//! order.
//!
//! This crate reads and decodes no files: see `datasets`.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]
#![forbid(unsafe_code)]

mod checks;
mod one_or_two;
mod per_channel;
mod size;
mod wide;

mod box_blur;
mod planes;
mod region;
mod resample;

mod center_crop;
mod channel_drop;
mod color_jitter;
mod flip;
mod gaussian_blur;
mod gaussian_noise;
mod grayscale;
mod hue;
mod normalize;
mod quarter_turn;
mod rand_augment;
mod random_erasing;
mod random_resized_crop;
mod resize;
mod solarize;
mod tone;
mod vertical_flip;

pub mod reference_names;

pub use self::center_crop::{CenterCrop, CenterCropConfig, center_crop};
pub use self::channel_drop::{ChannelDrop, ChannelDropConfig, drop_channel};
pub use self::color_jitter::{ColorJitter, ColorJitterConfig};
pub use self::flip::{Flip, FlipConfig, flip_horizontally};
pub use self::gaussian_blur::{GaussianBlur, GaussianBlurConfig, gaussian_blur};
pub use self::gaussian_noise::{GaussianNoise, GaussianNoiseConfig, add_noise};
pub use self::grayscale::{Grayscale, GrayscaleConfig, to_gray};
pub use self::hue::shift_hue;
pub use self::normalize::{Normalize, NormalizeConfig, Statistics};
pub use self::per_channel::PerChannel;
pub use self::quarter_turn::{QuarterTurn, QuarterTurnConfig, turn};
pub use self::rand_augment::{
    RandAugment, RandAugmentConfig, add_to_dark, equalize, invert, posterize, rotate, sharpen,
    shear_horizontally, shear_vertically, solarize_from, stretch_contrast, translate,
};
pub use self::random_erasing::{Fill, RandomErasing, RandomErasingConfig, erase};
pub use self::random_resized_crop::{RandomResizedCrop, RandomResizedCropConfig};
pub use self::region::Region;
pub use self::resample::{Interpolation, resized_crop, resized_crop_by};
pub use self::resize::{Resize, ResizeConfig, resize_shorter, resize_to_cover};
pub use self::size::Size;
pub use self::solarize::{Solarize, SolarizeConfig, solarize};
pub use self::tone::{brighten, contrast, saturate};
pub use self::vertical_flip::{VerticalFlip, VerticalFlipConfig, flip_vertically};
