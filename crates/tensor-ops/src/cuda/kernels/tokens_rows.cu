// Tokens of every image, (N, T, D), moved and averaged: what is for gradients. Grids: (elements of an image / 256, images).

// Gives each of `count` tokens from `first` on the gradient of their mean, (N, D), times `share`; the others get 0.
KERNEL(spread_tokens)(const float *gradient, float *by_x, int n_images, int t, int d, int first, int count, float share) {
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)
        for (int i = (int)THREAD_INDEX; i < t * d; i += (int)THREAD_COUNT) {
            int token = i / d, c = i - token * d;
            int is_one = token >= first && token < first + count;
            by_x[image * t * d + i] = is_one ? gradient[image * d + c] * share : 0.0f;
        }
}
