// Rows of features, of single precision.

// Writes values one after another from place `first` on, and goes on at the start of what has `len` values.
KERNEL(write_around)(float *to, const float *from, long long first, long long len, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) to[(first + i) % len] = from[i];
}

// y = x / max(|x|, least), and what was divided by. A warp a row; the last block's spare warps repeat row 0 and write nothing.
// Squares stay in double precision until their root is taken: beyond 1.8e19, single precision has no number for a square.
KERNEL(unit_rows)(const float *x, float *y, float *lengths, float least, int n_columns, int n_rows) {
    int lane = threadIdx.x % WARP;
    long long row = THREAD_INDEX / WARP;
    int is_there = row < n_rows;
    long long start = is_there ? row * n_columns : 0;
    double square = 0.0;
    for (int i = lane; i < n_columns; i += WARP) square += (double)x[start + i] * (double)x[start + i];
    float length = (float)sqrt(wide_sum_of_warp(square));
    // Not fmaxf, which makes a number of what is none.
    if (length < least) length = least;
    if (!is_there) return;
    for (int i = lane; i < n_columns; i += WARP) y[start + i] = x[start + i] / length;
    if (lane == 0) lengths[row] = length;
}

// (gradient - (gradient . y) y) / length, where the gradient is. A warp a row.
KERNEL(unit_rows_backward)(float *gradient, const float *y, const float *lengths, float least, int n_columns, int n_rows) {
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
        gradient[start + i] = (gradient[start + i] - along * y[start + i]) / length;
}
