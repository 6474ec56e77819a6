// Sums over rows: the first pass.

// partial[chunk][c] = the sum of column c over the rows of a chunk. Grid: (columns / 32, chunks).
KERNEL(sum_rows_partial_TYPED)(const value_TYPED *x, double *partial, long long n_rows, int n_columns, long long rows_of_chunk) {
    __shared__ double sums[8][32];
    int y = threadIdx.x / 32, column = blockIdx.x * 32 + threadIdx.x % 32;
    long long first = blockIdx.y * rows_of_chunk, end = first + rows_of_chunk;
    if (end > n_rows) end = n_rows;
    double sum = 0.0;
    if (column < n_columns)
        for (long long row = first + y; row < end; row += 8) sum += (double)load_TYPED(x[row * n_columns + column]);
    sum = sum_of_column(sum, sums);
    if (y == 0 && column < n_columns) partial[(long long)blockIdx.y * n_columns + column] = sum;
}
