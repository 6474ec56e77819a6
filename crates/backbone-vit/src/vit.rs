//! The whole network.

use nn::{Builder, DropPath, Init, LayerNormConfig};
use plugin_api::architecture::{self, Architecture, VitStem};
use plugin_api::{
    AttentionMaps, Backbone, ConfigError, MapShape, Module, ModuleContext, OfOtherSize, PassDraws, Resized,
};
use tensor_ops::{
    FeatureMap, Features, LayerNorm, Mode, OpError, Parameter, ParameterKind, Recording, Tokens,
    add_position, gather_rows, layer_norm, mean_tokens, plus, prepend_token, prepend_tokens,
    rows_from_tokens, select_token, tokens_from_rows,
};

use crate::attention::of_last_block;
use crate::block::{Block, Factors, LAYER_NORM_EPS};
use crate::config::{Pool, Position, VitConfig, grid};
use crate::positions;
use crate::resample::{for_grid, of_other_size, trained_for_grid};
use crate::stem::PatchEmbed;
use crate::stem_choice::Stem;

/// Of the class token's initial values.
const CLASS_TOKEN_STD: f64 = 1e-6;

/// Images `(N, H, W, C)` to features `(N, D)`.
pub struct Vit {
    /// `(1, 1, D)`, if the features are taken from it.
    class_token: Option<Parameter>,
    /// `(1, R, D)`, after the class token, if there are any.
    registers: Option<Parameter>,
    /// `(1, T, D)`.
    positions: Option<Parameter>,
    position: Position,
    patch_embed: PatchEmbed,
    blocks: Vec<Block>,
    norm: Option<LayerNorm>,
    drop_path: DropPath,
    architecture: architecture::Vit,
    n_features: usize,
    /// `(H, W)` of the images that it was built for.
    image_size: (usize, usize),
}

impl Vit {
    /// The network for `config`, with the reference's initialization.
    ///
    /// # Errors
    /// If a size is missing or out of range, or the images cannot be split into patches.
    pub fn new(config: VitConfig, context: &ModuleContext) -> Result<Self, ConfigError> {
        let sizes = config.sizes(context)?;
        let builder = Builder::of(context);
        let class_token = match config.pool {
            Pool::ClassToken => {
                let init = Init::Normal { std: CLASS_TOKEN_STD };
                Some(builder.parameter("cls_token", ParameterKind::Vector, &[1, 1, sizes.dim], init)?)
            }
            Pool::Mean | Pool::MeanWithoutNorm => None,
        };
        let registers = match config.registers {
            0 => None,
            n => {
                let init = Init::Normal { std: CLASS_TOKEN_STD };
                Some(builder.parameter("reg_token", ParameterKind::Vector, &[1, n, sizes.dim], init)?)
            }
        };
        let n_before = usize::from(class_token.is_some()) + config.registers;
        let positions = positions::table(config.position, &builder, n_before, sizes.grid, sizes.dim)?;
        let patch_embed = PatchEmbed::new(&config, sizes, context, &builder.part("patch_embed.proj"))?;
        let blocks = (0..sizes.depth)
            .map(|i| Block::new(sizes, config.layer_scale, &builder.part(&format!("blocks.{i}"))));
        let blocks = blocks.collect::<Result<_, _>>()?;
        let norm = match config.pool {
            Pool::ClassToken | Pool::Mean => {
                Some(LayerNormConfig { dim: sizes.dim, eps: LAYER_NORM_EPS }.build(&builder)?)
            }
            Pool::MeanWithoutNorm => None,
        };
        let architecture = architecture::Vit {
            patch: config.patch,
            dim: sizes.dim,
            depth: sizes.depth,
            heads: Some(sizes.heads),
            hidden: sizes.hidden,
            class_token: class_token.is_some(),
            positions: positions.as_ref().map(|table| table.shape()[1]),
            norm: norm.is_some(),
            layer_scale: config.layer_scale.is_some(),
            registers: config.registers,
            stem: match config.stem {
                Stem::Patch => VitStem::Patch,
                Stem::Conv => VitStem::Conv,
            },
            channels: context.n_inputs,
        };
        Ok(Self {
            class_token,
            registers,
            positions,
            position: config.position,
            patch_embed,
            blocks,
            norm,
            drop_path: DropPath::new(config.drop_path)?,
            architecture,
            n_features: sizes.dim,
            image_size: context.image_size,
        })
    }
}

