//! Attention by its definition.

/// The output `(T, D)`, and the gradient of `sum(weights * output)`, `(T, 3 D)`, of the attention of one image.
pub fn attention(qkv: &[f64], weights: &[f64], t: usize, heads: usize) -> (Vec<f64>, Vec<f64>) {
    let width = qkv.len() / t;
    let (d, dh) = (width / 3, width / 3 / heads);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (mut out, mut gradient) = (vec![0.0; t * d], vec![0.0; t * width]);
    for head in 0..heads {
        let start = |token: usize, part: usize| token * width + part * d + head * dh;
        let at = |token: usize, part: usize| &qkv[start(token, part)..][..dh];
        for i in 0..t {
            let logits: Vec<f64> = (0..t).map(|j| dot(at(i, 0), at(j, 1)) / (dh as f64).sqrt()).collect();
            let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum = logits.iter().map(|logit| (logit - max).exp()).sum::<f64>();
            let p: Vec<f64> = logits.iter().map(|logit| (logit - max).exp() / sum).collect();
            let own = &weights[i * d + head * dh..][..dh];
            let by_p: Vec<f64> = (0..t).map(|j| dot(own, at(j, 2))).collect();
            let mean = dot(&p, &by_p);
            for j in 0..t {
                let by_dot = p[j] * (by_p[j] - mean) / (dh as f64).sqrt();
                for c in 0..dh {
                    out[i * d + head * dh + c] += p[j] * at(j, 2)[c];
                    gradient[start(i, 0) + c] += by_dot * at(j, 1)[c];
                    gradient[start(j, 1) + c] += by_dot * at(i, 0)[c];
                    gradient[start(j, 2) + c] += p[j] * own[c];
                }
            }
        }
    }
    (out, gradient)
}
