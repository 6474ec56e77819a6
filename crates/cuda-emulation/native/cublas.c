/* The matrix products of cuBLAS: column-major, accumulated in f32 (in f64 for f64). */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulation.h"

/* Values of cublasStatus_t, cudaDataType, cublasOperation_t, cublasComputeType_t and cublasMath_t. */
enum {
    CUBLAS_SUCCESS = 0,
    CUBLAS_NOT_INITIALIZED = 1,
    CUBLAS_ALLOC_FAILED = 3,
    CUBLAS_INVALID_VALUE = 7,
    CUBLAS_NOT_SUPPORTED = 15,
};
typedef enum { TYPE_F32 = 0, TYPE_F64 = 1, TYPE_F16 = 2, TYPE_BF16 = 14 } Type;
enum { OP_N = 0, OP_T = 1, OP_C = 2 };
enum {
    COMPUTE_16F = 64,
    COMPUTE_16F_PEDANTIC = 65,
    COMPUTE_32F = 68,
    COMPUTE_32F_PEDANTIC = 69,
    COMPUTE_64F = 70,
    COMPUTE_64F_PEDANTIC = 71,
    COMPUTE_32F_FAST_16F = 74,
    COMPUTE_32F_FAST_16BF = 75,
    COMPUTE_32F_FAST_TF32 = 77,
};
enum { MATH_TF32 = 3 };

typedef struct Handle {
    void *stream;
    int math_mode, pointer_mode, atomics_mode;
} Handle;

int cublasCreate_v2(Handle **handle) {
    *handle = calloc(1, sizeof **handle);
    return *handle ? CUBLAS_SUCCESS : CUBLAS_ALLOC_FAILED;
}

int cublasDestroy_v2(Handle *handle) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    free(handle);
    return CUBLAS_SUCCESS;
}

int cublasGetVersion_v2(Handle *handle, int *version) {
    (void)handle;
    *version = 130000;
    return CUBLAS_SUCCESS;
}

int cublasSetStream_v2(Handle *handle, void *stream) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    handle->stream = stream;
    return CUBLAS_SUCCESS;
}

int cublasGetStream_v2(Handle *handle, void **stream) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    *stream = handle->stream;
    return CUBLAS_SUCCESS;
}

int cublasSetMathMode(Handle *handle, int mode) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    handle->math_mode = mode;
    return CUBLAS_SUCCESS;
}

int cublasGetMathMode(Handle *handle, int *mode) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    *mode = handle->math_mode;
    return CUBLAS_SUCCESS;
}

int cublasSetPointerMode_v2(Handle *handle, int mode) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    handle->pointer_mode = mode;
    return CUBLAS_SUCCESS;
}

int cublasGetPointerMode_v2(Handle *handle, int *mode) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    *mode = handle->pointer_mode;
    return CUBLAS_SUCCESS;
}

int cublasSetAtomicsMode(Handle *handle, int mode) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    handle->atomics_mode = mode;
    return CUBLAS_SUCCESS;
}

int cublasGetAtomicsMode(Handle *handle, int *mode) {
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    *mode = handle->atomics_mode;
    return CUBLAS_SUCCESS;
}

int cublasSetWorkspace_v2(Handle *handle, void *workspace, size_t bytes) {
    (void)workspace, (void)bytes;
    return handle ? CUBLAS_SUCCESS : CUBLAS_NOT_INITIALIZED;
}

const char *cublasGetStatusName(int status) {
    switch (status) {
    case CUBLAS_SUCCESS: return "CUBLAS_STATUS_SUCCESS";
    case CUBLAS_NOT_INITIALIZED: return "CUBLAS_STATUS_NOT_INITIALIZED";
    case CUBLAS_ALLOC_FAILED: return "CUBLAS_STATUS_ALLOC_FAILED";
    case CUBLAS_INVALID_VALUE: return "CUBLAS_STATUS_INVALID_VALUE";
    case CUBLAS_NOT_SUPPORTED: return "CUBLAS_STATUS_NOT_SUPPORTED";
    default: return "an unknown cuBLAS status";
    }
}
const char *cublasGetStatusString(int status) { return cublasGetStatusName(status); }

/* Number formats. */

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* Rounds to nearest, ties to even, all but the upper bits of the mantissa away. */
static uint32_t round_bits(float value, int dropped) {
    uint32_t bits = to_bits(value);
    if (value != value) return bits | 0x00400000u;
    bits += ((1u << (dropped - 1)) - 1) + (bits >> dropped & 1);
    return bits & ~((1u << dropped) - 1);
}

