//! The steps of MoCo v1 and v2, spelled out.

use dfdx::prelude::{AsArray, SplitTape};
use plugin_api::{
    Backbone, Config, ContrastiveLoss, Entry, EntryMut, Head, Keys, LossContext, Module, ModuleContext,
    Optimizer, OptimizerContext, Update, build,
};
use tensor_ops::{Device, FeatureMap, Features, Gradients, KeepLogits, Mode, Parameter, Recording, backward};

use crate::golden::{Distance, Golden, Tensor, relative_error};

/// A backbone with a head in the place of torchvision's `fc`.
struct Encoder {
    backbone: Box<dyn Backbone>,
    head: Box<dyn Head>,
}

impl Module for Encoder {
    plugin_api::visit! { self;
        "" => *self.backbone,
        "fc" => *self.head,
    }
}

impl Encoder {
    /// The encoder of `golden`, with the state `prefix`.
    fn new(golden: &Golden, prefix: &str) -> Self {
        let size_px: usize = golden.setting("size");
        let mut context = ModuleContext {
            device: Device::default(),
            n_inputs: 3,
            map: None,
            image_size: (size_px, size_px),
            batch: golden.setting("batch"),
            parts: 1,
            processes: std::sync::Arc::new(plugin_api::processes::Alone),
            seed: 0,
            name: prefix.into(),
        };
        let depth = match golden.setting::<String>("block").as_str() {
            "BasicBlock" => 18,
            _ => 50,
        };
        let stem = match golden.setting::<String>("stem").as_str() {
            "cifar" => "Cifar",
            _ => "ImageNet",
        };
        let config = format!("(depth: {depth}, width: {}, stem: {stem})", golden.setting::<usize>("width"));
        let backbone = build::<dyn Backbone>("resnet", Config::new(&config), &context).unwrap();
        context.n_inputs = backbone.n_features();
        let name = if golden.setting::<String>("mlp") == "True" { "mlp" } else { "linear" };
        let config = format!("(out: {})", golden.setting::<usize>("dim"));
        let head = build::<dyn Head>(name, Config::new(&config), &context).unwrap();
        let mut encoder = Self { backbone, head };
        encoder.load(golden, prefix);
        encoder
    }

    fn load(&mut self, golden: &Golden, prefix: &str) {
        let mut names = Vec::new();
        self.visit_mut(&mut |name, entry| {
            let Tensor { shape, values } = golden.tensor(&format!("{prefix}{name}"));
            names.push(name.to_string());
            match entry {
                EntryMut::Parameter(parameter) => parameter.set_from_torch(shape, values).unwrap(),
                EntryMut::Buffer(buffer) => buffer.set(values).unwrap(),
                EntryMut::Counter(count) => *count = values[0] as u64,
            }
        });
        names.sort_unstable();
        assert_eq!(names, golden.names_under(prefix), "our names are torchvision's");
    }

    fn forward(&mut self, images: &Tensor, recording: Recording, mode: Mode) -> Features {
        let images = feature_map(images, recording);
        let features = self.backbone.forward(images, mode).unwrap();
        self.head.forward(features, mode).unwrap()
    }

    fn visit_parameters(&mut self, mut visitor: impl FnMut(&str, &mut Parameter)) {
        self.visit_mut(&mut |name, entry| {
            if let EntryMut::Parameter(parameter) = entry {
                visitor(name, parameter);
            }
        });
    }

    /// Moves the parameters, and nothing else, towards those of `other`.
    fn update_momentum(&mut self, other: &mut Self, momentum: f32) {
        let mut targets = Vec::new();
        other.visit_parameters(|_, parameter| targets.push(parameter.duplicate().unwrap()));
        let mut targets = targets.iter();
        self.visit_parameters(|_, parameter| parameter.blend(targets.next().unwrap(), momentum).unwrap());
    }

