//! The config of a vision transformer, and its checks.

use plugin_api::schemars::JsonSchema;
use plugin_api::serde::{Deserialize, Serialize};
use plugin_api::{ConfigError, ModuleContext};

use crate::presets::Preset;
use crate::stem_choice::Stem;

/// The config of [`Vit`](crate::Vit).
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(crate = "plugin_api::serde", default, deny_unknown_fields)]
#[schemars(crate = "plugin_api::schemars")]
pub struct VitConfig {
    /// Published size, which sets `dim`, `depth` and `heads` unless they are given: dimension 384 with 12 blocks of 12
    /// heads, 768 with 12 of 12, 1024 with 24 of 16, 1280 with 32 of 16. With `stem: Conv`, it has one block less, as
    /// in MoCo v3.
    pub preset: Option<Preset>,
    /// Patch size in pixels; each patch becomes one token. MoCo v3: 16.
    pub patch: usize,
    /// Embedding dimension of a token, and feature dimension. Required without a preset.
    pub dim: Option<usize>,
    /// Number of transformer blocks. Required without a preset.
    pub depth: Option<usize>,
    /// Number of attention heads; must divide `dim`. Required without a preset.
    pub heads: Option<usize>,
    /// Hidden dimension of the MLPs, as a multiple of `dim`. MoCo v3: 4.
    pub mlp_ratio: f64,
    /// Position embedding. MoCo v3: SinCos, which is fixed.
    pub position: Position,
    /// How tokens are pooled into features. MoCo v3: ClassToken. The other choices have no class token.
    pub pool: Pool,
    /// Initial value of LayerScale: a trained scale of each feature of a block's two branches, before they are added (Touvron
    /// et al. 2021, arXiv:2103.17239). DINOv2: 1e-5. Without one, there are no scales. MoCo v3: none.
    pub layer_scale: Option<f64>,
    /// Number of registers: trained tokens between the class token and those of the patches, which are not read (Darcet et
    /// al. 2023, arXiv:2309.16588). They need `pool: ClassToken`. DINOv2 with registers: 4. MoCo v3: 0.
    pub registers: usize,
    /// How patches become tokens: by a linear projection, or by convolutions (Xiao et al. 2021, arXiv:2106.14881),
    /// which need `patch: 16`. MoCo v3: Patch.
    pub stem: Stem,
    /// Whether to freeze the patch projection at its random initialization, which stabilizes training (MoCo v3, §4).
    /// MoCo v3's code: false by default, but true in all of its recipes.
    pub freeze_patch_projection: bool,
    /// Number of groups that batch norm in the convolution stem splits a batch into (every s-th image), each normalized
    /// separately, to simulate as many devices. Must be 1 with `stem: Patch`, which has no batch norm. With several
    /// processes that have one part of the batch each, 1 normalizes the batch of all of them together.
    pub batch_norm_splits: usize,
    /// Rate of stochastic depth in the last block, from 0 to below 1: in training, each residual branch of each image is left
    /// out so often, in earlier blocks less, linearly down to 0 in the first. MoCo v3: 0; DeiT's training and fine-tuning: 0.1.
    pub drop_path: f64,
}

/// The position embedding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Position {
    /// Sines and cosines of row and column, fixed.
    SinCos,
    /// A learned table.
    Learned,
    /// None.
    None,
}

/// How tokens are pooled into features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(crate = "plugin_api::serde")]
#[schemars(crate = "plugin_api::schemars")]
pub enum Pool {
    /// The class token, after the final layer norm.
    ClassToken,
    /// The mean of all tokens, after the final layer norm.
    Mean,
    /// The mean of all tokens after the last block, without a final layer norm.
    MeanWithoutNorm,
}

/// A config whose values match each other and the images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    pub(crate) dim: usize,
    pub(crate) depth: usize,
    pub(crate) heads: usize,
    /// The hidden dimension of the MLPs.
    pub(crate) hidden: usize,
    /// The number of rows and columns of patches.
    pub(crate) grid: (usize, usize),
}

