
KERNEL(from_f32_TYPED)(const float *from, value_TYPED *to, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) to[i] = store_TYPED(from[i]);
}

KERNEL(to_f32_TYPED)(const value_TYPED *from, float *to, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) to[i] = load_TYPED(from[i]);
}

// Row i of `to` is row order[i] of `from`.
KERNEL(gather_rows_TYPED)(const value_TYPED *from, value_TYPED *to, const int *order, long long row_len, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long row = i / row_len;
        to[i] = from[(long long)order[row] * row_len + (i - row * row_len)];
    }
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
KERNEL(mask_TYPED)(float *gradient, const value_TYPED *output, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT)
        if (!(load_TYPED(output[i]) > 0.0f)) gradient[i] = 0.0f;
}

// (taps, i, o) to (taps, o, i).
KERNEL(transpose_taps_TYPED)(const float *from, value_TYPED *to, int n_in, int n_out, long long n) {
    for (long long at = THREAD_INDEX; at < n; at += THREAD_COUNT) {
        long long row = at / n_in, tap = row / n_out;
        int i = (int)(at - row * n_in), o = (int)(row - tap * n_out);
        to[at] = store_TYPED(from[(tap * n_in + i) * n_out + o]);
    }
}
