// Convolution as a matrix product whose left factor is never written down: its rows are pixels of the output, its columns the
// channels of the taps around each, fetched from the image while the product runs. Tensor cores multiply.
//
// Compiled once for each of: HALF 0/1 (values in single precision or bfloat16), COLUMNS 64/128 (outputs of a block), VECTOR 0/1
// (rows of channels can be fetched 16 bytes at a time), EXACT 0/1 (single precision: three products of split factors in
// place of one of rounded factors, which keeps 21 bits of mantissa).

#define ROWS 128  // outputs of a block along the rows
#define DEPTH 32  // columns of the left factor in shared memory at a time
#define STAGES 3  // how many of those are there at once: one in use, the others on their way

#if HALF
typedef value_bf16 value;
#define LANES 8 // values in 16 bytes
#else
typedef value_f32 value;
#define LANES 4
#endif

// Rows of shared memory are wider than their values, so that the threads of a warp read from different banks.
#define LEFT_STRIDE (DEPTH + LANES)
#define RIGHT_STRIDE (COLUMNS + 8)
#define TALL_STRIDE (ROWS + 8)

#define COLUMN_TILES (COLUMNS / 16) // of a warp, 8 outputs each

// What is convolved: `n` images of `h` by `w` pixels of `c` channels, to `oh` by `ow` of `o`.
typedef struct {
    int n, h, w, c, oh, ow, o;
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    // The data's gradient: `h`, `w`, `c` are those of the gradient that is given, `oh`, `ow`, `o` those of the image.
    int is_backward;
} Geometry;

// One output pixel: its image, and where its window starts.
typedef struct {
    long long image; // pixels before its image
    int y, x;
    int is_there;
} Pixel;

DEVICE Pixel pixel_at(const Geometry *g, int row) {
    Pixel p;
    int area = g->oh * g->ow;
    p.is_there = row < g->n * area;
    int image = row / area, place = row - image * area;
    int y = place / g->ow, x = place - y * g->ow;
    p.image = (long long)image * g->h * g->w;
    p.y = g->is_backward ? y + g->pad_h : y * g->stride_h - g->pad_h;
    p.x = g->is_backward ? x + g->pad_w : x * g->stride_w - g->pad_w;
    return p;
}

// Where the values of a tap of a pixel start, or -1 outside of the image.
DEVICE long long source_of(const Geometry *g, const Pixel *p, int ky, int kx) {
    int y, x, is_on_grid = 1;
    if (g->is_backward) {
        y = p->y - ky;
        x = p->x - kx;
        if (g->stride_h != 1 || g->stride_w != 1) {
            is_on_grid = y >= 0 && x >= 0 && y % g->stride_h == 0 && x % g->stride_w == 0;
            y /= g->stride_h;
            x /= g->stride_w;
        }
    } else {
        y = p->y + ky;
        x = p->x + kx;
    }
    if (!p->is_there || !is_on_grid || y < 0 || x < 0 || y >= g->h || x >= g->w) return -1;
    return (p->image + (long long)y * g->w + x) * g->c;
}

// An output pixel on its way through the images, DEPTH pixels a step.
typedef struct {
    int image, y, x;
} Walk;

DEVICE void advance(const Geometry *g, Walk *walk, const Walk *stride) {
    walk->image += stride->image;
    walk->y += stride->y;
    walk->x += stride->x;
    if (walk->x >= g->ow) {
        walk->x -= g->ow;
        walk->y++;
    }
    if (walk->y >= g->oh) {
        walk->y -= g->oh;
        walk->image++;
    }
}

// Where the values of a tap of a pixel start, or -1 outside of the image.
DEVICE long long source_of_walk(const Geometry *g, const Walk *walk, int ky, int kx) {
    int y = walk->y * g->stride_h - g->pad_h + ky, x = walk->x * g->stride_w - g->pad_w + kx;
    if (walk->image >= g->n || y < 0 || x < 0 || y >= g->h || x >= g->w) return -1;
    return (((long long)walk->image * g->h + y) * g->w + x) * g->c;
}

