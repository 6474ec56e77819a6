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
#define load load_bf16
#define store store_bf16
#define LANES 8 // values in 16 bytes
#else
typedef value_f32 value;
#define load load_f32
#define store store_f32
#define LANES 4
#endif
#define STEP (2 * LANES) // columns of the left factor that one instruction multiplies

// Rows of shared memory are wider than their values, so that the threads of a warp read from different banks.
#define DEEP_STRIDE (DEPTH + LANES)
#define WIDE_STRIDE (COLUMNS + 8)
#define TALL_STRIDE (ROWS + 8)

#define COLUMN_TILES (COLUMNS / 16) // of a warp, 8 outputs each

#if VECTOR
#define PIECE LANES // values that a thread fetches at once
#else
#define PIECE 1
#endif

// What is convolved: `n` images of `h` by `w` pixels of `c` channels, to `oh` by `ow` of `o`.
typedef struct {
    int n, h, w, c, oh, ow, o;
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    // The data's gradient: `h`, `w`, `c` are those of the gradient that is given, `oh`, `ow`, `o` those of the image.
    int is_backward;
} Geometry;

// One output pixel: the pixels before its image, and where its window starts; far outside of the image if it is not there.
typedef struct {
    int image, y, x;
} Pixel;

#define NOWHERE (-(1 << 29))

DEVICE Pixel pixel_at(const Geometry *g, int row) {
    Pixel p;
    int area = g->oh * g->ow, image = row / area, place = row - image * area;
    int y = place / g->ow, x = place - y * g->ow;
    p.image = image * g->h * g->w;
    p.y = image >= g->n ? NOWHERE : g->is_backward ? y + g->pad_h : y * g->stride_h - g->pad_h;
    p.x = g->is_backward ? x + g->pad_w : x * g->stride_w - g->pad_w;
    return p;
}

// The pixel that a tap of a window reads, or -1 outside of the image.
DEVICE int source_of(const Geometry *g, const Pixel *p, int ky, int kx) {
    int y, x;
    if (g->is_backward) {
        y = p->y - ky;
        x = p->x - kx;
        if (y < 0 || x < 0) return -1;
        if (g->stride_h != 1 || g->stride_w != 1) {
            if (y % g->stride_h != 0 || x % g->stride_w != 0) return -1;
            y /= g->stride_h;
            x /= g->stride_w;
        }
    } else {
        y = p->y + ky;
        x = p->x + kx;
        if (y < 0 || x < 0) return -1;
    }
    return y >= g->h || x >= g->w ? -1 : p->image + y * g->w + x;
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

DEVICE int source_of_walk(const Geometry *g, const Walk *walk, int ky, int kx) {
    int y = walk->y * g->stride_h - g->pad_h + ky, x = walk->x * g->stride_w - g->pad_w + kx;
    if (walk->image >= g->n || y < 0 || x < 0 || y >= g->h || x >= g->w) return -1;
    return (walk->image * g->h + y) * g->w + x;
}

// A factor as two TF32 numbers: the nearest, and that of what is left.
DEVICE void split(u32 bits, u32 *high, u32 *low) {
    float v = __uint_as_float(bits);
    *high = to_tf32(v);
    *low = to_tf32(v - __uint_as_float(*high));
}

// acc += left right, for the 32 rows and 8 COLUMN_TILES columns of a warp, STEP deep.
DEVICE void multiply(float (*acc)[COLUMN_TILES][4], u32 (*left)[4], u32 *right) {
#if HALF
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++) mma_m16n8k16_bf16(acc[i][j], left[i], right + 2 * j);
#elif EXACT
    u32 high[2][4], low[2][4];
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int k = 0; k < 4; k++) split(left[i][k], &high[i][k], &low[i][k]);
    _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++) {
        u32 right_high[2], right_low[2];
        split(right[2 * j], &right_high[0], &right_low[0]);
        split(right[2 * j + 1], &right_high[1], &right_low[1]);
        _Pragma("unroll") for (int i = 0; i < 2; i++) {
            // Summed apart: tensor cores cut off the bits of a sum that do not fit, always towards zero.
            float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            mma_m16n8k8_tf32(sum, low[i], right_high);
            mma_m16n8k8_tf32(sum, high[i], right_low);
            mma_m16n8k8_tf32(sum, high[i], right_high);
            _Pragma("unroll") for (int k = 0; k < 4; k++) acc[i][j][k] += sum[k];
        }
    }
