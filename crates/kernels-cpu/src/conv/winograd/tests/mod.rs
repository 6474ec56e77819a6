//! Both forms of Winograd's algorithm against the definition.

mod exactness;
mod products;
mod threads;

use crate::{
    ConvGeometry, Family, Layout, Precision, Values,
    conv::{ConvAlgorithm, Convolution},
    testing::{noise, wide},
};

/// A convolution, and what it is fed: images one after the other.
struct Case {
    geometry: ConvGeometry,
    from: Layout,
    to: Layout,
    x: Vec<f32>,
    weight: Vec<f32>,
    gradient: Vec<f32>,
}

/// What a convolution gives for its inputs and for gradients of its outputs.
struct Outcome<V> {
    y: Vec<V>,
    x: Vec<V>,
    weight: Vec<V>,
}

/// 3x3 with as much padding as keeps the size.
const SAME: ConvGeometry = ConvGeometry { kernel: (3, 3), stride: (1, 1), padding: (1, 1) };

impl Case {
    /// Of numbers that look random.
    fn new([n, h, w, c]: [usize; 4], n_out: usize, geometry: ConvGeometry) -> Self {
        let (out_h, out_w) = geometry.output(h, w).expect("the kernel fits");
        let (from, to) = (Layout { n, h, w, c }, Layout { n, h: out_h, w: out_w, c: n_out });
        let (x, weight) = (noise(1, from.len()), noise(2, 9 * c * n_out));
        Self { geometry, from, to, x, weight, gradient: noise(3, to.len()) }
    }

    /// Of values that bfloat16 has.
    fn rounded(mut self) -> Self {
        for values in [&mut self.x, &mut self.weight, &mut self.gradient] {
            *values = Values::new(std::mem::take(values), Precision::Bf16).into_whole();
        }
        self
    }

    fn name(&self) -> String {
        let Layout { n, h, w, c } = self.from;
        format!("{n} images of {h}x{w}, {c} channels to {}, padding {:?}", self.to.c, self.geometry.padding)
    }

    fn run(&self, family: Family, algorithm: ConvAlgorithm, precision: Precision) -> Outcome<f32> {
        let conv = Convolution::new(family, algorithm, precision, self.geometry, self.from, self.to);
        let x = Values::new(self.from.pack(&self.x), precision);
        let gradient = Values::new(self.to.pack(&self.gradient), precision);
        let y = conv.forward(&self.weight, &x, None, false).values.into_whole();
        let data = conv.data_gradient(&self.weight, &gradient, None).into_whole();
        Outcome {
            y: self.to.unpack(&y),
            x: self.from.unpack(&data),
            weight: conv.weight_gradient(&x, &gradient),
        }
    }

    /// The definition, in double precision.
    fn oracle(&self) -> Outcome<f64> {
        let Self { geometry: ConvGeometry { padding, .. }, from, to, .. } = *self;
        let (x, weight, gradient) = (wide(&self.x), wide(&self.weight), wide(&self.gradient));
        let mut outcome =
            Outcome { y: vec![0.0; to.len()], x: vec![0.0; x.len()], weight: vec![0.0; weight.len()] };
        for (pixel, gradient) in gradient.chunks_exact(to.c).enumerate() {
            let (image, out_y, out_x) = (pixel / (to.h * to.w), pixel / to.w % to.h, pixel % to.w);
            let y = &mut outcome.y[pixel * to.c..][..to.c];
            for tap in 0..9 {
                let (in_y, in_x) = (out_y + tap / 3, out_x + tap % 3);
                let is_inside = |at: usize, padding: usize, len: usize| at >= padding && at - padding < len;
                if !is_inside(in_y, padding.0, from.h) || !is_inside(in_x, padding.1, from.w) {
                    continue;
                }
                let read = (image * from.h + in_y - padding.0) * from.w + in_x - padding.1;
                for i in 0..from.c {
                    let (at, row) = (read * from.c + i, (tap * from.c + i) * to.c);
                    let weights = &weight[row..row + to.c];
                    y.iter_mut().zip(weights).for_each(|(y, weight)| *y += x[at] * weight);
                    let sums = &mut outcome.weight[row..row + to.c];
                    sums.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += x[at] * gradient);
                    outcome.x[at] += weights.iter().zip(gradient).map(|(a, b)| a * b).sum::<f64>();
                }
            }
        }
        outcome
    }
}