// Half of a factor's bits, and the other half.
DEVICE void split(float v, u32 *high, u32 *low) {
    *high = to_tf32(v);
    *low = to_tf32(v - __uint_as_float(*high));
}

DEVICE u32 pair(value_bf16 first, value_bf16 second) { return (u32)first | ((u32)second << 16); }

// What the factors of one step of a warp are multiplied to. `LEFT(r, k)` and `RIGHT(k, c)` name values in shared memory.
#if HALF
#define STEP 16
#define MULTIPLY(acc, LEFT, RIGHT)                                                                                     \
    do {                                                                                                              \
        u32 right_[COLUMN_TILES][2];                                                                                  \
        _Pragma("unroll") for (int j_ = 0; j_ < COLUMN_TILES; j_++)                                                   \
            _Pragma("unroll") for (int i_ = 0; i_ < 2; i_++)                                                          \
                right_[j_][i_] = pair(RIGHT(2 * quad + 8 * i_, 8 * j_ + group), RIGHT(2 * quad + 8 * i_ + 1, 8 * j_ + group)); \
        _Pragma("unroll") for (int i_ = 0; i_ < 2; i_++) {                                                            \
            u32 left_[4];                                                                                             \
            _Pragma("unroll") for (int part_ = 0; part_ < 4; part_++) {                                               \
                int r_ = 16 * i_ + group + 8 * (part_ % 2), k_ = 2 * quad + 8 * (part_ / 2);                          \
                left_[part_] = pair(LEFT(r_, k_), LEFT(r_, k_ + 1));                                                  \
            }                                                                                                         \
            _Pragma("unroll") for (int j_ = 0; j_ < COLUMN_TILES; j_++)                                               \
                mma_m16n8k16_bf16(acc[i_][j_], left_, right_[j_]);                                                    \
        }                                                                                                             \
    } while (0)
#else
#define STEP 8
#if EXACT
// Each step is summed apart: tensor cores cut off the bits of a sum that do not fit, always towards zero.
#define MULTIPLY_TILE(acc, left, right)         \
    do {                                        \
        u32 lh_[4], ll_[4], rh_[2], rl_[2];     \
        float step_[4] = {0.0f, 0.0f, 0.0f, 0.0f}; \
        for (int p_ = 0; p_ < 4; p_++) split(left[p_], &lh_[p_], &ll_[p_]);  \
        for (int p_ = 0; p_ < 2; p_++) split(right[p_], &rh_[p_], &rl_[p_]); \
        mma_m16n8k8_tf32(step_, ll_, rh_);      \
        mma_m16n8k8_tf32(step_, lh_, rl_);      \
        mma_m16n8k8_tf32(step_, lh_, rh_);      \
        for (int p_ = 0; p_ < 4; p_++) acc[p_] += step_[p_]; \
    } while (0)
#define FACTOR float
#define PREPARE(v) (v)
#else
#define MULTIPLY_TILE(acc, left, right) mma_m16n8k8_tf32(acc, left, right)
#define FACTOR u32
#define PREPARE(v) to_tf32(v)
#endif
#define MULTIPLY(acc, LEFT, RIGHT)                                                                    \
    do {                                                                                              \
        FACTOR right_[COLUMN_TILES][2];                                                               \
        _Pragma("unroll") for (int j_ = 0; j_ < COLUMN_TILES; j_++)                                   \
            _Pragma("unroll") for (int i_ = 0; i_ < 2; i_++)                                          \
                right_[j_][i_] = PREPARE(RIGHT(quad + 4 * i_, 8 * j_ + group));                       \
        _Pragma("unroll") for (int i_ = 0; i_ < 2; i_++) {                                            \
            FACTOR left_[4];                                                                          \
            _Pragma("unroll") for (int part_ = 0; part_ < 4; part_++)                                 \
                left_[part_] = PREPARE(LEFT(16 * i_ + group + 8 * (part_ % 2), quad + 4 * (part_ / 2))); \
            _Pragma("unroll") for (int j_ = 0; j_ < COLUMN_TILES; j_++)                               \
                MULTIPLY_TILE(acc[i_][j_], left_, right_[j_]);                                        \
        }                                                                                             \
    } while (0)