static float to_tf32(float value) { return from_bits(round_bits(value, 13)); }
static uint16_t to_bf16(float value) { return (uint16_t)(round_bits(value, 16) >> 16); }
static float from_bf16(uint16_t value) { return from_bits((uint32_t)value << 16); }

static float from_f16(uint16_t value) {
    uint32_t sign = (uint32_t)(value & 0x8000) << 16, magnitude = value & 0x7FFF;
    if (magnitude >= 0x7C00) return from_bits(sign | 0x7F800000u | (magnitude & 0x3FF) << 13);
    /* The product by a power of two puts the exponent right, of subnormal numbers too. */
    return from_bits(sign | to_bits(from_bits(magnitude << 13) * 0x1p112f));
}

static uint16_t to_f16(float value) {
    uint32_t sign = to_bits(value) >> 16 & 0x8000;
    float magnitude = from_bits(to_bits(value) & 0x7FFFFFFFu);
    if (value != value) return (uint16_t)(sign | 0x7E00);
    if (magnitude >= 65520.0f) return (uint16_t)(sign | 0x7C00);
    /* Adding half of f32's range of integers rounds to the spacing of subnormal numbers. */
    if (magnitude < 0x1p-14f) return (uint16_t)(sign | (to_bits(magnitude + 0.5f) - to_bits(0.5f)));
    return (uint16_t)(sign | ((round_bits(magnitude, 13) >> 13) - (112u << 10)));
}

static size_t type_bytes(Type type) { return type == TYPE_F64 ? 8 : type == TYPE_F32 ? 4 : 2; }

static float load(const void *values, size_t index, Type type) {
    switch (type) {
    case TYPE_F16: return from_f16(((const uint16_t *)values)[index]);
    case TYPE_BF16: return from_bf16(((const uint16_t *)values)[index]);
    default: return ((const float *)values)[index];
    }
}

static void store(void *values, size_t index, Type type, float value) {
    switch (type) {
    case TYPE_F16: ((uint16_t *)values)[index] = to_f16(value); break;
    case TYPE_BF16: ((uint16_t *)values)[index] = to_bf16(value); break;
    default: ((float *)values)[index] = value; break;
    }
}

/* Products. */

typedef struct Operand {
    const void *values;
    Type type;
    int operation, leading;
    long long stride;
} Operand;

/* How the units of a GPU round what they multiply. */
typedef enum { EXACT, ROUND_TF32, ROUND_BF16, ROUND_F16 } Rounding;

static float rounded(float value, Rounding rounding) {
    switch (rounding) {
    case ROUND_TF32: return to_tf32(value);
    case ROUND_BF16: return from_bf16(to_bf16(value));
    case ROUND_F16: return from_f16(to_f16(value));
    default: return value;
    }
}

enum { TILE_ROWS = 16, TILE_COLUMNS = 6, DEPTH = 256 };

/* Copies the operand into panels of `tile` rows (or columns), each in the order in which the inner
 * loop reads it, and zeros beyond its end. `across` steps along the rows, `along` along the depth. */
static float *pack(const Operand *operand, size_t rows, size_t depth, size_t across, size_t along, size_t tile,
                   Rounding rounding) {
    size_t panels = (rows + tile - 1) / tile;
    float *packed;
    if (posix_memalign((void **)&packed, 64, panels * tile * depth * sizeof *packed) != 0) return NULL;
    for (size_t panel = 0; panel < panels; panel++)
        for (size_t inner = 0; inner < depth; inner++)
            for (size_t row = 0; row < tile; row++) {
                size_t source = panel * tile + row;
                packed[(panel * depth + inner) * tile + row] =
                    source < rows ? rounded(load(operand->values, source * across + inner * along, operand->type),
                                            rounding)
                                  : 0.0f;
            }
    return packed;
}

typedef float TileSum[TILE_COLUMNS][TILE_ROWS];

static inline __attribute__((always_inline)) void tile_product(const float *left, const float *right, size_t depth,
                                                               TileSum sum) {
    typedef float Vector __attribute__((vector_size(32)));
    Vector part[TILE_COLUMNS][2] = {{{0}}};
    for (size_t inner = 0; inner < depth; inner++) {
        const Vector *rows = (const Vector *)(left + inner * TILE_ROWS);
        for (int column = 0; column < TILE_COLUMNS; column++) {
            float factor = right[inner * TILE_COLUMNS + column];
            part[column][0] += rows[0] * factor;
            part[column][1] += rows[1] * factor;
        }
    }
    for (int column = 0; column < TILE_COLUMNS; column++)
        for (int row = 0; row < TILE_ROWS; row++) sum[column][row] += part[column][row / 8][row % 8];
}

