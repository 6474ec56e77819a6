//! Convolutions of ResNets.

use std::time::Duration;

use tensor_ops::{
    ConvAlgorithm, ConvGeometry, FeatureMap, OpError, Parameter, ParameterKind, conv2d, grouped_conv2d,
};

use super::{
    case::{Case, Pass, Place, Work, time},
    operands::{Input, images, parameter},
    stopwatch::backward_time,
};

/// ResNet-18's 3x3 convolutions on images of 32 px at widths 64 and 16, with stride 1 and 2, and stems; ResNet-50's 1x1
/// on 224 px, and ResNeXt-50's 3x3 in groups.
pub(super) fn cases() -> Vec<Case> {
    let square = |batch, kernel, stride| {
        move |(n_in, n_out, side)| Convolution { batch, side, n_in, n_out, groups: 1, kernel, stride }.case()
    };
    let in_groups = |(n, side, stride)| {
        Convolution { batch: 16, side, n_in: n, n_out: n, groups: 32, kernel: 3, stride }.case()
    };
    let mut cases = Vec::new();
    for width in [64, 16] {
        let stages = [(1, 32), (2, 16), (4, 8), (8, 4)].map(|(factor, side)| (factor * width, side));
        cases.extend(stages.map(|(n, side)| square(128, 3, 1)((n, n, side))));
    }
    cases.extend([(64, 128, 32), (128, 256, 16), (256, 512, 8)].map(square(128, 3, 2)));
    for (narrow, wide, side) in [(64, 256, 56), (128, 512, 28), (256, 1024, 14), (512, 2048, 7)] {
        cases.extend([(narrow, wide, side), (wide, narrow, side)].map(square(16, 1, 1)));
    }
    cases.extend([(128, 56, 1), (256, 28, 1), (512, 14, 1), (1024, 7, 1), (256, 56, 2)].map(in_groups));
    cases.extend([(3, 64, 32)].map(square(128, 3, 1)));
    cases.extend([(3, 64, 224)].map(square(16, 7, 2)));
    cases
}

#[derive(Clone, Copy)]
struct Convolution {
    batch: usize,
    side: usize,
    n_in: usize,
    n_out: usize,
    groups: usize,
    kernel: usize,
    stride: usize,
}

impl Convolution {
    fn case(self) -> Case {
        let Self { batch, side, n_in, n_out, groups, kernel, stride } = self;
        let groups = if groups == 1 { String::new() } else { format!(" in {groups} groups") };
        let stride = if stride == 1 { String::new() } else { format!(" /{stride}") };
        let work = Work::Flops(self.n_flops());
        let mut passes = vec![
            Pass::new("forward", work, move |place| {
                let (x, weight) = self.operands(place, Input::Plain, true)?;
                Ok(move || time(|| self.run(x.share(), &weight)))
            }),
            Pass::new("weights", work, move |place| self.backward(place, Input::Plain, true)),
        ];
        // Images need no gradient: no training step computes it for a stem.
        if n_in != 3 {
            let data =
                Pass::new("data", work, move |place| self.backward(place, Input::Differentiated, false));
            passes.insert(1, data);
        }
        Case {
            name: format!("conv{kernel}x{kernel} {n_in}-{n_out}{groups} {side}px{stride} b{batch}"),
            passes,
        }
    }

    fn geometry(self) -> ConvGeometry {
        ConvGeometry::square(self.kernel, self.stride, self.kernel / 2)
    }

    fn n_flops(self) -> usize {
        let out = self.side.div_ceil(self.stride);
        2 * self.batch * out * out * self.n_in / self.groups * self.n_out * self.kernel * self.kernel
    }

    fn run(self, x: FeatureMap, weight: &Parameter) -> Result<FeatureMap, OpError> {
        match self.groups {
            1 => conv2d(x, weight, None, self.geometry(), ConvAlgorithm::Auto),
            groups => grouped_conv2d(x, weight, None, self.geometry(), groups),
        }
    }

    fn operands(
        self,
        place: &Place,
        input: Input,
        is_trainable: bool,
    ) -> Result<(FeatureMap, Parameter), OpError> {
        let Self { batch, side, n_in, n_out, groups, kernel, .. } = self;
        let x = images(place, [batch, side, side, n_in], input)?;
        let shape = [kernel, kernel, n_in / groups, n_out];
        Ok((x, parameter(&place.device, ParameterKind::Kernel, &shape, is_trainable)?))
    }

    fn backward(
        self,
        place: &Place,
        input: Input,
        is_trainable: bool,
    ) -> Result<impl Fn() -> Result<Duration, OpError> + use<>, OpError> {
        let (x, weight) = self.operands(place, input, is_trainable)?;
        Ok(move || backward_time(x.share(), |x| self.run(x, &weight)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_counted_as_is_the_custom() {
        let stem = Convolution { batch: 16, side: 224, n_in: 3, n_out: 64, groups: 1, kernel: 7, stride: 2 };
        assert_eq!(stem.n_flops(), 2 * 16 * 112 * 112 * 3 * 64 * 49);
        assert_eq!(stem.case().name, "conv7x7 3-64 224px /2 b16");
        assert_eq!(stem.geometry().output(224, 224).unwrap(), (112, 112));
        let grouped =
            Convolution { batch: 16, side: 56, n_in: 128, n_out: 128, groups: 32, kernel: 3, stride: 1 };
        assert_eq!(grouped.n_flops(), 2 * 16 * 56 * 56 * 4 * 128 * 9);
        assert_eq!(grouped.case().name, "conv3x3 128-128 in 32 groups 56px b16");
    }
}
