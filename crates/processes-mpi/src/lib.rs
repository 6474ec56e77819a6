//! Processes that train one network together, on one machine or several, over MPI.
//!
//! Start at `MpiProcesses`. One thread makes every call of the MPI library; everything else asks that thread. The library
//! carries bytes and values and adds nothing: a sum is added in the order of `processes::Tree`, so its bits depend neither on
//! the library nor on the network.
//!
//! Absent: how a program is started on several machines, which is the launcher's business (`mpirun`, `srun`), and what is
//! exchanged when.
#![cfg(feature = "mpi")]
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod announcement;
mod carrier;
mod handle;
mod job;
mod lane;
mod link;
mod sums;

pub use self::handle::{MpiOptions, MpiProcesses};