#else
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int k = 0; k < 4; k++) left[i][k] = to_tf32(__uint_as_float(left[i][k]));
    _Pragma("unroll") for (int j = 0; j < 2 * COLUMN_TILES; j++) right[j] = to_tf32(__uint_as_float(right[j]));
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++) mma_m16n8k8_tf32(acc[i][j], left[i], right + 2 * j);
#endif
}

// Columns of both factors that all threads fetch together, and over how many rows.
#define PIECES (DEPTH / PIECE)
#define FETCHED_ROWS (256 / PIECES)
#define LEFT_PASSES (ROWS / FETCHED_ROWS)
#define RIGHT_PASSES (COLUMNS / FETCHED_ROWS)

// y[row][column] = the sum over taps and channels of x and weights, plus the bias, added to what is there if asked for. `weights`
// are (KH, KW, o, c). Grid: (rows / ROWS, o / COLUMNS).
KERNEL(convolve)(const value *x, const value *weights, const float *bias, value *y, int adds, Geometry g) {
    DYNAMIC_SHARED(value, shared);
    value *left = shared, *right = shared + STAGES * ROWS * DEEP_STRIDE;
    int n_taps = g.kernel_h * g.kernel_w, n_rows = g.n * g.oh * g.ow;
    int n_steps = (n_taps * g.c + DEPTH - 1) / DEPTH;
    int first_row = blockIdx.x * ROWS, first_column = blockIdx.y * COLUMNS;
    int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    int warp_row = (warp % 4) * 32, warp_column = (warp / 4) * (COLUMNS / 2);

    float acc[2][COLUMN_TILES][4];
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int k = 0; k < 4; k++) acc[i][j][k] = 0.0f;

    // What this thread fetches: some columns of a few rows of both factors, at one tap.
    int piece = (thread % PIECES) * PIECE, fetched = thread / PIECES;
    int channel = piece, tap = 0, ky = 0, kx = 0, is_new_tap = 1;
#if VECTOR
    Pixel pixels[LEFT_PASSES];
    int sources[LEFT_PASSES];
    _Pragma("unroll") for (int i = 0; i < LEFT_PASSES; i++)
        pixels[i] = pixel_at(&g, first_row + fetched + FETCHED_ROWS * i);
#endif

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
            value *left_to = left + (next % STAGES) * ROWS * DEEP_STRIDE + fetched * DEEP_STRIDE + piece;
            value *right_to = right + (next % STAGES) * COLUMNS * DEEP_STRIDE + fetched * DEEP_STRIDE + piece;
            while (channel >= g.c) {
                channel -= g.c;
                tap++;
                is_new_tap = 1;
                if (++kx == g.kernel_w) {
                    kx = 0;
                    ky++;
                }
            }
            const value *weights_of_tap = weights + ((long long)tap * g.o + first_column + fetched) * g.c + channel;
#if VECTOR
            if (is_new_tap) {
                _Pragma("unroll") for (int i = 0; i < LEFT_PASSES; i++)
                    sources[i] = tap < n_taps ? source_of(&g, &pixels[i], ky, kx) : -1;
                is_new_tap = 0;
            }
            _Pragma("unroll") for (int i = 0; i < LEFT_PASSES; i++)
                cp_async_16(left_to + FETCHED_ROWS * i * DEEP_STRIDE,
                            sources[i] < 0 ? x : x + (long long)sources[i] * g.c + channel, sources[i] < 0 ? 0 : 16);
            _Pragma("unroll") for (int i = 0; i < RIGHT_PASSES; i++) {
                int is_there = tap < n_taps && first_column + fetched + FETCHED_ROWS * i < g.o;
                cp_async_16(right_to + FETCHED_ROWS * i * DEEP_STRIDE,
                            is_there ? weights_of_tap + FETCHED_ROWS * i * g.c : weights, is_there ? 16 : 0);
            }
