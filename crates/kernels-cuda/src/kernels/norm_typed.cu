
// partial[(group * chunks + chunk) * 2 + which][column]: sums of values and of their squares. Grid: (columns / 32, chunks, groups).
KERNEL(moments_TYPED)(const value_TYPED *x, double *partial, long long rows_of_group, int n_columns, int n_positions,
                      long long rows_of_chunk) {
    __shared__ double sums[8][32], squares[8][32];
    int y = threadIdx.x / 32, column = blockIdx.x * 32 + threadIdx.x % 32;
    long long first = blockIdx.y * rows_of_chunk, end = first + rows_of_chunk;
    if (end > rows_of_group) end = rows_of_group;
    double sum = 0.0, square = 0.0;
    if (column < n_columns)
        _Pragma("unroll 4") for (long long row = first + y; row < end; row += 8) {
            double v = load_TYPED(x[row_of_group(row, n_positions, gridDim.z, blockIdx.z) * n_columns + column]);
            sum += v;
            square += v * v;
        }
    sum = sum_of_column(sum, sums);
    square = sum_of_column(square, squares);
    if (y == 0 && column < n_columns) {
        long long at = (long long)(blockIdx.z * gridDim.y + blockIdx.y) * 2 * n_columns + column;
        partial[at] = sum;
        partial[at + n_columns] = square;
    }
}

// y = x * factor + offset (+ residual), and the larger of that and 0 if asked for.
KERNEL(normalize_TYPED)(const value_TYPED *x, const value_TYPED *residual, value_TYPED *y, const float *factor,
                        const float *offset, int n_columns, int n_positions, int n_groups, int with_relu, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long at = coefficient_of(i, n_positions, n_groups, n_columns);
        float v = load_TYPED(x[i]) * factor[at] + offset[at];
        if (residual) v += load_TYPED(residual[i]);
        y[i] = store_TYPED(with_relu && v < 0.0f ? 0.0f : v);
    }
}

// The same for rows whose lengths are multiples of four; `n` counts fours.
KERNEL(normalize_four_TYPED)(const value_TYPED *x, const value_TYPED *residual, value_TYPED *y, const float *factor,
                             const float *offset, int n_columns, int n_positions, int n_groups, int with_relu,
                             long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long at = coefficient_of(4 * i, n_positions, n_groups, n_columns) / 4;
        four_TYPED values = ((const four_TYPED *)x)[i], others;
        four_f32 factors = ((const four_f32 *)factor)[at], offsets = ((const four_f32 *)offset)[at];
        if (residual) others = ((const four_TYPED *)residual)[i];
        _Pragma("unroll") for (int j = 0; j < 4; j++) {
            float v = load_TYPED(values.v[j]) * factors.v[j] + offsets.v[j];
            if (residual) v += load_TYPED(others.v[j]);
            values.v[j] = store_TYPED(with_relu && v < 0.0f ? 0.0f : v);
        }
        ((four_TYPED *)y)[i] = values;
    }
}

// Whether ReLU let a value through: by its output if that is there, else by what the input is normalized to if there are
// coefficients of that; always without either.
DEVICE int is_on_TYPED(const value_TYPED *output, long long i, float x, float factor, float offset, int by_input) {
    if (output) return load_TYPED(output[i]) > 0.0f;
    return !by_input || x * factor + offset > 0.0f;
}

