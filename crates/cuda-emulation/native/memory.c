/* Device memory, which is host memory: poisoned when fresh and fenced by canaries, so that kernels
 * that read what nobody wrote or write past an end are noticed. */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulation.h"

enum { ALIGNMENT = 256, CANARY_BYTES = 256, BUCKETS = 1 << 10 };

typedef enum { ON_DEVICE, PINNED, REGISTERED } Place;

typedef struct Allocation {
    struct Allocation *next;
    char *start;
    size_t bytes;
    Place place;
} Allocation;

static Allocation *buckets[BUCKETS];
static size_t used;
static pthread_mutex_t registry = PTHREAD_MUTEX_INITIALIZER;

size_t memory_total(void) {
    const char *mebibytes = getenv("CUDA_EMULATION_MEMORY_MIB");
    return mebibytes ? (size_t)(strtod(mebibytes, NULL) * (1 << 20)) : (size_t)16 << 30;
}

static Allocation **bucket_of(const void *start) {
    return &buckets[((uintptr_t)start / ALIGNMENT * 0x9E3779B97F4A7C15u) >> 54];
}

/* The four functions below expect the registry to be locked. */

static Allocation **find_start(const void *start) {
    Allocation **link = bucket_of(start);
    while (*link && (*link)->start != start) link = &(*link)->next;
    return link;
}

static Allocation *find_containing(const char *pointer) {
    Allocation *exact = *find_start(pointer);
    if (exact) return exact;
    for (int bucket = 0; bucket < BUCKETS; bucket++)
        for (Allocation *allocation = buckets[bucket]; allocation; allocation = allocation->next)
            if (pointer >= allocation->start && pointer <= allocation->start + allocation->bytes) return allocation;
    return NULL;
}

static void insert(char *start, size_t bytes, Place place) {
    Allocation *allocation = malloc(sizeof *allocation);
    if (!allocation) emulation_abort("the host is out of memory");
    Allocation **bucket = bucket_of(start);
    *allocation = (Allocation){*bucket, start, bytes, place};
    *bucket = allocation;
}

static void check_canary(const Allocation *allocation, const char *canary, const char *end) {
    for (int byte = 0; byte < CANARY_BYTES; byte++)
        if ((unsigned char)canary[byte] != CANARY)
            emulation_abort("something wrote %s an allocation of %zu bytes (at byte %td of it)", end,
                            allocation->bytes, canary + byte - allocation->start);
}

static int allocate(void **pointer, size_t bytes, Place place) {
    if (!pointer) return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&registry);
    int result = CUDA_ERROR_OUT_OF_MEMORY;
    void *block = NULL;
    size_t total = memory_total();
    int fits = place != ON_DEVICE || (bytes <= total && used <= total - bytes);
    if (fits && posix_memalign(&block, ALIGNMENT, bytes + 2 * CANARY_BYTES) == 0) {
        char *start = (char *)block + CANARY_BYTES;
        memset(block, CANARY, CANARY_BYTES);
        memset(start, POISON, bytes);
        memset(start + bytes, CANARY, CANARY_BYTES);
        insert(start, bytes, place);
        if (place == ON_DEVICE) used += bytes;
        *pointer = start;
        result = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&registry);
    return result;
}

static int release(void *start, Place place, const char *function) {
    if (!start) return CUDA_SUCCESS;
    pthread_mutex_lock(&registry);
    Allocation **link = find_start(start);
    Allocation *allocation = *link;
    if (!allocation || allocation->place != place)
        emulation_abort("%s of %p, which is no live allocation of its kind", function, start);
    *link = allocation->next;
    if (place != REGISTERED) {
        check_canary(allocation, allocation->start - CANARY_BYTES, "before");
        check_canary(allocation, allocation->start + allocation->bytes, "after");
        free(allocation->start - CANARY_BYTES);
    }
    if (place == ON_DEVICE) {
        used -= allocation->bytes;
        emulation_counts[FREES]++;
    }
    free(allocation);
    pthread_mutex_unlock(&registry);
    return CUDA_SUCCESS;
}

/* For programs that keep memory for themselves: looks whether something was written beyond the ends of an allocation that is
 * about to be used anew, and leaves nothing of what was there. */
