//! ONNX: exports the encoder as a graph that runs without PyTorch.
//!
//! [`proto`] has the messages, [`graph`] combines nodes and weights, [`resnet`] and [`vit`] define the networks.

mod graph;
mod proto;
mod resnet;
mod vit;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::Path;

use prost::Message as _;
use run_store::write_whole;

use self::graph::{Graph, Size};
use crate::{Architecture, HeadLayers, Tensors};

/// The input of the graph, float32 `(N, C, H, W)`, normalized.
const INPUT: &str = "images";
/// Its output, float32 `(N, D)`.
pub(crate) const FEATURES: &str = "features";
/// Its output behind a classifier, float32 `(N, classes)`.
pub(crate) const LOGITS: &str = "logits";
/// A protocol buffer has at most 2 GiB.
const MOST_BYTES: usize = i32::MAX as usize;

/// What the graph gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnnxOutput {
    /// `features`, of the backbone or of a projection head.
    Features,
    /// `logits`, of a classifier.
    Logits,
}

/// Writes `backbone`, followed by the layers of `head`, as an ONNX graph from images `(N, C, H, W)` to features `(N,
/// D)` or logits `(N, classes)`, for any `N`. The file is written completely or not at all. Equal contents give equal bytes.
///
/// The weights must be those of `architecture`; the number of attention heads of a ViT must be set.
///
/// # Errors
/// If a weight is missing, the graph is larger than a protocol buffer can be, or the file cannot be written. An older
/// file is then unchanged.
pub fn write_onnx(
    path: &Path,
    architecture: &Architecture,
    (backbone, head): (&Tensors, &Tensors),
    image_size: (usize, usize),
    output: OnnxOutput,
    metadata: &BTreeMap<String, String>,
) -> io::Result<()> {
    let bytes = encode(architecture, (backbone, head), image_size, output, metadata)
        .map_err(|reason| io::Error::new(io::ErrorKind::InvalidData, reason))?;
    write_whole(path, |file| file.write_all(&bytes))
}

fn encode(
    architecture: &Architecture,
    (backbone, head): (&Tensors, &Tensors),
    image_size: (usize, usize),
    output: OnnxOutput,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>, String> {
    let name = match output {
        OnnxOutput::Features => FEATURES,
        OnnxOutput::Logits => LOGITS,
    };
    let mut graph = Graph::new(backbone);
    let features = match architecture {
        Architecture::ResNet(resnet) => resnet::add(&mut graph, resnet, INPUT)?,
        Architecture::Vit(vit) => vit::add(&mut graph, vit, INPUT)?,
    };
    let layers =
        HeadLayers::detect(head).ok_or("the head has other layers than linear, batch norm and ReLU")?;
    let output = graph.head(&layers, head, &features)?;
    let n_outputs = layers.n_outputs().unwrap_or(architecture.n_features());
    graph.node_to("Identity", &[&output], name);
    let input = [
        Size::Any("N"),
        Size::Known(architecture.channels()),
        Size::Known(image_size.0),
        Size::Known(image_size.1),
    ];
    let model =
        graph.into_model((INPUT, &input), (name, &[Size::Any("N"), Size::Known(n_outputs)]), metadata);
    if model.encoded_len() > MOST_BYTES {
        return Err("it is larger than 2 GiB, the limit of protocol buffers".into());
    }
    Ok(model.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::proto::Model;
    use super::*;
    use crate::report::tests::tensors_of;
    use crate::{Block, ResNet, ResNetStem, Vit, VitStem, layout};

    /// Checks that each input of a node is there when it is wanted.
    fn decoded(architecture: &Architecture) -> Model {
        let metadata = BTreeMap::from([("run".to_owned(), "a".to_owned())]);
        let backbone = tensors_of(&layout(architecture));
        let none = Tensors::new();
        let bytes =
            encode(architecture, (&backbone, &none), (32, 32), OnnxOutput::Features, &metadata).unwrap();
        let model = Model::decode(bytes.as_slice()).unwrap();
        let graph = model.graph.clone().unwrap();
        let mut known: Vec<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
        known.push(INPUT);
        for node in &graph.node {
            for input in &node.input {
                assert!(known.contains(&input.as_str()), "{} wants {input}", node.op_type);
            }
            known.extend(node.output.iter().map(String::as_str));
        }
        assert_eq!(known.last(), Some(&FEATURES));
        model
    }

    #[test]
    fn graphs_are_whole() {
        let resnet = ResNet {
            block: Block::Bottleneck,
            blocks: [1; 4],
            width: 2,
            stem: ResNetStem::ImageNet,
            width_per_group: 64,
            groups: 1,
            channels: 3,
        };
        let model = decoded(&Architecture::ResNet(resnet));
        assert_eq!(model.metadata_props[0].value, "a");
        let n = |op: &str| {
            let nodes = &model.graph.as_ref().unwrap().node;
            nodes.iter().filter(|node| node.op_type == op).count()
        };
        assert_eq!((n("Conv"), n("BatchNormalization"), n("MaxPool"), n("Add")), (17, 17, 1, 4));
        let resnext = ResNet {
            block: Block::Bottleneck,
            blocks: [1; 4],
            width: 16,
            stem: ResNetStem::ImageNet,
            width_per_group: 16,
            groups: 8,
            channels: 3,
        };
        let model = decoded(&Architecture::ResNet(resnext));
        let groups = |node: &super::proto::Node| {
            let attribute = node.attribute.iter().find(|attribute| attribute.name == "group");
            attribute.and_then(|attribute| attribute.i)
        };
        let nodes = &model.graph.as_ref().unwrap().node;
        let in_groups: Vec<i64> = nodes.iter().filter_map(groups).collect();
        assert_eq!(in_groups, [8; 4], "the 3x3 convolution of each block has groups, and nothing else has");
        for (stem, class_token, registers) in [
            (VitStem::Patch, true, 0),
            (VitStem::Patch, true, 3),
            (VitStem::Patch, false, 0),
            (VitStem::Conv, true, 0),
        ] {
            decoded(&Architecture::Vit(Vit {
                patch: 16,
                dim: 16,
                depth: 2,
                heads: Some(2),
                hidden: 64,
                class_token,
                positions: class_token.then_some(5 + registers),
                norm: class_token,
                stem,
                layer_scale: registers > 0,
                registers,
                channels: 4,
            }));
        }
    }
}
