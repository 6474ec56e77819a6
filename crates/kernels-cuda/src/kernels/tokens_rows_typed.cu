// Tokens of every image, (N, T, D), moved and averaged. Grids: (elements of an image / 256, images).

// (N, T, D) to (N, R + T, D), with `r` tokens first.
KERNEL(prepend_tokens_TYPED)(const value_TYPED *x, const float *tokens, value_TYPED *y, int n_images, int t, int d, int r) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < (r + t) * d; i += (int)THREAD_COUNT) {
            long long to = image * (r + t) * d + i;
            if (i < r * d) y[to] = store_TYPED(tokens[i]);
            else y[to] = x[image * t * d + i - r * d];
        }
}

// `count` tokens from `first` on, (N, T, D) to (N, count, D).
KERNEL(take_tokens_TYPED)(const value_TYPED *x, value_TYPED *y, int n_images, int t, int d, int first, int count) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < count * d; i += (int)THREAD_COUNT)
            y[image * count * d + i] = x[(image * t + first) * d + i];
}

// The sum of `count` tokens from `first` on times `share`, (N, T, D) to (N, D).
KERNEL(mean_tokens_TYPED)(const value_TYPED *x, float *y, int n_images, int t, int d, int first, int count, float share) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int c = (int)THREAD_INDEX; c < d; c += (int)THREAD_COUNT) {
            const value_TYPED *from = x + (image * t + first) * d + c;
            float sum = 0.0f;
#pragma unroll 8
            for (int token = 0; token < count; token++) sum += load_TYPED(from[(long long)token * d]);
            y[image * d + c] = sum * share;
        }
}

// Gives each of `count` tokens from `first` on the gradient of their mean, (N, D), times `share`; the others get 0.
KERNEL(spread_tokens_TYPED)(const float *gradient, value_TYPED *by_x, int n_images, int t, int d, int first, int count, float share) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < t * d; i += (int)THREAD_COUNT) {
            int token = i / d, c = i - token * d;
            int is_one = token >= first && token < first + count;
            by_x[image * t * d + i] = store_TYPED(is_one ? gradient[image * d + c] * share : 0.0f);
        }
}

// Every row of `d` values times the factors, value by value.
KERNEL(scale_features_TYPED)(const value_TYPED *x, const float *factors, value_TYPED *y, int d, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT)
        y[i] = store_TYPED(load_TYPED(x[i]) * factors[i % d]);
}

// Value times value, in single precision.
KERNEL(products_TYPED)(const value_TYPED *a, const value_TYPED *b, float *y, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) y[i] = load_TYPED(a[i]) * load_TYPED(b[i]);
}

// All values of each image, `len` of them, times the image's own factor.
KERNEL(scale_images_TYPED)(const value_TYPED *x, const float *factors, value_TYPED *y, int n_images, int len) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < len; i += (int)THREAD_COUNT)
            y[image * len + i] = store_TYPED(load_TYPED(x[image * len + i]) * factors[image]);
}
