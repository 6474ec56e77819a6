//! Values that no encoder can be trained on from.

use run_store::checkpoint::Stored;

/// What is wrong with the values of the tensor called `name`: those that are not finite, and variances below 0. `None` if
/// nothing is.
pub fn implausible(name: &str, stored: &Stored) -> Option<String> {
    let Stored::F32 { values, .. } = stored else { return None };
    let found = |what: &str, is: fn(f32) -> bool| {
        let n = values.iter().filter(|value| is(**value)).count();
        let first = values.iter().find(|value| is(**value))?;
        Some(format!("{n} of {} values that {what}, {first} first", values.len()))
    };
    found("are not finite", |value| !value.is_finite()).or_else(|| {
        let is_variance = name.rsplit('.').next() == Some("running_var");
        is_variance.then(|| found("are variances below 0", |value| value < 0.0)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_must_be_finite_and_variances_not_negative() {
        let of = |name: &str, values: &[f32]| {
            implausible(name, &Stored::F32 { shape: vec![values.len()], values: values.to_vec() })
        };
        let (variance, mean) = ("bn1.running_var", "bn1.running_mean");
        assert_eq!(of(variance, &[0.0, -0.0, 1.0, f32::MAX]), None);
        assert_eq!(of(mean, &[-1.0]), None);
        assert_eq!(implausible("n", &Stored::U64(vec![1])), None);
        let told = |name, values: &[f32]| of(name, values).unwrap();
        assert_eq!(told(mean, &[1.0, f32::NAN]), "1 of 2 values that are not finite, NaN first");
        assert_eq!(
            told(mean, &[f32::NEG_INFINITY, f32::NAN]),
            "2 of 2 values that are not finite, -inf first"
        );
        assert_eq!(told(variance, &[1.0, -1.0]), "1 of 2 values that are variances below 0, -1 first");
        assert_eq!(told("running_var", &[-1.0]), "1 of 1 values that are variances below 0, -1 first");
    }
}