#endif

// y[row][column] = the sum over taps and channels of x and weights, plus the bias; of the output's precision or, with `y32`, in
// single precision, added to what is there if asked for. `weights` are (KH, KW, c, o). Grid: (rows / ROWS, o / COLUMNS).
KERNEL(convolve)(const value *x, const value *weights, const float *bias, value *y, float *y32, int adds, Geometry g) {
    DYNAMIC_SHARED(value, shared);
    value *left = shared, *right = shared + STAGES * ROWS * LEFT_STRIDE;
    int depth = g.kernel_h * g.kernel_w * g.c, n_rows = g.n * g.oh * g.ow;
    int first_row = blockIdx.x * ROWS, first_column = blockIdx.y * COLUMNS;
    int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    int group = lane / 4, quad = lane % 4;
    int warp_row = (warp % 4) * 32, warp_column = (warp / 4) * (COLUMNS / 2);

    float acc[2][COLUMN_TILES][4];
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int k = 0; k < 4; k++) acc[i][j][k] = 0.0f;

#if VECTOR
#define LEFT_CHUNKS (DEPTH / LANES)      // 16-byte pieces of a row of the left factor
#define LEFT_STEP (256 / LEFT_CHUNKS)    // rows that all threads fetch at once
#define LEFT_PASSES (ROWS / LEFT_STEP)
#define RIGHT_CHUNKS (COLUMNS / LANES)
#define RIGHT_STEP (256 / RIGHT_CHUNKS)
#define RIGHT_PASSES (DEPTH / RIGHT_STEP)
    int left_chunk = thread % LEFT_CHUNKS, left_row = thread / LEFT_CHUNKS;
    int right_chunk = thread % RIGHT_CHUNKS, right_row = thread / RIGHT_CHUNKS;
#else
#define LEFT_STEP (256 / DEPTH)
#define LEFT_PASSES (ROWS / LEFT_STEP)
    int left_chunk = thread % DEPTH, left_row = thread / DEPTH;
#endif
#if VECTOR
    Pixel pixels[LEFT_PASSES];
    _Pragma("unroll") for (int i = 0; i < LEFT_PASSES; i++) pixels[i] = pixel_at(&g, first_row + left_row + LEFT_STEP * i);
