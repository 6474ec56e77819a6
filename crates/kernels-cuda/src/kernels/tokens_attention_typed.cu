DEVICE four_TYPED four_zeros_TYPED(void) {
    four_TYPED four;
    for (int j = 0; j < 4; j++) four.v[j] = store_TYPED(0.0f);
    return four;
}

KERNEL(split_heads_TYPED)(const value_TYPED *x, value_TYPED *y, int n_images, int t, int n_padded, int n_parts, int heads, int dh) {
    SPLIT_HEADS(value_TYPED, store_TYPED(0.0f))
}

KERNEL(split_heads_four_TYPED)(const value_TYPED *x, value_TYPED *y, int n_images, int t, int n_padded, int n_parts, int heads, int dh) {
    SPLIT_HEADS(four_TYPED, four_zeros_TYPED())
}

KERNEL(merge_heads_TYPED)(const value_TYPED *x, value_TYPED *y, int n_images, int t, int n_padded, int n_parts, int heads, int dh) {
    MERGE_HEADS(value_TYPED)
}

KERNEL(merge_heads_four_TYPED)(const value_TYPED *x, value_TYPED *y, int n_images, int t, int n_padded, int n_parts, int heads, int dh) {
    MERGE_HEADS(four_TYPED)
}

// p = softmax(scale * logits), a warp a query; zeros where there is no query or no key. `p` may be `logits`. What normalizes a
// query, its greatest logit and one over the sum of its exponentials, goes to `normalizers`, if that is not null.
KERNEL(softmax_TYPED)(const float *logits, value_TYPED *p, float *normalizers, float scale, int t, int n_padded, long long n_rows) {
    int lane = threadIdx.x % 32;
    long long row = THREAD_INDEX / 32, start = row * n_padded;
    int is_query = row < n_rows && row % n_padded < t;
    int n = is_query ? t : 0, n_written = row < n_rows ? n_padded : 0;
    // The first 256 keys stay in registers.
    float kept[8], greatest = LEAST, sum = 0.0f;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        int c = lane + 32 * j;
        kept[j] = c < n ? logits[start + c] : LEAST;
        greatest = fmaxf(greatest, kept[j]);
    }
    for (int c = lane + 256; c < n; c += 32) greatest = fmaxf(greatest, logits[start + c]);
    greatest = max_of_warp(greatest);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        kept[j] = lane + 32 * j < n ? expf(scale * (kept[j] - greatest)) : 0.0f;
        sum += kept[j];
    }
    for (int c = lane + 256; c < n; c += 32) sum += expf(scale * (logits[start + c] - greatest));
    sum = sum_of_warp(sum);
    float inv_sum = is_query ? 1.0f / sum : 0.0f;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        int c = lane + 32 * j;
        if (c < n_written) p[start + c] = store_TYPED(kept[j] * inv_sum);
    }
    for (int c = lane + 256; c < n_written; c += 32)
        p[start + c] = store_TYPED(c < n ? expf(scale * (logits[start + c] - greatest)) * inv_sum : 0.0f);
    if (normalizers && is_query && lane == 0) {
        normalizers[2 * row] = greatest;
        normalizers[2 * row + 1] = inv_sum;
    }
}

// From logits and the gradients of the probabilities to probabilities and the gradients of the logits, which may be in the same
// places.
KERNEL(softmax_backward_TYPED)(const float *logits, const float *by_p, const float *normalizers, value_TYPED *p, value_TYPED *by_logits, float scale, int t, int n_padded, long long n_rows) {
    int lane = threadIdx.x % 32;
    long long row = THREAD_INDEX / 32, start = row * n_padded;
    int is_query = row < n_rows && row % n_padded < t;
    int n = is_query ? t : 0, n_written = row < n_rows ? n_padded : 0;
    float greatest = is_query ? normalizers[2 * row] : 0.0f, inv_sum = is_query ? normalizers[2 * row + 1] : 0.0f;
    float kept[8], by[8], mean = 0.0f;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        int c = lane + 32 * j;
        kept[j] = c < n ? logits[start + c] : LEAST;
        by[j] = c < n ? by_p[start + c] : 0.0f;
    }
#pragma unroll
    for (int j = 0; j < 8; j++) {
        kept[j] = lane + 32 * j < n ? expf(scale * (kept[j] - greatest)) * inv_sum : 0.0f;
        mean += kept[j] * by[j];
    }
    for (int c = lane + 256; c < n; c += 32)
        mean += expf(scale * (logits[start + c] - greatest)) * inv_sum * by_p[start + c];
    mean = sum_of_warp(mean);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        int c = lane + 32 * j;
        if (c < n_written) {
            p[start + c] = store_TYPED(kept[j]);
            by_logits[start + c] = store_TYPED(scale * kept[j] * (by[j] - mean));
        }
    }
    for (int c = lane + 256; c < n_written; c += 32) {
        float own = c < n ? expf(scale * (logits[start + c] - greatest)) * inv_sum : 0.0f;
        float by_logit = c < n ? scale * own * (by_p[start + c] - mean) : 0.0f;
        p[start + c] = store_TYPED(own);
        by_logits[start + c] = store_TYPED(by_logit);
    }
}
