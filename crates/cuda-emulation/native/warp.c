/* The instructions that the lanes of a warp execute together. */

#include <string.h>

#include "emulation.h"

static void no_operation(void *const arguments[WARP_LANES]) { (void)arguments; }

static void synchronize_warp(unsigned mask) { warp_collective(mask, &mask, no_operation); }

typedef struct Shuffle {
    unsigned value, result;
    int direction, operand, width;
} Shuffle;

/* A shuffle never hands out the value of a lane that did not take part: a GPU promises nothing then. */
#define UNDEFINED 0xFFFFFFFFu

static void do_shuffle(void *const arguments[WARP_LANES]) {
    for (int lane = 0; lane < WARP_LANES; lane++) {
        Shuffle *shuffle = arguments[lane];
        if (!shuffle) continue;
        int first = lane / shuffle->width * shuffle->width;
        int end = first + shuffle->width, source = lane;
        switch (shuffle->direction) {
        case EMULATION_INDEX: source = first + (shuffle->operand & (shuffle->width - 1)); break;
        case EMULATION_UP: source = lane - shuffle->operand; break;
        case EMULATION_DOWN: source = lane + shuffle->operand; break;
        case EMULATION_XOR: source = lane ^ shuffle->operand; break;
        }
        /* Past the end of the group lanes keep their own, except that an exchange may look back. */
        if (source >= end || source < 0 || (source < first && shuffle->direction != EMULATION_XOR)) source = lane;
        const Shuffle *from = arguments[source];
        shuffle->result = from ? from->value : UNDEFINED;
    }
}

static unsigned shuffle(unsigned mask, unsigned value, int direction, int operand, int width) {
    if (width <= 0 || width > WARP_LANES || (width & (width - 1)))
        abort_in_kernel("a shuffle whose width is no power of two up to 32");
    Shuffle arguments = {value, UNDEFINED, direction, operand, width};
    warp_collective(mask, &arguments, do_shuffle);
    return arguments.result;
}

typedef struct Ballot {
    int predicate;
    unsigned result;
} Ballot;

static void do_ballot(void *const arguments[WARP_LANES]) {
    unsigned votes = 0;
    for (int lane = 0; lane < WARP_LANES; lane++)
        if (arguments[lane] && ((const Ballot *)arguments[lane])->predicate) votes |= 1u << lane;
    for (int lane = 0; lane < WARP_LANES; lane++)
        if (arguments[lane]) ((Ballot *)arguments[lane])->result = votes;
}

static unsigned ballot(unsigned mask, int predicate) {
    Ballot arguments = {predicate, 0};
    warp_collective(mask, &arguments, do_ballot);
    return arguments.result;
}

/* Matrix products. The fragments are laid out as the PTX manual draws them for mma.m16n8k8 with
 * .tf32 and mma.m16n8k16 with .bf16: a lane's row is its number divided by four. */

typedef struct Product {
    float *sum;
    const unsigned *left, *right;
} Product;

enum { ROWS = 16, COLUMNS = 8, MAX_DEPTH = 16 };

static float from_bits(unsigned bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float from_tf32(unsigned bits) { return from_bits(bits & 0xFFFFE000u); }
static float from_bf16_low(unsigned bits) { return from_bits(bits << 16); }
static float from_bf16_high(unsigned bits) { return from_bits(bits & 0xFFFF0000u); }

static void multiply(void *const arguments[WARP_LANES], float (*left)[MAX_DEPTH], float (*right)[COLUMNS], int depth) {
    float product[ROWS][COLUMNS] = {{0}};
    for (int row = 0; row < ROWS; row++)
        for (int inner = 0; inner < depth; inner++)
            for (int column = 0; column < COLUMNS; column++)
                product[row][column] += left[row][inner] * right[inner][column];
    for (int lane = 0; lane < WARP_LANES; lane++) {
        float *sum = ((const Product *)arguments[lane])->sum;
        int row = lane / 4, column = lane % 4 * 2;
        sum[0] += product[row][column];
        sum[1] += product[row][column + 1];
        sum[2] += product[row + 8][column];
        sum[3] += product[row + 8][column + 1];
    }
}

static void require_whole_warp(void *const arguments[WARP_LANES]) {
    for (int lane = 0; lane < WARP_LANES; lane++)
        if (!arguments[lane]) abort_in_kernel("a matrix instruction in a warp whose lanes are not all there");
}

static void do_multiply_tf32(void *const arguments[WARP_LANES]) {
    require_whole_warp(arguments);
    float left[ROWS][MAX_DEPTH], right[MAX_DEPTH][COLUMNS];
    for (int lane = 0; lane < WARP_LANES; lane++) {
        const Product *product = arguments[lane];
        int row = lane / 4, inner = lane % 4;
        left[row][inner] = from_tf32(product->left[0]);
        left[row + 8][inner] = from_tf32(product->left[1]);
        left[row][inner + 4] = from_tf32(product->left[2]);
        left[row + 8][inner + 4] = from_tf32(product->left[3]);
        right[inner][row] = from_tf32(product->right[0]);
        right[inner + 4][row] = from_tf32(product->right[1]);
    }
    multiply(arguments, left, right, 8);
}

static void do_multiply_bf16(void *const arguments[WARP_LANES]) {
    require_whole_warp(arguments);
    float left[ROWS][MAX_DEPTH], right[MAX_DEPTH][COLUMNS];
    for (int lane = 0; lane < WARP_LANES; lane++) {
        const Product *product = arguments[lane];
        int row = lane / 4;
        for (int half = 0; half < 2; half++) {
            int inner = lane % 4 * 2 + half * 8;
            left[row][inner] = from_bf16_low(product->left[half * 2]);
            left[row][inner + 1] = from_bf16_high(product->left[half * 2]);
            left[row + 8][inner] = from_bf16_low(product->left[half * 2 + 1]);
            left[row + 8][inner + 1] = from_bf16_high(product->left[half * 2 + 1]);
            right[inner][row] = from_bf16_low(product->right[half]);
            right[inner + 1][row] = from_bf16_high(product->right[half]);
        }
    }
    multiply(arguments, left, right, 16);
}

static void multiply_tf32(float *sum, const unsigned *left, const unsigned *right) {
    Product arguments = {sum, left, right};
    warp_collective(~0u, &arguments, do_multiply_tf32);
}

static void multiply_bf16(float *sum, const unsigned *left, const unsigned *right) {
    Product arguments = {sum, left, right};
    warp_collective(~0u, &arguments, do_multiply_bf16);
}

const EmulationServices emulation_services = {
    .synchronize_block = synchronize_block,
    .synchronize_warp = synchronize_warp,
    .shuffle = shuffle,
    .ballot = ballot,
    .multiply_tf32 = multiply_tf32,
    .multiply_bf16 = multiply_bf16,
    .copy_issue = copy_issue,
    .copy_commit = copy_commit,
    .copy_wait = copy_wait,
};
