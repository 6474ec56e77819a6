//! What a transformer does to tokens, `(N, T, D)`.

pub mod attention;
pub mod layer_norm;
pub mod rows;