static void tile_product_plain(const float *left, const float *right, size_t depth, TileSum sum) {
    tile_product(left, right, depth, sum);
}

#ifdef __x86_64__
__attribute__((target("avx2,fma"))) static void tile_product_avx2(const float *left, const float *right, size_t depth,
                                                                  TileSum sum) {
    tile_product(left, right, depth, sum);
}
#endif

static void (*choose_tile_product(void))(const float *, const float *, size_t, TileSum) {
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return tile_product_avx2;
#endif
    return tile_product_plain;
}

typedef struct Result {
    void *values;
    Type type;
    int leading;
    long long stride;
} Result;

static void scale_column(const Result *result, size_t column, size_t row, size_t count, float alpha,
                         const float *product, float beta) {
    for (size_t index = 0; index < count; index++) {
        size_t at = column * (size_t)result->leading + row + index;
        /* Not even a NaN that stood in the result survives a zero `beta`. */
        float before = beta == 0.0f ? 0.0f : beta * load(result->values, at, result->type);
        store(result->values, at, result->type, (product ? alpha * product[index] : 0.0f) + before);
    }
}

static int multiply_f32(size_t m, size_t n, size_t k, float alpha, const Operand *a, const Operand *b, float beta,
                        const Result *result, Rounding rounding) {
    if (k == 0 || alpha == 0.0f) {
        for (size_t column = 0; column < n; column++) scale_column(result, column, 0, m, alpha, NULL, beta);
        return CUBLAS_SUCCESS;
    }
    size_t a_leading = (size_t)a->leading, b_leading = (size_t)b->leading;
    float *left = pack(a, m, k, a->operation == OP_N ? 1 : a_leading, a->operation == OP_N ? a_leading : 1, TILE_ROWS,
                       rounding);
    float *right = pack(b, n, k, b->operation == OP_N ? b_leading : 1, b->operation == OP_N ? 1 : b_leading,
                        TILE_COLUMNS, rounding);
    int status = left && right ? CUBLAS_SUCCESS : CUBLAS_ALLOC_FAILED;
    void (*product)(const float *, const float *, size_t, TileSum) = choose_tile_product();
    for (size_t row = 0; row < m && status == CUBLAS_SUCCESS; row += TILE_ROWS)
        for (size_t column = 0; column < n; column += TILE_COLUMNS) {
            TileSum sum = {{0}};
            /* Sums of partial sums: the error of one long sum would grow with its length. */
            for (size_t inner = 0; inner < k; inner += DEPTH)
                product(left + row * k + inner * TILE_ROWS, right + column * k + inner * TILE_COLUMNS,
                        k - inner < DEPTH ? k - inner : DEPTH, sum);
            size_t rows = m - row < TILE_ROWS ? m - row : TILE_ROWS;
            for (size_t index = 0; index < TILE_COLUMNS && column + index < n; index++)
                scale_column(result, column + index, row, rows, alpha, sum[index], beta);
        }
    free(left);
    free(right);
    return status;
}

static int multiply_f64(size_t m, size_t n, size_t k, double alpha, const Operand *a, const Operand *b, double beta,
                        const Result *result) {
    const double *left = a->values, *right = b->values;
    double *target = result->values;
    size_t a_leading = (size_t)a->leading, b_leading = (size_t)b->leading;
    for (size_t column = 0; column < n; column++)
        for (size_t row = 0; row < m; row++) {
            double sum = 0.0;
            for (size_t inner = 0; inner < k && alpha != 0.0; inner++)
                sum += left[a->operation == OP_N ? inner * a_leading + row : row * a_leading + inner] *
                       right[b->operation == OP_N ? column * b_leading + inner : inner * b_leading + column];
            double *at = &target[column * (size_t)result->leading + row];
            *at = alpha * sum + (beta == 0.0 ? 0.0 : beta * *at);
        }
    return CUBLAS_SUCCESS;
}

static void require_matrix(const void *values, Type type, int leading, int rows, int columns, const char *use) {
    size_t elements = (size_t)(columns - 1) * (size_t)leading + (size_t)rows;
    memory_require_range((uintptr_t)values, elements * type_bytes(type), use);
}

