// Attention. The features of a head lie together, [part][image][head][token][feature]; tokens are padded with zeros to a number
// that tensor cores like, `n_padded`. Kernels take `dh` as a number of elements, of one value each or of four.

// Where element i of one image's heads is: among tokens, [image][token][part][head][feature], and among heads.
#define HEAD_PLACES                                                                          \
    int feature = i % dh, rest = i / dh;                                                     \
    int token = rest % n_padded;                                                             \
    rest /= n_padded;                                                                        \
    int head = rest % heads, part = rest / heads;                                            \
    long long in_tokens = (((image * t + token) * n_parts + part) * heads + head) * dh + feature; \
    long long in_heads = (((part * (long long)n_images + image) * heads + head) * n_padded + token) * dh + feature

// From tokens to heads, with zeros for the padding. Grid: (elements of an image's heads / 256, images).
#define SPLIT_HEADS(type, zero)                                                                    \
    int n = n_parts * heads * n_padded * dh;                                                       \
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)                       \
        for (int i = (int)THREAD_INDEX; i < n; i += (int)THREAD_COUNT) {                           \
            HEAD_PLACES;                                                                           \
            if (token < t) ((type *)y)[in_heads] = ((const type *)x)[in_tokens];                   \
            else ((type *)y)[in_heads] = zero;                                                     \
        }

// From heads to tokens, without the padding. The same grid.
#define MERGE_HEADS(type)                                                                          \
    int n = n_parts * heads * n_padded * dh;                                                       \
    for (long long image = blockIdx.y; image < n_images; image += gridDim.y)                       \
        for (int i = (int)THREAD_INDEX; i < n; i += (int)THREAD_COUNT) {                           \
            HEAD_PLACES;                                                                           \
            if (token < t) ((type *)y)[in_tokens] = ((const type *)x)[in_heads];                   \
        }

#define LEAST (-3.402823466e38f)
