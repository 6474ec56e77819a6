/* What the files of the emulation share. */

#ifndef CUDA_EMULATION_H
#define CUDA_EMULATION_H

#include <stddef.h>
#include <stdint.h>

#include "interface.h"

typedef unsigned long long CUdeviceptr;

/* Values of CUresult. */
enum {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_IMAGE = 200,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_FILE_NOT_FOUND = 301,
    CUDA_ERROR_SHARED_OBJECT_INIT_FAILED = 303,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_SUPPORTED = 801,
};

enum {
    MULTIPROCESSORS = 4,
    MAX_BLOCK_THREADS = 1024,
    MAX_MULTIPROCESSOR_THREADS = 2048,
    MAX_SHARED_BYTES = 48 * 1024, /* without asking for more */
    MAX_SHARED_BYTES_ASKED = 227 * 1024,
    WARP_LANES = 32,
};

enum { POISON = 0xFF, CANARY = 0xA5 };

/* The first line of what NVRTC hands out as PTX; the second is the path of a shared library. */
#define MODULE_MARKER "// emulated CUDA module\n"
#define TRAMPOLINE_PREFIX "emulation_launch_"

typedef struct Kernel {
    void (*trampoline)(void **parameters);
    const char *name;
    struct Module *module;
    int max_dynamic_shared;
} Kernel;

/* Misuse that a GPU would not report aborts: a test that carried on would prove nothing. */
_Noreturn void emulation_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What a program asked the driver and cuBLAS to do, by thread: see `cuda_emulation_counts`. */
enum Counted { ALLOCATIONS, FREES, FILLS, COPIES, LAUNCHES, PRODUCTS, CONTEXT_CHANGES, COUNTED };
extern __thread unsigned long long emulation_counts[COUNTED];

/* Aborts unless the bytes lie within one allocation. */
void memory_require_range(CUdeviceptr pointer, size_t bytes, const char *use);
size_t memory_total(void);
int cuMemGetInfo_v2(size_t *available, size_t *total);

/* Fills the static shared memory that the calling thread has for the kernel's module. */
void module_poison_shared(const struct Module *module);

/* Called by the lanes of a warp; the last one to arrive does the operation for all. Lanes that are
 * not in the warp, not in the mask or have returned have no arguments. */
typedef void (*WarpOperation)(void *const arguments[WARP_LANES]);
void warp_collective(unsigned mask, void *arguments, WarpOperation operation);
void abort_in_kernel(const char *message) __attribute__((noreturn));

extern const EmulationServices emulation_services;
void copy_issue(void *shared, const void *global, int bytes);
void copy_commit(void);
void copy_wait(int pending_groups);
void synchronize_block(int line);

#endif
