// Sums and maxima over the 256 threads of a block, in a fixed order; every thread gets them. `scratch` is shared.

DEVICE double sum_of_block(double v, double *scratch) {
    scratch[threadIdx.x] = v;
    for (int step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) scratch[threadIdx.x] += scratch[threadIdx.x + step];
    }
    __syncthreads();
    v = scratch[0];
    __syncthreads();
    return v;
}

// NaN is passed over.
DEVICE float max_of_block(float v, float *scratch) {
    v = max_of_warp(v);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = v;
    __syncthreads();
    v = scratch[0];
    for (int i = 1; i < 8; i++) v = fmaxf(v, scratch[i]);
    __syncthreads();
    return v;
}