#else
            for (int i = 0; i < LEFT_PASSES; i++) {
                Pixel pixel = pixel_at(&g, first_row + fetched + FETCHED_ROWS * i);
                int source = tap < n_taps ? source_of(&g, &pixel, ky, kx) : -1;
                left_to[FETCHED_ROWS * i * DEEP_STRIDE] = source < 0 ? (value)0 : x[(long long)source * g.c + channel];
            }
            for (int i = 0; i < RIGHT_PASSES; i++) {
                int is_there = tap < n_taps && first_column + fetched + FETCHED_ROWS * i < g.o;
                right_to[FETCHED_ROWS * i * DEEP_STRIDE] = is_there ? weights_of_tap[FETCHED_ROWS * i * g.c] : (value)0;
            }
#endif
            channel += DEPTH;
        }
#if VECTOR
        cp_async_commit();
#endif
        if (step < 0) continue;
        const value *left_tile = left + (step % STAGES) * ROWS * DEEP_STRIDE +
                                 (warp_row + lane % 16) * DEEP_STRIDE + LANES * (lane / 16);
        const value *right_tile = right + (step % STAGES) * COLUMNS * DEEP_STRIDE +
                                  (warp_column + lane % 8 + 8 * (lane / 16)) * DEEP_STRIDE + LANES * (lane / 8 % 2);
        _Pragma("unroll") for (int inner = 0; inner < DEPTH; inner += STEP) {
            u32 left_words[2][4], right_words[2 * COLUMN_TILES];
            _Pragma("unroll") for (int i = 0; i < 2; i++)
                load_matrices(left_words[i], left_tile + 16 * i * DEEP_STRIDE + inner);
            _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j += 2)
                load_matrices(right_words + 2 * j, right_tile + 8 * j * DEEP_STRIDE + inner);
            multiply(acc, left_words, right_words);
        }
    }

    int group = lane / 4, quad = lane % 4;
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int part = 0; part < 4; part++) {
                int row = first_row + warp_row + 16 * i + group + 8 * (part / 2);
                int column = first_column + warp_column + 8 * j + 2 * quad + part % 2;
                if (row >= n_rows || column >= g.o) continue;
                long long at = (long long)row * g.o + column;
                float v = acc[i][j][part] + (bias ? bias[column] : 0.0f);
                y[at] = store(adds ? load(y[at]) + v : v);
            }
}

// Columns of the factors of the weights' gradient that all threads fetch together, and over how many pixels.
#define TALL_PIECES (ROWS / PIECE)
#define TALL_ROWS (256 / TALL_PIECES)
#define TALL_PASSES (DEPTH / TALL_ROWS)
#define WIDE_PIECES (COLUMNS / PIECE)
#define WIDE_ROWS (256 / WIDE_PIECES)
#define WIDE_PASSES (DEPTH / WIDE_ROWS)

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

    float acc[2][COLUMN_TILES][4];
    _Pragma("unroll") for (int i = 0; i < 2; i++)
        _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j++)
            _Pragma("unroll") for (int k = 0; k < 4; k++) acc[i][j][k] = 0.0f;

    // What this thread fetches of the left factor: one tap and some channels of a few pixels.
    int piece = (thread % TALL_PIECES) * PIECE, fetched = thread / TALL_PIECES;
    int wide_piece = (thread % WIDE_PIECES) * PIECE, wide_fetched = thread / WIDE_PIECES;
    int k = first_row + piece, tap = k / g.c, channel = k - tap * g.c;
    int ky = tap / g.kernel_w, kx = tap - ky * g.kernel_w;
    int is_tap = k < depth, is_column = first_column + wide_piece < g.o;
#if VECTOR
    Walk stride, walks[TALL_PASSES];
    stride.x = DEPTH % g.ow;
    stride.y = DEPTH / g.ow % g.oh;
    stride.image = DEPTH / g.ow / g.oh;
    _Pragma("unroll") for (int i = 0; i < TALL_PASSES; i++) {
        int pixel = first_step * DEPTH + fetched + TALL_ROWS * i, row = pixel / g.ow;
        walks[i].x = pixel - row * g.ow;
        walks[i].image = row / g.oh;
        walks[i].y = row - walks[i].image * g.oh;
    }
