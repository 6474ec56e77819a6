//! Builds an ONNX graph.

use std::collections::BTreeMap;

use run_store::checkpoint::Stored;

use super::proto::{
    Attribute, Dimension, Entry, GraphProto, Kind, Model, Node, OperatorSet, Tensor, TensorKind, TensorShape,
    ValueInfo,
};
use crate::{HeadLayer, HeadLayers, Tensors};

const FLOAT: i32 = 1;
const INT64: i32 = 7;
/// The first opset with layer normalization as one operation.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;
/// PyTorch's epsilon of batch norm.
const BATCH_NORM_EPSILON: f32 = 1e-5;

/// The length of an axis.
#[derive(Clone, Copy, Debug)]
pub(super) enum Size {
    Known(usize),
    /// Any length, under this name.
    Any(&'static str),
}

/// An attribute of a node.
pub(super) enum With {
    Int(&'static str, i64),
    Ints(&'static str, Vec<i64>),
    Float(&'static str, f32),
}

/// A graph under construction. Values are referred to by name.
pub(super) struct Graph<'a> {
    weights: &'a Tensors,
    graph: GraphProto,
}

impl<'a> Graph<'a> {
    /// An empty graph, which takes its weights from `weights`.
    pub(super) fn new(weights: &'a Tensors) -> Self {
        Self { weights, graph: GraphProto { name: "encoder".into(), ..GraphProto::default() } }
    }

    /// Adds a node with one output, and returns the output.
    pub(super) fn node(&mut self, op: &str, inputs: &[&str], with: impl IntoIterator<Item = With>) -> String {
        let output = format!("{}_{}", op.to_lowercase(), self.graph.node.len());
        self.graph.node.push(Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![output.clone()],
            op_type: op.into(),
            attribute: with.into_iter().map(attribute).collect(),
        });
        output
    }

    /// Adds a node whose output is called `output`.
    pub(super) fn node_to(&mut self, op: &str, inputs: &[&str], output: &str) {
        self.node(op, inputs, []);
        if let Some(node) = self.graph.node.last_mut() {
            node.output = vec![output.into()];
        }
    }

    /// The weight called `name`, with its shape.
    pub(super) fn weight(&mut self, name: &str) -> Result<String, String> {
        let (shape, values) = floats(self.weights, name)?;
        Ok(self.floats(name, shape, values.iter().copied()))
    }

    /// The weight called `name`, `(O, I)`, as `(I, O)`.
    pub(super) fn transposed(&mut self, name: &str) -> Result<String, String> {
        let (shape, values) = floats(self.weights, name)?;
        let &[rows, columns] = shape else { return Err(format!("`{name}` is not a matrix")) };
        let turned = (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column]));
        Ok(self.floats(name, &[columns, rows], turned))
    }

    /// A number.
    pub(super) fn number(&mut self, value: f32) -> String {
        let name = format!("number_{}", self.graph.initializer.len());
        self.floats(&name, &[], [value])
    }

    /// Integers, as a list.
    pub(super) fn ints(&mut self, values: &[i64]) -> String {
        self.int_tensor(vec![values.len() as i64], values)
    }

    /// One integer, without axes.
    pub(super) fn int(&mut self, value: i64) -> String {
        self.int_tensor(vec![], &[value])
    }

    fn int_tensor(&mut self, dims: Vec<i64>, values: &[i64]) -> String {
        let name = format!("ints_{}", self.graph.initializer.len());
        self.graph.initializer.push(Tensor {
            dims,
            data_type: INT64,
            name: name.clone(),
            raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        });
        name
    }

    fn floats(&mut self, name: &str, shape: &[usize], values: impl IntoIterator<Item = f32>) -> String {
        self.graph.initializer.push(Tensor {
            dims: shape.iter().map(|length| *length as i64).collect(),
            data_type: FLOAT,
            name: name.into(),
            raw_data: Some(values.into_iter().flat_map(f32::to_le_bytes).collect()),
        });
        name.into()
    }

    /// A convolution without bias, or with the bias called `bias`.
    pub(super) fn convolution(
        &mut self,
        x: &str,
        name: &str,
        (stride, padding): (usize, usize),
        bias: bool,
    ) -> Result<String, String> {
        self.grouped_convolution(x, name, (stride, padding), 1, bias)
    }