#endif

    int n_steps = (depth + DEPTH - 1) / DEPTH;
    for (int step = 1 - STAGES; step < n_steps; step++) {
        if (step >= 0) {
#if VECTOR
            cp_async_wait(STAGES - 2);
#endif
            __syncthreads();
        }
        // Fetch what is multiplied STAGES - 1 steps later, to where the last step's factors were.
        int next = step + STAGES - 1;
        if (next < n_steps) {
            value *left_tile = left + (next % STAGES) * ROWS * LEFT_STRIDE;
            value *right_tile = right + (next % STAGES) * DEPTH * RIGHT_STRIDE;
#if VECTOR
            int k = next * DEPTH + left_chunk * LANES;
            int tap = k / g.c, channel = k - tap * g.c;
            int ky = tap / g.kernel_w, kx = tap - ky * g.kernel_w;
            _Pragma("unroll") for (int i = 0; i < LEFT_PASSES; i++) {
                long long from = k < depth ? source_of(&g, &pixels[i], ky, kx) : -1;
                cp_async_16(left_tile + (left_row + LEFT_STEP * i) * LEFT_STRIDE + left_chunk * LANES,
                            from < 0 ? x : x + from + channel, from < 0 ? 0 : 16);
            }
            _Pragma("unroll") for (int i = 0; i < RIGHT_PASSES; i++) {
                int row = right_row + RIGHT_STEP * i, column = first_column + right_chunk * LANES;
                int is_there = next * DEPTH + row < depth && column < g.o;
                cp_async_16(right_tile + row * RIGHT_STRIDE + right_chunk * LANES,
                            is_there ? weights + (long long)(next * DEPTH + row) * g.o + column : weights,
                            is_there ? 16 : 0);
            }
#else
            int k = next * DEPTH + left_chunk;
            int tap = k / g.c, channel = k - tap * g.c;
            int ky = tap / g.kernel_w, kx = tap - ky * g.kernel_w;
            for (int i = 0; i < LEFT_PASSES; i++) {
                Pixel pixel = pixel_at(&g, first_row + left_row + LEFT_STEP * i);
                long long from = k < depth ? source_of(&g, &pixel, ky, kx) : -1;
                left_tile[(left_row + LEFT_STEP * i) * LEFT_STRIDE + left_chunk] = from < 0 ? (value)0 : x[from + channel];
            }
            for (int at = thread; at < DEPTH * COLUMNS; at += 256) {
                int row = at / COLUMNS, column = at - row * COLUMNS;
                int is_there = next * DEPTH + row < depth && first_column + column < g.o;
                right_tile[row * RIGHT_STRIDE + column] =
                    is_there ? weights[(long long)(next * DEPTH + row) * g.o + first_column + column] : (value)0;
            }
#endif
        }
#if VECTOR
        cp_async_commit();
#endif
        if (step < 0) continue;
        int stage = step % STAGES;
        const value *left_tile = left + stage * ROWS * LEFT_STRIDE + warp_row * LEFT_STRIDE;
        const value *right_tile = right + stage * DEPTH * RIGHT_STRIDE + warp_column;
#define LEFT_AT(r, k) left_tile[(r) * LEFT_STRIDE + inner + (k)]
#define RIGHT_AT(k, c) right_tile[(inner + (k)) * RIGHT_STRIDE + (c)]
        _Pragma("unroll") for (int inner = 0; inner < DEPTH; inner += STEP) MULTIPLY(acc, LEFT_AT, RIGHT_AT);
    }

    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int part = 0; part < 4; part++) {
                int row = first_row + warp_row + 16 * i + group + 8 * (part / 2);
                int column = first_column + warp_column + 8 * j + 2 * quad + part % 2;
                if (row >= n_rows || column >= g.o) continue;
                long long at = (long long)row * g.o + column;
                float v = acc[i][j][part] + (bias ? bias[column] : 0.0f);
                if (y32) y32[at] = adds ? y32[at] + v : v;
                else y[at] =
#if HALF
                    store_bf16(v);
#else
                    v;
#endif
            }
}

// What a split of the pixels gives to the weights' gradient: partial[split][k][o] = the sum over its pixels of x at tap and channel
// k, times the gradient of the output. Grid: (depth / ROWS, o / COLUMNS, splits).
KERNEL(convolve_weights)(const value *x, const value *gradient, float *partial, int steps_of_split, Geometry g) {
    DYNAMIC_SHARED(value, shared);
    value *left = shared, *right = shared + STAGES * DEPTH * TALL_STRIDE;
    int depth = g.kernel_h * g.kernel_w * g.c, n_pixels = g.n * g.oh * g.ow;
    int first_row = blockIdx.x * ROWS, first_column = blockIdx.y * COLUMNS;
    int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    int group = lane / 4, quad = lane % 4;
    int warp_row = (warp % 4) * 32, warp_column = (warp / 4) * (COLUMNS / 2);
    int first_step = blockIdx.z * steps_of_split, n_steps = (n_pixels + DEPTH - 1) / DEPTH - first_step;
    if (n_steps > steps_of_split) n_steps = steps_of_split;
    if (n_steps < 0) n_steps = 0;

    float acc[2][COLUMN_TILES][4];
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int k = 0; k < 4; k++) acc[i][j][k] = 0.0f;

#if VECTOR
#define TALL_CHUNKS (ROWS / LANES)
#define TALL_STEP (256 / TALL_CHUNKS)
#define TALL_PASSES (DEPTH / TALL_STEP)
    int chunk = thread % TALL_CHUNKS, chunk_row = thread / TALL_CHUNKS;
    int right_chunk = thread % RIGHT_CHUNKS, right_row = thread / RIGHT_CHUNKS;
    int k = first_row + chunk * LANES;
    Walk stride, walks[TALL_PASSES];
    stride.x = DEPTH % g.ow;
    stride.y = DEPTH / g.ow % g.oh;
    stride.image = DEPTH / g.ow / g.oh;
    _Pragma("unroll") for (int i = 0; i < TALL_PASSES; i++) {
        int pixel = first_step * DEPTH + chunk_row + TALL_STEP * i, row = pixel / g.ow;
        walks[i].x = pixel - row * g.ow;
        walks[i].image = row / g.oh;
        walks[i].y = row - walks[i].image * g.oh;
    }
