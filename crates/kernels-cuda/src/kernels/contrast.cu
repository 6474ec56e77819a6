// Softmax statistics of a row of logits, and the weights of the keys in its gradient. A block a row.

#define NOTHING_YET __uint_as_float(0xff800000u) // -infinity

// The positive of a row is kept apart from its negatives, so that neither a small loss nor a small gradient is a difference
// of large numbers. It is the product of the row's query and key, if there are queries, and all logits are of negatives; it
// is logit number `first` + row otherwise. That product is summed in double precision and those of negatives by cuBLAS: where
// the key is a negative too, the two need not tie, as they do on the host.
//
// results: each row's cross-entropy, whether its positive is the largest logit, and the logit of the positive.
// With a gradient, weights replace the logits, for a product with what these are logits of: exp(logit - ...) / total *
// factor, and less the sum of the others for a positive among them. The part of a positive that is none of them begins the
// gradient.
KERNEL(contrast)(float *logits, const float *queries, const float *keys, float *gradient, double *results, int n_logits,
                 int width, int first, float temperature, double factor, int wants_gradient) {
    __shared__ float maxima[8];
    __shared__ double sums[256];
    int row = blockIdx.x, n_rows = gridDim.x;
    float *of_row = logits + (long long)row * n_logits;
    long long start = (long long)row * width;
    int place = queries ? -1 : first + row;
    float positive;
    if (queries) {
        double product = 0.0;
        for (int i = threadIdx.x; i < width; i += 256) product += (double)queries[start + i] * (double)keys[start + i];
        positive = (float)sum_of_block(product, sums) / temperature;
    } else {
        positive = of_row[place];
    }

    // One pass: the largest so far, and the sum relative to it.
    float max = NOTHING_YET, sum = 0.0f;
    for (int i = threadIdx.x; i < n_logits; i += 256) {
        if (i == place) continue;
        float logit = of_row[i];
        if (logit > max) {
            sum = sum * expf(max - logit) + 1.0f;
            max = logit;
        } else {
            sum += expf(logit - max);
        }
    }
    float largest_negative = max_of_block(max, maxima);
    // A thread may have no negative, and infinity less infinity is no number.
    double others = sum_of_block(sum == 0.0f ? 0.0 : (double)sum * exp((double)max - (double)largest_negative), sums);

    // Everything relative to the largest of all logits.
    int is_right = positive > largest_negative;
    float largest = is_right ? positive : largest_negative;
    double own = exp((double)positive - (double)largest);
    if (others != 0.0) others *= exp((double)largest_negative - (double)largest);
    double total = own + others;
    if (threadIdx.x == 0) {
        results[row] = is_right ? log1p(others) : log(total) + (double)largest - (double)positive;
        results[n_rows + row] = is_right;
        results[2 * n_rows + row] = positive;
    }
    if (!wants_gradient) return;
    float scale = (float)(factor / total), of_positive = (float)(-others / total * factor);
    for (int i = threadIdx.x; i < n_logits; i += 256)
        of_row[i] = i == place ? of_positive : expf(of_row[i] - largest) * scale;
    if (queries)
        for (int i = threadIdx.x; i < width; i += 256) gradient[start + i] = of_positive * keys[start + i];
}