static int combination_supported(Type a, Type b, Type c, int compute) {
    if (a != b) return 0;
    switch (compute) {
    case COMPUTE_64F:
    case COMPUTE_64F_PEDANTIC:
        return a == TYPE_F64 && c == TYPE_F64;
    case COMPUTE_16F:
    case COMPUTE_16F_PEDANTIC:
        return a == TYPE_F16 && c == TYPE_F16;
    case COMPUTE_32F:
    case COMPUTE_32F_PEDANTIC:
        return (a == TYPE_F32 && c == TYPE_F32) || ((a == TYPE_F16 || a == TYPE_BF16) && (c == a || c == TYPE_F32));
    case COMPUTE_32F_FAST_16F:
    case COMPUTE_32F_FAST_16BF:
    case COMPUTE_32F_FAST_TF32:
        return a == TYPE_F32 && c == TYPE_F32;
    default:
        return 0;
    }
}

static Rounding rounding_of(const Handle *handle, Type type, int compute) {
    if (type != TYPE_F32) return EXACT;
    switch (compute) {
    case COMPUTE_32F_FAST_16F: return ROUND_F16;
    case COMPUTE_32F_FAST_16BF: return ROUND_BF16;
    case COMPUTE_32F_FAST_TF32: return ROUND_TF32;
    case COMPUTE_32F: return handle->math_mode == MATH_TF32 ? ROUND_TF32 : EXACT;
    default: return EXACT;
    }
}

static double scalar(const void *value, int compute) {
    switch (compute) {
    case COMPUTE_64F:
    case COMPUTE_64F_PEDANTIC:
        return *(const double *)value;
    case COMPUTE_16F:
    case COMPUTE_16F_PEDANTIC:
        return from_f16(*(const uint16_t *)value);
    default:
        return *(const float *)value;
    }
}

static int gemm(const Handle *handle, int m, int n, int k, const void *alpha, Operand a, Operand b, const void *beta,
                Result c, int batches, int compute) {
    emulation_counts[PRODUCTS]++;
    if (!handle) return CUBLAS_NOT_INITIALIZED;
    if (m < 0 || n < 0 || k < 0 || batches < 0 || !alpha || !beta) return CUBLAS_INVALID_VALUE;
    if (a.operation < OP_N || a.operation > OP_C || b.operation < OP_N || b.operation > OP_C)
        return CUBLAS_INVALID_VALUE;
    int a_rows = a.operation == OP_N ? m : k, a_columns = a.operation == OP_N ? k : m;
    int b_rows = b.operation == OP_N ? k : n, b_columns = b.operation == OP_N ? n : k;
    if (a.leading < (a_rows > 1 ? a_rows : 1) || b.leading < (b_rows > 1 ? b_rows : 1) || c.leading < (m > 1 ? m : 1))
        return CUBLAS_INVALID_VALUE;
    if (!combination_supported(a.type, b.type, c.type, compute)) return CUBLAS_NOT_SUPPORTED;
    if (m == 0 || n == 0) return CUBLAS_SUCCESS;

    double a_scale = scalar(alpha, compute), c_scale = scalar(beta, compute);
    int status = CUBLAS_SUCCESS;
    for (int batch = 0; batch < batches && status == CUBLAS_SUCCESS; batch++) {
        if (batch == 0 || batch == batches - 1) {
            if (k > 0 && a_scale != 0.0) {
                require_matrix(a.values, a.type, a.leading, a_rows, a_columns, "left operand of a product");
                require_matrix(b.values, b.type, b.leading, b_rows, b_columns, "right operand of a product");
            }
            require_matrix(c.values, c.type, c.leading, m, n, "result of a product");
        }
        status = c.type == TYPE_F64
                     ? multiply_f64((size_t)m, (size_t)n, (size_t)k, a_scale, &a, &b, c_scale, &c)
                     : multiply_f32((size_t)m, (size_t)n, (size_t)k, (float)a_scale, &a, &b, (float)c_scale, &c,
                                    rounding_of(handle, a.type, compute));
        a.values = (const char *)a.values + a.stride * (long long)type_bytes(a.type);
        b.values = (const char *)b.values + b.stride * (long long)type_bytes(b.type);
        c.values = (char *)c.values + c.stride * (long long)type_bytes(c.type);
    }
    return status;
}