#endif

    for (int step = 1 - STAGES; step < n_steps; step++) {
        if (step >= 0) {
#if VECTOR
            cp_async_wait(STAGES - 2);
#endif
            __syncthreads();
        }
        int next = step + STAGES - 1;
        if (next < n_steps) {
            value *left_to = left + (next % STAGES) * DEPTH * TALL_STRIDE + fetched * TALL_STRIDE + piece;
            value *right_to = right + (next % STAGES) * DEPTH * WIDE_STRIDE + wide_fetched * WIDE_STRIDE + wide_piece;
            int first_pixel = (first_step + next) * DEPTH, wide_pixel = first_pixel + wide_fetched;
            const value *gradient_of_pixel = gradient + (long long)wide_pixel * g.o + first_column + wide_piece;
            _Pragma("unroll") for (int i = 0; i < TALL_PASSES; i++) {
#if VECTOR
                int source = is_tap ? source_of_walk(&g, &walks[i], ky, kx) : -1;
                advance(&g, &walks[i], &stride);
                cp_async_16(left_to + TALL_ROWS * i * TALL_STRIDE,
                            source < 0 ? x : x + (long long)source * g.c + channel, source < 0 ? 0 : 16);
#else
                Pixel pixel = pixel_at(&g, first_pixel + fetched + TALL_ROWS * i);
                int source = is_tap ? source_of(&g, &pixel, ky, kx) : -1;
                left_to[TALL_ROWS * i * TALL_STRIDE] = source < 0 ? (value)0 : x[(long long)source * g.c + channel];
#endif
            }
            _Pragma("unroll") for (int i = 0; i < WIDE_PASSES; i++) {
                int is_there = is_column && wide_pixel + WIDE_ROWS * i < n_pixels;
#if VECTOR
                cp_async_16(right_to + WIDE_ROWS * i * WIDE_STRIDE,
                            is_there ? gradient_of_pixel + (long long)WIDE_ROWS * i * g.o : gradient, is_there ? 16 : 0);
#else
                right_to[WIDE_ROWS * i * WIDE_STRIDE] =
                    is_there ? gradient_of_pixel[(long long)WIDE_ROWS * i * g.o] : (value)0;
#endif
            }
        }
#if VECTOR
        cp_async_commit();
#endif
        if (step < 0) continue;
        const value *left_tile = left + (step % STAGES) * DEPTH * TALL_STRIDE + warp_row;
        const value *right_tile = right + (step % STAGES) * DEPTH * WIDE_STRIDE + warp_column;
        _Pragma("unroll") for (int inner = 0; inner < DEPTH; inner += STEP) {
            u32 left_words[2][4], right_words[2 * COLUMN_TILES];
#if HALF
            _Pragma("unroll") for (int i = 0; i < 2; i++)
                load_transposed(left_words[i], left_tile + (inner + lane % 8 + 8 * (lane / 16)) * TALL_STRIDE + 16 * i +
                                                   8 * (lane / 8 % 2));
            _Pragma("unroll") for (int j = 0; j < COLUMN_TILES; j += 2)
                load_transposed(right_words + 2 * j,
                                right_tile + (inner + lane % 16) * WIDE_STRIDE + 8 * j + 8 * (lane / 16));
#else
            _Pragma("unroll") for (int i = 0; i < 2; i++)
                _Pragma("unroll") for (int part = 0; part < 4; part++)
                    left_words[i][part] = __float_as_uint(
                        left_tile[(inner + quad + 4 * (part / 2)) * TALL_STRIDE + 16 * i + group + 8 * (part % 2)]);
            _Pragma("unroll") for (int j = 0; j < 2 * COLUMN_TILES; j++)
                right_words[j] =
                    __float_as_uint(right_tile[(inner + quad + 4 * (j % 2)) * WIDE_STRIDE + 8 * (j / 2) + group]);
#endif
            multiply(acc, left_words, right_words);
        }
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
