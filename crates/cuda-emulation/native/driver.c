/* The one emulated device: its attributes, contexts, streams, events and errors. Work is done when
 * it is asked for, so that nothing ever waits. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "emulation.h"

void emulation_abort(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("cuda-emulation: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

__thread unsigned long long emulation_counts[COUNTED];

/* How often the calling thread has asked for each of `enum Counted`, since it started. Memory on the host counts as little as
 * what only asks. */
void cuda_emulation_counts(unsigned long long counts[COUNTED]) {
    memcpy(counts, emulation_counts, sizeof emulation_counts);
}

static const struct {
    int value;
    const char *name, *description;
} errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {CUDA_ERROR_SHARED_OBJECT_INIT_FAILED, "CUDA_ERROR_SHARED_OBJECT_INIT_FAILED",
     "shared object initialization failed"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};

static int describe_error(int error, const char **name, const char **description) {
    for (size_t index = 0; index < sizeof errors / sizeof *errors; index++)
        if (errors[index].value == error) {
            if (name) *name = errors[index].name;
            if (description) *description = errors[index].description;
            return CUDA_SUCCESS;
        }
    if (name) *name = NULL;
    if (description) *description = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}

int cuGetErrorName(int error, const char **name) { return describe_error(error, name, NULL); }
int cuGetErrorString(int error, const char **description) { return describe_error(error, NULL, description); }

int cuInit(unsigned flags) { return flags == 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE; }

int cuDriverGetVersion(int *version) {
    *version = 13000;
    return CUDA_SUCCESS;
}

int cuDeviceGetCount(int *count) {
    *count = 1;
    return CUDA_SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
    if (ordinal != 0) return CUDA_ERROR_INVALID_DEVICE;
    *device = 0;
    return CUDA_SUCCESS;
}

int cuDeviceGetName(char *name, int length, int device) {
    (void)device;
    if (length <= 0) return CUDA_ERROR_INVALID_VALUE;
    snprintf(name, (size_t)length, "emulated CUDA device");
    return CUDA_SUCCESS;
}

int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    (void)device;
    *bytes = memory_total();
    return CUDA_SUCCESS;
}

int cuDeviceGetUuid(char uuid[16], int device) {
    (void)device;
    memset(uuid, 0, 16);
    return CUDA_SUCCESS;
}
int cuDeviceGetUuid_v2(char uuid[16], int device) { return cuDeviceGetUuid(uuid, device); }

int cuDeviceComputeCapability(int *major, int *minor, int device) {
    (void)device;
    *major = 9;
    *minor = 0;
    return CUDA_SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
    (void)device;
    switch (attribute) {
    case 1: *value = MAX_BLOCK_THREADS; break;
    case 2: *value = 1024; break;             /* block size, x */
    case 3: *value = 1024; break;             /* y */
    case 4: *value = 64; break;               /* z */
    case 5: *value = 2147483647; break;       /* grid size, x */
    case 6: *value = 65535; break;            /* y */
    case 7: *value = 65535; break;            /* z */
    case 8: *value = MAX_SHARED_BYTES; break;
    case 9: *value = 65536; break;            /* constant memory */
    case 10: *value = WARP_LANES; break;
    case 11: *value = 2147483647; break;      /* pitch */
    case 12: *value = 65536; break;           /* registers per block */
    case 13: *value = 1000000; break;         /* clock, kHz */
    case 14: *value = 512; break;             /* texture alignment */
    case 15: *value = 1; break;               /* copies beside kernels */
    case 16: *value = MULTIPROCESSORS; break;
    case 19: *value = 1; break;               /* mapped host memory */
    case 31: *value = 1; break;               /* concurrent kernels */
    case 36: *value = 1000000; break;         /* memory clock, kHz */
    case 37: *value = 64; break;              /* memory bus, bits */
    case 38: *value = 4 << 20; break;         /* L2 cache */
    case 39: *value = MAX_MULTIPROCESSOR_THREADS; break;
    case 40: *value = 1; break;               /* copy engines */
    case 41: *value = 1; break;               /* unified addresses */
    case 75: *value = 9; break;               /* compute capability */
    case 76: *value = 0; break;
    case 81: *value = 228 * 1024; break;      /* shared memory per multiprocessor */
    case 82: *value = 65536; break;           /* registers per multiprocessor */
    case 83: *value = 1; break;               /* managed memory */
    case 97: *value = MAX_SHARED_BYTES_ASKED; break;
    case 106: *value = 32; break;             /* blocks per multiprocessor */
    case 111: *value = 1024; break;           /* shared memory that the system keeps, per block */
    case 115: *value = 1; break;              /* memory pools */
    default: *value = 0; break;
    }
    return CUDA_SUCCESS;
}

/* Handles need an address of their own and nothing behind it. */
static char the_context, the_pool;
static __thread void *current_context;

int cuDeviceGetDefaultMemPool(void **pool, int device) {
    (void)device;
    *pool = &the_pool;
    return CUDA_SUCCESS;
}
int cuDeviceGetMemPool(void **pool, int device) { return cuDeviceGetDefaultMemPool(pool, device); }

int cuDeviceSetMemPool(int device, void *pool) {
    (void)device, (void)pool;
    return CUDA_SUCCESS;
}

int cuMemPoolSetAttribute(void *pool, int attribute, void *value) {
    (void)pool, (void)attribute, (void)value;
    return CUDA_SUCCESS;
}