/// MoCo v3's, of no size: that must be said.
impl Default for VitConfig {
    fn default() -> Self {
        Self {
            preset: None,
            patch: 16,
            dim: None,
            depth: None,
            heads: None,
            mlp_ratio: 4.0,
            position: Position::SinCos,
            pool: Pool::ClassToken,
            layer_scale: None,
            registers: 0,
            stem: Stem::Patch,
            freeze_patch_projection: false,
            batch_norm_splits: 1,
            drop_path: 0.0,
        }
    }
}

impl VitConfig {
    /// The largest dimension that is accepted: beyond any published one, and far from overflow.
    const MAX_DIM: usize = 8192;
    /// Deeper networks are typos.
    const MAX_DEPTH: usize = 256;
    /// Wider MLPs are typos.
    const MAX_MLP_RATIO: f64 = 64.0;

    fn n_heads(&self) -> Option<usize> {
        self.heads.or(self.preset.map(Preset::heads))
    }

    /// Checks all fields.
    pub(crate) fn sizes(&self, context: &ModuleContext) -> Result<Sizes, ConfigError> {
        let (dim, depth, heads) = self.widths()?;
        let hidden = self.hidden(dim)?;
        let grid = self.grid(context)?;
        self.check_extras()?;
        match self.stem {
            Stem::Patch => self.check_patch_stem()?,
            Stem::Conv => self.check_conv_stem(dim, grid, context)?,
        }
        Ok(Sizes { dim, depth, heads, hidden, grid })
    }

    fn widths(&self) -> Result<(usize, usize, usize), ConfigError> {
        let preset = self.preset;
        let dim = self.dim.or(preset.map(Preset::dim)).ok_or_else(|| self.lacking())?;
        let depth =
            self.depth.or(preset.map(|preset| preset.depth(self.stem))).ok_or_else(|| self.lacking())?;
        let heads = self.n_heads().ok_or_else(|| self.lacking())?;
        if !(1..=Self::MAX_DIM).contains(&dim) {
            return Err(ConfigError::field(
                "dim",
                dim,
                format!("it must be between 1 and {}", Self::MAX_DIM),
            ));
        }
        if !(1..=Self::MAX_DEPTH).contains(&depth) {
            let must = format!("it must be between 1 and {}", Self::MAX_DEPTH);
            return Err(ConfigError::field("depth", depth, must));
        }
        if heads == 0 || !dim.is_multiple_of(heads) {
            return Err(ConfigError::field("heads", heads, format!("it must divide the width of {dim}")));
        }
        if self.position == Position::SinCos && !dim.is_multiple_of(4) {
            let must =
                "it must be a multiple of 4, for sine and cosine of row and column, or `position` another";
            return Err(ConfigError::field("dim", dim, must));
        }
        Ok((dim, depth, heads))
    }

    /// The error for a config with neither a preset nor all three sizes.
    fn lacking(&self) -> ConfigError {
        let sizes = [("dim", self.dim), ("depth", self.depth), ("heads", self.heads)];
        let lacking: Vec<String> =
            sizes.iter().filter(|(_, size)| size.is_none()).map(|(name, _)| format!("`{name}`")).collect();
        let (last, others) = lacking.split_last().expect("asked for only where something is lacking");
        let lacking = match others {
            [] => last.clone(),
            _ => format!("{} and {last}", others.join(", ")),
        };
        ConfigError::unfit(
            format!("this ViT has no {lacking}, and no `preset` to take them from"),
            "write `preset: Small` (or Base, Large, Huge), or all three: `dim: 192, depth: 12, heads: 3`",
        )
    }

