// Element by element, of single precision.

// sum[i] = the sum of partial[split][i] over splits, in their order, added to what is there if asked for.
KERNEL(sum_splits)(const float *partial, float *sum, int n_splits, int adds, long long n) {
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        float total = 0.0f;
        for (int split = 0; split < n_splits; split++) total += partial[split * n + i];
        sum[i] = adds ? sum[i] + total : total;
    }
}
