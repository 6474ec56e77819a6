// Rows of either precision.

// Row i of `to` is row order[i] of `from`.
KERNEL(gather_rows_TYPED)(const value_TYPED *from, value_TYPED *to, const int *order, long long row_len, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long row = i / row_len;
        to[i] = from[(long long)order[row] * row_len + (i - row * row_len)];
    }
}

// Adds the row to every row. `y` may be `x`. Grid: (columns / 256, rows, or fewer).
KERNEL(add_row_TYPED)(const value_TYPED *x, const float *row, value_TYPED *y, long long n_rows, int n_columns) {
    int column = (int)THREAD_INDEX;
    if (column < n_columns) {
        float own = row[column];
        for (long long r = blockIdx.y; r < n_rows; r += gridDim.y) {
            long long i = r * n_columns + column;
            y[i] = store_TYPED(load_TYPED(x[i]) + own);
        }
    }
}
