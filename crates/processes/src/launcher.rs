//! Whether a launcher has started this program, as one of several processes.
//!
//! Told from the environment alone: a program that is built without a library for several processes must not run as many
//! times, each by itself and all in one folder.

/// What has started this program as one of several, as the environment shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Launcher {
    /// What a user calls it.
    pub name: &'static str,
    /// How many processes it has started; `None` if it does not say.
    pub n: Option<usize>,
    /// The number of this one; `None` if it does not say.
    pub rank: Option<usize>,
}

/// The variables of the environment that a launcher sets.
struct Variables {
    name: &'static str,
    /// Nothing else sets it.
    sign: &'static str,
    n: &'static str,
    rank: &'static str,
}

/// The innermost launcher first: `mpirun` within a job of Slurm sets its own variables beside Slurm's.
const LAUNCHERS: [Variables; 5] = [
    Variables {
        name: "Open MPI's mpirun",
        sign: "OMPI_COMM_WORLD_SIZE",
        n: "OMPI_COMM_WORLD_SIZE",
        rank: "OMPI_COMM_WORLD_RANK",
    },
    // MPICH's and Intel's `mpirun`, and `srun --mpi=pmi2`.
    Variables { name: "a launcher with PMI", sign: "PMI_RANK", n: "PMI_SIZE", rank: "PMI_RANK" },
    Variables { name: "MPICH's mpirun", sign: "MPI_LOCALNRANKS", n: "PMI_SIZE", rank: "PMI_RANK" },
    // Not `SLURM_NTASKS` nor `SLURM_PROCID`: the script of `sbatch` has them, too, and runs once.
    Variables { name: "srun", sign: "SLURM_STEP_NUM_TASKS", n: "SLURM_STEP_NUM_TASKS", rank: "SLURM_PROCID" },
    // PMIx tells the number of processes by its library alone.
    Variables { name: "a launcher with PMIx", sign: "PMIX_RANK", n: "", rank: "PMIX_RANK" },
];

/// The launcher of this program; `None` if it was started by itself.
pub fn launcher() -> Option<Launcher> {
    launcher_in(|name| std::env::var(name).ok())
}

/// The launcher that an environment shows. `variable` gives the value of a variable that is set.
fn launcher_in(variable: impl Fn(&str) -> Option<String>) -> Option<Launcher> {
    let launcher = LAUNCHERS.iter().find(|launcher| variable(launcher.sign).is_some())?;
    let number = |name| variable(name)?.trim().parse().ok();
    Some(Launcher { name: launcher.name, n: number(launcher.n), rank: number(launcher.rank) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_environment(variables: &[(&str, &str)]) -> Option<(&'static str, Option<usize>, Option<usize>)> {
        let value = |name: &str| {
            variables.iter().find(|(set, _)| *set == name).map(|(_, value)| String::from(*value))
        };
        launcher_in(value).map(|launcher| (launcher.name, launcher.n, launcher.rank))
    }

    #[test]
    fn launchers_are_told_by_their_variables() {
        let open_mpi = [("OMPI_COMM_WORLD_SIZE", "4"), ("OMPI_COMM_WORLD_RANK", "3"), ("PMIX_RANK", "3")];
        assert_eq!(in_environment(&open_mpi), Some(("Open MPI's mpirun", Some(4), Some(3))));
        let mpich = [("PMI_SIZE", "16"), ("PMI_RANK", "9"), ("MPI_LOCALNRANKS", "8")];
        assert_eq!(in_environment(&mpich), Some(("a launcher with PMI", Some(16), Some(9))));
        assert_eq!(in_environment(&mpich[2..]), Some(("MPICH's mpirun", None, None)), "8 of how many?");
        let srun = [("SLURM_NTASKS", "8"), ("SLURM_STEP_NUM_TASKS", "2"), ("SLURM_PROCID", "1")];
        assert_eq!(in_environment(&srun), Some(("srun", Some(2), Some(1))));
        assert_eq!(in_environment(&[("PMIX_RANK", "5")]), Some(("a launcher with PMIx", None, Some(5))));
    }

    #[test]
    fn a_script_in_a_job_of_slurm_runs_once() {
        assert_eq!(
            in_environment(&[("SLURM_NTASKS", "8"), ("SLURM_PROCID", "0"), ("SLURM_NNODES", "2")]),
            None
        );
        assert_eq!(in_environment(&[("HOME", "/root"), ("WORLD_SIZE", "2")]), None);
        assert_eq!(in_environment(&[]), None);
    }

    #[test]
    fn mpirun_in_a_job_of_slurm_is_mpirun() {
        let slurm = [("SLURM_STEP_NUM_TASKS", "2"), ("SLURM_PROCID", "1")];
        let with = |inner: &[(&'static str, &'static str)]| in_environment(&[&slurm[..], inner].concat());
        let open_mpi = with(&[("OMPI_COMM_WORLD_SIZE", "32"), ("OMPI_COMM_WORLD_RANK", "17")]);
        assert_eq!(open_mpi, Some(("Open MPI's mpirun", Some(32), Some(17))));
        let mpich = with(&[("PMI_SIZE", "32"), ("PMI_RANK", "17")]);
        assert_eq!(mpich, Some(("a launcher with PMI", Some(32), Some(17))));
    }

    #[test]
    fn a_number_that_is_none_is_unknown() {
        let odd = [("OMPI_COMM_WORLD_SIZE", "many"), ("OMPI_COMM_WORLD_RANK", "-1")];
        assert_eq!(in_environment(&odd), Some(("Open MPI's mpirun", None, None)));
        assert_eq!(in_environment(&[("SLURM_STEP_NUM_TASKS", " 4 ")]), Some(("srun", Some(4), None)));
    }
}
