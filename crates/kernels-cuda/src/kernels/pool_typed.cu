// Pools. One thread an element; gradients are gathered, so that they need no order.

// The largest of each window, and which of its taps that is; padding is never the largest, and of equal ones it is the first.
KERNEL(max_pool_TYPED)(const value_TYPED *x, value_TYPED *y, u8 *taps, int h, int w, int c, int oh, int ow, int kernel_h,
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
        taps[i] = (u8)tap;
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

// What each input gets from the windows that it is in: with `taps` from those whose largest it is, without them a share of all.
KERNEL(pool_gradient_TYPED)(const value_TYPED *gradient, const u8 *taps, value_TYPED *by_x, int adds, int h, int w, int c, int oh, int ow,
                      int kernel_h, int kernel_w, int stride_h, int stride_w, int pad_h, int pad_w, float share,
                      long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long pixel = i / c, row = pixel / w, image = row / h;
        int channel = (int)(i - pixel * c), ix = (int)(pixel - row * w), iy = (int)(row - image * h);
        float sum = 0.0f;
        for (int ky = 0; ky < kernel_h; ky++)
            for (int kx = 0; kx < kernel_w; kx++) {
                int y = iy + pad_h - ky, x = ix + pad_w - kx;
                if (y < 0 || x < 0 || y % stride_h != 0 || x % stride_w != 0) continue;
                y /= stride_h;
                x /= stride_w;
                if (y >= oh || x >= ow) continue;
                long long at = ((image * oh + y) * ow + x) * c + channel;
                if (!taps || taps[at] == ky * kernel_w + kx) sum += load_TYPED(gradient[at]) * share;
            }
        by_x[i] = store_TYPED(adds ? load_TYPED(by_x[i]) + sum : sum);
    }
}

// What each position gets of the gradient of the mean over positions.
KERNEL(global_pool_gradient_TYPED)(const float *gradient, value_TYPED *by_x, int adds, int n_positions, int c, float share, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long pixel = i / c, image = pixel / n_positions;
        float v = gradient[image * c + (i - pixel * c)] * share;
        by_x[i] = store_TYPED(adds ? load_TYPED(by_x[i]) + v : v);
    }
}
