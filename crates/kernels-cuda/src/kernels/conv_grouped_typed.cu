// y[pixel][channel] = the sum over taps and the group's channels of x and weights, plus the bias, added to what is there if asked for.
// `weights` are (KH, KW, c / groups, o); backward (KH, KW, c, o / groups). One thread a channel of PIXELS pixels, `n` in all.
KERNEL(convolve_groups_TYPED)(const value_TYPED *x, const float *weights, const float *bias, value_TYPED *y, int adds, Grouped g,
                              long long n) {
    long long n_pixels = (long long)g.n * g.oh * g.ow;
    int n_in = g.c / g.groups, n_out = g.o / g.groups;
    for (long long i = THREAD_INDEX; i < n; i += THREAD_COUNT) {
        long long first = i / g.o * PIXELS;
        int channel = (int)(i % g.o), group = channel / n_out;
        // Where the weights of a tap start for this channel, and from one of the group's inputs to the next.
        long long start = g.is_backward ? (long long)group * n_in * n_out + channel % n_out : channel;
        int step = g.is_backward ? n_out : g.o;
        long long weights_of_tap = g.is_backward ? (long long)g.c * n_out : (long long)n_in * g.o;
        long long images[PIXELS];
        int ys[PIXELS], xs[PIXELS];
        float sums[PIXELS];
        _Pragma("unroll") for (int p = 0; p < PIXELS; p++) {
            long long row = (first + p) / g.ow;
            xs[p] = (int)(first + p - row * g.ow);
            images[p] = row / g.oh;
            ys[p] = (int)(row - images[p] * g.oh);
            sums[p] = 0.0f;
        }
        for (int ky = 0; ky < g.kernel_h; ky++)
            for (int kx = 0; kx < g.kernel_w; kx++) {
                const float *w = weights + (ky * g.kernel_w + kx) * weights_of_tap + start;
                long long sources[PIXELS];
                _Pragma("unroll") for (int p = 0; p < PIXELS; p++) {
                    long long source = first + p < n_pixels ? grouped_source(&g, images[p], ys[p], xs[p], ky, kx) : -1;
                    sources[p] = source < 0 ? -1 : source * g.c + group * n_in;
                }
                for (int input = 0; input < n_in; input++) {
                    float weight = w[(long long)input * step];
                    _Pragma("unroll") for (int p = 0; p < PIXELS; p++)
                        if (sources[p] >= 0) sums[p] += load_TYPED(x[sources[p] + input]) * weight;
                }
            }
        _Pragma("unroll") for (int p = 0; p < PIXELS; p++) {
            if (first + p >= n_pixels) continue;
            long long at = (first + p) * g.o + channel;
            float v = sums[p] + (bias ? bias[channel] : 0.0f);
            y[at] = store_TYPED(adds ? load_TYPED(y[at]) + v : v);
        }
    }
}

// What a split of the pixels gives to the weights' gradient: partial[split][tap][input of the group][o] = the sum over its pixels of x
// at that tap and input, times the gradient of the output. One thread a tap, INPUTS inputs and an output. Grid: (threads, splits).
KERNEL(convolve_groups_weights_TYPED)(const value_TYPED *x, const value_TYPED *gradient, float *partial, int pixels_of_split,
                                      Grouped g) {
    int n_in = g.c / g.groups, n_out = g.o / g.groups, n_taps = g.kernel_h * g.kernel_w;
    int n_pieces = (n_in + INPUTS - 1) / INPUTS;
    long long i = THREAD_INDEX, piece = i / g.o, tap = piece / n_pieces;
    if (tap >= n_taps) return;
    int o = (int)(i - piece * g.o), input = (int)(piece - tap * n_pieces) * INPUTS;
    int channel = o / n_out * n_in + input, width = n_in - input < INPUTS ? n_in - input : INPUTS;
    int ky = (int)tap / g.kernel_w, kx = (int)tap - ky * g.kernel_w;
    long long n_pixels = (long long)g.n * g.oh * g.ow, first = (long long)blockIdx.y * pixels_of_split;
    long long end = first + pixels_of_split < n_pixels ? first + pixels_of_split : n_pixels;
    long long row = first / g.ow, image = row / g.oh;
    int ox = (int)(first - row * g.ow), oy = (int)(row - image * g.oh);
    float sums[INPUTS];
    _Pragma("unroll") for (int k = 0; k < INPUTS; k++) sums[k] = 0.0f;
    for (long long pixel = first; pixel < end; pixel++) {
        long long source = grouped_source(&g, image, oy, ox, ky, kx);
        if (source >= 0) {
            float by_y = load_TYPED(gradient[pixel * g.o + o]);
            const value_TYPED *values = x + source * g.c + channel;
            _Pragma("unroll") for (int k = 0; k < INPUTS; k++)
                if (k < width) sums[k] += load_TYPED(values[k]) * by_y;
        }
        if (++ox == g.ow) {
            ox = 0;
            if (++oy == g.oh) {
                oy = 0;
                image++;
            }
        }
    }
    float *out = partial + ((blockIdx.y * (long long)n_taps + tap) * n_in + input) * g.o + o;
    _Pragma("unroll") for (int k = 0; k < INPUTS; k++)
        if (k < width) out[(long long)k * g.o] = sums[k];
}
