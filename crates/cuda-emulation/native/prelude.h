/* The part of CUDA C that kernels may use, in C. Stands before every kernel's source. */

#include <math.h>

#define EMULATED 1

/* `extern "C" __global__` is what NVRTC needs; the marker is how the trampolines find kernels. */
#define __global__ EmulationKernelMarker
#define KERNEL(name) __global__ void name
#define DEVICE static inline
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(bytes) __attribute__((aligned(bytes)))

/* A block runs on one thread of the system. */
#define __shared__ static __thread
/* Lets the library find these variables, to poison them. */
void *emulation_shared_memory(void) {
    static __thread char anchor;
    return &anchor;
}
#define DYNAMIC_SHARED(type, name) type *name = (type *)emulation_state()->dynamic_shared

#define threadIdx (emulation_state()->thread)
#define blockIdx (emulation_state()->block)
#define blockDim (emulation_state()->block_size)
#define gridDim (emulation_state()->grid_size)
#define warpSize 32

typedef __SIZE_TYPE__ size_t;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned u32;
typedef unsigned long long u64;
typedef EmulationIndex dim3, uint3;
typedef struct __attribute__((aligned(8))) { float x, y; } float2;
typedef struct __attribute__((aligned(16))) { float x, y, z, w; } float4;
typedef struct __attribute__((aligned(8))) { int x, y; } int2;
typedef struct __attribute__((aligned(16))) { int x, y, z, w; } int4;
typedef struct __attribute__((aligned(8))) { unsigned x, y; } uint2;
typedef struct __attribute__((aligned(16))) { unsigned x, y, z, w; } uint4;

DEVICE float2 make_float2(float x, float y) { return (float2){x, y}; }
DEVICE float4 make_float4(float x, float y, float z, float w) { return (float4){x, y, z, w}; }
DEVICE int2 make_int2(int x, int y) { return (int2){x, y}; }
DEVICE int4 make_int4(int x, int y, int z, int w) { return (int4){x, y, z, w}; }
DEVICE uint2 make_uint2(unsigned x, unsigned y) { return (uint2){x, y}; }
DEVICE uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return (uint4){x, y, z, w}; }

typedef union { float number; unsigned bits; int integer; } EmulationBits;
DEVICE unsigned __float_as_uint(float value) { return ((EmulationBits){.number = value}).bits; }
DEVICE int __float_as_int(float value) { return ((EmulationBits){.number = value}).integer; }
DEVICE float __uint_as_float(unsigned value) { return ((EmulationBits){.bits = value}).number; }
DEVICE float __int_as_float(int value) { return ((EmulationBits){.integer = value}).number; }

DEVICE float emulation_rsqrtf(float value) { return 1.0f / sqrtf(value); }
#define rsqrtf emulation_rsqrtf /* newer C libraries have one */
#define __expf expf
#define __logf logf
#define __fdividef(numerator, denominator) ((float)(numerator) / (float)(denominator))
#define __ldg(pointer) (*(pointer))
#define __popc __builtin_popcount
#define __threadfence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define __threadfence_block() __atomic_thread_fence(__ATOMIC_SEQ_CST)

DEVICE float emulation_add_float(float *target, float value) {
    unsigned *bits = (unsigned *)target;
    unsigned seen = __atomic_load_n(bits, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(bits, &seen, __float_as_uint(__uint_as_float(seen) + value), 1,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return __uint_as_float(seen);
}
DEVICE unsigned emulation_add_unsigned(unsigned *target, unsigned value) {
    return __atomic_fetch_add(target, value, __ATOMIC_RELAXED);
}
DEVICE int emulation_add_int(int *target, int value) { return __atomic_fetch_add(target, value, __ATOMIC_RELAXED); }
DEVICE u64 emulation_add_u64(u64 *target, u64 value) { return __atomic_fetch_add(target, value, __ATOMIC_RELAXED); }
#define atomicAdd(target, value)         \
    _Generic((target),                   \
        float *: emulation_add_float,    \
        unsigned *: emulation_add_unsigned, \
        int *: emulation_add_int,        \
        u64 *: emulation_add_u64)(target, value)

#define __syncthreads() emulation_state()->services->synchronize_block(__LINE__)
/* The mask may be left out. */
#define __syncwarp(...) \
    emulation_state()->services->synchronize_warp(((const unsigned[]){__VA_ARGS__ __VA_OPT__(,) 0xffffffffu})[0])

DEVICE unsigned emulation_shuffle_unsigned(unsigned mask, unsigned value, int direction, int operand, int width) {
    return emulation_state()->services->shuffle(mask, value, direction, operand, width);
}
DEVICE int emulation_shuffle_int(unsigned mask, int value, int direction, int operand, int width) {
    return (int)emulation_shuffle_unsigned(mask, (unsigned)value, direction, operand, width);
}
DEVICE float emulation_shuffle_float(unsigned mask, float value, int direction, int operand, int width) {
    return __uint_as_float(emulation_shuffle_unsigned(mask, __float_as_uint(value), direction, operand, width));
}
DEVICE double emulation_shuffle_double(unsigned mask, double value, int direction, int operand, int width) {
    union { double number; unsigned halves[2]; } bits = {.number = value};
    for (int half = 0; half < 2; half++)
        bits.halves[half] = emulation_shuffle_unsigned(mask, bits.halves[half], direction, operand, width);
    return bits.number;
}
/* The width may be left out. */
#define EMULATION_SHUFFLE(mask, value, direction, operand, ...)                                   \
    _Generic((value),                                                                             \
        float: emulation_shuffle_float,                                                           \
        double: emulation_shuffle_double,                                                         \
        int: emulation_shuffle_int,                                                               \
        unsigned: emulation_shuffle_unsigned)(mask, value, direction, operand,                    \
                                              ((const int[]){__VA_ARGS__ __VA_OPT__(,) 32})[0])
#define __shfl_sync(mask, value, lane, ...) EMULATION_SHUFFLE(mask, value, EMULATION_INDEX, lane, __VA_ARGS__)
#define __shfl_up_sync(mask, value, delta, ...) EMULATION_SHUFFLE(mask, value, EMULATION_UP, delta, __VA_ARGS__)
#define __shfl_down_sync(mask, value, delta, ...) EMULATION_SHUFFLE(mask, value, EMULATION_DOWN, delta, __VA_ARGS__)
#define __shfl_xor_sync(mask, value, lanes, ...) EMULATION_SHUFFLE(mask, value, EMULATION_XOR, lanes, __VA_ARGS__)

DEVICE unsigned __ballot_sync(unsigned mask, int predicate) {
    return emulation_state()->services->ballot(mask, predicate);
}
DEVICE int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
DEVICE int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }

/* sum += left * right, in the fragments of the PTX instructions of these names. */
DEVICE void mma_m16n8k8_tf32(float sum[4], const unsigned left[4], const unsigned right[2]) {
    emulation_state()->services->multiply_tf32(sum, left, right);
}
DEVICE void mma_m16n8k16_bf16(float sum[4], const unsigned left[4], const unsigned right[2]) {
    emulation_state()->services->multiply_bf16(sum, left, right);
}

DEVICE void cp_async_16(void *shared, const void *global, int bytes) {
    emulation_state()->services->copy_issue(shared, global, bytes);
}
DEVICE void cp_async_commit(void) { emulation_state()->services->copy_commit(); }
DEVICE void cp_async_wait(int pending_groups) { emulation_state()->services->copy_wait(pending_groups); }