    fn hidden(&self, dim: usize) -> Result<usize, ConfigError> {
        let ratio = self.mlp_ratio;
        let hidden = (dim as f64 * ratio) as usize; // timm rounds down, too.
        if ratio > 0.0 && ratio <= Self::MAX_MLP_RATIO && hidden >= 1 {
            return Ok(hidden);
        }
        let must = format!(
            "it must be at most {} and leave the hidden layer of the MLP at least 1 wide",
            Self::MAX_MLP_RATIO
        );
        Err(ConfigError::field("mlp_ratio", ratio, must))
    }

    /// More registers are typos.
    const MAX_REGISTERS: usize = 256;

    fn check_extras(&self) -> Result<(), ConfigError> {
        if let Some(start) = self.layer_scale.filter(|start| !(*start > 0.0 && *start <= 1.0)) {
            return Err(ConfigError::field("layer_scale", start, "it must be above 0 and at most 1"));
        }
        if self.registers > Self::MAX_REGISTERS {
            let must = format!("it must be at most {}", Self::MAX_REGISTERS);
            return Err(ConfigError::field("registers", self.registers, must));
        }
        if self.registers > 0 && self.pool != Pool::ClassToken {
            let must = "it must be 0 unless `pool` is ClassToken, because registers are no part of a mean";
            return Err(ConfigError::field("registers", self.registers, must));
        }
        Ok(())
    }

    fn grid(&self, context: &ModuleContext) -> Result<(usize, usize), ConfigError> {
        if self.patch == 0 {
            return Err(ConfigError::field("patch", self.patch, "it must be at least 1"));
        }
        grid(self.patch, context.image_size)
    }

    /// Rejects settings without effect.
    fn check_patch_stem(&self) -> Result<(), ConfigError> {
        if self.batch_norm_splits == 1 {
            return Ok(());
        }
        let must = "it must be 1 unless `stem` is Conv, because there is no other batch norm";
        Err(ConfigError::field("batch_norm_splits", self.batch_norm_splits, must))
    }

    fn check_conv_stem(
        &self,
        dim: usize,
        grid: (usize, usize),
        context: &ModuleContext,
    ) -> Result<(), ConfigError> {
        if self.patch != 16 {
            let must = "it must be 16 with `stem: Conv`, which halves the image four times";
            return Err(ConfigError::field("patch", self.patch, must));
        }
        if !dim.is_multiple_of(8) {
            let must = "it must be a multiple of 8 with `stem: Conv`, whose first layer is an eighth as wide";
            return Err(ConfigError::field("dim", dim, must));
        }
        if self.freeze_patch_projection {
            let must = "it must be false with `stem: Conv`, which has no projection of patches and trains stably without";
            return Err(ConfigError::field("freeze_patch_projection", true, must));
        }
        let (splits, batch) = (self.batch_norm_splits, context.batch);
        if splits == 0 || !batch.is_multiple_of(splits) {
            let must = format!("it must divide the batch of {batch} images");
            return Err(ConfigError::field("batch_norm_splits", splits, must));
        }
        if batch / splits * grid.0 * grid.1 < 2 {
            return Err(ConfigError::unfit(
                "the last batch norm would see a single value in each channel, which it would set to 0",
                "use a larger batch, larger views, or fewer `batch_norm_splits`",
            ));
        }
        Ok(())
    }
}

/// Rows and columns of patches of `patch` pixels in images of `(H, W)`.
pub(crate) fn grid(patch: usize, (height, width): (usize, usize)) -> Result<(usize, usize), ConfigError> {
    if height.is_multiple_of(patch) && width.is_multiple_of(patch) {
        return Ok((height / patch, width / patch));
    }
    let message = format!("images of {height}x{width} pixels cannot be cut into patches of {patch}x{patch}");
    let fitting = (1..patch).rev().find(|side| height.is_multiple_of(*side) && width.is_multiple_of(*side));
    let hint = match fitting {
        Some(side) if side > 1 => {
            format!("use views whose sides are multiples of {patch}, or for instance `patch: {side}`")
        }
        _ => format!("use views whose sides are multiples of {patch}"),
    };
    Err(ConfigError::unfit(message, hint))
}