// As moments_TYPED, of the gradient, masked, and of it times the distance from the mean.
KERNEL(gradient_sums_TYPED)(const value_TYPED *x, const value_TYPED *output, const value_TYPED *gradient,
                            const float *mask_factor, const float *mask_offset, const float *mean, double *partial,
                            long long rows_of_group, int n_columns, int n_positions, long long rows_of_chunk) {
    __shared__ double sums[8][32], distances[8][32];
    int y = threadIdx.x / 32, column = blockIdx.x * 32 + threadIdx.x % 32;
    long long first = blockIdx.y * rows_of_chunk, end = first + rows_of_chunk;
    if (end > rows_of_group) end = rows_of_group;
    double sum = 0.0, distance = 0.0;
    if (column < n_columns) {
        long long at = (long long)blockIdx.z * n_columns + column;
        float middle = mean[at], factor = mask_offset ? mask_factor[at] : 0.0f, offset = mask_offset ? mask_offset[at] : 0.0f;
        int by_input = mask_offset != 0;
        _Pragma("unroll 4") for (long long row = first + y; row < end; row += 8) {
            long long i = row_of_group(row, n_positions, gridDim.z, blockIdx.z) * n_columns + column;
            float own = load_TYPED(x[i]);
            float g = is_on_TYPED(output, i, own, factor, offset, by_input) ? load_TYPED(gradient[i]) : 0.0f;
            sum += g;
            distance += (double)g * (double)(own - middle);
        }
    }
    sum = sum_of_column(sum, sums);
    distance = sum_of_column(distance, distances);
    if (y == 0 && column < n_columns) {
        long long at = (long long)(blockIdx.z * gridDim.y + blockIdx.y) * 2 * n_columns + column;
        partial[at] = sum;
        partial[at + n_columns] = distance;
    }
}

// The gradient of the input, to `by_x` or added to it, and in `gradient` itself that of the sum before ReLU, if asked for. `by_x` may
// be `gradient`.
KERNEL(spread_gradient_TYPED)(const value_TYPED *x, const value_TYPED *output, value_TYPED *gradient, value_TYPED *by_x, int adds,
                              int keeps_masked, const float *mask_offset, const float *factor, const float *mean,
                              const float *slope, const float *offset, int n_columns, int n_positions, int n_groups,
                              long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long at = coefficient_of(i, n_positions, n_groups, n_columns);
        float own = load_TYPED(x[i]), g = load_TYPED(gradient[i]);
        if (!is_on_TYPED(output, i, own, factor[at], mask_offset ? mask_offset[at] : 0.0f, mask_offset != 0)) g = 0.0f;
        if (keeps_masked) gradient[i] = store_TYPED(g);
        if (by_x) {
            float v = factor[at] * g + (slope[at] * (own - mean[at]) + offset[at]);
            by_x[i] = store_TYPED(adds ? load_TYPED(by_x[i]) + v : v);
        }
    }
}

// The same for rows whose lengths are multiples of four; `n` counts fours.
KERNEL(spread_gradient_four_TYPED)(const value_TYPED *x, const value_TYPED *output, value_TYPED *gradient, value_TYPED *by_x,
                                   int adds, int keeps_masked, const float *mask_offset, const float *factor,
                                   const float *mean, const float *slope, const float *offset, int n_columns,
                                   int n_positions, int n_groups, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long at = coefficient_of(4 * i, n_positions, n_groups, n_columns) / 4;
        four_f32 factors = ((const four_f32 *)factor)[at], mask_offsets;
        four_TYPED values = ((const four_TYPED *)x)[i], gradients = ((const four_TYPED *)gradient)[i], outputs, sums;
        float g[4];
        if (output) outputs = ((const four_TYPED *)output)[i];
        if (mask_offset) mask_offsets = ((const four_f32 *)mask_offset)[at];
        _Pragma("unroll") for (int j = 0; j < 4; j++) {
            float own_offset = mask_offset ? mask_offsets.v[j] : 0.0f;
            int is_on = is_on_TYPED(output ? outputs.v : 0, j, load_TYPED(values.v[j]), factors.v[j], own_offset, mask_offset != 0);
            g[j] = is_on ? load_TYPED(gradients.v[j]) : 0.0f;
            gradients.v[j] = store_TYPED(g[j]);
        }
        if (keeps_masked) ((four_TYPED *)gradient)[i] = gradients;
        if (by_x) {
            four_f32 means = ((const four_f32 *)mean)[at];
            four_f32 slopes = ((const four_f32 *)slope)[at], offsets = ((const four_f32 *)offset)[at];
            if (adds) sums = ((const four_TYPED *)by_x)[i];
            _Pragma("unroll") for (int j = 0; j < 4; j++) {
                float v = factors.v[j] * g[j] + (slopes.v[j] * (load_TYPED(values.v[j]) - means.v[j]) + offsets.v[j]);
                sums.v[j] = store_TYPED(adds ? load_TYPED(sums.v[j]) + v : v);
            }
            ((four_TYPED *)by_x)[i] = sums;
        }
    }
}