#else
#define TALL_STEP (256 / ROWS)
#define TALL_PASSES (DEPTH / TALL_STEP)
    int chunk = thread % ROWS, chunk_row = thread / ROWS;
    int k = first_row + chunk;
#endif
    int tap = k / g.c, channel = k - tap * g.c;
    int ky = tap / g.kernel_w, kx = tap - ky * g.kernel_w;

    for (int step = 1 - STAGES; step < n_steps; step++) {
        if (step >= 0) {
#if VECTOR
            cp_async_wait(STAGES - 2);
#endif
            __syncthreads();
        }
        int next = step + STAGES - 1;
        if (next < n_steps) {
            value *left_tile = left + (next % STAGES) * DEPTH * TALL_STRIDE;
            value *right_tile = right + (next % STAGES) * DEPTH * RIGHT_STRIDE;
            int first_pixel = (first_step + next) * DEPTH;
            _Pragma("unroll") for (int i = 0; i < TALL_PASSES; i++) {
                int row = chunk_row + TALL_STEP * i;
#if VECTOR
                long long from = k < depth ? source_of_walk(&g, &walks[i], ky, kx) : -1;
                advance(&g, &walks[i], &stride);
                cp_async_16(left_tile + row * TALL_STRIDE + chunk * LANES, from < 0 ? x : x + from + channel,
                            from < 0 ? 0 : 16);
#else
                Pixel pixel = pixel_at(&g, first_pixel + row);
                long long from = k < depth ? source_of(&g, &pixel, ky, kx) : -1;
                left_tile[row * TALL_STRIDE + chunk] = from < 0 ? (value)0 : x[from + channel];
#endif
            }
#if VECTOR
            _Pragma("unroll") for (int i = 0; i < RIGHT_PASSES; i++) {
                int row = right_row + RIGHT_STEP * i, column = first_column + right_chunk * LANES;
                int is_there = first_pixel + row < n_pixels && column < g.o;
                cp_async_16(right_tile + row * RIGHT_STRIDE + right_chunk * LANES,
                            is_there ? gradient + (long long)(first_pixel + row) * g.o + column : gradient,
                            is_there ? 16 : 0);
            }
#else
            for (int at = thread; at < DEPTH * COLUMNS; at += 256) {
                int row = at / COLUMNS, column = at - row * COLUMNS;
                int is_there = first_pixel + row < n_pixels && first_column + column < g.o;
                right_tile[row * RIGHT_STRIDE + column] =
                    is_there ? gradient[(long long)(first_pixel + row) * g.o + first_column + column] : (value)0;
            }
#endif
        }
#if VECTOR
        cp_async_commit();
#endif
        if (step < 0) continue;
        int stage = step % STAGES;
        const value *left_tile = left + stage * DEPTH * TALL_STRIDE + warp_row;
        const value *right_tile = right + stage * DEPTH * RIGHT_STRIDE + warp_column;
#define TALL_AT(r, k) left_tile[(inner + (k)) * TALL_STRIDE + (r)]
        _Pragma("unroll") for (int inner = 0; inner < DEPTH; inner += STEP) MULTIPLY(acc, TALL_AT, RIGHT_AT);
    }

    float *out = partial + (long long)blockIdx.z * depth * g.o;
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int part = 0; part < 4; part++) {
                int row = first_row + warp_row + 16 * i + group + 8 * (part / 2);
                int column = first_column + warp_column + 8 * j + 2 * quad + part % 2;
                if (row < depth && column < g.o) out[(long long)row * g.o + column] = acc[i][j][part];
            }
}