int cublasGemmStridedBatchedEx(Handle *handle, int a_operation, int b_operation, int m, int n, int k,
                               const void *alpha, const void *a, int a_type, int a_leading, long long a_stride,
                               const void *b, int b_type, int b_leading, long long b_stride, const void *beta, void *c,
                               int c_type, int c_leading, long long c_stride, int batches, int compute,
                               int algorithm) {
    (void)algorithm;
    Operand left = {a, (Type)a_type, a_operation, a_leading, a_stride};
    Operand right = {b, (Type)b_type, b_operation, b_leading, b_stride};
    Result result = {c, (Type)c_type, c_leading, c_stride};
    return gemm(handle, m, n, k, alpha, left, right, beta, result, batches, compute);
}

int cublasGemmEx(Handle *handle, int a_operation, int b_operation, int m, int n, int k, const void *alpha,
                 const void *a, int a_type, int a_leading, const void *b, int b_type, int b_leading, const void *beta,
                 void *c, int c_type, int c_leading, int compute, int algorithm) {
    return cublasGemmStridedBatchedEx(handle, a_operation, b_operation, m, n, k, alpha, a, a_type, a_leading, 0, b,
                                      b_type, b_leading, 0, beta, c, c_type, c_leading, 0, 1, compute, algorithm);
}

#define GEMM(name, batched_name, scalar_type, type, compute)                                                           \
    int batched_name(Handle *handle, int a_operation, int b_operation, int m, int n, int k, const scalar_type *alpha, \
                     const scalar_type *a, int a_leading, long long a_stride, const scalar_type *b, int b_leading,    \
                     long long b_stride, const scalar_type *beta, scalar_type *c, int c_leading, long long c_stride,  \
                     int batches) {                                                                                    \
        return cublasGemmStridedBatchedEx(handle, a_operation, b_operation, m, n, k, alpha, a, type, a_leading,       \
                                          a_stride, b, type, b_leading, b_stride, beta, c, type, c_leading, c_stride, \
                                          batches, compute, -1);                                                       \
    }                                                                                                                  \
    int name(Handle *handle, int a_operation, int b_operation, int m, int n, int k, const scalar_type *alpha,         \
             const scalar_type *a, int a_leading, const scalar_type *b, int b_leading, const scalar_type *beta,       \
             scalar_type *c, int c_leading) {                                                                          \
        return batched_name(handle, a_operation, b_operation, m, n, k, alpha, a, a_leading, 0, b, b_leading, 0, beta, \
                            c, c_leading, 0, 1);                                                                       \
    }

GEMM(cublasSgemm_v2, cublasSgemmStridedBatched, float, TYPE_F32, COMPUTE_32F)
GEMM(cublasDgemm_v2, cublasDgemmStridedBatched, double, TYPE_F64, COMPUTE_64F)
GEMM(cublasHgemm, cublasHgemmStridedBatched, uint16_t, TYPE_F16, COMPUTE_16F)

#define GEMV(name, type)                                                                                               \
    int name(Handle *handle, int operation, int m, int n, const type *alpha, const type *a, int leading,              \
             const type *x, int x_step, const type *beta, type *y, int y_step) {                                       \
        if (!handle) return CUBLAS_NOT_INITIALIZED;                                                                    \
        if (m < 0 || n < 0 || leading < (m > 1 ? m : 1) || !x_step || !y_step) return CUBLAS_INVALID_VALUE;           \
        int outputs = operation == OP_N ? m : n, inputs = operation == OP_N ? n : m;                                   \
        /* A negative step starts at the far end. */                                                                   \
        const type *x_start = x_step > 0 ? x : x - (long long)(inputs - 1) * x_step;                                   \
        type *y_start = y_step > 0 ? y : y - (long long)(outputs - 1) * y_step;                                        \
        for (long long output = 0; output < outputs; output++) {                                                       \
            double sum = 0.0;                                                                                          \
            for (long long input = 0; input < inputs && *alpha != 0; input++)                                          \
                sum += (double)a[operation == OP_N ? input * leading + output : output * leading + input] *           \
                       (double)x_start[input * x_step];                                                                \
            type *at = &y_start[output * y_step];                                                                      \
            *at = (type)((double)*alpha * sum + (*beta == 0 ? 0.0 : (double)*beta * (double)*at));                     \
        }                                                                                                              \
        return CUBLAS_SUCCESS;                                                                                         \
    }

GEMV(cublasSgemv_v2, float)
GEMV(cublasDgemv_v2, double)