    /// A convolution in groups of channels.
    pub(super) fn grouped_convolution(
        &mut self,
        x: &str,
        name: &str,
        (stride, padding): (usize, usize),
        groups: usize,
        bias: bool,
    ) -> Result<String, String> {
        let mut inputs = vec![x.to_owned(), self.weight(&format!("{name}.weight"))?];
        if bias {
            inputs.push(self.weight(&format!("{name}.bias"))?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let mut with =
            vec![With::Ints("strides", vec![stride as i64; 2]), With::Ints("pads", vec![padding as i64; 4])];
        if groups != 1 {
            with.push(With::Int("group", groups as i64));
        }
        Ok(self.node("Conv", &inputs, with))
    }

    /// Batch norm with running statistics.
    pub(super) fn batch_norm(&mut self, x: &str, name: &str) -> Result<String, String> {
        let mut inputs = vec![x.to_owned()];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.weight(&format!("{name}.{part}"))?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        Ok(self.node("BatchNormalization", &inputs, [With::Float("epsilon", BATCH_NORM_EPSILON)]))
    }

    /// A linear layer on the last axis.
    pub(super) fn linear(&mut self, x: &str, name: &str) -> Result<String, String> {
        let weight = self.transposed(&format!("{name}.weight"))?;
        let bias = self.weight(&format!("{name}.bias"))?;
        let product = self.node("MatMul", &[x, &weight], []);
        Ok(self.node("Add", &[&product, &bias], []))
    }

    /// The layers of a head, whose weights are `tensors`.
    pub(super) fn head(&mut self, layers: &HeadLayers, tensors: &Tensors, x: &str) -> Result<String, String> {
        let one = [match layers {
            HeadLayers::Linear(layer) => layer.clone(),
            _ => HeadLayer::Relu,
        }];
        let (layers, is_sequence) = match layers {
            HeadLayers::Identity => return Ok(x.into()),
            HeadLayers::Linear(_) => (&one[..], false),
            HeadLayers::Sequence(layers) => (layers.as_slice(), true),
        };
        let mut x = x.to_owned();
        for (place, layer) in layers.iter().enumerate() {
            let name = |part: &str| if is_sequence { format!("{place}.{part}") } else { part.to_owned() };
            let add = |graph: &mut Self, part: &str| -> Result<String, String> {
                let (shape, values) = floats(tensors, &name(part))?;
                Ok(graph.floats(&format!("head.{}", name(part)), shape, values.iter().copied()))
            };
            x = match layer {
                HeadLayer::Relu => self.node("Relu", &[&x], []),
                HeadLayer::Linear { bias, .. } => {
                    let mut inputs = vec![x, add(self, "weight")?];
                    if *bias {
                        inputs.push(add(self, "bias")?);
                    }
                    let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
                    self.node("Gemm", &inputs, [With::Int("transB", 1)])
                }
                HeadLayer::BatchNorm { n, affine } => {
                    let (scale, shift) = match affine {
                        true => (add(self, "weight")?, add(self, "bias")?),
                        false => {
                            let scale = self.floats(&format!("head.{place}.ones"), &[*n], vec![1.0; *n]);
                            let shift = self.floats(&format!("head.{place}.zeros"), &[*n], vec![0.0; *n]);
                            (scale, shift)
                        }
                    };
                    let (mean, var) = (add(self, "running_mean")?, add(self, "running_var")?);
                    let with = [With::Float("epsilon", BATCH_NORM_EPSILON)];
                    self.node("BatchNormalization", &[&x, &scale, &shift, &mean, &var], with)
                }
            };
        }
        Ok(x)
    }

    /// The file's message.
    pub(super) fn into_model(
        mut self,
        input: (&str, &[Size]),
        output: (&str, &[Size]),
        metadata: &BTreeMap<String, String>,
    ) -> Model {
        self.graph.input = vec![value(input)];
        self.graph.output = vec![value(output)];
        let entry = |(key, value): (&String, &String)| Entry { key: key.clone(), value: value.clone() };
        Model {
            ir_version: IR_VERSION,
            producer_name: "moco-rs".into(),
            graph: Some(self.graph),
            opset_import: vec![OperatorSet { domain: Some(String::new()), version: OPSET }],
            metadata_props: metadata.iter().map(entry).collect(),
        }
    }
}

fn floats<'a>(tensors: &'a Tensors, name: &str) -> Result<(&'a [usize], &'a [f32]), String> {
    match tensors.get(name) {
        Some(Stored::F32 { shape, values }) => Ok((shape, values)),
        _ => Err(format!("`{name}` is missing")),
    }
}

fn attribute(with: With) -> Attribute {
    match with {
        With::Float(name, f) => Attribute { name: name.into(), f: Some(f), kind: 1, ..Attribute::default() },
        With::Int(name, i) => Attribute { name: name.into(), i: Some(i), kind: 2, ..Attribute::default() },
        With::Ints(name, ints) => Attribute { name: name.into(), ints, kind: 7, ..Attribute::default() },
    }
}

fn value((name, shape): (&str, &[Size])) -> ValueInfo {
    let dimension = |size: &Size| match size {
        Size::Known(length) => Dimension { value: Some(*length as i64), name: None },
        Size::Any(name) => Dimension { value: None, name: Some((*name).into()) },
    };
    let shape = TensorShape { dim: shape.iter().map(dimension).collect() };
    let tensor = TensorKind { element: FLOAT, shape: Some(shape) };
    ValueInfo { name: name.into(), kind: Some(Kind { tensor: Some(tensor) }) }
}
