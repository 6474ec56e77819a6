//! A CUDA driver, cuBLAS and NVRTC that run on the host: for tests of the CUDA build on machines
//! without a GPU.
//!
//! The crate has no Rust interface. It holds the C functions that `cudarc` 0.9 declares and, with the
//! feature `ci-check`, links to nothing: a test program that depends on this crate gets them from
//! here. It has to name the crate, or the compiler leaves it out:
//!
//! ```ignore
//! use cuda_emulation as _;
//! ```
//!
//! It never belongs in a program that is linked to the real libraries: the names are the same.
//!
//! # Kernels
//!
//! NVRTC hands the source to the host's C compiler (`cc`, or what `CUDA_EMULATION_CC` names), after a
//! prelude that defines `EMULATED` and the part of CUDA C that `native/prelude.h` lists. Kernels are
//! thus written in what C and CUDA C++ have in common, and through macros where the two differ:
//!
//! | in the source | for NVRTC | here |
//! |---|---|---|
//! | `KERNEL(name)(float *x)` | `extern "C" __global__ void name(float *x)` | a function and a trampoline |
//! | `DEVICE` | `static __device__ __forceinline__` | `static inline` |
//! | `DYNAMIC_SHARED(float, x);` | `extern __shared__ float x[];` | a pointer |
//! | `mma_m16n8k8_tf32`, `mma_m16n8k16_bf16` | `mma.sync` in assembly | a product of small matrices |
//! | `cp_async_16`, `cp_async_commit`, `cp_async_wait` | `cp.async` in assembly | a late copy |
//!
//! `extern "C" __global__ void name(…)` works as well. Parameters are scalars, pointers and structs
//! with a `typedef`. The compiled kernels stay in the temporary folder, named by a hash of what they
//! were made of. dfdx's own kernels cannot run: the feature `ci-check` leaves empty files in their place.
//!
//! # What it notices
//!
//! The emulation is there to find mistakes rather than to be fast. With a message it aborts upon
//!
//! - a write past either end of an allocation (seen when it is freed) or of dynamic shared memory,
//! - a copy, a memset or a matrix product outside of what is allocated, and a free of what is not,
//! - threads of a block that wait for each other forever, or at different `__syncthreads`,
//! - a matrix instruction in an incomplete warp, and an unaligned `cp_async_16`.
//!
//! Fresh memory, dynamic shared memory at the start of a block, `__shared__` variables at the start of
//! a launch, what a shuffle reads from a lane that is not there and what `cp_async_16` has not yet
//! copied hold the bits of NaNs. A kernel whose variables take more than 32 KiB does not compile, and
//! a thread whose calls need more than 56 KiB in all dies of `SIGSEGV`. Launches and copies are checked as the
//! driver checks them, shared memory beyond 48 KiB and memory beyond the device's included.
//!
//! It cannot notice races between blocks, uncoalesced or conflicting accesses, reads past an end, or
//! that a kernel has too many registers: that takes a GPU. Nor does anything run asynchronously.
//!
//! # What it counts
//!
//! `void cuda_emulation_counts(unsigned long long counts[7])` tells how often the calling thread has asked for memory on the
//! device, given it back, filled it, copied to, from or within it, launched a kernel, multiplied matrices and changed its
//! context, in this order: for tests of how much a program asks of a driver.
//!
//! # Environment
//!
//! - `CUDA_EMULATION_ORDER`: in what order the threads of a block run between barriers. `reverse` and
//!   `shuffle` reveal many a missing barrier; otherwise the order is ascending.
//! - `CUDA_EMULATION_THREADS`: `1` runs one block at a time instead of two.
//! - `CUDA_EMULATION_MEMORY_MIB`: the device's memory, 16 GiB unless set; `0.5` is half a MiB.
//! - `CUDA_EMULATION_CC`: the compiler of kernels.
