//! What a batch norm exchanges where a batch is spread over processes.

#[cfg(test)]
mod tests;

use kernels_cpu::norm::{GradientSums, Statistics};
use processes::{Processes, ProcessesError};

use crate::{
    backend::{Computed, SumsOfAll},
    tape::Pass,
};

/// The statistics of what all processes normalize, joined in order of rank: the same on all of them.
pub(super) fn statistics_of_all(
    processes: &dyn Processes,
    own: &Statistics,
) -> Result<Statistics, ProcessesError> {
    let c = own.mean.len();
    let n_values = [own.n_values.unwrap_or_default()];
    let of_ranks = gather(processes, &[&n_values, &own.mean[..], &own.var[..]].concat())?;
    let of_ranks: Vec<Statistics> = of_ranks
        .iter()
        .map(|of_rank| {
            let (mean, var) = of_rank[1..].split_at(c);
            Statistics { mean: mean.to_vec(), var: var.to_vec(), n_values: Some(of_rank[0]) }
        })
        .collect();
    Ok(Statistics::union(&of_ranks))
}

/// The sums of all processes, added in order of rank.
fn sums_of_all(processes: &dyn Processes, own: GradientSums) -> Result<GradientSums, ProcessesError> {
    let mut of_ranks = gather(processes, &[&own.plain[..], &own.with_distance[..]].concat())?.into_iter();
    let mut plain = of_ranks.next().unwrap_or_default();
    for of_rank in of_ranks {
        plain.iter_mut().zip(of_rank).for_each(|(sum, value)| *sum += value);
    }
    let with_distance = plain.split_off(own.plain.len());
    Ok(GradientSums { plain, with_distance })
}

/// Some work of a backward pass that asks for the sums of all processes, if there are several.
pub(super) fn with_sums_of_all<R>(
    processes: Option<&dyn Processes>,
    pass: &mut Pass<'_>,
    work: impl FnOnce(Option<SumsOfAll<'_>>) -> Computed<R>,
) -> Computed<R> {
    match processes {
        None => work(None),
        Some(processes) => {
            work(Some(&mut |own| sums_of_all(processes, own).map_err(|error| pass.fail(error))))
        }
    }
}

/// What each process gives, in order of rank: as many values as this one.
fn gather(processes: &dyn Processes, own: &[f64]) -> Result<Vec<Vec<f64>>, ProcessesError> {
    let bytes: Vec<u8> = own.iter().flat_map(|value| value.to_le_bytes()).collect();
    let of_ranks = processes.gather_bytes(&bytes)?;
    if let Some(rank) = of_ranks.iter().position(|of_rank| of_rank.len() != bytes.len()) {
        let sums = |n_bytes: usize| format!("{} sums of a batch norm", n_bytes / size_of::<f64>());
        return Err(ProcessesError::OutOfStep {
            own_rank: processes.rank(),
            own: sums(bytes.len()),
            rank,
            theirs: sums(of_ranks[rank].len()),
        });
    }
    let values =
        |bytes: &Vec<u8>| bytes.as_chunks().0.iter().map(|value| f64::from_le_bytes(*value)).collect();
    Ok(of_ranks.iter().map(values).collect())
}
