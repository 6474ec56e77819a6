
// What each input gets from the windows that it is in: with `taps` from those whose largest it is, without them a share of all.
KERNEL(pool_gradient)(const float *gradient, const u16 *taps, float *by_x, int adds, int h, int w, int c, int oh, int ow,
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
                if (!taps || taps[at] == ky * kernel_w + kx) sum += gradient[at] * share;
            }
        by_x[i] = adds ? by_x[i] + sum : sum;
    }
}

// What each position gets of the gradient of the mean over positions.
KERNEL(global_pool_gradient)(const float *gradient, float *by_x, int adds, int n_positions, int c, float share, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long pixel = i / c, image = pixel / n_positions;
        float v = gradient[image * c + (i - pixel * c)] * share;
        by_x[i] = adds ? by_x[i] + v : v;
    }
}
