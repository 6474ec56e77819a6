// A warp for each row. The mean and one over the standard deviation go to `statistics`, if that is not null.
KERNEL(norm_forward_TYPED)(const value_TYPED *x, const float *scale, const float *shift, value_TYPED *y, float *statistics, float eps, long long n_rows, int d) {
    int lane = threadIdx.x % 32;
    long long row = THREAD_INDEX / 32;
    // A warp beyond the last row reads and writes nothing.
    int n = row < n_rows ? d : 0;
    long long start = row * d;
    float share = 1.0f / (float)d, sum = 0.0f, squares = 0.0f;
#pragma unroll 4
    for (int c = lane; c < n; c += 32) sum += load_TYPED(x[start + c]);
    float mean = sum_of_warp(sum) * share;
#pragma unroll 4
    for (int c = lane; c < n; c += 32) {
        float distance = load_TYPED(x[start + c]) - mean;
        squares += distance * distance;
    }
    float inv_std = 1.0f / sqrtf(sum_of_warp(squares) * share + eps);
#pragma unroll 4
    for (int c = lane; c < n; c += 32) {
        float normalized = (load_TYPED(x[start + c]) - mean) * inv_std;
        y[start + c] = store_TYPED(normalized * scale[c] + shift[c]);
    }
    if (statistics && n > 0 && lane == 0) {
        statistics[2 * row] = mean;
        statistics[2 * row + 1] = inv_std;
    }
}

// Eight rows at a time: each warp sums over one of them what its gradient needs, then each thread goes down four columns of all
// eight, writes their gradients, and grows its columns' sums for scale and shift. Grid: (chunks of rows, columns / 1024).
// `by_x` and `partial`, [chunk][scale or shift][column], may be null.
KERNEL(norm_backward_TYPED)(const value_TYPED *gradient, const value_TYPED *x, const float *statistics, const float *scale, value_TYPED *by_x, int adds, float *partial, long long n_rows, int d, int rows_of_chunk) {
    __shared__ float means[8], inv_stds[8], plains[8], alongs[8];
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int column = blockIdx.y * 1024 + threadIdx.x;
    long long first = (long long)blockIdx.x * rows_of_chunk, end = first + rows_of_chunk;
    if (end > n_rows) end = n_rows;
    float share = 1.0f / (float)d;
    float scales[4], by_scale[4], by_shift[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        scales[j] = column + 256 * j < d ? scale[column + 256 * j] : 0.0f;
        by_scale[j] = by_shift[j] = 0.0f;
    }
    for (long long start = first; start < end; start += 8) {
        long long row = start + warp;
        float mean = 0.0f, inv_std = 0.0f, plain = 0.0f, along = 0.0f;
        if (row < end) {
            mean = statistics[2 * row];
            inv_std = statistics[2 * row + 1];
        }
        int n = by_x && row < end ? d : 0;
#pragma unroll 4
        for (int c = lane; c < n; c += 32) {
            float scaled = load_TYPED(gradient[row * d + c]) * scale[c];
            plain += scaled;
            along += scaled * ((load_TYPED(x[row * d + c]) - mean) * inv_std);
        }
        plain = sum_of_warp(plain) * share;
        along = sum_of_warp(along) * share;
        if (lane == 0) {
            means[warp] = mean;
            inv_stds[warp] = inv_std;
            plains[warp] = plain;
            alongs[warp] = along;
        }
        __syncthreads();
        int n_here = end - start < 8 ? (int)(end - start) : 8;
        for (int i = 0; i < n_here; i++) {
            long long at = (start + i) * d + column;
            float own[4], normalized[4], before[4];
#pragma unroll
            for (int j = 0; j < 4; j++) {
                int is_inside = column + 256 * j < d;
                own[j] = is_inside ? load_TYPED(gradient[at + 256 * j]) : 0.0f;
                normalized[j] = is_inside ? (load_TYPED(x[at + 256 * j]) - means[i]) * inv_stds[i] : 0.0f;
                before[j] = is_inside && adds ? load_TYPED(by_x[at + 256 * j]) : 0.0f;
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
                by_shift[j] += own[j];
                by_scale[j] += own[j] * normalized[j];
                float by = (own[j] * scales[j] - plains[i] - normalized[j] * alongs[i]) * inv_stds[i];
                if (by_x && column + 256 * j < d) by_x[at + 256 * j] = store_TYPED(before[j] + by);
            }
        }
        __syncthreads();
    }
    if (partial) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (column + 256 * j < d) {
                long long at = (long long)blockIdx.x * 2 * d + column + 256 * j;
                partial[at] = by_scale[j];
                partial[at + d] = by_shift[j];
            }
        }
    }
}
