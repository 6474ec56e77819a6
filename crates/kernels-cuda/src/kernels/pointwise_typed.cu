// Element by element, of either precision.

// sum[i] += values[i]
KERNEL(add_to_TYPED)(value_TYPED *sum, const value_TYPED *values, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT)
        sum[i] = store_TYPED(load_TYPED(sum[i]) + load_TYPED(values[i]));
}

KERNEL(from_f32_TYPED)(const float *from, value_TYPED *to, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) to[i] = store_TYPED(from[i]);
}

KERNEL(to_f32_TYPED)(const value_TYPED *from, float *to, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) to[i] = load_TYPED(from[i]);
}

// max(x, 0); NaN stays.
KERNEL(relu_TYPED)(const value_TYPED *x, value_TYPED *y, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float v = load_TYPED(x[i]);
        y[i] = store_TYPED(v < 0.0f ? 0.0f : v);
    }
}

// a + b, and the larger of that and 0 if asked for.
KERNEL(sum_TYPED)(const value_TYPED *a, const value_TYPED *b, value_TYPED *y, int with_relu, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float v = load_TYPED(a[i]) + load_TYPED(b[i]);
        y[i] = store_TYPED(with_relu && v < 0.0f ? 0.0f : v);
    }
}

// Zeros the gradient where ReLU was off.
KERNEL(mask_TYPED)(value_TYPED *gradient, const value_TYPED *output, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT)
        if (!(load_TYPED(output[i]) > 0.0f)) gradient[i] = store_TYPED(0.0f);
}

// (taps, i, o) to (taps, o, i).
KERNEL(transpose_taps_TYPED)(const float *from, value_TYPED *to, int n_in, int n_out, long long n) {
    for (long long at = THREAD_INDEX; at < n; at += THREAD_COUNT) {
        long long row = at / n_in, tap = row / n_out;
        int i = (int)(at - row * n_in), o = (int)(row - tap * n_out);
        to[at] = store_TYPED(from[(tap * n_in + i) * n_out + o]);
    }
}
