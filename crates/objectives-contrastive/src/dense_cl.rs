//! DenseCL's loss.

use nn::Bank;
use plugin_api::{
    ConfigError, Evaluated, Input, InputOrigin, InputShape, LossRange, MapShape, Module, Objective,
    ObjectiveContext, ObjectiveStep, check_temperature, set_temperature,
};
use tensor_ops::{
    Axis, Features, Matrix, OpError, Rows as _, concat_columns, constant, detach, fork, gather_rows,
    l2_normalize, matmul_transposed, mean_tokens, slice_rows, sum_over, times, tokens_from_rows, top1_row,
};

use crate::own_first::{own_first, own_first_range};

/// The config of [`DenseCl`].
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DenseClConfig {
    /// Length `K` of the queue of past keys. The paper: 65536.
    pub len: usize,
    /// Temperature `T`. The paper: 0.2.
    pub temperature: f64,
}

/// A queue for a small dataset, and the paper's temperature.
impl Default for DenseClConfig {
    fn default() -> Self {
        Self { len: 4096, temperature: 0.2 }
    }
}

/// DenseCL's dense loss (Wang et al. 2021, arXiv:2011.09157, Eq. 2 and 3): MoCo's, for each position of a map. The key of a position
/// is that of the position of the other view whose backbone features are most like its own; negatives are past keys, each the
/// mean over a map.
///
/// Takes the dense embeddings of a query, trained, and of the key of another view, fixed, and the maps of the backbone that both
/// are made of, fixed: each with a map of the same positions. After a step the queue takes in the means of the keys' maps.
/// Beside it stands MoCo's loss on whole images, with a weight of 0.5 for each in the paper.
pub struct DenseCl {
    bank: Bank,
    /// The width of each input, and its map.
    inputs: [(usize, MapShape); 4],
    temperature: f64,
    len: usize,
}

impl DenseCl {
    /// The loss for `config`, with a queue of random unit rows.
    ///
    /// # Errors
    /// If the queue has no row or does not fit in memory, the temperature is not positive, or the inputs are others.
    pub fn new(config: DenseClConfig, context: &ObjectiveContext) -> Result<Self, ConfigError> {
        let DenseClConfig { len, temperature } = config;
        check_temperature(temperature)?;
        let inputs = with_maps(&context.inputs)?;
        Ok(Self { bank: Bank::new(len, inputs[0].1.channels, context)?, inputs, temperature, len })
    }
}

impl DenseCl {
    /// The positions of the map of input `place`, a row for each.
    fn positions(&self, place: usize, rows: Features) -> Result<Features, OpError> {
        let (width, map) = self.inputs[place];
        if rows.d() != width {
            return Err(OpError::shape("dense-cl", "width of features and map", width, rows.d()));
        }
        map.positions(rows)
    }
}

/// The widths and the maps of the four inputs.
fn with_maps(inputs: &[InputShape]) -> Result<[(usize, MapShape); 4], ConfigError> {
    const HINT: &str = "name the dense query, the dense key of the other view, and the maps of their backbones without gradients, \
                        all with maps: `on: [\"dense_q\", \"dense_k\", \"map_q\", \"map_k\"]`";
    let maps: Vec<_> = inputs.iter().filter_map(|input| Some((input.width, input.map?))).collect();
    let is_trained: Vec<bool> = inputs.iter().map(|input| input.is_trained).collect();
    let Ok(all) = <[(usize, MapShape); 4]>::try_from(maps) else {
        return Err(ConfigError::unfit("`dense-cl` takes four values with maps, and `on` has others", HINT));
    };
    if is_trained != [true, false, false, false] {
        let message = "`dense-cl` takes one trained value, which comes first, and three without gradients";
        return Err(ConfigError::unfit(message, HINT));
    }
    let maps = all.map(|(_, map)| map);
    let positions = maps.map(|map| (map.rows, map.columns));
    if positions.iter().any(|other| *other != positions[0]) {
        return Err(ConfigError::unfit("`dense-cl` takes maps of as many positions each", HINT));
    }
    for (a, b) in [(0, 1), (2, 3)] {
        if maps[a].channels != maps[b].channels {
            let message = format!(
                "`dense-cl` compares `{}` and `{}`, whose maps have {} and {} values at a position",
                inputs[a].name, inputs[b].name, maps[a].channels, maps[b].channels
            );
            return Err(ConfigError::unfit(message, HINT));
        }
    }
    Ok(all)
}

/// For each position of the queries the row of the position among the keys of the same image that it is most like, `(N T)`.
fn matches(queries: Features, keys: Features, n_positions: usize) -> Result<Vec<usize>, OpError> {
    let (queries, keys) = (detach(&l2_normalize(queries)?), detach(&l2_normalize(keys)?));
    let mut matches = Vec::with_capacity(queries.n());
    for first in (0..queries.n()).step_by(n_positions) {
        let of_image = |rows: &Matrix| slice_rows(constant(rows), first..first + n_positions);
        let alike = matmul_transposed(of_image(&queries)?, of_image(&keys)?)?; // (T, T)
        matches.extend(top1_row(&alike).into_iter().map(|position| first + position));
    }
    Ok(matches)
}

