use std::sync::atomic::{AtomicU64, Ordering};

use nn::{Builder, Conv, ConvConfig, Init};
use plugin_api::{AttentionMaps, Backbone, ConfigError, MapShape, Module, ModuleContext, PassDraws};
use tensor_ops::{
    ConvAlgorithm, ConvGeometry, FeatureMap, Features, Mode, OpError, Recording, Rows as _, Tokens,
    global_average_pool, select_rows, tokens_from_map,
};

use crate::faulty;

faulty! {
    dyn Backbone "backbone", FaultyBackbone::new;
    OtherWidth: ["makes rows of 4 values, and 5 are declared"];
    DroppedImage: ["makes 7 rows of 8"];
    FreshRecording: ["it starts a recording of its own"];
    DropsTheRecording: ["no gradient reaches the input of `forward`"];
    AlwaysRgb: ["it is built for images of 4 channels (`n_inputs` of its context), and then `forward` fails"];
    AcceptsAnySize: ["`check_image_size` accepts 16 x 16 pixels, and `forward` fails"];
    PanicsOnOtherSize: ["it panics in `forward` with images of 48 x 48 pixels"];
    DrawsOfItsOwn: ["values, gradients or state are other bits the second time, with the same seed"];
    DrawsInOrder: ["a batch in two parts has other features than as a whole"];
    LayerThatIsNot: ["`layer_of` puts `weight` into layer 1, and `n_layers` is 1"];
    StemThatIsNot: ["`stem` names `stem`, and no parameter begins with that"];
    DropsAnyPath: ["`set_drop_path` takes a rate of -0.5"];
    MapOfOtherShape: ["gives a map of the shape [8, 256, 4], and `map_shape` says [8, 63, 4]"];
    OtherFeaturesWithMap: ["`forward_with_map` gives other features than `forward`"];
    MapWithoutRecording: ["the map of `forward_with_map` must be finite, and recorded exactly if the images are"];
    NoMap: ["`map_shape` gives a shape, and `forward_with_map` fails"];
    MapsOfOtherSize: ["`attention` gives 3 values; 8 would be"];
}

const WIDTH: usize = 4;

/// A convolution and the mean of its map.
struct FaultyBackbone {
    fault: Fault,
    conv: Conv,
    size: (usize, usize),
    draws: Option<PassDraws>,
}

impl FaultyBackbone {
    fn new(fault: Fault, context: &ModuleContext) -> Result<Self, ConfigError> {
        let n_inputs = if fault == Fault::AlwaysRgb { 3 } else { context.n_inputs };
        let conv = ConvConfig {
            n_inputs,
            n_outputs: WIDTH,
            groups: 1,
            geometry: ConvGeometry::square(3, 2, 1),
            weight: Init::torch(9 * n_inputs),
            bias: None,
            algorithm: ConvAlgorithm::Direct,
        };
        Ok(Self { fault, conv: conv.build(&Builder::of(context))?, size: context.image_size, draws: None })
    }

    /// A number that should be the same in the same pass.
    fn drawn(&self) -> f32 {
        static N: AtomicU64 = AtomicU64::new(1);
        match (self.fault, &self.draws) {
            (Fault::DrawsOfItsOwn, _) => N.fetch_add(1, Ordering::Relaxed) as f32,
            // Of the step alone, for all images one after another.
            (Fault::DrawsInOrder, Some(draws)) => draws.places.len() as f32,
            _ => 0.0,
        }
    }
}

impl Module for FaultyBackbone {
    plugin_api::visit! { self;
        "" => self.conv,
    }
}

impl Backbone for FaultyBackbone {
    fn n_features(&self) -> usize {
        if self.fault == Fault::OtherWidth { WIDTH + 1 } else { WIDTH }
    }

    fn check_image_size(&self, size: (usize, usize), _: Mode) -> Result<(), ConfigError> {
        match self.fault {
            Fault::AcceptsAnySize => Ok(()),
            _ if size == self.size => Ok(()),
            _ => Err(ConfigError::unfit("images of another size", "take those of one size")),
        }
    }

