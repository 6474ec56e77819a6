/* What the launcher and a compiled kernel tell each other. Part of the kernels' prelude as well as
 * of the library, so that the two cannot disagree. */

typedef struct EmulationIndex {
    unsigned x, y, z;
} EmulationIndex;

/* Kernels reach the library through pointers because a Rust program exports no symbols to the
 * libraries that it opens. */
typedef struct EmulationServices {
    void (*synchronize_block)(int line);
    void (*synchronize_warp)(unsigned mask);
    unsigned (*shuffle)(unsigned mask, unsigned value, int direction, int operand, int width);
    unsigned (*ballot)(unsigned mask, int predicate);
    void (*multiply_tf32)(float *sum, const unsigned *left, const unsigned *right);
    void (*multiply_bf16)(float *sum, const unsigned *left, const unsigned *right);
    void (*copy_issue)(void *shared, const void *global, int bytes);
    void (*copy_commit)(void);
    void (*copy_wait)(int pending_groups);
} EmulationServices;

typedef struct EmulationThread {
    EmulationIndex thread, block, block_size, grid_size;
    void *dynamic_shared;
    const EmulationServices *services;
} EmulationThread;

enum { EMULATION_INDEX, EMULATION_UP, EMULATION_DOWN, EMULATION_XOR };

#define EMULATION_STACK_BYTES 65536ul

/* Every CUDA thread's stack is aligned to its size and has the thread's state at its lowest
 * address: found from any frame, with no thread-local variable to load or to switch. */
static inline __attribute__((always_inline)) EmulationThread *emulation_state(void) {
    return (EmulationThread *)((unsigned long)__builtin_frame_address(0) & ~(EMULATION_STACK_BYTES - 1));
}
