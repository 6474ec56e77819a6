// What every kernel file starts with: names for what CUDA C++ and the plain C of an emulation say differently, values of
// either precision, and sums over threads. Blocks have 256 threads everywhere.

#ifndef EMULATED
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define KERNEL(name) extern "C" __global__ void __launch_bounds__(256, 2) name
#define DEVICE static __device__ __forceinline__
#define DYNAMIC_SHARED(type, name)                            \
    extern __shared__ __align__(16) unsigned char shared_[]; \
    type *name = (type *)shared_

// d += a b, with operands of 19 bits; lane l holds rows l/4 and l/4 + 8 (PTX ISA, mma.m16n8k8).
DEVICE void mma_m16n8k8_tf32(float *d, const u32 *a, const u32 *b) {
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d += a b, with operands in bfloat16 (PTX ISA, mma.m16n8k16).
DEVICE void mma_m16n8k16_bf16(float *d, const u32 *a, const u32 *b) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Four matrices of 8 rows of 16 bytes, lane l naming row l % 8 of matrix l / 8; lane l gets word l % 4 of row l / 4 of each
// (PTX ISA, ldmatrix).
DEVICE void load_matrices(u32 *words, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"((u32)__cvta_generic_to_shared(row)));
}

// The same, of halves and transposed: lane l gets column l / 4 of rows 2 (l % 4) and the next.
DEVICE void load_transposed(u32 *words, const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"((u32)__cvta_generic_to_shared(row)));
}

// Copies 16 bytes to shared memory in the background, or writes zeros if `bytes` is 0.
DEVICE void cp_async_16(void *shared, const void *global, int bytes) {
    u32 at = (u32)__cvta_generic_to_shared(shared);
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(global), "r"(bytes) : "memory");
}
#define INFINITY __int_as_float(0x7f800000)
#define cp_async_commit() asm volatile("cp.async.commit_group;" ::: "memory")
#define cp_async_wait(n) asm volatile("cp.async.wait_group %0;" ::"n"(n) : "memory")

// The nearest number that has 10 bits of mantissa.
DEVICE u32 to_tf32(float x) {
    u32 bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}
#else
// What a lane has called `row`.
DEVICE const void *row_of_lane(const void *row, int lane) {
    u64 bits = (u64)row;
    u32 low = __shfl_sync(0xffffffffu, (u32)bits, lane), high = __shfl_sync(0xffffffffu, (u32)(bits >> 32), lane);
    return (const void *)((u64)high << 32 | low);
}

DEVICE void load_matrices(u32 *words, const void *row) {
    int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) words[i] = ((const u32 *)row_of_lane(row, 8 * i + lane / 4))[lane % 4];
}

DEVICE void load_transposed(u32 *words, const void *row) {
    int lane = threadIdx.x % 32;
    for (int i = 0; i < 4; i++) {
        const u16 *first = (const u16 *)row_of_lane(row, 8 * i + 2 * (lane % 4));
        const u16 *second = (const u16 *)row_of_lane(row, 8 * i + 2 * (lane % 4) + 1);
        words[i] = (u32)first[lane / 4] | (u32)second[lane / 4] << 16;
    }
}

DEVICE u32 to_tf32(float x) {
    u32 bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & ~0x1fffu;
}
#endif

#define WARP 32
#define FULL_MASK 0xffffffffu

typedef float value_f32;
typedef u16 value_bf16;

DEVICE float load_f32(value_f32 v) { return v; }
DEVICE float load_bf16(value_bf16 v) { return __uint_as_float((u32)v << 16); }
DEVICE value_f32 store_f32(float v) { return v; }
// To the nearest, ties to even; NaN stays NaN.
DEVICE value_bf16 store_bf16(float v) {
    u32 bits = __float_as_uint(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (u16)((bits >> 16) | 0x40u);
    return (u16)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

// Four values that lie side by side, read and written at once.
typedef struct __attribute__((aligned(16))) {
    value_f32 v[4];
} four_f32;
typedef struct __attribute__((aligned(8))) {
    value_bf16 v[4];
} four_bf16;

// This thread's place among all, and how many there are.
#define THREAD_INDEX ((long long)blockIdx.x * blockDim.x + threadIdx.x)
#define THREAD_COUNT ((long long)gridDim.x * blockDim.x)

DEVICE float sum_of_warp(float v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(FULL_MASK, v, step);
    return v;
}

DEVICE double wide_sum_of_warp(double v) {
    for (int step = 16; step > 0; step /= 2) v += __shfl_xor_sync(FULL_MASK, v, step);
    return v;
}

DEVICE float max_of_warp(float v) {
    for (int step = 16; step > 0; step /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_MASK, v, step));
    return v;
}

// The sum of what the 8 threads of a column of a block of 8 by 32 have, in the order of their rows, for the thread of row 0. `sums` is
// shared, and nobody reads it any more.
DEVICE double sum_of_column(double v, double (*sums)[32]) {
    int lane = threadIdx.x % 32, y = threadIdx.x / 32;
    sums[y][lane] = v;
    __syncthreads();
    if (y == 0)
        for (int i = 1; i < 8; i++) v += sums[i][lane];
    return v;
}
