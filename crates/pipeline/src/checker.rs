//! What every check needs: the text, the tree, and faults at paths.

use std::ops::Range;

use crate::moved::Moved;
use crate::{number_word, plugin_word};
use pipeline_text::Checked;
use pipeline_text::Fault;
use pipeline_text::PipelineText;
use pipeline_text::{Node, NodeKind};
use plugin_api::{self, Config, ConfigError, Kind, Plugin};

/// A pipeline's text during the checks.
pub(crate) struct Checker {
    pub(crate) text: PipelineText,
}

impl Checker {
    pub(crate) fn new(text: PipelineText) -> Self {
        Self { text }
    }

    /// Where everything stands.
    pub(crate) fn tree(&self) -> &Node {
        &self.text.tree
    }

    /// A fault at the value at `path`, or at the nearest value around it.
    pub(crate) fn fault(
        &self,
        path: &[&str],
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Box<Fault> {
        self.text.fault(self.span(path), message, Some(hint.into()))
    }

    /// A fault at the name of the value at `path`: for what is wrong with a thing as a whole.
    pub(crate) fn fault_at_name(
        &self,
        path: &[&str],
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Box<Fault> {
        let span = self.tree().find_name(path).unwrap_or_else(|| self.span(path));
        self.text.fault(span, message, Some(hint.into()))
    }

    /// `path` of strings: for paths with numbers in them.
    pub(crate) fn fault_at(
        &self,
        path: &[String],
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Box<Fault> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.fault(&path, message, hint)
    }

    /// The value at `path`, as it is written.
    pub(crate) fn text_at(&self, path: &[String]) -> Option<&str> {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        self.tree().find(&path).map(|node| &self.text.text[node.span.clone()])
    }

    fn span(&self, path: &[&str]) -> Range<usize> {
        (0..=path.len())
            .rev()
            .find_map(|length| self.tree().find(&path[..length]))
            .map_or(0..0, |node| node.span.clone())
    }

    /// The plugin name and config text at `path`.
    pub(crate) fn plugin_at(&self, path: &[&str]) -> Checked<(String, Range<usize>, Range<usize>)> {
        let parts = self.tree().find(path).and_then(|node| match &node.kind {
            NodeKind::Items(items) => match items.as_slice() {
                [Node { kind: NodeKind::Text(name), span }, config] => {
                    Some((name.clone(), span.clone(), config.span.clone()))
                }
                _ => None,
            },
            _ => None,
        });
        parts.ok_or_else(|| {
            self.fault(path, "expected a plugin: a name and its config", "write `(\"name\", (field: value))`")
        })
    }

    /// Builds the plugin of kind `T` at `path`.
    pub(crate) fn build<T: Kind + ?Sized>(&self, path: &[&str], context: &T::Context) -> Checked<Box<T>>
    where
        Plugin<T>: inventory::Collect,
    {
        self.build_moved(path, context, &Moved::default())
    }

    /// [`build`](Self::build) with paths in the config as they are after `moved`.
    pub(crate) fn build_moved<T: Kind + ?Sized>(
        &self,
        path: &[&str],
        context: &T::Context,
        moved: &Moved,
    ) -> Checked<Box<T>>
    where
        Plugin<T>: inventory::Collect,
    {
        self.build_as(path, context, |text, config| moved.text_of(text, config))
    }

    /// [`build`](Self::build) with the config that `text_of` gives for the pipeline's text and the config in it.
    pub(crate) fn build_as<T: Kind + ?Sized>(
        &self,
        path: &[&str],
        context: &T::Context,
        text_of: impl Fn(&str, &Node) -> String,
    ) -> Checked<Box<T>>
    where
        Plugin<T>: inventory::Collect,
    {
        let (name, name_span, config_span) = self.plugin_at(path)?;
        let config = match self.tree().find(path).and_then(Node::plugin) {
            Some((_, config)) => text_of(&self.text.text, config),
            None => self.text.text[config_span.clone()].to_owned(),
        };
        plugin_api::build::<T>(&name, Config::new(&config), context).map_err(|error| {
            let mut fault = self.plugin_fault(path, &name, name_span, config_span, &error);
            if plugin_api::find::<T>(&name).is_none()
                && let Some(hint) = plugin_word::hint_for_name(T::NAME, &name)
            {
                fault.hint = Some(hint);
            }
            fault
        })
    }

    /// [`build`](Self::build) of a plugin that is told what else the file has at `fits`: what does not fit is shown there, and
    /// not at the plugin's name.
    pub(crate) fn build_for<T: Kind + ?Sized>(
        &self,
        path: &[&str],
        context: &T::Context,
        fits: &[String],
    ) -> Checked<Box<T>>
    where
        Plugin<T>: inventory::Collect,
    {
        let (name, _, config_span) = self.plugin_at(path)?;
        let fits: Vec<&str> = fits.iter().map(String::as_str).collect();
        plugin_api::build::<T>(&name, Config::new(&self.text.text[config_span.clone()]), context)
            .map_err(|error| self.plugin_fault(path, &name, self.span(&fits), config_span, &error))
    }

    /// The fault for what a plugin at `path` refused.
    fn plugin_fault(
        &self,
        path: &[&str],
        name: &str,
        name_span: Range<usize>,
        config_span: Range<usize>,
        error: &ConfigError,
    ) -> Box<Fault> {
        let hint = error.hint().map(str::to_owned);
        match error {
            ConfigError::Parse { span, .. } => {
                let start = (config_span.start + span.start).min(config_span.end);
                let end = (config_span.start + span.end).clamp(start, config_span.end);
                let hint = hint.or_else(|| number_word::hint(&self.text, &(start..end), &error.to_string()));
                self.text.fault(start..end, format!("{name}: {error}"), hint)
            }
            ConfigError::Field { field, .. } => {
                let mut place: Vec<&str> = path.to_vec();
                place.extend(field.split('.'));
                let span = match self.tree().find(&place) {
                    Some(node) => node.span.clone(),
                    None => config_span,
                };
                self.text.fault(span, format!("{name}: {error}"), hint)
            }
            ConfigError::Nested { field, source } => {
                let mut place: Vec<&str> = path.to_vec();
                place.extend(field.split('.'));
                match self.plugin_at(&place) {
                    Ok((name, name_span, config_span)) => {
                        self.plugin_fault(&place, &name, name_span, config_span, source)
                    }
                    Err(_) => self.text.fault(config_span, format!("{name}: `{field}`: {error}"), hint),
                }
            }
            _ => self.text.fault(name_span, error.to_string(), hint),
        }
    }

    /// The fault for a [`ConfigError`] that an already built plugin at `path` gave.
    pub(crate) fn unfit(&self, path: &[&str], error: &ConfigError) -> Box<Fault> {
        match self.plugin_at(path) {
            Ok((name, name_span, config_span)) => {
                self.plugin_fault(path, &name, name_span, config_span, error)
            }
            Err(fault) => fault,
        }
    }
}
