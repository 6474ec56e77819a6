// Update rules, moving averages, and the sizes of gradients: of all parameters in one launch, since a network has many small ones.
//
// The table has a row for each parameter: the block that starts on it, up to four addresses, that of a copy in bfloat16 or null, and
// its number of values. A block works on `span` values of one parameter.

#define ROW 7
#define NUMBERS 8

// The row of the table that this block works on: the last that does not start later.
DEVICE int row_of_block(const long long *table, int n_rows) {
    int low = 0, high = n_rows;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (table[(long long)middle * ROW] <= (long long)blockIdx.x) low = middle;
        else high = middle;
    }
    return low;
}

// The first of the values that this block works on, and what ends them.
DEVICE long long first_of_block(const long long *row, int span) { return ((long long)blockIdx.x - row[0]) * span; }
DEVICE long long end_of_block(const long long *row, int span) {
    long long end = first_of_block(row, span) + span;
    return end < row[6] ? end : row[6];
}

// partial[block] = the sums of p^2 and (g + decay p)^2 over the block's values, where a rate comes from them.
//
// Numbers of a row: momentum, weight decay, learning rate, trust, and how the rate follows, see below.
KERNEL(squares_partial)(const long long *table, const double *numbers, double *partial, int n_rows, int span) {
    __shared__ double scratch[256];
    int at = row_of_block(table, n_rows);
    const long long *row = table + (long long)at * ROW;
    const double *of_row = numbers + (long long)at * NUMBERS;
    if (of_row[4] == 0.0) return;
    const float *values = (const float *)row[1], *gradient = (const float *)row[2];
    float decay = of_row[4] == 1.0 ? (float)of_row[1] : 0.0f;
    long long end = end_of_block(row, span);
    double of_values = 0.0, of_gradient = 0.0;
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) {
        float p = values[i];
        double decayed = (double)(gradient[i] + decay * p);
        of_values += (double)p * (double)p;
        of_gradient += decayed * decayed;
    }
    of_values = sum_of_block(of_values, scratch);
    of_gradient = sum_of_block(of_gradient, scratch);
    if (threadIdx.x == 0) {
        partial[2 * (long long)blockIdx.x] = of_values;
        partial[2 * (long long)blockIdx.x + 1] = of_gradient;
    }
}

// v = momentum v + rate (g + decay p), then p -= lr v.
//
// The rate is 1 (0), or comes from the length of values and that of gradient and decay together (1), or from the sum of the
// lengths of these (2). Each block adds the sums of its parameter for itself, which is faster than another kernel.
KERNEL(move_with_momentum)(const long long *table, const double *numbers, const double *partial, int n_rows, int span) {
    __shared__ double scratch[256];
    int at = row_of_block(table, n_rows);
    const long long *row = table + (long long)at * ROW;
    const double *of_row = numbers + (long long)at * NUMBERS;
    float *values = (float *)row[1], *velocity = (float *)row[3];
    value_bf16 *narrow = (value_bf16 *)row[5];
    const float *gradient = (const float *)row[2];
    float momentum = (float)of_row[0], decay = (float)of_row[1], lr = (float)of_row[2], rate = 1.0f;
    if (of_row[4] != 0.0) {
        long long end = row[0] + (row[6] + span - 1) / span;
        double length = 0.0, of_gradient = 0.0;
        for (long long block = row[0] + threadIdx.x; block < end; block += 256) {
            length += partial[2 * block];
            of_gradient += partial[2 * block + 1];
        }
        length = sqrt(sum_of_block(length, scratch));
        of_gradient = sqrt(sum_of_block(of_gradient, scratch));
        double trust = of_row[3];
        int is_defined = length > 0.0 && of_gradient > 0.0;
        if (of_row[4] == 2.0) {
            if (is_defined) rate = (float)(trust * length / (of_gradient + of_row[1] * length + 1e-8));
            else decay = 0.0f;
        } else if (is_defined) {
            rate = (float)(trust * length / of_gradient);
        }
    }
    long long end = end_of_block(row, span);
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) {
        float p = values[i];
        float v = momentum * velocity[i] + rate * (gradient[i] + decay * p);
        velocity[i] = v;
        values[i] = p = p - lr * v;
        if (narrow) narrow[i] = store_bf16(p);
    }
}

