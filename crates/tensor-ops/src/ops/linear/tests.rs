use super::linear;
use crate::{
    Device, OpError, Parameter, ParameterKind,
    testing::{
        assert_close, backward_weighted_rows, differences, gradient_of, in_each_family, named_rows, noise,
        rows, vector, weighted, wide,
    },
    to_rows,
};

#[test]
fn linear_layers_agree_with_differences() {
    in_each_family(|| {
        for (n, n_in, n_out) in [(1, 1, 1), (5, 7, 3), (17, 5, 70), (3, 33, 130)] {
            let (x, weight, bias) = (noise(1, n * n_in), noise(2, n_in * n_out), noise(3, n_out));
            let weights = noise(4, n * n_out);
            let oracle = |x: &[f64], weight: &[f64], bias: &[f64]| -> Vec<f64> {
                let at = |row: usize, column: usize| {
                    bias[column]
                        + (0..n_in).map(|i| x[row * n_in + i] * weight[i * n_out + column]).sum::<f64>()
                };
                (0..n * n_out).map(|i| at(i / n_out, i % n_out)).collect()
            };
            let parameter =
                Parameter::new(&Device::default(), ParameterKind::Matrix, &[n_in, n_out], weight.clone())
                    .unwrap();
            let bias_parameter = vector(&bias);
            let (name, input) = named_rows((n, n_in), &x);
            let y = linear(input, &parameter, Some(&bias_parameter)).unwrap();
            let (x, weight, bias) = (wide(&x), wide(&weight), wide(&bias));
            assert_close("output", &to_rows(&y), &oracle(&x, &weight, &bias), 1e-6);
            let mut gradients = backward_weighted_rows(y, &weights);
            let by_x = differences(|x| weighted(&oracle(x, &weight, &bias), &weights), &x);
            assert_close("input", &gradient_of(&name, &mut gradients), &by_x, 1e-5);
            let by_weight = differences(|weight| weighted(&oracle(&x, weight, &bias), &weights), &weight);
            assert_close("weight", &parameter.gradient(&mut gradients).unwrap().unwrap(), &by_weight, 1e-5);
            let by_bias = differences(|bias| weighted(&oracle(&x, &weight, bias), &weights), &bias);
            assert_close("bias", &bias_parameter.gradient(&mut gradients).unwrap().unwrap(), &by_bias, 1e-5);
        }
        let weight = Parameter::new(&Device::default(), ParameterKind::Matrix, &[3, 2], noise(1, 6)).unwrap();
        assert!(matches!(linear(rows((2, 4), &noise(1, 8)), &weight, None), Err(OpError::Shape { .. })));
        let bias = vector(&[0.0; 3]);
        assert!(matches!(
            linear(rows((2, 3), &noise(1, 6)), &weight, Some(&bias)),
            Err(OpError::Shape { .. })
        ));
    });
}
