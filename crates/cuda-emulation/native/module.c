/* Modules and kernels: shared libraries that the emulated NVRTC has compiled, and what is asked
 * about the kernels in them. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulation.h"

typedef struct Module {
    void *library;
    /* Where the static shared memory lies, seen from what the function returns on each thread. */
    char *(*shared_memory)(void);
    size_t shared_offset, shared_bytes;
    Kernel **kernels;
    size_t kernel_count;
} Module;

static int find_shared_memory(struct dl_phdr_info *library, size_t size, void *argument) {
    (void)size;
    Module *module = argument;
    struct link_map *map;
    if (dlinfo(module->library, RTLD_DI_LINKMAP, &map) != 0 || map->l_addr != library->dlpi_addr) return 0;
    for (int index = 0; index < library->dlpi_phnum; index++) {
        if (library->dlpi_phdr[index].p_type != PT_TLS || !library->dlpi_tls_data) continue;
        module->shared_offset = (size_t)(module->shared_memory() - (char *)library->dlpi_tls_data);
        module->shared_bytes = library->dlpi_phdr[index].p_memsz;
    }
    return 1;
}

void module_poison_shared(const Module *module) {
    if (module->shared_bytes) memset(module->shared_memory() - module->shared_offset, POISON, module->shared_bytes);
}

int cuModuleLoadData(Module **module, const char *image) {
    size_t marker = strlen(MODULE_MARKER);
    if (!image || strncmp(image, MODULE_MARKER, marker) != 0) return CUDA_ERROR_INVALID_PTX;
    char path[4096];
    snprintf(path, sizeof path, "%.*s", (int)strcspn(image + marker, "\n"), image + marker);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        fprintf(stderr, "cuda-emulation: %s\n", dlerror());
        return CUDA_ERROR_SHARED_OBJECT_INIT_FAILED;
    }
    *module = calloc(1, sizeof **module);
    if (!*module) return CUDA_ERROR_OUT_OF_MEMORY;
    (*module)->library = library;
    (*module)->shared_memory = (char *(*)(void))dlsym(library, "emulation_shared_memory");
    if ((*module)->shared_memory) {
        /* The call makes this thread's copy, which is only then there to be found. */
        (*module)->shared_memory();
        dl_iterate_phdr(find_shared_memory, *module);
    }
    return CUDA_SUCCESS;
}

int cuModuleLoadDataEx(Module **module, const char *image, unsigned count, int *options, void **values) {
    (void)count, (void)options, (void)values;
    return cuModuleLoadData(module, image);
}

int cuModuleLoad(Module **module, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) return CUDA_ERROR_FILE_NOT_FOUND;
    char image[4096 + sizeof MODULE_MARKER];
    size_t length = fread(image, 1, sizeof image - 1, file);
    fclose(file);
    image[length] = '\0';
    return cuModuleLoadData(module, image);
}

/* The library stays open: threads that ran its kernels still hold its thread-local variables. */
int cuModuleUnload(Module *module) {
    if (!module) return CUDA_ERROR_INVALID_HANDLE;
    for (size_t index = 0; index < module->kernel_count; index++) {
        free((char *)module->kernels[index]->name);
        free(module->kernels[index]);
    }
    free(module->kernels);
    free(module);
    return CUDA_SUCCESS;
}

int cuModuleGetFunction(Kernel **kernel, Module *module, const char *name) {
    char trampoline[512];
    snprintf(trampoline, sizeof trampoline, TRAMPOLINE_PREFIX "%s", name);
    void *address = dlsym(module->library, trampoline);
    if (!address) return CUDA_ERROR_NOT_FOUND;
    Kernel **kernels = realloc(module->kernels, (module->kernel_count + 1) * sizeof *kernels);
    Kernel *found = malloc(sizeof *found);
    char *own_name = strdup(name);
    if (!kernels || !found || !own_name) emulation_abort("the host is out of memory");
    *found = (Kernel){(void (*)(void **))address, own_name, module, MAX_SHARED_BYTES};
    module->kernels = kernels;
    module->kernels[module->kernel_count++] = found;
    *kernel = found;
    return CUDA_SUCCESS;
}

int cuModuleGetGlobal_v2(CUdeviceptr *pointer, size_t *bytes, Module *module, const char *name) {
    void *address = dlsym(module->library, name);
    Dl_info information;
    void *symbol = NULL;
    if (!address || !dladdr1(address, &information, &symbol, RTLD_DL_SYMENT) || !symbol) return CUDA_ERROR_NOT_FOUND;
    if (pointer) *pointer = (uintptr_t)address;
    if (bytes) *bytes = ((const ElfW(Sym) *)symbol)->st_size;
    return CUDA_SUCCESS;
}