impl Module for DenseCl {
    plugin_api::visit! { self;
        "" => self.bank,
    }
}

impl Objective for DenseCl {
    fn takes_maps(&self) -> bool {
        true
    }

    fn check_order(&self, inputs: &[InputOrigin<'_>]) -> Result<(), ConfigError> {
        let [query, key, of_query, of_key] = inputs else { return Ok(()) };
        if query.view == key.view {
            let message = format!("`{}` and `{}` are of one view, `{}`", query.name, key.name, query.view);
            return Err(ConfigError::unfit(message, "the key is of the other view"));
        }
        for (dense, map) in [(query, of_query), (key, of_key)] {
            if dense.view != map.view {
                let message = format!(
                    "`{}` is of the view `{}`, and the map `{}` of `{}`",
                    dense.name, dense.view, map.name, map.view
                );
                return Err(ConfigError::unfit(
                    message,
                    "name the maps in the order of the embeddings: query, key",
                ));
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, inputs: Vec<Input>, _: ObjectiveStep<'_>) -> Result<Evaluated, OpError> {
        let n = inputs.len();
        let Ok([Input::Trained(query), Input::Fixed(key), Input::Fixed(of_query), Input::Fixed(of_key)]) =
            <[Input; 4]>::try_from(inputs)
        else {
            return Err(OpError::shape("dense-cl", "number of inputs, one trained and three fixed,", 4, n));
        };
        let n_positions = self.inputs[0].1.n_positions();
        let query = self.positions(0, query)?; // (N T, C)
        let key = detach(&self.positions(1, constant(&key))?);
        let of_query = self.positions(2, constant(&of_query))?;
        let of_key = self.positions(3, constant(&of_key))?;
        let own = gather_rows(l2_normalize(constant(&key))?, &matches(of_query, of_key, n_positions)?)?;
        let device = query.device().clone();
        let (for_own, for_past) = fork(l2_normalize(query)?);
        let own = sum_over(times(for_own, own)?, Axis::Columns)?;
        let past = matmul_transposed(for_past, self.bank.rows(&device)?)?;
        let cosines = concat_columns(vec![own, past])?; // (N T, 1 + K)
        let evaluated = own_first(cosines, self.temperature)?;
        let means = mean_tokens(tokens_from_rows(constant(&key), n_positions)?, 0)?;
        self.bank.put_aside(&detach(&means))?;
        Ok(evaluated)
    }

    fn end_step(&mut self) -> Result<(), OpError> {
        self.bank.end_step()
    }

    fn discard_step(&mut self) {
        self.bank.discard_step();
    }

    fn metrics(&self) -> &'static [&'static str] {
        &["top1"]
    }

    fn loss_range(&self, _: usize) -> Option<LossRange> {
        Some(own_first_range(self.len, self.temperature))
    }

    fn set_number(&mut self, field: &str, value: f64) -> Result<(), ConfigError> {
        set_temperature(&mut self.temperature, field, value)
    }
}

#[cfg(test)]
mod tests {
    use loss_parity::{Trial, noise};
    use tensor_ops::Device;

    use super::*;

    const N: usize = 3;
    const POSITIONS: usize = 4;
    const EMBEDDED: MapShape = MapShape { rows: 2, columns: 2, channels: 3 };
    const OF_BACKBONE: MapShape = MapShape { rows: 2, columns: 2, channels: 5 };
    /// Features before the map of the backbone.
    const N_FEATURES: usize = 2;

    fn input(name: &str, map: MapShape, n_features: usize) -> InputShape {
        let width = n_features + map.n_values();
        InputShape { name: name.into(), width, map: Some(map), is_trained: name == "q" }
    }

    fn context(inputs: Vec<InputShape>) -> ObjectiveContext {
        let name = "loss".into();
        ObjectiveContext { device: Device::default(), inputs, batch: N, epochs: 10, seed: 7, name }
    }

    fn inputs() -> Vec<InputShape> {
        vec![
            input("q", EMBEDDED, 0),
            input("k", EMBEDDED, 0),
            input("mq", OF_BACKBONE, N_FEATURES),
            input("mk", OF_BACKBONE, N_FEATURES),
        ]
    }

    fn dense_cl(len: usize) -> DenseCl {
        DenseCl::new(DenseClConfig { len, temperature: 0.3 }, &context(inputs())).unwrap()
    }

    fn values() -> ([Matrix; 1], [Matrix; 3]) {
        let rows = |seed, d| noise(seed, (N, d)).unwrap();
        let (embedded, map) = (EMBEDDED.n_values(), N_FEATURES + OF_BACKBONE.n_values());
        ([rows(1, embedded)], [rows(2, embedded), rows(3, map), rows(4, map)])
    }

    fn unit(row: &[f32]) -> Vec<f64> {
        let length = row.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
        row.iter().map(|value| f64::from(*value) / length).collect()
    }

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    /// The unit rows of each position of each image, behind `n_features`.
    fn positions(rows: &Matrix, n_features: usize, channels: usize) -> Vec<Vec<Vec<f64>>> {
        let of_image = |row: &[f32]| row[n_features..].chunks(channels).map(unit).collect();
        rows.rows().chunks(rows.d()).map(of_image).collect()
    }

    #[test]
    fn each_position_has_the_key_of_the_position_that_its_backbone_finds_most_alike() {
        let (trained, fixed) = values();
        let mut loss = dense_cl(6);
        let bank: Vec<Vec<f64>> = loss.bank.past_keys().rows.chunks(3).map(unit).collect();
        let (q, k) = (positions(&trained[0], 0, 3), positions(&fixed[0], 0, 3));
        let (of_q, of_k) = (positions(&fixed[1], N_FEATURES, 5), positions(&fixed[2], N_FEATURES, 5));
        let (mut sum, mut n_right) = (0.0, 0);
        for image in 0..N {
            for position in 0..POSITIONS {
                let alike = |other: &usize| dot(&of_q[image][position], &of_k[image][*other]);
                let matched = (0..POSITIONS).max_by(|a, b| alike(a).total_cmp(&alike(b))).unwrap();
                let own = dot(&q[image][position], &k[image][matched]);
                let past: Vec<f64> = bank.iter().map(|row| dot(&q[image][position], row)).collect();
                let all = past.iter().chain([&own]).map(|cosine| (cosine / 0.3).exp()).sum::<f64>();
                sum += all.ln() - own / 0.3;
                n_right += usize::from(past.iter().all(|other| *other < own));
            }
        }
        let n_rows = N * POSITIONS;
        let trial = Trial { trained: &trained, fixed: &fixed, ..Trial::default() };
        let evaluated = trial.evaluate(&mut loss).unwrap();
        let expected = sum / n_rows as f64;
        assert!(
            (f64::from(evaluated.value) / expected - 1.0).abs() < 1e-5,
            "{}, {expected}",
            evaluated.value
        );
        assert_eq!(evaluated.metrics, [n_right as f32 / n_rows as f32]);
        assert!(trial.gradient_error(&mut loss).unwrap() < 1e-3);
    }

    #[test]
    fn the_queue_takes_in_the_means_of_the_keys_maps() {
        let (trained, fixed) = values();
        let mut loss = dense_cl(N);
        Trial { trained: &trained, fixed: &fixed, ..Trial::default() }.evaluate(&mut loss).unwrap();
        loss.end_step().unwrap();
        let rows = fixed[0].rows();
        let mean = |row: &[f32]| -> Vec<f32> {
            (0..3).map(|channel| row.iter().skip(channel).step_by(3).sum::<f32>() / 4.0).collect()
        };
        let expected: Vec<f64> = rows.chunks(12).flat_map(|row| unit(&mean(row))).collect();
        for (found, expected) in loss.bank.past_keys().rows.iter().zip(expected) {
            assert!((f64::from(*found) - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn other_values_and_another_order_are_refused() {
        let said =
            |inputs| DenseCl::new(DenseClConfig::default(), &context(inputs)).err().unwrap().to_string();
        let mut plain = inputs();
        plain[1].map = None;
        assert_eq!(said(plain), "`dense-cl` takes four values with maps, and `on` has others");
        let mut turned = inputs();
        turned.swap(0, 1);
        assert!(said(turned).contains("one trained value, which comes first"));
        let mut larger = inputs();
        larger[3] = input("mk", MapShape { rows: 3, ..OF_BACKBONE }, 0);
        assert_eq!(said(larger), "`dense-cl` takes maps of as many positions each");
        let mut wider = inputs();
        wider[3] = input("mk", MapShape { channels: 6, ..OF_BACKBONE }, 0);
        assert!(said(wider).contains("`mq` and `mk`, whose maps have 5 and 6 values"));

        let origin = |name, view| InputOrigin { name, view, backbone: "b", is_trained: false };
        let of_views = |views: [&'static str; 4]| {
            let origins: Vec<_> = ["q", "k", "mq", "mk"]
                .into_iter()
                .zip(views)
                .map(|(name, view)| origin(name, view))
                .collect();
            dense_cl(4).check_order(&origins).err().map(|error| error.to_string())
        };
        assert_eq!(of_views(["a", "b", "a", "b"]), None);
        assert!(of_views(["a", "a", "a", "a"]).unwrap().contains("are of one view, `a`"));
        assert!(of_views(["a", "b", "b", "a"]).unwrap().contains("and the map `mq` of `b`"));
    }
}