void cuda_emulation_poison(CUdeviceptr pointer) {
    pthread_mutex_lock(&registry);
    Allocation *allocation = *find_start((const void *)(uintptr_t)pointer);
    if (!allocation || allocation->place != ON_DEVICE)
        emulation_abort("%p, which is to be used anew, is no live allocation", (void *)(uintptr_t)pointer);
    check_canary(allocation, allocation->start - CANARY_BYTES, "before");
    check_canary(allocation, allocation->start + allocation->bytes, "after");
    memset(allocation->start, POISON, allocation->bytes);
    pthread_mutex_unlock(&registry);
}

void memory_require_range(CUdeviceptr pointer, size_t bytes, const char *use) {
    if (bytes == 0) return;
    const char *start = (const char *)(uintptr_t)pointer;
    pthread_mutex_lock(&registry);
    const Allocation *allocation = find_containing(start);
    if (!allocation) emulation_abort("%s: %p is not device memory", use, (const void *)start);
    size_t offset = (size_t)(start - allocation->start);
    if (bytes > allocation->bytes - offset)
        emulation_abort("%s: %zu bytes from byte %zu of an allocation of %zu bytes", use, bytes, offset,
                        allocation->bytes);
    pthread_mutex_unlock(&registry);
}

int cuMemGetInfo_v2(size_t *available, size_t *total) {
    pthread_mutex_lock(&registry);
    *total = memory_total();
    *available = *total > used ? *total - used : 0;
    pthread_mutex_unlock(&registry);
    return CUDA_SUCCESS;
}

static int allocate_on_device(CUdeviceptr *pointer, size_t bytes) {
    emulation_counts[ALLOCATIONS]++;
    void *start = NULL;
    int result = pointer ? allocate(&start, bytes, ON_DEVICE) : CUDA_ERROR_INVALID_VALUE;
    if (result == CUDA_SUCCESS) *pointer = (uintptr_t)start;
    return result;
}

int cuMemAlloc_v2(CUdeviceptr *pointer, size_t bytes) {
    return bytes == 0 ? CUDA_ERROR_INVALID_VALUE : allocate_on_device(pointer, bytes);
}

/* Unlike the above, this accepts zero bytes. */
int cuMemAllocAsync(CUdeviceptr *pointer, size_t bytes, void *stream) {
    (void)stream;
    return allocate_on_device(pointer, bytes);
}

int cuMemAllocFromPoolAsync(CUdeviceptr *pointer, size_t bytes, void *pool, void *stream) {
    (void)pool;
    return cuMemAllocAsync(pointer, bytes, stream);
}

int cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned flags) {
    (void)flags;
    return cuMemAlloc_v2(pointer, bytes);
}

int cuMemFree_v2(CUdeviceptr pointer) { return release((void *)(uintptr_t)pointer, ON_DEVICE, "cuMemFree"); }

int cuMemFreeAsync(CUdeviceptr pointer, void *stream) {
    (void)stream;
    return release((void *)(uintptr_t)pointer, ON_DEVICE, "cuMemFreeAsync");
}

int cuMemGetAddressRange_v2(CUdeviceptr *base, size_t *bytes, CUdeviceptr pointer) {
    pthread_mutex_lock(&registry);
    const Allocation *allocation = find_containing((const char *)(uintptr_t)pointer);
    if (allocation && base) *base = (uintptr_t)allocation->start;
    if (allocation && bytes) *bytes = allocation->bytes;
    pthread_mutex_unlock(&registry);
    return allocation ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}

int cuMemHostAlloc(void **pointer, size_t bytes, unsigned flags) {
    (void)flags;
    return allocate(pointer, bytes, PINNED);
}

int cuMemAllocHost_v2(void **pointer, size_t bytes) { return allocate(pointer, bytes, PINNED); }

int cuMemFreeHost(void *pointer) { return release(pointer, PINNED, "cuMemFreeHost"); }

int cuMemHostRegister_v2(void *pointer, size_t bytes, unsigned flags) {
    (void)flags;
    if (!pointer || bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&registry);
    insert(pointer, bytes, REGISTERED);
    pthread_mutex_unlock(&registry);
    return CUDA_SUCCESS;
}

