// What follows a product: a bias and a residual, each if it is there, added to it where it is. GELU of that, if it is asked for, to
// `y`, or where the product is without one.
KERNEL(linear_tail_TYPED)(value_TYPED *product, const float *bias, const value_TYPED *residual, value_TYPED *y, int with_gelu, int n_columns, long long n) {
    int column = (int)(THREAD_INDEX % n_columns), step = (int)(THREAD_COUNT % n_columns);
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float v = load_TYPED(product[i]);
        if (bias) v += bias[column];
        if (residual) v += load_TYPED(residual[i]);
        if (y) {
            if (bias) product[i] = store_TYPED(v);
            y[i] = store_TYPED(gelu(v));
        } else product[i] = store_TYPED(with_gelu ? gelu(v) : v);
        column += step;
        if (column >= n_columns) column -= n_columns;
    }
}

// The same for rows whose lengths are multiples of four; `n_columns` and `n` count fours.
KERNEL(linear_tail_four_TYPED)(value_TYPED *product, const float *bias, const value_TYPED *residual, value_TYPED *y, int with_gelu, int n_columns, long long n) {
    int column = (int)(THREAD_INDEX % n_columns), step = (int)(THREAD_COUNT % n_columns);
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        four_TYPED values = ((const four_TYPED *)product)[i], others, results;
        four_f32 biases;
        if (bias) biases = ((const four_f32 *)bias)[column];
        if (residual) others = ((const four_TYPED *)residual)[i];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float v = load_TYPED(values.v[j]);
            if (bias) v += biases.v[j];
            if (residual) v += load_TYPED(others.v[j]);
            values.v[j] = store_TYPED(v);
            results.v[j] = store_TYPED(with_gelu ? gelu(v) : v);
        }
        if (y) {
            if (bias) ((four_TYPED *)product)[i] = values;
            ((four_TYPED *)y)[i] = results;
        } else ((four_TYPED *)product)[i] = results;
        column += step;
        if (column >= n_columns) column -= n_columns;
    }
}

// What a backward pass wants of the output's gradient, in one pass over it: times the slope of GELU at `before`, in place, if there
// is that; its sums over the rows of a chunk to partial[chunk][column] if there is that. Grid: (columns / 32, chunks).
KERNEL(linear_gradient_TYPED)(value_TYPED *gradient, const value_TYPED *before, double *partial, long long n_rows, int n_columns, long long rows_of_chunk) {
    __shared__ double sums[8][32];
    int y = threadIdx.x / 32, column = blockIdx.x * 32 + threadIdx.x % 32;
    long long first = blockIdx.y * rows_of_chunk, end = first + rows_of_chunk;
    if (end > n_rows) end = n_rows;
    double sum = 0.0;
    if (column < n_columns) {
        for (long long start = first + y; start < end; start += 32) {
            float g[4], x[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                long long row = start + 8 * j;
                g[j] = row < end ? load_TYPED(gradient[row * n_columns + column]) : 0.0f;
                x[j] = before && row < end ? load_TYPED(before[row * n_columns + column]) : 0.0f;
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                long long row = start + 8 * j;
                if (row < end) {
                    float v = before ? g[j] * gelu_slope(x[j]) : g[j];
                    sum += (double)v;
                    if (before) gradient[row * n_columns + column] = store_TYPED(v);
                }
            }
        }
    }
    sum = sum_of_column(sum, sums);
    if (partial && y == 0 && column < n_columns) partial[(long long)blockIdx.y * n_columns + column] = sum;
}
