// Sums of products, and values times a number, of single precision.

// y[i] = values[i] * factor
KERNEL(scaled)(float *y, const float *values, float factor, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) y[i] = values[i] * factor;
}

// y[i] = values[i] * factor[0]
KERNEL(scaled_by)(float *y, const float *values, const float *factor, long long n) {
    float f = factor[0];
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) y[i] = values[i] * f;
}

// partial[block] = the sum of a[i] * b[i] over what the block goes through.
KERNEL(dot_partial)(const float *a, const float *b, double *partial, long long n) {
    __shared__ double scratch[256];
    double sum = 0.0;
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) sum += (double)a[i] * (double)b[i];
    sum = sum_of_block(sum, scratch);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// sum[0] = the sum of what at most 256 blocks found. One block.
KERNEL(dot_finish)(const double *partial, float *sum, int n_partial) {
    __shared__ double scratch[256];
    double total = sum_of_block(threadIdx.x < n_partial ? partial[threadIdx.x] : 0.0, scratch);
    if (threadIdx.x == 0) sum[0] = (float)total;
}
