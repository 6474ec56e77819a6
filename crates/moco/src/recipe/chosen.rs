//! A value and its reason.

/// A value of a recipe, and why it is this one.
#[derive(Clone, Debug, PartialEq)]
pub struct Chosen<T> {
    /// The value.
    pub value: T,
    /// Why, in a few words; for a value that the person has given, what it means here, which may be nothing.
    pub why: String,
    /// Whether the person has given it.
    pub is_given: bool,
}

impl<T> Chosen<T> {
    /// A choice with its reason.
    pub fn new(value: T, why: impl Into<String>) -> Self {
        Self { value, why: why.into(), is_given: false }
    }

    /// What the person has said.
    pub fn given(value: T) -> Self {
        Self { value, why: String::new(), is_given: true }
    }

    /// What stands behind the value in a file, without the slashes.
    pub fn comment(&self) -> String {
        match (self.is_given, self.why.is_empty()) {
            (false, _) => self.why.clone(),
            (true, true) => "yours".into(),
            (true, false) => format!("yours; {}", self.why),
        }
    }
}
