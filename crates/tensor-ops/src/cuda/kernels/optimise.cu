// Update rules, and the sizes of gradients.

// partial[block] = the sums of p^2 and (g + decay p)^2 over what the block goes through.
KERNEL(squares_partial)(const float *values, const float *gradient, double *partial, float decay, long long n) {
    __shared__ double scratch[256];
    double of_values = 0.0, of_gradient = 0.0;
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float p = values[i];
        double decayed = (double)(gradient[i] + decay * p);
        of_values += (double)p * (double)p;
        of_gradient += decayed * decayed;
    }
    of_values = sum_of_block(of_values, scratch);
    of_gradient = sum_of_block(of_gradient, scratch);
    if (threadIdx.x == 0) {
        partial[2 * blockIdx.x] = of_values;
        partial[2 * blockIdx.x + 1] = of_gradient;
    }
}

// v = momentum v + rate (g + decay p), then p -= lr v. The rate is 1, or comes from the sums of at most 256 blocks: each block
// adds them for itself, which is faster than another kernel.
KERNEL(move_with_momentum)(float *values, const float *gradient, float *velocity, const double *partial, int n_partial,
                           int lengths_add, double trust, double weight_decay, float momentum, float lr, long long n) {
    __shared__ double scratch[256];
    float rate = 1.0f, decay = (float)weight_decay;
    if (partial) {
        int is_one = threadIdx.x < n_partial;
        double length = sqrt(sum_of_block(is_one ? partial[2 * threadIdx.x] : 0.0, scratch));
        double of_gradient = sqrt(sum_of_block(is_one ? partial[2 * threadIdx.x + 1] : 0.0, scratch));
        int is_defined = length > 0.0 && of_gradient > 0.0;
        if (lengths_add) {
            if (is_defined) rate = (float)(trust * length / (of_gradient + weight_decay * length + 1e-8));
            else decay = 0.0f;
        } else if (is_defined) {
            rate = (float)(trust * length / of_gradient);
        }
    }
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float p = values[i];
        float v = momentum * velocity[i] + rate * (gradient[i] + decay * p);
        velocity[i] = v;
        values[i] = p - lr * v;
    }
}

// m += first_new (g - m); v = second_kept v + second_new g^2; p = shrink p - size m / (sqrt(v) / root_of_filled + eps)
KERNEL(move_adamw)(float *values, const float *gradient, float *first, float *second, float shrink, float first_new,
                   float second_kept, float second_new, float root_of_filled, float eps, float size, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float g = gradient[i];
        float m = first[i];
        m += first_new * (g - m);
        float v = second_kept * second[i] + second_new * (g * g);
        float root = sqrtf(v) / root_of_filled + eps;
        first[i] = m;
        second[i] = v;
        values[i] = shrink * values[i] - size * (m / root);
    }
}

// largest[place + block] = the bits of the largest absolute value of what the block goes through. As integers, absolute values
// are ordered, and NaN is the largest.
KERNEL(largest_partial)(const float *values, int *largest, int place, long long n) {
    __shared__ int scratch[256];
    int max = 0;
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        int bits = (int)(__float_as_uint(values[i]) & 0x7fffffffu);
        if (bits > max) max = bits;
    }
    scratch[threadIdx.x] = max;
    for (int step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step && scratch[threadIdx.x + step] > scratch[threadIdx.x])
            scratch[threadIdx.x] = scratch[threadIdx.x + step];
    }
    if (threadIdx.x == 0) largest[place + blockIdx.x] = scratch[0];
}
