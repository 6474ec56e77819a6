//! What is wrong with a plugin.

/// What a check has found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {kind} `{name}`{}: {what}", with(config.as_deref()))]
pub struct Fault {
    kind: String,
    name: String,
    config: Option<String>,
    what: String,
}

fn with(config: Option<&str>) -> String {
    config.map_or_else(String::new, |config| format!(" with the config `{config}`"))
}

impl Fault {
    pub(crate) fn new(kind: &str, name: &str, config: Option<&str>, Wrong(what): Wrong) -> Self {
        Self { kind: kind.into(), name: name.into(), config: config.map(Into::into), what }
    }

    /// What is wrong, without the plugin's name and config.
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// What is wrong, where the plugin is known.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String);

pub(crate) type Checked<T = ()> = Result<T, Wrong>;

/// A [`Wrong`] with the message of `format!`.
macro_rules! wrong {
    ($($message:tt)*) => { $crate::fault::Wrong(format!($($message)*)) };
}

/// Returns a [`Wrong`] unless a condition holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)*) => {{
        // Comparisons of floats do not hold where one is not a number.
        let holds: bool = $holds;
        if !holds {
            return Err($crate::fault::wrong!($($message)*));
        }
    }};
}

pub(crate) use {ensure, wrong};
