//! What each loss is called here.

use serde_json::Value;

use crate::ParityError;
use crate::file::LossFile;

/// A loss of a golden file, and the objective that is to be the same.
#[derive(Debug, PartialEq)]
pub(crate) struct Method {
    /// What files call it.
    pub(crate) loss: &'static str,
    /// The plugin.
    pub(crate) plugin: &'static str,
    /// The beginning of the names of values that are trained.
    pub(crate) trained: &'static str,
    /// The beginning of the names of values that are fixed, if there are any.
    pub(crate) fixed: Option<&'static str>,
    /// The config's fields, with the settings that they are in a file.
    pub(crate) fields: &'static [Field],
}

/// A field of a config.
#[derive(Debug, PartialEq)]
pub(crate) struct Field {
    name: &'static str,
    setting: &'static str,
    /// Whether a file may leave it out, so that the default holds.
    is_optional: bool,
}

const fn field(name: &'static str, setting: &'static str) -> Field {
    Field { name, setting, is_optional: false }
}

const fn optional(name: &'static str, setting: &'static str) -> Field {
    Field { name, setting, is_optional: true }
}

const METHODS: &[Method] = &[
    Method {
        loss: "nt_xent",
        plugin: "nt-xent",
        trained: "z",
        fixed: None,
        fields: &[field("temperature", "temperature")],
    },
    Method {
        loss: "dcl",
        plugin: "dcl",
        trained: "z",
        fixed: None,
        fields: &[field("temperature", "temperature"), optional("sigma", "sigma")],
    },
    Method {
        loss: "barlow_twins",
        plugin: "barlow-twins",
        trained: "z",
        fixed: None,
        fields: &[field("redundancy", "lambda_param")],
    },
    Method {
        loss: "vicreg",
        plugin: "vicreg",
        trained: "z",
        fixed: None,
        fields: &[
            field("invariance", "lambda_param"),
            field("variance", "mu_param"),
            field("covariance", "nu_param"),
            optional("eps", "eps"),
        ],
    },
    Method {
        loss: "negative_cosine",
        plugin: "negative-cosine",
        trained: "p",
        fixed: Some("z"),
        fields: &[],
    },
    Method {
        loss: "dino",
        plugin: "dino",
        trained: "student",
        fixed: Some("teacher"),
        fields: &[
            field("student_temperature", "student_temp"),
            field("teacher_temperature", "teacher_temp"),
            field("warmup_teacher_temperature", "warmup_teacher_temp"),
            field("warmup_epochs", "warmup_teacher_temp_epochs"),
            field("center_momentum", "center_momentum"),
        ],
    },
    Method {
        loss: "swav",
        plugin: "swav",
        trained: "scores",
        fixed: None,
        fields: &[
            field("high", "n_high"),
            field("temperature", "temperature"),
            field("sinkhorn_iterations", "sinkhorn_iterations"),
            field("sinkhorn_epsilon", "sinkhorn_epsilon"),
        ],
    },
    Method {
        loss: "nnclr",
        plugin: "nnclr",
        trained: "p",
        fixed: Some("z"),
        fields: &[field("len", "bank_size"), field("temperature", "temperature")],
    },
];

impl Method {
    /// The one that a file is of.
    pub(crate) fn of(file: &LossFile) -> Result<&'static Self, ParityError> {
        let known = || METHODS.iter().map(|method| method.loss).collect::<Vec<_>>().join(", ");
        match file.setting("loss") {
            Some(Value::String(loss)) => METHODS
                .iter()
                .find(|method| method.loss == loss)
                .ok_or_else(|| file.wrong(format!("its loss is `{loss}`, and only {} are known", known()))),
            Some(other) => {
                Err(file.wrong(format!("its loss is {other}, which is no name: {} are known", known())))
            }
            None => Err(file.wrong(format!("it has no setting `loss`: {} are known", known()))),
        }
    }

    /// The config, as a pipeline file has it.
    pub(crate) fn config(&self, file: &LossFile) -> Result<String, ParityError> {
        let mut fields = Vec::new();
        for Field { name, setting, is_optional } in self.fields {
            match file.setting(setting) {
                Some(Value::Number(number)) => fields.push(format!("{name}: {}", written(number))),
                None | Some(Value::Null) if *is_optional => {}
                None => return Err(file.wrong(format!("it has no setting `{setting}`"))),
                Some(other) => {
                    return Err(file.wrong(format!("its setting `{setting}` is {other}, expected a number")));
                }
            }
        }
        Ok(format!("({})", fields.join(", ")))
    }
}

/// A whole number as one, so that it can stand for a count or for a number.
fn written(number: &serde_json::Number) -> String {
    match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(number)) => format!("{number:?}"),
        (None, None) => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::tests::bytes;

    fn file(settings: &[(&str, &str)]) -> LossFile {
        LossFile::parse("f", &bytes(settings, &[])).unwrap()
    }

    #[test]
    fn settings_become_a_config() {
        let file = file(&[
            ("loss", "\"vicreg\""),
            ("lambda_param", "25.0"),
            ("mu_param", "2"),
            ("nu_param", "1e-05"),
        ]);
        let method = Method::of(&file).unwrap();
        assert_eq!(method.plugin, "vicreg");
        assert_eq!(method.config(&file).unwrap(), "(invariance: 25.0, variance: 2, covariance: 1e-5)");
    }

    #[test]
    fn what_is_not_known_is_one_error() {
        let said = |settings: &[(&str, &str)]| {
            let file = file(settings);
            let config = Method::of(&file).and_then(|method| method.config(&file));
            config.unwrap_err().to_string()
        };
        let known = "nt_xent, dcl, barlow_twins, vicreg, negative_cosine, dino, swav, nnclr";
        assert_eq!(said(&[("kind", "loss")]), format!("`f`: it has no setting `loss`: {known} are known"));
        assert_eq!(
            said(&[("loss", "\"tico\"")]),
            format!("`f`: its loss is `tico`, and only {known} are known")
        );
        assert_eq!(said(&[("loss", "nt_xent")]), "`f`: it has no setting `temperature`");
        assert_eq!(
            said(&[("loss", "nt_xent"), ("temperature", "\"hot\"")]),
            "`f`: its setting `temperature` is \"hot\", expected a number"
        );
    }
}