int cuMemHostUnregister(void *pointer) { return release(pointer, REGISTERED, "cuMemHostUnregister"); }

int cuMemHostGetDevicePointer_v2(CUdeviceptr *device, void *host, unsigned flags) {
    (void)flags;
    *device = (uintptr_t)host;
    return CUDA_SUCCESS;
}

int cuMemHostGetFlags(unsigned *flags, void *host) {
    (void)host;
    *flags = 0;
    return CUDA_SUCCESS;
}

int cuMemcpyHtoD_v2(CUdeviceptr target, const void *source, size_t bytes) {
    emulation_counts[COPIES]++;
    memory_require_range(target, bytes, "copy to the device");
    memcpy((void *)(uintptr_t)target, source, bytes);
    return CUDA_SUCCESS;
}

int cuMemcpyDtoH_v2(void *target, CUdeviceptr source, size_t bytes) {
    emulation_counts[COPIES]++;
    memory_require_range(source, bytes, "copy from the device");
    memcpy(target, (const void *)(uintptr_t)source, bytes);
    return CUDA_SUCCESS;
}

int cuMemcpyDtoD_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
    emulation_counts[COPIES]++;
    memory_require_range(target, bytes, "target of a copy within the device");
    memory_require_range(source, bytes, "source of a copy within the device");
    memmove((void *)(uintptr_t)target, (const void *)(uintptr_t)source, bytes);
    return CUDA_SUCCESS;
}

/* Either side may be on the host. */
int cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
    emulation_counts[COPIES]++;
    memmove((void *)(uintptr_t)target, (const void *)(uintptr_t)source, bytes);
    return CUDA_SUCCESS;
}

int cuMemcpyHtoDAsync_v2(CUdeviceptr target, const void *source, size_t bytes, void *stream) {
    (void)stream;
    return cuMemcpyHtoD_v2(target, source, bytes);
}

int cuMemcpyDtoHAsync_v2(void *target, CUdeviceptr source, size_t bytes, void *stream) {
    (void)stream;
    return cuMemcpyDtoH_v2(target, source, bytes);
}

int cuMemcpyDtoDAsync_v2(CUdeviceptr target, CUdeviceptr source, size_t bytes, void *stream) {
    (void)stream;
    return cuMemcpyDtoD_v2(target, source, bytes);
}

int cuMemcpyAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes, void *stream) {
    (void)stream;
    return cuMemcpy(target, source, bytes);
}

int cuMemsetD8_v2(CUdeviceptr target, unsigned char value, size_t count) {
    emulation_counts[FILLS]++;
    memory_require_range(target, count, "cuMemsetD8");
    memset((void *)(uintptr_t)target, value, count);
    return CUDA_SUCCESS;
}

int cuMemsetD16_v2(CUdeviceptr target, unsigned short value, size_t count) {
    emulation_counts[FILLS]++;
    if (target % sizeof value) return CUDA_ERROR_INVALID_VALUE;
    memory_require_range(target, count * sizeof value, "cuMemsetD16");
    for (size_t index = 0; index < count; index++) ((unsigned short *)(uintptr_t)target)[index] = value;
    return CUDA_SUCCESS;
}

int cuMemsetD32_v2(CUdeviceptr target, unsigned value, size_t count) {
    emulation_counts[FILLS]++;
    if (target % sizeof value) return CUDA_ERROR_INVALID_VALUE;
    memory_require_range(target, count * sizeof value, "cuMemsetD32");
    for (size_t index = 0; index < count; index++) ((unsigned *)(uintptr_t)target)[index] = value;
    return CUDA_SUCCESS;
}

int cuMemsetD8Async(CUdeviceptr target, unsigned char value, size_t count, void *stream) {
    (void)stream;
    return cuMemsetD8_v2(target, value, count);
}

int cuMemsetD16Async(CUdeviceptr target, unsigned short value, size_t count, void *stream) {
    (void)stream;
    return cuMemsetD16_v2(target, value, count);
}

int cuMemsetD32Async(CUdeviceptr target, unsigned value, size_t count, void *stream) {
    (void)stream;
    return cuMemsetD32_v2(target, value, count);
}
