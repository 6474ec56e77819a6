// Batch normalization: what follows from sums. Statistics are double precision and sums go in a fixed order.

// The sum over chunks of partial[(group * n_chunks + chunk) * 2 + which][column], for the threads of row 0 of a block of 8 by 32.
DEVICE double sum_of_chunks(const double *partial, int group, int which, int n_chunks, int n_columns, int column,
                            double (*sums)[32]) {
    double total = 0.0;
    if (column < n_columns)
        for (int chunk = threadIdx.x / 32; chunk < n_chunks; chunk += 8)
            total += partial[((long long)(group * n_chunks + chunk) * 2 + which) * n_columns + column];
    // The sum before may be read yet.
    __syncthreads();
    return sum_of_column(total, sums);
}

// What normalizes values of this mean and variance, at place `at` of each array.
DEVICE void write_coefficients(double mean, double var, const float *scale, const float *shift, double eps, int column, int at,
                               float *mean_out, float *inv_std_out, float *factor, float *offset) {
    double inv_std = 1.0 / sqrt(var + eps);
    double f = (scale ? (double)scale[column] : 1.0) * inv_std;
    mean_out[at] = (float)mean;
    inv_std_out[at] = (float)inv_std;
    factor[at] = (float)f;
    offset[at] = (float)((shift ? (double)shift[column] : 0.0) - mean * f);
}

// Moves running statistics towards those of a batch.
DEVICE void move_running(double momentum, double mean, double unbiased_var, int column, float *running_mean,
                         float *running_var) {
    running_mean[column] = (float)((1.0 - momentum) * running_mean[column] + momentum * mean);
    running_var[column] = (float)((1.0 - momentum) * running_var[column] + momentum * unbiased_var);
}

// Statistics and coefficients of a batch, (groups, C) each, and what the running statistics become. Grid: columns / 32.
KERNEL(finish_moments)(const double *partial, int n_chunks, int n_groups, int n_columns, double n_values,
                       const float *scale, const float *shift, double eps, double momentum, float *running_mean,
                       float *running_var, float *mean_out, float *inv_std_out, float *factor, float *offset) {
    __shared__ double sums[8][32];
    int column = blockIdx.x * 32 + threadIdx.x % 32;
    int is_mine = threadIdx.x / 32 == 0 && column < n_columns;
    double mean_over_groups = 0.0, var_over_groups = 0.0;
    for (int group = 0; group < n_groups; group++) {
        double sum = sum_of_chunks(partial, group, 0, n_chunks, n_columns, column, sums);
        double squares = sum_of_chunks(partial, group, 1, n_chunks, n_columns, column, sums);
        if (is_mine) {
            double mean = sum / n_values, var = squares / n_values - mean * mean;
            if (var < 0.0) var = 0.0;
            int at = group * n_columns + column;
            write_coefficients(mean, var, scale, shift, eps, column, at, mean_out, inv_std_out, factor, offset);
            mean_over_groups += mean / n_groups;
            var_over_groups += var * (n_values / (n_values - 1.0)) / n_groups;
        }
    }
    if (is_mine) move_running(momentum, mean_over_groups, var_over_groups, column, running_mean, running_var);
}

// The sum over chunks, out[which][column], of one group. Grid: columns / 32.
KERNEL(fold_chunks)(const double *partial, int n_chunks, int n_columns, double *out) {
    __shared__ double sums[8][32];
    int column = blockIdx.x * 32 + threadIdx.x % 32;
    for (int which = 0; which < 2; which++) {
        double sum = sum_of_chunks(partial, 0, which, n_chunks, n_columns, column, sums);
        if (threadIdx.x / 32 == 0 && column < n_columns) out[which * n_columns + column] = sum;
    }
}

// As finish_moments, from means and variances, statistics[which][column], that are known.
KERNEL(given_coefficients)(const double *statistics, int n_columns, double n_values, const float *scale, const float *shift,
                           double eps, double momentum, float *running_mean, float *running_var, float *mean_out,
                           float *inv_std_out, float *factor, float *offset) {
    for (long long i = THREAD_INDEX; i < n_columns; i += THREAD_COUNT) {
        int column = (int)i;
        double mean = statistics[column], var = statistics[n_columns + column];
        write_coefficients(mean, var, scale, shift, eps, column, column, mean_out, inv_std_out, factor, offset);
        move_running(momentum, mean, var * (n_values / (n_values - 1.0)), column, running_mean, running_var);
    }
}

// Coefficients of running statistics, C each.
KERNEL(running_coefficients)(const float *running_mean, const float *running_var, const float *scale, const float *shift,
                             double eps, float *mean_out, float *inv_std_out, float *factor, float *offset, int n_columns) {
    for (long long column = THREAD_INDEX; column < n_columns; column += THREAD_COUNT) {
        double inv_std = 1.0 / sqrt((double)running_var[column] + eps);
        double f = (scale ? (double)scale[column] : 1.0) * inv_std;
        mean_out[column] = running_mean[column];
        inv_std_out[column] = (float)inv_std;
        factor[column] = (float)f;
        offset[column] = (float)((shift ? (double)shift[column] : 0.0) - running_mean[column] * f);
    }
}

// Gradients of scale and shift, C, and what the gradient of the input is made of, (groups, C) each. `share` is how much of the sums
// each value has a part in: 0 where the statistics do not move with the batch. Grid: columns / 32.
KERNEL(finish_gradients)(const double *partial, int n_chunks, int n_groups, int n_columns, double share,
                         const float *inv_std, const float *factor, float *by_scale, float *by_shift, float *slope,
                         float *offset) {
    __shared__ double sums[8][32];
    int column = blockIdx.x * 32 + threadIdx.x % 32;
    int is_mine = threadIdx.x / 32 == 0 && column < n_columns;
    double total = 0.0, total_with_normalized = 0.0;
    for (int group = 0; group < n_groups; group++) {
        double plain = sum_of_chunks(partial, group, 0, n_chunks, n_columns, column, sums);
        double with_distance = sum_of_chunks(partial, group, 1, n_chunks, n_columns, column, sums);
        if (is_mine) {
            int at = group * n_columns + column;
            double with_normalized = with_distance * inv_std[at];
            total += plain;
            total_with_normalized += with_normalized;
            slope[at] = (float)(share * factor[at] * inv_std[at] * with_normalized);
            offset[at] = (float)(share * factor[at] * plain);
        }
    }
    if (is_mine) {
        by_scale[column] = (float)total_with_normalized;
        by_shift[column] = (float)total;
    }
}

// The row of the whole batch that is row `row` of a group: group g has the images n = g (mod groups).
DEVICE long long row_of_group(long long row, int n_positions, int n_groups, int group) {
    if (n_groups == 1) return row;
    long long image = row / n_positions;
    return (image * n_groups + group) * n_positions + (row - image * n_positions);
}

// Where the coefficients of an element are. Numbers of 32 bits divide several times as fast.
DEVICE long long coefficient_of(long long element, int n_positions, int n_groups, int n_columns) {
    if (element >> 32 == 0) {
        u32 row = (u32)element / (u32)n_columns, column = (u32)element - row * (u32)n_columns;
        if (n_groups == 1) return column;
        return (long long)(row / (u32)n_positions % (u32)n_groups) * n_columns + column;
    }
    long long row = element / n_columns, column = element - row * n_columns;
    if (n_groups == 1) return column;
    return row / n_positions % n_groups * n_columns + column;
}