    /// Adds the distance of the state from that of `prefix`, measured against what moved since `init/`.
    fn add_distance(&mut self, golden: &Golden, which: &str, distance: &mut Distance) {
        self.visit(&mut |name, entry| {
            let start = golden.tensor(&format!("init/{which}{name}"));
            let end = golden.tensor(&format!("final/{which}{name}"));
            let ours = match entry {
                Entry::Parameter(parameter) => parameter.to_torch().1,
                Entry::Buffer(buffer) => buffer.to_vec(),
                Entry::Counter(count) => {
                    assert_eq!(count as f32, end.values[0], "{name}");
                    return;
                }
            };
            distance.add(&ours, &end.values, |i| f64::from(end.values[i]) - f64::from(start.values[i]));
        });
    }
}

/// `(N, C, H, W)` to `(N, H, W, C)`.
pub(crate) fn feature_map(images: &Tensor, recording: Recording) -> FeatureMap {
    let [n, c, h, w] = images.shape[..] else { panic!("images have four axes: {:?}", images.shape) };
    let mut values = Vec::with_capacity(images.values.len());
    for i in 0..n {
        for place in 0..h * w {
            values.extend((0..c).map(|channel| images.values[(i * c + channel) * h * w + place]));
        }
    }
    FeatureMap::from_nhwc(&Device::default(), [n, h, w, c], &values, recording).unwrap()
}

/// `(rows, columns)` to `(columns, rows)`.
fn transposed(tensor: &Tensor) -> Vec<f32> {
    let (n_rows, n_columns) = (tensor.shape[0], tensor.shape[1]);
    (0..n_rows * n_columns).map(|i| tensor.values[(i % n_rows) * n_columns + i / n_rows]).collect()
}

/// The queue of `golden`, in its initial state.
fn queue(golden: &Golden) -> Box<dyn ContrastiveLoss> {
    let batch = golden.setting("batch");
    let context = LossContext {
        device: Device::default(),
        n_inputs: golden.setting("dim"),
        batch,
        keys_per_step: batch,
        seed: 0,
        name: "contrast".into(),
    };
    let (len, temperature): (usize, f64) = (golden.setting("queue"), golden.setting("temperature"));
    let config = format!("(len: {len}, temperature: {temperature})");
    let mut queue = build::<dyn ContrastiveLoss>("queue", Config::new(&config), &context).unwrap();
    queue.visit_mut(&mut |name, entry| match entry {
        EntryMut::Buffer(keys) => keys.set(&transposed(golden.tensor("init/queue"))).unwrap(),
        EntryMut::Counter(pointer) => *pointer = golden.tensor("init/queue_ptr").values[0] as u64,
        EntryMut::Parameter(_) => panic!("a queue has no parameter {name}"),
    });
    queue
}

/// PyTorch's SGD, and its state.
struct Trainer {
    optimizer: Box<dyn Optimizer>,
    slots: Vec<Vec<Vec<f32>>>,
    lr: f64,
    n_updates: u64,
}

impl Trainer {
    fn new(golden: &Golden) -> Self {
        let (momentum, decay): (f64, f64) = (golden.setting("sgd_momentum"), golden.setting("weight_decay"));
        let config = format!("(momentum: {momentum}, weight_decay: {decay})");
        let optimizer = build::<dyn Optimizer>("sgd", Config::new(&config), &OptimizerContext).unwrap();
        Self { optimizer, slots: Vec::new(), lr: golden.setting("lr"), n_updates: 0 }
    }

