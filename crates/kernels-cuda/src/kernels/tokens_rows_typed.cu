// Tokens of every image, (N, T, D), moved and averaged. Grids: (elements of an image / 256, images).

// (N, T, D) to (N, T + 1, D), with `token` first.
KERNEL(prepend_token_TYPED)(const value_TYPED *x, const float *token, value_TYPED *y, int n_images, int t, int d) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < (t + 1) * d; i += (int)THREAD_COUNT) {
            long long to = image * (t + 1) * d + i;
            if (i < d) y[to] = store_TYPED(token[i]);
            else y[to] = x[image * t * d + i - d];
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

// All values of each image, `len` of them, times the image's own factor.
KERNEL(scale_images_TYPED)(const value_TYPED *x, const float *factors, value_TYPED *y, int n_images, int len) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < len; i += (int)THREAD_COUNT)
            y[image * len + i] = store_TYPED(load_TYPED(x[image * len + i]) * factors[image]);
}
