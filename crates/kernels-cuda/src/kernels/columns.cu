// Sums over rows, in two passes: blocks of 32 columns by 8 rows sum some rows each, then one adds what they found. Both go in a
// fixed order, and in double precision.

// sum[c] = the sum of partial[...][c]. Grid: columns / 32.
KERNEL(sum_rows_finish)(const double *partial, float *sum, int n_chunks, int n_columns) {
    __shared__ double sums[8][32];
    int y = threadIdx.x / 32, column = blockIdx.x * 32 + threadIdx.x % 32;
    double total = 0.0;
    if (column < n_columns)
        for (int chunk = y; chunk < n_chunks; chunk += 8) total += partial[(long long)chunk * n_columns + column];
    total = sum_of_column(total, sums);
    if (y == 0 && column < n_columns) sum[column] = (float)total;
}
