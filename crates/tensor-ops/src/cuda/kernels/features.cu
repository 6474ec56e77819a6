// Rows of features, single precision.

// y[row][c] = bias[c]: what a product is then added to.
KERNEL(fill_rows)(float *y, const float *bias, int n_columns, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) y[i] = bias[i % n_columns];
}

// sum[i] += gradient[i] where the output of ReLU is positive.
KERNEL(add_where_positive)(float *sum, const float *gradient, const float *output, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT)
        if (output[i] > 0.0f) sum[i] += gradient[i];
}

// Writes values one after another from place `first` on, and goes on at the start of what has `len` values.
KERNEL(write_around)(float *to, const float *from, long long first, long long len, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) to[(first + i) % len] = from[i];
}

// y = x / max(|x|, least), and what was divided by. A warp a row; the last block's spare warps repeat row 0 and write nothing.
KERNEL(l2_normalize)(const float *x, float *y, float *lengths, float least, int n_columns, int n_rows) {
    int lane = threadIdx.x % WARP;
    long long row = THREAD_INDEX / WARP;
    int is_there = row < n_rows;
    long long start = is_there ? row * n_columns : 0;
    double square = 0.0;
    for (int i = lane; i < n_columns; i += WARP) square += (double)x[start + i] * (double)x[start + i];
    float length = fmaxf(sqrtf(sum_of_warp((float)square)), least);
    if (!is_there) return;
    for (int i = lane; i < n_columns; i += WARP) y[start + i] = x[start + i] / length;
    if (lane == 0) lengths[row] = length;
}

// sum += (gradient - (gradient . y) y) / length. A warp a row.
KERNEL(l2_normalize_backward)(float *sum, const float *gradient, const float *y, const float *lengths, float least,
                              int n_columns, int n_rows) {
    int lane = threadIdx.x % WARP;
    long long row = THREAD_INDEX / WARP;
    int is_there = row < n_rows;
    long long start = is_there ? row * n_columns : 0;
    double product = 0.0;
    for (int i = lane; i < n_columns; i += WARP) product += (double)gradient[start + i] * (double)y[start + i];
    float along = sum_of_warp((float)product);
    if (!is_there) return;
    float length = lengths[row];
    // A row that is shorter than the least length is only scaled.
    if (!(length > least)) along = 0.0f;
    for (int i = lane; i < n_columns; i += WARP)
        sum[start + i] += (gradient[start + i] - along * y[start + i]) / length;
}
