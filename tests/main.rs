//! The program as its users meet it: every test here runs the built binary on files, in a folder of its own.
//!
//! What one crate promises is tested beside its code; here is what only holds of all of them together.
//! `UPDATE_EXPECT=1` rewrites the expected messages in `rejected/`; read the difference before keeping it.

mod support;

// Pipelines: refused with a message at the right line, or accepted.
mod pipelines;
mod rejected;
mod rejected_cases;
// Runs: the same bits however they are cut, and images as they come.
mod endings;
mod images_elsewhere;
#[cfg(feature = "mpi")]
mod mpi;
mod odd_images;
mod processes;
mod resume;
mod starting_from;
mod sweep;
// What has no end, or asks for too much.
mod limits;
// What happens to them from outside.
mod faults;
// Parameters that are held still, and views for training alone.
mod held_still;
// Runs that become unstable.
mod stability;
// What a trained encoder is worth.
mod evaluation;
mod going_on;
mod labels_elsewhere;
// The same numbers as the reference.
mod parity;
// Weights for other programs, and from them.
mod exchange;
mod exchange_untrusted;
// Every command.
mod commands;
mod embedding;
// Pages, as a browser shows them.
mod browser;
mod for_programs;
mod new_plugin;
mod pages;
mod predicting;
mod runs;
mod schema;
// A folder of images, and no pipeline.
mod training_on_a_folder;
// Who may depend on whom.
mod architecture;
// Documents agree with the program.
mod documents;