// m += first_new (g - m); v = second_kept v + second_new g^2; p = shrink p - size m / (sqrt(v) / root_of_filled + eps)
//
// Numbers of a row: these, in the order shrink, first_new, second_kept, second_new, root_of_filled, eps, size.
KERNEL(move_adamw)(const long long *table, const double *numbers, int n_rows, int span) {
    int at = row_of_block(table, n_rows);
    const long long *row = table + (long long)at * ROW;
    const double *of_row = numbers + (long long)at * NUMBERS;
    float *values = (float *)row[1], *first = (float *)row[3], *second = (float *)row[4];
    value_bf16 *narrow = (value_bf16 *)row[5];
    const float *gradient = (const float *)row[2];
    float shrink = (float)of_row[0], first_new = (float)of_row[1], second_kept = (float)of_row[2];
    float second_new = (float)of_row[3], root_of_filled = (float)of_row[4], eps = (float)of_row[5], size = (float)of_row[6];
    long long end = end_of_block(row, span);
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) {
        float g = gradient[i];
        float m = first[i];
        m += first_new * (g - m);
        float v = second_kept * second[i] + second_new * (g * g);
        float root = sqrtf(v) / root_of_filled + eps;
        first[i] = m;
        second[i] = v;
        float p = shrink * values[i] - size * (m / root);
        values[i] = p;
        if (narrow) narrow[i] = store_bf16(p);
    }
}

// c = blend_kept m + blend_new g; m = kept m + new g; p = shrink p - size sign(c), where the sign of 0 is 0, and that of NaN NaN
//
// Numbers of a row: these, in the order shrink, blend_kept, blend_new, kept, new, size.
KERNEL(move_lion)(const long long *table, const double *numbers, int n_rows, int span) {
    int at = row_of_block(table, n_rows);
    const long long *row = table + (long long)at * ROW;
    const double *of_row = numbers + (long long)at * NUMBERS;
    float *values = (float *)row[1], *mean = (float *)row[3];
    value_bf16 *narrow = (value_bf16 *)row[5];
    const float *gradient = (const float *)row[2];
    float shrink = (float)of_row[0], blend_kept = (float)of_row[1], blend_new = (float)of_row[2];
    float kept = (float)of_row[3], taken = (float)of_row[4], size = (float)of_row[5];
    long long end = end_of_block(row, span);
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) {
        float g = gradient[i], m = mean[i];
        float sign = blend_kept * m + blend_new * g;
        if (sign > 0.0f) sign = 1.0f;
        else if (sign < 0.0f) sign = -1.0f;
        mean[i] = kept * m + taken * g;
        float p = shrink * values[i] - size * sign;
        values[i] = p;
        if (narrow) narrow[i] = store_bf16(p);
    }
}

// own = momentum own + rest towards
KERNEL(blend_all)(const long long *table, float momentum, float rest, int n_rows, int span) {
    const long long *row = table + (long long)row_of_block(table, n_rows) * ROW;
    float *own = (float *)row[1];
    const float *towards = (const float *)row[2];
    long long end = end_of_block(row, span);
    value_bf16 *narrow = (value_bf16 *)row[5];
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) {
        float p = own[i] * momentum + towards[i] * rest;
        own[i] = p;
        if (narrow) narrow[i] = store_bf16(p);
    }
}

// largest[block] = the bits of the largest absolute value of the block's. As integers, absolute values are ordered, and NaN is
// the largest.
KERNEL(largest_partial)(const long long *table, int *largest, int n_rows, int span) {
    __shared__ int scratch[256];
    const long long *row = table + (long long)row_of_block(table, n_rows) * ROW;
    const float *values = (const float *)row[1];
    long long end = end_of_block(row, span);
    int max = 0;
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) {
        int bits = (int)(__float_as_uint(values[i]) & 0x7fffffffu);
        if (bits > max) max = bits;
    }
    scratch[threadIdx.x] = max;
    for (int step = 128; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step && scratch[threadIdx.x + step] > scratch[threadIdx.x])
            scratch[threadIdx.x] = scratch[threadIdx.x + step];
    }
    if (threadIdx.x == 0) largest[blockIdx.x] = scratch[0];
}

// sums[block] = the sum of the squares of the block's values.
KERNEL(squares_of_block)(const long long *table, double *sums, int n_rows, int span) {
    __shared__ double scratch[256];
    const long long *row = table + (long long)row_of_block(table, n_rows) * ROW;
    const float *values = (const float *)row[1];
    long long end = end_of_block(row, span);
    double sum = 0.0;
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) sum += (double)values[i] * (double)values[i];
    sum = sum_of_block(sum, scratch);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// values = factor values
KERNEL(scale_all)(const long long *table, float factor, int n_rows, int span) {
    const long long *row = table + (long long)row_of_block(table, n_rows) * ROW;
    float *values = (float *)row[1];
    long long end = end_of_block(row, span);
    for (long long i = first_of_block(row, span) + threadIdx.x; i < end; i += 256) values[i] *= factor;
}
