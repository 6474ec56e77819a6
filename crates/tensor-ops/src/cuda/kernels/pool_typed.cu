// Pools. One thread an element; gradients are gathered, so that they need no order.

// The largest of each window, and which of its taps that is; padding is never the largest, and of equal ones it is the first.
KERNEL(max_pool_TYPED)(const value_TYPED *x, value_TYPED *y, u16 *taps, int h, int w, int c, int oh, int ow, int kernel_h,
                       int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long pixel = i / c, row = pixel / ow, image = row / oh;
        int channel = (int)(i - pixel * c), ox = (int)(pixel - row * ow), oy = (int)(row - image * oh);
        float largest = -INFINITY;
        int tap = 0, is_first = 1;
        for (int ky = 0; ky < kernel_h; ky++)
            for (int kx = 0; kx < kernel_w; kx++) {
                int iy = oy * stride_h - pad_h + ky, ix = ox * stride_w - pad_w + kx;
                if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
                float v = load_TYPED(x[((image * h + iy) * w + ix) * c + channel]);
                if (is_first || v > largest || v != v) {
                    largest = v;
                    tap = ky * kernel_w + kx;
                    is_first = 0;
                }
            }
        y[i] = store_TYPED(largest);
        taps[i] = (u16)tap;
    }
}

// The mean of each window; padding counts as zeros.
KERNEL(average_pool_TYPED)(const value_TYPED *x, value_TYPED *y, int h, int w, int c, int oh, int ow, int kernel_h,
                           int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w, float share, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long pixel = i / c, row = pixel / ow, image = row / oh;
        int channel = (int)(i - pixel * c), ox = (int)(pixel - row * ow), oy = (int)(row - image * oh);
        float sum = 0.0f;
        for (int ky = 0; ky < kernel_h; ky++)
            for (int kx = 0; kx < kernel_w; kx++) {
                int iy = oy * stride_h - pad_h + ky, ix = ox * stride_w - pad_w + kx;
                if (iy < 0 || ix < 0 || iy >= h || ix >= w) continue;
                sum += load_TYPED(x[((image * h + iy) * w + ix) * c + channel]);
            }
        y[i] = store_TYPED(sum * share);
    }
}

// The mean of each channel over the positions of an image, in single precision.
KERNEL(global_pool_TYPED)(const value_TYPED *x, float *y, int n_positions, int c, float share, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long image = i / c;
        int channel = (int)(i - image * c);
        float sum = 0.0f;
        for (int position = 0; position < n_positions; position++)
            sum += load_TYPED(x[(image * n_positions + position) * c + channel]);
        y[i] = sum * share;
    }
}
