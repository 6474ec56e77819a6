//! The recipe as the text of a pipeline, with its reasons as comments.

use super::looked::images;
use super::views::Colors;
use super::{Backbone, Chosen, Method, Recipe};

/// Lines, each with what is behind it.
#[derive(Default)]
struct Lines(String);

impl Lines {
    /// A line `depth` deep.
    fn line(&mut self, depth: usize, text: &str) {
        self.0 += &format!("{}{text}\n", "    ".repeat(depth));
    }

    /// A line with a comment behind it.
    fn with(&mut self, depth: usize, text: &str, comment: &str) {
        // A reason is one line, whatever names are in it.
        let comment = comment.replace(['\n', '\r'], " ");
        self.line(depth, &format!("{text} // {comment}"));
    }
}

impl Recipe {
    /// The text of the pipeline, with the reason beside each choice.
    pub fn to_ron(&self) -> String {
        let mut lines = Lines::default();
        self.head(&mut lines);
        lines.line(0, "Pipeline(");
        let name = "names the run, and its folder where no other is given";
        lines.with(1, &format!("name: {:?},", self.looked.name), name);
        let seed = if self.is_seed_given { "yours" } else { "all random draws follow from it" };
        lines.with(1, &format!("seed: {},", self.seed), seed);
        self.data(&mut lines);
        self.views(&mut lines);
        self.modules(&mut lines);
        self.graph(&mut lines);
        self.training(&mut lines);
        self.measuring(&mut lines);
        lines.line(0, ")");
        lines.0
    }

    fn head(&self, lines: &mut Lines) {
        let [shortest, median, longest] = self.looked.shorter_sides;
        let (name, title) = (&self.looked.name, self.method.value.title());
        lines.line(
            0,
            &format!(
                "// {title} on {name}, chosen for these images; the reason of each choice stands behind it."
            ),
        );
        let classes = match self.looked.n_classes {
            0 => "no labels".to_owned(),
            1 => "1 class".to_owned(),
            n => format!("{} classes", super::looked::grouped(n)),
        };
        lines.line(
            0,
            &format!(
                "// {}, {classes}; shorter sides of {shortest} to {longest} px, {median} in the middle ({} looked at).",
                images("image", self.looked.n_images),
                super::looked::grouped(self.looked.n_looked_at)
            ),
        );
        if let Some(command) = &self.wishes.command {
            lines.line(0, &format!("//   {}", command.replace(['\n', '\r'], " ")));
        }
    }

    fn data(&self, lines: &mut Lines) {
        let dataset = &self.looked.dataset;
        let of = format!("({:?}, {})", dataset.name(), dataset.config());
        lines.line(1, "data: (");
        match (self.held_out.value, &self.train_share) {
            (None, None) => {
                let why = format!("{}; {}", self.looked.why_dataset, self.held_out.comment());
                lines.with(2, &format!("source: {of},"), &why);
            }
            (held_out, share) => {
                lines.line(2, "source: (\"split\", (");
                lines.with(3, &format!("of: {of},"), &self.looked.why_dataset);
                lines.with(3, &format!("test: {:?},", held_out.unwrap_or(0.0)), &self.held_out.comment());
                if let Some(share) = share {
                    let why = format!("{}; with more time, more are trained on", share.comment());
                    lines.with(3, &format!("train: {:?},", share.value), &why);
                }
                lines.line(2, ")),");
            }
        }
        let steps = format!("{} an epoch", images("step", self.course().steps_per_epoch()));
        let why = format!("{}; {steps}", self.batch.comment());
        lines.with(2, &format!("batch: {},", self.batch.value), &why);
        lines.line(1, "),");
    }

    fn views(&self, lines: &mut Lines) {
        lines.line(1, "views: {");
        let [first, second] = self.view_names();
        self.view(lines, first, 0);
        match self.method.value {
            Method::V3 => self.view(lines, second, 1),
            Method::V1 | Method::V2 => lines.line(2, &format!("{second:?}: Like({first:?}),")),
        }
        let size = self.size.value;
        // ImageNet's protocol cuts 224 out of 256.
        let (shorter, why) = match size {
            224.. => (size * 8 / 7, "as the papers measure, the middle of a slightly larger image"),
            _ => (size, "the middle of the image, without random steps, to measure"),
        };
        lines.with(2, "\"eval\": [", why);
        lines.line(3, &format!("(\"resize\", (shorter: {shorter})),"));
        lines.line(3, &format!("(\"center-crop\", (size: {size})),"));
        lines.line(3, &self.normalize());
        lines.line(2, "],");
        lines.line(1, "},");
    }

