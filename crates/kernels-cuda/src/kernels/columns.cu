// Sums over rows, in two passes: blocks of 32 columns by 8 rows sum some rows each, then one adds what they found. Both go in a
// fixed order, and in double precision.

// sum[c] = the sum of partial[...][c]. Grid: columns / 32.
KERNEL(sum_rows_finish)(const double *partial, float *sum, int n_chunks, int n_columns) {
    __shared__ double sums[8][32];
    int lane = threadIdx.x % 32, y = threadIdx.x / 32;
    int column = blockIdx.x * 32 + lane;
    double total = 0.0;
    if (column < n_columns)
        for (int chunk = y; chunk < n_chunks; chunk += 8) total += partial[(long long)chunk * n_columns + column];
    sums[y][lane] = total;
    __syncthreads();
    if (y == 0 && column < n_columns) {
        for (int i = 1; i < 8; i++) total += sums[i][lane];
        sum[column] = (float)total;
    }
}
