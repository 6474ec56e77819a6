// Layer normalization: what does not depend on the precision of the values.

// What the chunks found, [chunk][scale or shift][column], added in their order. Grid: (columns / 32, 2). Either may be null.
KERNEL(norm_finish)(const float *partial, float *by_scale, float *by_shift, int n_chunks, int d) {
    __shared__ double sums[8][32];
    int y = threadIdx.x / 32, column = blockIdx.x * 32 + threadIdx.x % 32;
    float *to = blockIdx.y == 0 ? by_scale : by_shift;
    double total = 0.0;
    if (column < d) {
#pragma unroll 8
        for (int chunk = y; chunk < n_chunks; chunk += 8)
            total += (double)partial[((long long)chunk * 2 + blockIdx.y) * d + column];
    }
    total = sum_of_column(total, sums);
    if (y == 0 && column < d && to) to[column] = (float)total;
}