    /// `number` is that of the view among those of v3, which differ.
    fn view(&self, lines: &mut Lines, name: &str, number: usize) {
        let (size, choices) = (self.size.value, &self.views);
        lines.line(2, &format!("{name:?}: ["));
        let crop = format!(
            "(\"random-resized-crop\", (size: {size}, scale: ({:?}, 1.0))),",
            choices.smallest_crop.value
        );
        lines.with(3, &crop, &format!("{}; {}", size_comment(&self.size), choices.smallest_crop.comment()));
        self.colors(lines);
        if let Some(sigma) = choices.blur.value {
            let p = match (self.method.value, number) {
                (Method::V3, 0) => 1.0,
                (Method::V3, _) => 0.1,
                _ => 0.5,
            };
            let blur = format!("(\"gaussian-blur\", (p: {p:?}, sigma: (0.1, {sigma:?}))),");
            lines.with(3, &blur, &choices.blur.comment());
        }
        if self.method.value == Method::V3 && number == 1 {
            lines.with(3, "(\"solarize\", (p: 0.2)),", "only in the second view, as in v3");
        }
        lines.line(3, "(\"flip\", (p: 0.5)),");
        lines.with(3, &self.normalize(), &choices.statistics.comment());
        let blur = choices.blur.value.is_none().then(|| format!("no blur: {}", choices.blur.why));
        if let Some(blur) = blur {
            lines.line(3, &format!("// {blur}"));
        }
        lines.line(2, "],");
    }

    fn colors(&self, lines: &mut Lines) {
        let colors = &self.views.colors;
        let why = colors.comment();
        let jitter = |p: f64, [brightness, contrast, saturation, hue]: [f64; 4]| {
            format!(
                "(\"color-jitter\", (p: {p:?}, brightness: {brightness:?}, contrast: {contrast:?}, saturation: {saturation:?}, hue: {hue:?})),"
            )
        };
        let grayscale = "(\"grayscale\", (p: 0.2)),";
        match (colors.value, self.method.value) {
            (Colors::None, _) => lines.line(3, &format!("// {why}")),
            (Colors::Gray, _) => lines.with(3, &jitter(0.8, [0.4, 0.4, 0.0, 0.0]), &why),
            (Colors::All, Method::V1) => {
                lines.line(3, grayscale);
                lines.with(3, &jitter(1.0, [0.4, 0.4, 0.4, 0.4]), &why);
            }
            (Colors::All, method) => {
                let saturation = if method == Method::V3 { 0.2 } else { 0.4 };
                lines.with(3, &jitter(0.8, [0.4, 0.4, saturation, 0.1]), &why);
                lines.line(3, grayscale);
            }
        }
    }

    fn normalize(&self) -> String {
        format!("(\"normalize\", (statistics: {})),", self.views.statistics.value)
    }

    fn view_names(&self) -> [&'static str; 2] {
        match self.method.value {
            Method::V3 => ["x1", "x2"],
            Method::V1 | Method::V2 => ["query", "key"],
        }
    }

    fn modules(&self, lines: &mut Lines) {
        lines.line(1, "modules: {");
        let why = self.backbone.comment();
        match (self.backbone.value, &self.stem, &self.patch) {
            (Backbone::ResNet(layers), Some(stem), _) => {
                lines.line(2, "\"backbone\": (\"resnet\", (");
                lines.with(3, &format!("depth: {layers},"), &why);
                lines.with(3, &format!("stem: {},", stem.value), &stem.comment());
                let splits = &self.batch_norm_splits;
                if splits.value > 1 {
                    lines.with(3, &format!("batch_norm_splits: {},", splits.value), &splits.comment());
                }
                lines.line(2, ")),");
            }
            (vit, _, patch) => {
                lines.line(2, "\"backbone\": (\"vit\", (");
                let sizes = match vit {
                    Backbone::VitSmall => "preset: Small,",
                    Backbone::VitBase => "preset: Base,",
                    _ => "dim: 192, depth: 12, heads: 3,",
                };
                lines.with(3, sizes, &why);
                if let Some(patch) = patch {
                    lines.with(3, &format!("patch: {},", patch.value), &patch.comment());
                }
                lines.with(
                    3,
                    "freeze_patch_projection: true,",
                    "stays as it was drawn: v3 trains more stably so",
                );
                lines.line(2, ")),");
            }
        }
        self.heads(lines);
        lines.line(1, "},");
    }

    fn heads(&self, lines: &mut Lines) {
        let (temperature, why) = (self.temperature.value, self.temperature.comment());
        match (self.method.value, &self.queue) {
            (Method::V3, _) => {
                let (hidden, why_hidden) = match self.backbone.value.is_large() {
                    true => (4096, "as wide as the papers'"),
                    false => (1024, "a quarter of the papers' width, for a smaller encoder"),
                };
                let layers = if self.backbone.value.is_vit() { 3 } else { 2 };
                let mlp = |layers: usize| {
                    format!(
                        "(\"mlp\", (layers: {layers}, hidden: {hidden}, out: 256, norm: Batch, last_norm: true)),"
                    )
                };
                lines.with(2, &format!("\"projector\": {}", mlp(layers)), why_hidden);
                lines.with(2, &format!("\"predictor\": {}", mlp(2)), "only queries pass through it");
                lines.with(
                    2,
                    &format!("\"contrast\": (\"in-batch\", (temperature: {temperature:?})),"),
                    &why,
                );
            }
            (method, queue) => {
                let head = if method == Method::V1 { "linear" } else { "mlp" };
                lines.with(2, &format!("\"head\": (\"{head}\", (out: 128)),"), &format!("{method}'s"));
                lines.line(2, "\"contrast\": (\"queue\", (");
                if let Some(queue) = queue {
                    lines.with(3, &format!("len: {},", queue.value), &queue.comment());
                }
                lines.with(3, &format!("temperature: {temperature:?},"), &why);
                lines.line(2, ")),");
            }
        }
    }

