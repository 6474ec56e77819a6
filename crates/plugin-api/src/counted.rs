//! Numbers of things in messages.

/// `1 epoch`, `2 epochs`.
///
/// ```
/// assert_eq!(plugin_api::counted(1, "epoch"), "1 epoch");
/// assert_eq!(plugin_api::counted(0, "epoch"), "0 epochs");
/// ```
pub fn counted(n: usize, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}
