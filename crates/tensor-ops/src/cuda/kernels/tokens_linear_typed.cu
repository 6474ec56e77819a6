// What follows a product: a bias, GELU, a residual, each if it is asked for. `y` may be `product`.
DEVICE float linear_tail_of_TYPED(float v, float bias, int with_gelu, float residual) {
    v += bias;
    return (with_gelu ? gelu(v) : v) + residual;
}

KERNEL(linear_tail_TYPED)(const value_TYPED *product, const float *bias, const value_TYPED *residual, value_TYPED *y, int with_gelu, int n_columns, long long n) {
    int column = (int)(THREAD_INDEX % n_columns), step = (int)(THREAD_COUNT % n_columns);
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float other = residual ? load_TYPED(residual[i]) : 0.0f;
        y[i] = store_TYPED(linear_tail_of_TYPED(load_TYPED(product[i]), bias ? bias[column] : 0.0f, with_gelu, other));
        column += step;
        if (column >= n_columns) column -= n_columns;
    }
}

// The same for rows whose lengths are multiples of four; `n_columns` and `n` count fours.
KERNEL(linear_tail_four_TYPED)(const value_TYPED *product, const float *bias, const value_TYPED *residual, value_TYPED *y, int with_gelu, int n_columns, long long n) {
    int column = (int)(THREAD_INDEX % n_columns), step = (int)(THREAD_COUNT % n_columns);
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        four_TYPED values = ((const four_TYPED *)product)[i], others;
        four_f32 biases;
        if (bias) biases = ((const four_f32 *)bias)[column];
        if (residual) others = ((const four_TYPED *)residual)[i];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float other = residual ? load_TYPED(others.v[j]) : 0.0f, own = bias ? biases.v[j] : 0.0f;
            values.v[j] = store_TYPED(linear_tail_of_TYPED(load_TYPED(values.v[j]), own, with_gelu, other));
        }
        ((four_TYPED *)y)[i] = values;
        column += step;
        if (column >= n_columns) column -= n_columns;
    }
}

// All that the products of the backward pass want of the output's gradient, in one pass over it: times the slope of GELU at
// `product + bias` if there is a `product`, then in place, or as bfloat16 to `narrow` if there is that; its sums over the rows of
// a chunk to partial[chunk][column] if there is that. Grid: (columns / 32, chunks).
KERNEL(linear_gradient_TYPED)(float *gradient, const value_TYPED *product, const float *bias, value_bf16 *narrow, double *partial, long long n_rows, int n_columns, long long rows_of_chunk) {
    __shared__ double sums[8][32];
    int lane = threadIdx.x % 32, y = threadIdx.x / 32;
    int column = blockIdx.x * 32 + lane;
    long long first = blockIdx.y * rows_of_chunk, end = first + rows_of_chunk;
    if (end > n_rows) end = n_rows;
    double sum = 0.0;
    if (column < n_columns) {
        float own = bias ? bias[column] : 0.0f;
        for (long long start = first + y; start < end; start += 32) {
            float g[4], before[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                long long row = start + 8 * j;
                g[j] = row < end ? gradient[row * n_columns + column] : 0.0f;
                before[j] = product && row < end ? load_TYPED(product[row * n_columns + column]) : 0.0f;
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                long long row = start + 8 * j;
                if (row < end) {
                    float v = product ? g[j] * gelu_slope(before[j] + own) : g[j];
                    sum += (double)v;
                    if (narrow) narrow[row * n_columns + column] = store_bf16(v);
                    else if (product) gradient[row * n_columns + column] = v;
                }
            }
        }
    }
    sums[y][lane] = sum;
    __syncthreads();
    if (partial && y == 0 && column < n_columns) {
        for (int i = 1; i < 8; i++) sum += sums[i][lane];
        partial[(long long)blockIdx.y * n_columns + column] = sum;
    }
}