    fn set_draws(&mut self, draws: PassDraws) {
        self.draws = Some(draws);
    }

    fn set_drop_path(&mut self, rate: f64) -> Result<(), ConfigError> {
        if rate == 0.0 || self.fault == Fault::DropsAnyPath {
            return Ok(());
        }
        Err(ConfigError::unfit("it drops no paths", "use a rate of 0"))
    }

    fn forward(&mut self, images: FeatureMap, mode: Mode) -> Result<Features, OpError> {
        let fault = self.fault;
        let size = (images.h(), images.w());
        assert!(fault != Fault::PanicsOnOtherSize || size == self.size, "no size of mine");
        if size != self.size && !(fault == Fault::AcceptsAnySize && size.0 > self.size.0) {
            let (expected, got) = (format!("{:?}", self.size), format!("{size:?}"));
            return Err(OpError::Shape { op: "faulty", what: "size of the images", expected, got });
        }
        let images = match fault {
            Fault::FreshRecording => images.with_recording(Recording::start()),
            Fault::DropsTheRecording if images.is_recorded() => images.with_recording(Recording::start()),
            _ => images,
        };
        let features = global_average_pool(self.conv.forward(images)?)?;
        let (rows, recording) = features.split_recording();
        Ok(match (fault, mode) {
            (Fault::DroppedImage, _) => {
                let order: Vec<usize> = (1..rows.n()).collect();
                select_rows(&rows, &order)?.with_recording(recording)
            }
            (Fault::DrawsOfItsOwn | Fault::DrawsInOrder, Mode::Train) => {
                let shape = (rows.n(), rows.d());
                let drawn = vec![self.drawn(); shape.0 * shape.1];
                let drawn = tensor_ops::features_from_rows(
                    &tensor_ops::Device::default(),
                    shape,
                    drawn,
                    Recording::Off,
                )?;
                dfdx::prelude::TryAdd::try_add(rows.with_recording(recording), drawn).unwrap()
            }
            _ => rows.with_recording(recording),
        })
    }

    fn map_shape(&self, (height, width): (usize, usize)) -> Option<MapShape> {
        let (rows, columns) = (height.div_ceil(2), width.div_ceil(2));
        match self.fault {
            Fault::MapOfOtherShape => Some(MapShape { rows: 9, columns: 7, channels: WIDTH }),
            Fault::OtherFeaturesWithMap | Fault::NoMap | Fault::MapWithoutRecording => {
                Some(MapShape { rows, columns, channels: WIDTH })
            }
            _ => None,
        }
    }

    fn forward_with_map(&mut self, images: FeatureMap, _: Mode) -> Result<(Features, Tokens), OpError> {
        if self.fault == Fault::NoMap {
            return Err(OpError::value("faulty", "map", "none", "there is one"));
        }
        let map = self.conv.forward(images)?;
        let positions = tokens_from_map(map.fork())?;
        let features = global_average_pool(map)?;
        match self.fault {
            Fault::OtherFeaturesWithMap => Ok((tensor_ops::scaled(features, 2.0)?, positions)),
            Fault::MapWithoutRecording => Ok((features, positions.with_recording(Recording::Off))),
            _ => Ok((features, positions)),
        }
    }

    fn attention(&mut self, images: FeatureMap) -> Result<Option<AttentionMaps>, OpError> {
        let n = if self.fault == Fault::MapsOfOtherSize { 3 } else { images.n() };
        Ok(Some(AttentionMaps {
            what: "nothing",
            names: vec!["map".into()],
            size: (1, 1),
            values: vec![0.5; n],
        }))
    }

    fn stem(&self) -> &'static [&'static str] {
        if self.fault == Fault::StemThatIsNot { &["stem"] } else { &["weight"] }
    }

    fn layer_of(&self, _: &str) -> Option<usize> {
        Some(usize::from(self.fault == Fault::LayerThatIsNot))
    }
}
