// Convolution in groups of channels. Groups are narrow, so there is no product of matrices worth the name: a thread has one channel
// and a few pixels, so that a weight is read once for all of them.

#define PIXELS 4 // that a thread has, one after the other
#define INPUTS 4 // that a thread has of a gradient of weights

// What is convolved: `n` images of `h` by `w` pixels of `c` channels, to `oh` by `ow` of `o`, each in `groups`.
typedef struct {
    int n, h, w, c, oh, ow, o;
    int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;
    // The data's gradient: `h`, `w`, `c` are those of the gradient that is given, `oh`, `ow`, `o` those of the image.
    int is_backward;
    int groups;
} Grouped;

// The pixel that a tap of the window of pixel (y, x) of image `image` reads, or -1 outside of the image.
DEVICE long long grouped_source(const Grouped *g, long long image, int y, int x, int ky, int kx) {
    if (g->is_backward) {
        y = y + g->pad_h - ky;
        x = x + g->pad_w - kx;
        if (y < 0 || x < 0 || y % g->stride_h != 0 || x % g->stride_w != 0) return -1;
        y /= g->stride_h;
        x /= g->stride_w;
    } else {
        y = y * g->stride_h - g->pad_h + ky;
        x = x * g->stride_w - g->pad_w + kx;
        if (y < 0 || x < 0) return -1;
    }
    return y >= g->h || x >= g->w ? -1 : (image * g->h + y) * g->w + x;
}