/* Freed memory is given back at once, so that a pool never keeps any. */
int cuMemPoolGetAttribute(void *pool, int attribute, void *value) {
    (void)pool;
    size_t available, total;
    switch (attribute) {
    case 1: case 2: case 3: /* reuse policies */
        *(int *)value = 1;
        return CUDA_SUCCESS;
    case 4: /* release threshold */
        *(uint64_t *)value = 0;
        return CUDA_SUCCESS;
    case 5: case 6: case 7: case 8: /* reserved and used, now and at most */
        cuMemGetInfo_v2(&available, &total);
        *(uint64_t *)value = total - available;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

int cuMemPoolTrimTo(void *pool, size_t bytes) {
    (void)pool, (void)bytes;
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    *context = &the_context;
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
    (void)device;
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxSetFlags_v2(int device, unsigned flags) {
    (void)device, (void)flags;
    return CUDA_SUCCESS;
}

int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) {
    (void)device;
    *flags = 0;
    *active = 1;
    return CUDA_SUCCESS;
}

int cuCtxSetCurrent(void *context) {
    emulation_counts[CONTEXT_CHANGES]++;
    current_context = context;
    return CUDA_SUCCESS;
}

int cuCtxGetCurrent(void **context) {
    *context = current_context;
    return CUDA_SUCCESS;
}

int cuCtxPushCurrent_v2(void *context) { return cuCtxSetCurrent(context); }

int cuCtxPopCurrent_v2(void **context) {
    if (context) *context = current_context;
    return CUDA_SUCCESS;
}

int cuCtxCreate_v2(void **context, unsigned flags, int device) {
    (void)flags, (void)device;
    current_context = *context = &the_context;
    return CUDA_SUCCESS;
}

int cuCtxDestroy_v2(void *context) {
    (void)context;
    return CUDA_SUCCESS;
}

int cuCtxGetDevice(int *device) {
    if (!current_context) return CUDA_ERROR_INVALID_CONTEXT;
    *device = 0;
    return CUDA_SUCCESS;
}

int cuCtxGetFlags(unsigned *flags) {
    *flags = 0;
    return CUDA_SUCCESS;
}

int cuCtxSynchronize(void) { return CUDA_SUCCESS; }

int cuCtxSetLimit(int limit, size_t value) {
    (void)limit, (void)value;
    return CUDA_SUCCESS;
}

int cuCtxSetCacheConfig(int config) {
    (void)config;
    return CUDA_SUCCESS;
}

int cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = 0;
    return CUDA_SUCCESS;
}

int cuStreamCreate(void **stream, unsigned flags) {
    (void)flags;
    *stream = malloc(1);
    return *stream ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}

int cuStreamCreateWithPriority(void **stream, unsigned flags, int priority) {
    (void)priority;
    return cuStreamCreate(stream, flags);
}

int cuStreamDestroy_v2(void *stream) {
    free(stream);
    return CUDA_SUCCESS;
}

int cuStreamSynchronize(void *stream) {
    (void)stream;
    return CUDA_SUCCESS;
}

int cuStreamQuery(void *stream) { return cuStreamSynchronize(stream); }

int cuStreamWaitEvent(void *stream, void *event, unsigned flags) {
    (void)stream, (void)event, (void)flags;
    return CUDA_SUCCESS;
}

int cuStreamGetCtx(void *stream, void **context) {
    (void)stream;
    *context = &the_context;
    return CUDA_SUCCESS;
}

int cuStreamIsCapturing(void *stream, int *status) {
    (void)stream;
    *status = 0;
    return CUDA_SUCCESS;
}

int cuLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
    (void)stream;
    function(data);
    return CUDA_SUCCESS;
}

typedef struct Event {
    int recorded, timed;
    struct timespec time;
} Event;

enum { EVENT_DISABLE_TIMING = 2 };

int cuEventCreate(Event **event, unsigned flags) {
    *event = calloc(1, sizeof **event);
    if (!*event) return CUDA_ERROR_OUT_OF_MEMORY;
    (*event)->timed = !(flags & EVENT_DISABLE_TIMING);
    return CUDA_SUCCESS;
}

int cuEventDestroy_v2(Event *event) {
    free(event);
    return CUDA_SUCCESS;
}

int cuEventRecord(Event *event, void *stream) {
    (void)stream;
    event->recorded = 1;
    clock_gettime(CLOCK_MONOTONIC, &event->time);
    return CUDA_SUCCESS;
}

int cuEventRecordWithFlags(Event *event, void *stream, unsigned flags) {
    (void)flags;
    return cuEventRecord(event, stream);
}

int cuEventQuery(Event *event) {
    (void)event;
    return CUDA_SUCCESS;
}

int cuEventSynchronize(Event *event) { return cuEventQuery(event); }

int cuEventElapsedTime(float *milliseconds, Event *start, Event *end) {
    if (!start->recorded || !end->recorded || !start->timed || !end->timed) return CUDA_ERROR_INVALID_HANDLE;
    *milliseconds = (float)((double)(end->time.tv_sec - start->time.tv_sec) * 1e3 +
                            (double)(end->time.tv_nsec - start->time.tv_nsec) * 1e-6);
    return CUDA_SUCCESS;
}

int cuProfilerStart(void) { return CUDA_SUCCESS; }
int cuProfilerStop(void) { return CUDA_SUCCESS; }