impl Vit {
    /// `x`, the tokens of images of `(H, W)`, with their positions. For another size than the network was built for those are
    /// resampled; learned ones are trained there too, as in the program of DINO (Caron et al. 2021, arXiv:2104.14294).
    fn add_positions(&self, x: Tokens, size: (usize, usize), mode: Mode) -> Result<Tokens, OpError> {
        let patch = self.architecture.patch;
        let grids = grid(patch, self.image_size).and_then(|trained| Ok((trained, grid(patch, size)?)));
        let Ok((trained, new)) = grids else {
            return Err(OpError::Shape {
                op: "vit",
                what: "height and width of the images",
                expected: format!("{:?}", self.image_size),
                got: format!("{size:?}"),
            });
        };
        let Some(table) = &self.positions else { return Ok(x) };
        if size == self.image_size {
            return add_position(x, table);
        }
        let n_before = self.architecture.n_before();
        if mode == Mode::Eval || self.position != Position::Learned {
            return add_position(x, &for_grid(table, n_before, trained, new)?);
        }
        let recording = if x.is_recorded() { Recording::start() } else { Recording::Off };
        let positions = trained_for_grid(table, n_before, trained, new, recording)?; // (T, D)
        let ([n, t, _], precision) = (x.shape(), x.precision());
        let of_images: Vec<usize> = (0..n).flat_map(|_| 0..t).collect();
        let sum = plus(rows_from_tokens(x)?, gather_rows(positions, &of_images)?)?;
        Ok(tokens_from_rows(sum, t)?.with_precision(precision))
    }

    /// The tokens of images with their positions, `(N, H, W, C)` to `(N, T, D)`.
    fn tokens(&mut self, images: FeatureMap, mode: Mode) -> Result<Tokens, OpError> {
        let size = (images.h(), images.w());
        let mut x = self.patch_embed.forward(images, mode)?; // (N, H, W, C) → (N, T, D)
        if let Some(registers) = &self.registers {
            x = prepend_tokens(x, registers)?; // (N, T, D) → (N, R + T, D)
        }
        if let Some(token) = &self.class_token {
            x = prepend_token(x, token)?; // (N, T, D) → (N, 1 + T, D)
        }
        self.add_positions(x, size, mode)
    }
}

impl Module for Vit {
    plugin_api::visit! { self;
        "cls_token" => self.class_token,
        "reg_token" => self.registers,
        "pos_embed" => self.positions,
        "patch_embed.proj" => self.patch_embed,
        "blocks" => self.blocks,
        "norm" => self.norm,
    }

    fn batch_norm_splits(&self) -> Option<usize> {
        self.patch_embed.batch_norm_splits()
    }
}

impl Backbone for Vit {
    fn n_features(&self) -> usize {
        self.n_features
    }

    fn architecture(&self) -> Option<Architecture> {
        Some(Architecture::Vit(self.architecture.clone()))
    }