int cuModuleGetLoadingMode(int *mode) {
    *mode = 1; /* eager */
    return CUDA_SUCCESS;
}

enum {
    ATTRIBUTE_MAX_THREADS = 0,
    ATTRIBUTE_REGISTERS = 4,
    ATTRIBUTE_PTX_VERSION = 5,
    ATTRIBUTE_BINARY_VERSION = 6,
    ATTRIBUTE_MAX_DYNAMIC_SHARED = 8,
};

int cuFuncSetAttribute(Kernel *kernel, int attribute, int value) {
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != ATTRIBUTE_MAX_DYNAMIC_SHARED) return CUDA_SUCCESS;
    if (value < 0 || value > MAX_SHARED_BYTES_ASKED) return CUDA_ERROR_INVALID_VALUE;
    kernel->max_dynamic_shared = value;
    return CUDA_SUCCESS;
}

int cuFuncGetAttribute(int *value, int attribute, Kernel *kernel) {
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    switch (attribute) {
    case ATTRIBUTE_MAX_THREADS: *value = MAX_BLOCK_THREADS; break;
    case ATTRIBUTE_REGISTERS: *value = 32; break;
    case ATTRIBUTE_PTX_VERSION: *value = 90; break;
    case ATTRIBUTE_BINARY_VERSION: *value = 90; break;
    case ATTRIBUTE_MAX_DYNAMIC_SHARED: *value = kernel->max_dynamic_shared; break;
    default: *value = 0; break;
    }
    return CUDA_SUCCESS;
}

int cuFuncSetCacheConfig(Kernel *kernel, int config) {
    (void)config;
    return kernel ? CUDA_SUCCESS : CUDA_ERROR_INVALID_HANDLE;
}
int cuFuncSetSharedMemConfig(Kernel *kernel, int config) { return cuFuncSetCacheConfig(kernel, config); }

int cuFuncGetModule(Module **module, Kernel *kernel) {
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    *module = kernel->module;
    return CUDA_SUCCESS;
}

/* Occupancy, as threads and dynamic shared memory limit it: the rest of what does is unknown here. */

int cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, Kernel *kernel, int block_threads, size_t shared_bytes) {
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    if (block_threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    size_t by_threads = (size_t)(MAX_MULTIPROCESSOR_THREADS / block_threads);
    size_t by_shared = MAX_SHARED_BYTES_ASKED / (shared_bytes + 1024);
    size_t limit = by_threads < by_shared ? by_threads : by_shared;
    if (block_threads > MAX_BLOCK_THREADS || shared_bytes > (size_t)kernel->max_dynamic_shared) limit = 0;
    *blocks = limit < 32 ? (int)limit : 32;
    return CUDA_SUCCESS;
}

int cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, Kernel *kernel, int block_threads,
                                                         size_t shared_bytes, unsigned flags) {
    (void)flags;
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, kernel, block_threads, shared_bytes);
}

int cuOccupancyMaxPotentialBlockSize(int *grid, int *block, Kernel *kernel, size_t (*shared_of_block)(int),
                                     size_t shared_bytes, int limit) {
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    int threads = limit > 0 && limit < MAX_BLOCK_THREADS ? limit : MAX_BLOCK_THREADS;
    int blocks = 0;
    for (; threads > 0 && blocks == 0; threads -= blocks ? 0 : (threads > WARP_LANES ? WARP_LANES : 1))
        cuOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, threads,
                                                    shared_of_block ? shared_of_block(threads) : shared_bytes);
    *block = threads;
    *grid = blocks * MULTIPROCESSORS;
    return CUDA_SUCCESS;
}

int cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, Kernel *kernel, size_t (*shared_of_block)(int),
                                              size_t shared_bytes, int limit, unsigned flags) {
    (void)flags;
    return cuOccupancyMaxPotentialBlockSize(grid, block, kernel, shared_of_block, shared_bytes, limit);
}

int cuOccupancyAvailableDynamicSMemPerBlock(size_t *bytes, Kernel *kernel, int blocks, int block_threads) {
    (void)block_threads;
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    if (blocks <= 0) return CUDA_ERROR_INVALID_VALUE;
    size_t share = (size_t)(MAX_SHARED_BYTES_ASKED / blocks);
    *bytes = share < (size_t)kernel->max_dynamic_shared ? share : (size_t)kernel->max_dynamic_shared;
    return CUDA_SUCCESS;
}
