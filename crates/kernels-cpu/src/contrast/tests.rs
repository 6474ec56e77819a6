//! The losses against plain formulas and finite differences.

use rayon::ThreadPoolBuilder;

use super::{Contrast, Setting, against_queue, in_batch};
use crate::{
    Family,
    testing::{assert_close, differences, families, noise, wide},
    unit_rows,
};

fn unit_rows(seed: u32, n: usize, c: usize) -> Vec<f32> {
    let mut rows = noise(seed, n * c);
    unit_rows::normalize(Family::detected(), &mut rows, c);
    rows
}

/// The positive of a query, and all others.
type KeysOfQuery = (Vec<f64>, Vec<Vec<f64>>);

/// A loss, and what it is of.
#[derive(Clone, Debug)]
struct Case {
    c: usize,
    queries: Vec<f32>,
    /// Against a queue, the positives; in a batch, all keys.
    keys: Vec<f32>,
    against: Against,
    temperature: f32,
}

#[derive(Clone, Debug)]
enum Against {
    /// Its keys.
    Queue(Vec<f32>),
    /// The place of the first positive.
    Batch(usize),
}

impl Case {
    fn run(&self, family: Family) -> Contrast {
        let setting = Setting { temperature: self.temperature, wants_gradient: true, keeps_logits: true };
        let queries = (&*self.queries, self.c);
        match &self.against {
            Against::Queue(queue) => against_queue(family, queries, &self.keys, queue, setting),
            Against::Batch(first) => in_batch(family, queries, &self.keys, *first, setting),
        }
    }

    /// For each query, its positive key and all others.
    fn rows(&self) -> Vec<KeysOfQuery> {
        let keys: Vec<Vec<f64>> = wide(&self.keys).chunks(self.c).map(<[f64]>::to_vec).collect();
        let row = |i: usize| match &self.against {
            Against::Queue(queue) => {
                (keys[i].clone(), wide(queue).chunks(self.c).map(<[f64]>::to_vec).collect())
            }
            Against::Batch(first) => {
                let mut others = keys.clone();
                (others.remove(first + i), others)
            }
        };
        (0..self.queries.len() / self.c).map(row).collect()
    }

    /// The loss by its definition, of queries.
    fn loss(&self, queries: &[f64]) -> f64 {
        let rows = self.rows();
        let loss = |(query, (positive, others)): (&[f64], &KeysOfQuery)| {
            let (greatest, own, powers) = self.powers(query, positive, others);
            let sum = powers.iter().sum::<f64>();
            // The positive, of the power 1, would take the digits of all that is small.
            if greatest == 0.0 { sum.ln_1p() } else { greatest + (own + sum).ln() }
        };
        queries.chunks(self.c).zip(&rows).map(loss).sum::<f64>() / rows.len() as f64
    }

    /// The greatest logit less the positive's; and the powers of the positive and the others, relative to the greatest.
    fn powers(&self, query: &[f64], positive: &[f64], others: &[Vec<f64>]) -> (f64, f64, Vec<f64>) {
        let dot = |key: &[f64]| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
        let logit = |key: &Vec<f64>| (dot(key) - dot(positive)) / f64::from(self.temperature);
        let greatest = others.iter().map(logit).fold(0.0, f64::max);
        (greatest, (-greatest).exp(), others.iter().map(|key| (logit(key) - greatest).exp()).collect())
    }

    /// The mean key under the softmax, less the positive key.
    fn directions(&self) -> Vec<f64> {
        let mut directions = Vec::new();
        for (query, (positive, others)) in wide(&self.queries).chunks(self.c).zip(self.rows()) {
            let (_, own, powers) = self.powers(query, &positive, &others);
            let total = own + powers.iter().sum::<f64>();
            directions.extend((0..self.c).map(|at| {
                let pulls = powers.iter().zip(&others);
                pulls.map(|(power, key)| power / total * (key[at] - positive[at])).sum::<f64>()
            }));
        }
        directions
    }

    /// `(N, 1 + negatives)`, or `(N, M)`.
    fn logits(&self) -> Vec<f64> {
        let mut logits = Vec::new();
        for (i, (query, (positive, mut others))) in
            wide(&self.queries).chunks(self.c).zip(self.rows()).enumerate()
        {
            let place = if let Against::Batch(first) = self.against { first + i } else { 0 };
            others.insert(place, positive);
            let dot = |key: &Vec<f64>| query.iter().zip(key).map(|(q, k)| q * k).sum::<f64>();
            logits.extend(others.iter().map(|key| dot(key) / f64::from(self.temperature)));
        }
        logits
    }
}

/// Both losses at sizes of one task and of several, with and without whole panels, and with one negative.
fn cases(temperature: f32) -> Vec<Case> {
    let mut cases = Vec::new();
    for (n, c, n_negatives) in [(1, 1, 1), (1, 3, 1), (5, 7, 9), (3, 16, 300), (130, 33, 129)] {
        let (queries, keys) = (unit_rows(1, n, c), unit_rows(2, n, c));
        let against = Against::Queue(unit_rows(3, n_negatives, c));
        cases.push(Case { c, queries, keys, against, temperature });
    }
    for (n, c, n_keys, first) in
        [(1, 1, 2, 1), (2, 3, 2, 0), (5, 7, 9, 3), (33, 16, 33, 0), (17, 5, 300, 255), (140, 33, 330, 187)]
    {
        let (queries, keys) = (unit_rows(1, n, c), unit_rows(2, n_keys, c));
        cases.push(Case { c, queries, keys, against: Against::Batch(first), temperature });
    }
    cases
}