    fn stem(&self) -> &'static [&'static str] {
        &["patch_embed"]
    }

    fn set_draws(&mut self, draws: PassDraws) {
        self.drop_path.set_draws(draws);
    }

    fn set_drop_path(&mut self, rate: f64) -> Result<(), ConfigError> {
        self.drop_path = DropPath::new(rate)?;
        Ok(())
    }

    fn attention(&mut self, images: FeatureMap) -> Result<Option<AttentionMaps>, OpError> {
        let patch = self.architecture.patch;
        let grid = (images.h() / patch, images.w() / patch);
        let mut x = self.tokens(images, Mode::Eval)?;
        let Some((last, others)) = self.blocks.split_last() else { return Ok(None) };
        for block in others {
            x = block.forward(x, None)?;
        }
        of_last_block(last, x, grid, self.class_token.is_some()).map(Some)
    }

    fn check_image_size(&self, size: (usize, usize), _: Mode) -> Result<(), ConfigError> {
        grid(self.architecture.patch, size).map(drop)
    }

    fn resized(&self, name: &str, other: OfOtherSize<'_>) -> Option<Resized> {
        if name != "pos_embed" || self.positions.is_none() {
            return None;
        }
        let patch = self.architecture.patch;
        let grid = grid(patch, self.image_size).ok()?;
        of_other_size(other, self.architecture.dim, self.architecture.n_before(), patch, grid)
    }

    fn n_layers(&self) -> usize {
        1 + self.blocks.len()
    }

    fn layer_of(&self, name: &str) -> Option<usize> {
        let block = (0..self.blocks.len()).find(|block| name.starts_with(&format!("blocks.{block}.")));
        match block {
            Some(block) => Some(1 + block),
            // The final layer norm.
            None if name.starts_with("norm.") => None,
            None => Some(0),
        }
    }

    fn map_shape(&self, size: (usize, usize)) -> Option<MapShape> {
        let (rows, columns) = grid(self.architecture.patch, size).ok()?;
        Some(MapShape { rows, columns, channels: self.n_features })
    }

    /// The tokens of patches are the map, after the final layer norm.
    fn forward_with_map(&mut self, images: FeatureMap, mode: Mode) -> Result<(Features, Tokens), OpError> {
        let x = self.last_tokens(images, mode, Last::All)?;
        let ([n, t, _], n_before, precision) = (x.shape(), self.architecture.n_before(), x.precision());
        let rows = rows_from_tokens(x.fork())?;
        let of_patches: Vec<usize> = (0..n).flat_map(|image| image * t + n_before..(image + 1) * t).collect();
        let patches = tokens_from_rows(gather_rows(rows, &of_patches)?, t - n_before)?;
        Ok((self.pooled(x)?, patches.with_precision(precision)))
    }

    /// Converts images to tokens, and applies the blocks.
    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError> {
        let x = self.last_tokens(images, mode, Last::Pooled)?;
        self.pooled(x)
    }
}

/// Which tokens of the last block are used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    /// Those that the features are of.
    Pooled,
    All,
}

impl Vit {
    /// What the last block and the final layer norm make of images: `(N, H, W, C)` to `(N, T, D)`, or `(N, 1, D)` where only the
    /// class token is used.
    fn last_tokens(&mut self, images: FeatureMap, mode: Mode, used: Last) -> Result<Tokens, OpError> {
        let mut x = self.tokens(images, mode)?;
        let depth = self.blocks.len();
        let mut factors: Vec<Factors> = match mode {
            Mode::Train => self.drop_path.pass(depth, x.n())?,
            Mode::Eval => vec![None; depth],
        };
        if let Some((last, others)) = self.blocks.split_last() {
            let of_last = factors.pop().flatten();
            for (block, factors) in others.iter().zip(factors) {
                x = block.forward(x, factors)?;
            }
            x = match self.class_token {
                Some(_) if used == Last::Pooled => last.forward_first_token(x, of_last)?, // (N, T, D) → (N, 1, D)
                _ => last.forward(x, of_last)?,
            };
        }
        match &self.norm {
            Some(norm) => layer_norm(x, norm),
            None => Ok(x),
        }
    }

    fn pooled(&self, x: Tokens) -> Result<Features, OpError> {
        match self.class_token {
            Some(_) => select_token(x, 0), // (N, T, D) → (N, D)
            None => mean_tokens(x, 0),
        }
    }
}