    fn graph(&self, lines: &mut Lines) {
        lines.with(1, "graph: [", &self.method_comment());
        let shuffled = if self.batch_norm_splits.value > 1 { ", shuffle_batch: true" } else { "" };
        let steps: Vec<String> = match self.method.value {
            Method::V3 => vec![
                r#"(id: "q1", run: ["backbone", "projector", "predictor"], on: ["x1"]),"#.into(),
                r#"(id: "q2", run: ["backbone", "projector", "predictor"], on: ["x2"]),"#.into(),
                r#"(id: "k1", run: ["backbone", "projector"], on: ["x1"], weights: Momentum),"#.into(),
                r#"(id: "k2", run: ["backbone", "projector"], on: ["x2"], weights: Momentum),"#.into(),
                r#"(id: "l12", run: ["contrast"], on: ["q1", "k2"]),"#.into(),
                r#"(id: "l21", run: ["contrast"], on: ["q2", "k1"]),"#.into(),
            ],
            Method::V1 | Method::V2 => vec![
                r#"(id: "q", run: ["backbone", "head"], on: ["query"]),"#.into(),
                format!(r#"(id: "k", run: ["backbone", "head"], on: ["key"], weights: Momentum{shuffled}),"#),
                r#"(id: "loss", run: ["contrast"], on: ["q", "k"]),"#.into(),
            ],
        };
        steps.iter().for_each(|step| lines.line(2, step));
        lines.line(1, "],");
    }

    fn method_comment(&self) -> String {
        match self.method.is_given {
            true => format!("{}: yours", self.method.value),
            false => format!("{}: {}", self.method.value, self.method.why),
        }
    }

    fn training(&self, lines: &mut Lines) {
        let precision = &self.precision;
        lines.with(1, &format!("precision: {:?},", precision.value), &precision.comment());
        let momentum = self.momentum.value;
        let (more, why) = match self.method.value {
            Method::V3 => {
                (", schedule: Cosine", format!("{}; rises to 1, as in v3", self.momentum.comment()))
            }
            _ => ("", self.momentum.comment()),
        };
        lines.with(1, &format!("momentum: (start: {momentum:?}{more}),"), &why);
        let decay = &self.weight_decay;
        let is_adamw = self.method.value == Method::V3 || self.backbone.value.is_vit();
        let optimizer = match is_adamw {
            true => format!("(\"adamw\", (weight_decay: {:?})),", decay.value),
            false => format!("(\"sgd\", (momentum: 0.9, weight_decay: {:?})),", decay.value),
        };
        lines.with(1, &format!("optimizer: {optimizer}"), &decay.comment());
        let rate = &self.learning_rate;
        lines.with(1, &format!("learning_rate: (base: {:?}, scale: Absolute),", rate.value), &rate.comment());
        let (warm_up, why) = match self.warmup_epochs {
            0 => (String::new(), "down to 0 at the last step"),
            n => (
                format!(", warmup_epochs: {n}"),
                "rises first, as in v3, and then goes down to 0 at the last step",
            ),
        };
        lines.with(1, &format!("schedule: (\"cosine\", (per: Step{warm_up})),"), why);
        let steps = images("step", self.course().n_steps());
        let why = match self.epochs.is_given {
            true => format!("{}; {steps}", self.epochs.comment()),
            false => format!("{steps}: {}", self.epochs.comment()),
        };
        lines.with(1, &format!("epochs: {},", self.epochs.value), &why);
    }

    fn measuring(&self, lines: &mut Lines) {
        let every = self.measure_every;
        let collapse = format!("(\"feature-collapse\", (every: {every})),");
        lines.line(1, "monitor: [");
        match self.knn.value {
            Some(k) => {
                lines.with(2, &format!("(\"knn\", (every: {every}, k: {k})),"), &self.knn.comment());
                lines.with(2, &collapse, "whether all images look alike to the encoder");
            }
            None => lines.with(2, &collapse, &self.knn.comment()),
        }
        lines.line(1, "],");
        if self.save_every > 1 {
            let every = self.save_every;
            let n = self.course().epochs.div_ceil(every);
            lines.with(
                1,
                &format!("checkpoint: (every_epochs: {every}),"),
                &format!("{n} of them over the run, and every ten minutes"),
            );
        }
    }
}

fn size_comment(size: &Chosen<usize>) -> String {
    match size.is_given {
        true => "the size is yours".into(),
        false => size.why.clone(),
    }
}