#[test]
fn losses_and_gradients_agree_with_differences() {
    for temperature in [0.2, 1.0] {
        for case in cases(temperature).into_iter().filter(|case| case.queries.len() < 600) {
            let queries = wide(&case.queries);
            let loss = case.loss(&queries);
            let n = queries.len() / case.c;
            let by_q = differences(|queries| case.loss(queries), &queries);
            for family in families() {
                let got = case.run(family);
                assert!((got.cross_entropy - loss).abs() < 2e-6 * loss, "{family:?} {case:?}");
                let scale = 1.0 / (f64::from(temperature) * n as f64);
                let gradient: Vec<f32> = got.directions.iter().map(|value| (value * scale) as f32).collect();
                assert_close(&format!("{family:?}: queries"), &gradient, &by_q, 2e-5);
            }
        }
    }
}

#[test]
fn losses_gradients_and_logits_agree_with_their_formulas_at_any_temperature() {
    for temperature in [0.01, 0.07, 1e-3] {
        for case in cases(temperature) {
            let (loss, directions) = (case.loss(&wide(&case.queries)), case.directions());
            let logits = case.logits();
            for family in families() {
                let got = case.run(family);
                // A product is rounded, and what is divided by the temperature is an exponent.
                let tolerance = 2e-6 + 3e-7 / f64::from(temperature);
                assert!((got.cross_entropy - loss).abs() <= tolerance * loss, "{family:?} {case:?}");
                let got_directions: Vec<f32> = got.directions.iter().map(|value| *value as f32).collect();
                assert_close(&format!("{family:?}: directions"), &got_directions, &directions, tolerance);
                assert_close(&format!("{family:?}: logits"), &got.logits.unwrap(), &logits, 2e-6);
                let n = case.queries.len() / case.c;
                let rows = logits.chunks(logits.len() / n).enumerate();
                let is_right = |(i, row): &(usize, &[f64])| {
                    let place = if let Against::Batch(first) = case.against { first + i } else { 0 };
                    row.iter().enumerate().all(|(at, logit)| at == place || *logit < row[place])
                };
                assert_eq!(got.n_right, rows.filter(is_right).count());
            }
        }
    }
}

#[test]
fn small_losses_keep_their_digits() {
    // Each query is its own key, and the others are at right angles: e^-50 is lost beside 1.
    let c = 3;
    let keys: Vec<f32> = (0..9).map(|i| if i % 4 == 0 { 1.0 } else { 0.0 }).collect();
    let others = keys[3..].to_vec();
    let in_batch = Case { c, queries: keys.clone(), keys, against: Against::Batch(0), temperature: 0.02 };
    let own = in_batch.queries[..c].to_vec();
    let queue = Case { queries: own.clone(), keys: own, against: Against::Queue(others), ..in_batch.clone() };
    for case in [in_batch, queue] {
        let (loss, directions) = (case.loss(&wide(&case.queries)), case.directions());
        for family in families() {
            let got = case.run(family);
            assert_eq!(got.n_right, case.queries.len() / c);
            assert!(
                (got.cross_entropy / loss - 1.0).abs() < 1e-5,
                "{family:?}: {}, not {loss}",
                got.cross_entropy
            );
            for (got, &expected) in got.directions.iter().zip(&directions) {
                assert!((got - expected).abs() <= 1e-5 * expected.abs(), "{family:?}: {got}, not {expected}");
            }
        }
    }
}

#[test]
fn where_all_keys_are_equal_none_is_nearest() {
    let c = 7;
    let key = unit_rows(1, 1, c);
    let (n, n_keys) = (5, 201);
    let case = |against, n_keys: usize| Case {
        c,
        queries: key.repeat(n),
        keys: key.repeat(n_keys),
        against,
        temperature: 0.01,
    };
    for case in [case(Against::Batch(100), n_keys), case(Against::Queue(key.repeat(n_keys - 1)), n)] {
        for family in families() {
            let got = case.run(family);
            assert_eq!(got.n_right, 0, "{family:?}: a tie counts against");
            assert!((got.cross_entropy / (n_keys as f64).ln() - 1.0).abs() < 1e-6, "{family:?}");
            assert_close(
                "directions",
                &got.directions.iter().map(|x| *x as f32).collect::<Vec<_>>(),
                &vec![0.0; n * c],
                1e-3,
            );
        }
    }
}

#[test]
fn what_is_not_asked_for_is_not_there() {
    for case in cases(0.2) {
        let setting = Setting { temperature: case.temperature, wants_gradient: false, keeps_logits: false };
        let family = Family::detected();
        let queries = (&*case.queries, case.c);
        let got = match &case.against {
            Against::Queue(queue) => against_queue(family, queries, &case.keys, queue, setting),
            Against::Batch(first) => in_batch(family, queries, &case.keys, *first, setting),
        };
        assert!(got.directions.is_empty() && got.logits.is_none());
        assert_eq!(got.cross_entropy.to_bits(), case.run(family).cross_entropy.to_bits());
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for case in cases(0.2) {
        for family in families() {
            let run = |n_threads: usize| {
                let pool = ThreadPoolBuilder::new().num_threads(n_threads).build().unwrap();
                let got = pool.install(|| case.run(family));
                (got.cross_entropy, got.directions, got.logits)
            };
            let expected = run(1);
            assert!(run(2) == expected && run(64) == expected, "{family:?}");
        }
    }
}