    fn step(&mut self, encoder: &mut Encoder, gradients: &mut Gradients) {
        self.n_updates += 1;
        let mut place = 0;
        encoder.visit_parameters(|name, parameter| {
            if place == self.slots.len() {
                let slots =
                    self.optimizer.slots().iter().map(|_| vec![0.0; parameter.n_elements()]).collect();
                self.slots.push(slots);
            }
            let gradient = parameter.gradient(gradients).unwrap();
            let gradient = &mut gradient.unwrap_or_else(|| panic!("no gradient reached {name}"));
            let (slots, n_axes) = (&mut self.slots[place], parameter.shape().len());
            let (lr, n_updates) = (self.lr, self.n_updates);
            let step = |values: &mut [f32]| {
                self.optimizer.update(Update {
                    values,
                    gradient,
                    slots,
                    lr,
                    n_updates,
                    n_axes,
                    weight_decay: None,
                });
            };
            parameter.update(step).unwrap();
            place += 1;
        });
    }
}

/// Runs every step of `golden`, and compares all that it has.
pub(crate) fn check_run(golden: &Golden) {
    let mut query = Encoder::new(golden, "init/encoder_q.");
    let mut key = Encoder::new(golden, "init/encoder_k.");
    let mut queue = queue(golden);
    let mut trainer = Trainer::new(golden);
    for step in 0..golden.setting("steps") {
        let input = |name: &str| golden.tensor(&format!("step{step}/{name}"));
        let queries = query.forward(input("x_q"), Recording::start(), Mode::Train);
        key.update_momentum(&mut query, golden.setting("momentum"));
        let (keys, _) = key.forward(input("x_k"), Recording::Off, Mode::Train).split_tape();
        let own = Keys { own: &keys, all: &keys, first: 0 };
        let contrast = queue.loss(queries, own, KeepLogits::Yes).unwrap();
        let logits = contrast.logits.expect("logits were asked for");
        golden.assert_right(&format!("step{step}/logits"), relative_error(&logits, &input("logits").values));
        let loss = [contrast.loss.array()];
        golden.assert_right(&format!("step{step}/loss"), relative_error(&loss, &input("loss").values));
        queue.enqueue(&keys).unwrap();
        let mut gradients = backward(contrast.loss).unwrap();
        if step == 0 {
            check_gradients(golden, &mut query, &mut gradients);
        }
        trainer.step(&mut query, &mut gradients);
    }
    check_final(golden, &mut query, &mut key, queue.as_mut());
    let (output, _) = query.forward(golden.tensor("eval/x"), Recording::Off, Mode::Eval).split_tape();
    golden.assert_right("eval", relative_error(&output.as_vec(), &golden.tensor("eval/q").values));
}

fn check_gradients(golden: &Golden, query: &mut Encoder, gradients: &mut Gradients) {
    let mut distance = Distance::default();
    let mut names = Vec::new();
    query.visit_parameters(|name, parameter| {
        let theirs = golden.tensor(&format!("step0/grad/{name}"));
        let ours = parameter.gradient_to_torch(gradients).unwrap();
        let (shape, ours) = ours.unwrap_or_else(|| panic!("no gradient reached {name}"));
        assert_eq!(shape, theirs.shape, "{name}");
        distance.add(&ours, &theirs.values, |i| f64::from(theirs.values[i]));
        names.push(name.to_string());
    });
    names.sort_unstable();
    assert_eq!(names, golden.names_under("step0/grad/"));
    golden.assert_right("step0/grad", distance.relative());
}

fn check_final(golden: &Golden, query: &mut Encoder, key: &mut Encoder, queue: &mut dyn ContrastiveLoss) {
    let mut distance = Distance::default();
    query.add_distance(golden, "encoder_q.", &mut distance);
    key.add_distance(golden, "encoder_k.", &mut distance);
    let (start, end) = (transposed(golden.tensor("init/queue")), transposed(golden.tensor("final/queue")));
    queue.visit(&mut |_, entry| match entry {
        Entry::Buffer(keys) => {
            distance.add(&keys.to_vec(), &end, |i| f64::from(end[i]) - f64::from(start[i]))
        }
        Entry::Counter(pointer) => assert_eq!(pointer as f32, golden.tensor("final/queue_ptr").values[0]),
        Entry::Parameter(_) => {}
    });
    golden.assert_right("final", distance.relative());
}
