/* Runs kernels. A block runs on one thread of the system; its CUDA threads are fibers that run until
 * they wait or end. A fiber whose thread ends goes on with the next thread of the warp, so that
 * threads that never wait cost no switch. */

#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "emulation.h"

enum {
    MAX_WARPS = MAX_BLOCK_THREADS / WARP_LANES,
    WORKERS = 2,
    SHARED_CANARY_BYTES = 256,
    GUARD_OFFSET = 4096,
    STACK_OFFSET = 8192,
};

typedef struct Launch {
    const Kernel *kernel;
    void **parameters;
    EmulationIndex grid, block_size;
    unsigned shared_bytes;
    unsigned long long blocks, next_block;
} Launch;

typedef enum { UNSTARTED, RUNNABLE, AT_BARRIER, AT_WARP, ENDED } Status;

/* A copy that has been issued and has not arrived. */
typedef struct Copy {
    void *shared;
    const void *global;
    int bytes;
    unsigned group;
} Copy;

typedef struct Fiber {
    EmulationThread state; /* first, where `emulation_state` looks */
    struct Worker *worker;
    unsigned thread;
    int created;
    jmp_buf context;
    Copy *copies;
    unsigned copy_count, copy_capacity, group;
} Fiber;

typedef struct Warp {
    unsigned present, waiting;
    unsigned masks[WARP_LANES];
    void *arguments[WARP_LANES];
    WarpOperation operations[WARP_LANES];
} Warp;

typedef struct Worker {
    char *stacks;
    char *dynamic_shared;
    Fiber *idle[MAX_BLOCK_THREADS];
    unsigned idle_count;
    jmp_buf scheduler;

    const Launch *launch;
    EmulationIndex block;
    unsigned threads, live, at_barrier, releases;
    int barrier_line;
    unsigned warp, position; /* which warp is running, and how far down `lane_order` it has started */
    Status status[MAX_BLOCK_THREADS];
    Fiber *fibers[MAX_BLOCK_THREADS];
    Warp warps[MAX_WARPS];
} Worker;

static Worker workers[WORKERS];
static unsigned lane_order[WARP_LANES], warp_order[MAX_WARPS];

static Fiber *current_fiber(void) { return (Fiber *)emulation_state(); }

void abort_in_kernel(const char *message) {
    const Fiber *fiber = current_fiber();
    const EmulationThread *state = &fiber->state;
    emulation_abort("kernel %s, block (%u, %u, %u), thread (%u, %u, %u): %s", fiber->worker->launch->kernel->name,
                    state->block.x, state->block.y, state->block.z, state->thread.x, state->thread.y,
                    state->thread.z, message);
}

static void order(unsigned *items, unsigned count) {
    const char *wanted = getenv("CUDA_EMULATION_ORDER");
    int reverse = wanted && strcmp(wanted, "reverse") == 0;
    for (unsigned index = 0; index < count; index++) items[index] = reverse ? count - 1 - index : index;
    if (!wanted || strcmp(wanted, "shuffle") != 0) return;
    unsigned random = 12345;
    for (unsigned left = count; left > 1; left--) {
        random = random * 1664525u + 1013904223u;
        unsigned chosen = (random >> 16) % left, item = items[chosen];
        items[chosen] = items[left - 1];
        items[left - 1] = item;
    }
}

/* Asynchronous copies. */

void copy_issue(void *shared, const void *global, int bytes) {
    Fiber *fiber = current_fiber();
    if ((uintptr_t)shared % 16 || (uintptr_t)global % 16) abort_in_kernel("cp_async_16 of an unaligned address");
    if (bytes < 0 || bytes > 16) abort_in_kernel("cp_async_16 of a number of bytes outside 0 to 16");
    if (fiber->copy_count == fiber->copy_capacity) {
        fiber->copy_capacity = fiber->copy_capacity ? 2 * fiber->copy_capacity : 16;
        fiber->copies = realloc(fiber->copies, fiber->copy_capacity * sizeof *fiber->copies);
        if (!fiber->copies) emulation_abort("the host is out of memory");
    }
    memset(shared, POISON, 16);
    fiber->copies[fiber->copy_count++] = (Copy){shared, global, bytes, fiber->group};
}

void copy_commit(void) { current_fiber()->group++; }

static void deliver(Fiber *fiber, unsigned count) {
    for (unsigned index = 0; index < count; index++) {
        const Copy *copy = &fiber->copies[index];
        memset(copy->shared, 0, 16);
        memcpy(copy->shared, copy->global, (size_t)copy->bytes);
    }
    fiber->copy_count -= count;
    if (fiber->copy_count) memmove(fiber->copies, fiber->copies + count, fiber->copy_count * sizeof *fiber->copies);
}

/* The data arrive as late as the instructions allow, so that a missing wait or commit is noticed. */
void copy_wait(int pending_groups) {
    Fiber *fiber = current_fiber();
    unsigned arriving = 0;
    while (arriving < fiber->copy_count &&
           fiber->copies[arriving].group + (unsigned)pending_groups < fiber->group)
        arriving++;
    deliver(fiber, arriving);
}

/* Fibers. */

static void leave(Fiber *fiber) {
    if (!_setjmp(fiber->context)) _longjmp(fiber->worker->scheduler, 1);
}

static void begin_thread(Fiber *fiber, unsigned thread) {
    Worker *worker = fiber->worker;
    EmulationIndex size = worker->launch->block_size;
    fiber->thread = thread;
    fiber->state.thread = (EmulationIndex){thread % size.x, thread / size.x % size.y, thread / size.x / size.y};
    fiber->state.block = worker->block;
    fiber->state.block_size = size;
    fiber->state.grid_size = worker->launch->grid;
    fiber->state.dynamic_shared = worker->dynamic_shared;
    fiber->copy_count = 0;
    fiber->group = 0;
    worker->fibers[thread] = fiber;
    worker->status[thread] = RUNNABLE;
}

static void release_barrier(Worker *worker) {
    if (worker->at_barrier == 0 || worker->at_barrier < worker->live) return;
    for (unsigned thread = 0; thread < worker->threads; thread++)
        if (worker->status[thread] == AT_BARRIER) worker->status[thread] = RUNNABLE;
    worker->at_barrier = 0;
    worker->releases++;
}

/* Does the operation that a lane waits for if every other lane that is still there waits too. */
static int try_collective(Worker *worker, unsigned warp_index, unsigned lane) {
    Warp *warp = &worker->warps[warp_index];
    unsigned needed = warp->masks[lane] & warp->present;
    if ((warp->waiting & needed) != needed) return 0;
    void *arguments[WARP_LANES] = {0};
    for (unsigned other = 0; other < WARP_LANES; other++) {
        if (!(needed >> other & 1)) continue;
        if (warp->masks[other] != warp->masks[lane] || warp->operations[other] != warp->operations[lane]) return 0;
        arguments[other] = warp->arguments[other];
    }
    warp->operations[lane](arguments);
    warp->waiting &= ~needed;
    for (unsigned other = 0; other < WARP_LANES; other++)
        if (needed >> other & 1) worker->status[warp_index * WARP_LANES + other] = RUNNABLE;
    return 1;
}

static void end_thread(Fiber *fiber) {
    Worker *worker = fiber->worker;
    deliver(fiber, fiber->copy_count);
    unsigned warp_index = fiber->thread / WARP_LANES;
    Warp *warp = &worker->warps[warp_index];
    worker->status[fiber->thread] = ENDED;
    worker->live--;
    warp->present &= ~(1u << fiber->thread % WARP_LANES);
    release_barrier(worker);
    for (unsigned lane = 0; lane < WARP_LANES; lane++)
        if (warp->waiting >> lane & 1) try_collective(worker, warp_index, lane);
}

/* The next thread of the running warp that has not started. */
static int next_unstarted(Worker *worker, unsigned *thread) {
    while (++worker->position < WARP_LANES) {
        *thread = worker->warp * WARP_LANES + lane_order[worker->position];
        if (*thread < worker->threads && worker->status[*thread] == UNSTARTED) return 1;
    }
    return 0;
}

static void fiber_main(void) {
    Fiber *fiber = current_fiber();
    for (;;) {
        fiber->worker->launch->kernel->trampoline(fiber->worker->launch->parameters);
        end_thread(fiber);
        unsigned thread;
        if (next_unstarted(fiber->worker, &thread)) {
            begin_thread(fiber, thread);
        } else {
            fiber->worker->idle[fiber->worker->idle_count++] = fiber;
            leave(fiber);
        }
    }
}

static void resume(Worker *worker, Fiber *fiber) {
    if (_setjmp(worker->scheduler)) return;
    if (fiber->created) _longjmp(fiber->context, 1);
    /* The only way onto a new stack, and too slow to be the way between stacks. */
    fiber->created = 1;
    /* A stack that overflows must not reach another's state. */
    mprotect((char *)fiber + GUARD_OFFSET, STACK_OFFSET - GUARD_OFFSET, PROT_NONE);
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = (char *)fiber + STACK_OFFSET;
    context.uc_stack.ss_size = EMULATION_STACK_BYTES - STACK_OFFSET;
    context.uc_link = NULL;
    makecontext(&context, fiber_main, 0);
    setcontext(&context);
}

static void create_stacks(Worker *worker) {
    size_t bytes = MAX_BLOCK_THREADS * EMULATION_STACK_BYTES;
    char *memory = mmap(NULL, bytes + EMULATION_STACK_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) emulation_abort("no memory for the stacks of a block");
    uintptr_t past = (uintptr_t)memory % EMULATION_STACK_BYTES;
    worker->stacks = memory + (past ? EMULATION_STACK_BYTES - past : 0);
    for (unsigned index = 0; index < MAX_BLOCK_THREADS; index++)
        worker->idle[index] = (Fiber *)(worker->stacks + (MAX_BLOCK_THREADS - 1 - index) * EMULATION_STACK_BYTES);
    worker->idle_count = MAX_BLOCK_THREADS;
    if (posix_memalign((void **)&worker->dynamic_shared, 1024, MAX_SHARED_BYTES_ASKED + SHARED_CANARY_BYTES) != 0)
        emulation_abort("no memory for the shared memory of a block");
}

static Fiber *take_fiber(Worker *worker) {
    Fiber *fiber = worker->idle[--worker->idle_count];
    fiber->worker = worker;
    fiber->state.services = &emulation_services;
    return fiber;
}

/* Waiting. */

void synchronize_block(int line) {
    Fiber *fiber = current_fiber();
    Worker *worker = fiber->worker;
    if (worker->at_barrier == 0) worker->barrier_line = line;
    if (worker->barrier_line != line) {
        char message[128];
        snprintf(message, sizeof message, "__syncthreads at line %d while others wait at that of line %d", line,
                 worker->barrier_line);
        abort_in_kernel(message);
    }
    worker->status[fiber->thread] = AT_BARRIER;
    worker->at_barrier++;
    release_barrier(worker);
    leave(fiber);
}

void warp_collective(unsigned mask, void *arguments, WarpOperation operation) {
    Fiber *fiber = current_fiber();
    Worker *worker = fiber->worker;
    unsigned lane = fiber->thread % WARP_LANES, warp_index = fiber->thread / WARP_LANES;
    Warp *warp = &worker->warps[warp_index];
    if (!(mask >> lane & 1)) abort_in_kernel("a warp instruction whose mask lacks the lane that executes it");
    warp->masks[lane] = mask;
    warp->arguments[lane] = arguments;
    warp->operations[lane] = operation;
    warp->waiting |= 1u << lane;
    if (try_collective(worker, warp_index, lane)) return;
    worker->status[fiber->thread] = AT_WARP;
    leave(fiber);
}

/* Blocks. */

static _Noreturn void report_deadlock(const Worker *worker) {
    unsigned counts[ENDED + 1] = {0}, first[ENDED + 1] = {0};
    for (unsigned thread = worker->threads; thread-- > 0;) {
        counts[worker->status[thread]]++;
        first[worker->status[thread]] = thread;
    }
    fprintf(stderr, "cuda-emulation: kernel %s, block (%u, %u, %u): deadlock\n", worker->launch->kernel->name,
            worker->block.x, worker->block.y, worker->block.z);
    if (counts[AT_BARRIER])
        fprintf(stderr, "    %u threads, the first of them %u, wait at the __syncthreads of line %d\n",
                counts[AT_BARRIER], first[AT_BARRIER], worker->barrier_line);
    if (counts[AT_WARP])
        fprintf(stderr, "    %u threads, the first of them %u, wait in a warp instruction with mask %#x\n",
                counts[AT_WARP], first[AT_WARP],
                worker->warps[first[AT_WARP] / WARP_LANES].masks[first[AT_WARP] % WARP_LANES]);
    if (counts[ENDED])
        fprintf(stderr, "    %u threads, the first of them %u, have returned\n", counts[ENDED], first[ENDED]);
    abort();
}

/* Runs the warp until all of it waits or the block's barrier opens, and says whether anything ran. */
static int run_warp(Worker *worker, unsigned warp) {
    unsigned releases = worker->releases;
    int ran_ever = 0;
    for (;;) {
        int ran = 0;
        for (unsigned position = 0; position < WARP_LANES; position++) {
            unsigned thread = warp * WARP_LANES + lane_order[position];
            if (thread >= worker->threads) continue;
            worker->warp = warp;
            worker->position = position;
            if (worker->status[thread] == UNSTARTED)
                begin_thread(take_fiber(worker), thread);
            else if (worker->status[thread] != RUNNABLE)
                continue;
            resume(worker, worker->fibers[thread]);
            ran = ran_ever = 1;
            if (worker->releases != releases) return 1;
        }
        if (!ran) return ran_ever;
    }
}

static void run_block(Worker *worker) {
    const Launch *launch = worker->launch;
    EmulationIndex size = launch->block_size;
    worker->threads = worker->live = size.x * size.y * size.z;
    worker->at_barrier = 0;
    for (unsigned thread = 0; thread < worker->threads; thread++) worker->status[thread] = UNSTARTED;
    unsigned warps = (worker->threads + WARP_LANES - 1) / WARP_LANES;
    for (unsigned warp = 0; warp < warps; warp++) {
        unsigned lanes = worker->threads - warp * WARP_LANES;
        worker->warps[warp].present = lanes >= WARP_LANES ? ~0u : (1u << lanes) - 1;
        worker->warps[warp].waiting = 0;
    }
    memset(worker->dynamic_shared, POISON, launch->shared_bytes);
    memset(worker->dynamic_shared + launch->shared_bytes, CANARY, SHARED_CANARY_BYTES);

    while (worker->live > 0) {
        unsigned releases = worker->releases;
        int progress = 0;
        /* After a barrier the order starts anew: the threads that opened it are not ahead. */
        for (unsigned position = 0; position < MAX_WARPS && worker->releases == releases; position++)
            if (warp_order[position] < warps) progress |= run_warp(worker, warp_order[position]);
        if (!progress) report_deadlock(worker);
    }

    for (unsigned byte = 0; byte < SHARED_CANARY_BYTES; byte++)
        if ((unsigned char)worker->dynamic_shared[launch->shared_bytes + byte] != CANARY)
            emulation_abort("kernel %s, block (%u, %u, %u) wrote after its %u bytes of dynamic shared memory",
                            launch->kernel->name, worker->block.x, worker->block.y, worker->block.z,
                            launch->shared_bytes);
}

static void run_blocks(Worker *worker, Launch *launch) {
    if (!worker->stacks) create_stacks(worker);
    worker->launch = launch;
    module_poison_shared(launch->kernel->module);
    for (;;) {
        unsigned long long block = __atomic_fetch_add(&launch->next_block, 1, __ATOMIC_RELAXED);
        if (block >= launch->blocks) return;
        worker->block = (EmulationIndex){(unsigned)(block % launch->grid.x),
                                         (unsigned)(block / launch->grid.x % launch->grid.y),
                                         (unsigned)(block / launch->grid.x / launch->grid.y)};
        run_block(worker);
    }
}

/* Launches. One kernel runs at a time, on the thread that launches it and one helper. */

static pthread_mutex_t one_launch = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t offer = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t offered = PTHREAD_COND_INITIALIZER, helped = PTHREAD_COND_INITIALIZER;
static Launch *offered_launch;
static int helping;
static int helpers;

static void *helper_main(void *unused) {
    (void)unused;
    pthread_mutex_lock(&offer);
    for (;;) {
        while (!offered_launch) pthread_cond_wait(&offered, &offer);
        Launch *launch = offered_launch;
        offered_launch = NULL;
        helping = 1;
        pthread_mutex_unlock(&offer);
        run_blocks(&workers[1], launch);
        pthread_mutex_lock(&offer);
        helping = 0;
        pthread_cond_signal(&helped);
    }
    return NULL;
}

static void prepare(void) {
    order(lane_order, WARP_LANES);
    order(warp_order, MAX_WARPS);
    const char *threads = getenv("CUDA_EMULATION_THREADS");
    pthread_t helper;
    if (threads && atoi(threads) < WORKERS) return;
    if (pthread_create(&helper, NULL, helper_main, NULL) != 0) return;
    pthread_detach(helper);
    helpers = 1;
}

static void run_launch(Launch *launch) {
    static pthread_once_t prepared = PTHREAD_ONCE_INIT;
    pthread_once(&prepared, prepare);
    pthread_mutex_lock(&one_launch);
    int help = helpers && launch->blocks > 1;
    if (help) {
        pthread_mutex_lock(&offer);
        offered_launch = launch;
        pthread_cond_signal(&offered);
        pthread_mutex_unlock(&offer);
    }
    run_blocks(&workers[0], launch);
    if (help) {
        pthread_mutex_lock(&offer);
        offered_launch = NULL;
        while (helping) pthread_cond_wait(&helped, &offer);
        pthread_mutex_unlock(&offer);
    }
    pthread_mutex_unlock(&one_launch);
}

int cuLaunchKernel(Kernel *kernel, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared_bytes, void *stream, void **parameters,
                   void **extra) {
    (void)stream;
    emulation_counts[LAUNCHES]++;
    if (!kernel) return CUDA_ERROR_INVALID_HANDLE;
    if (extra) return CUDA_ERROR_NOT_SUPPORTED;
    unsigned long long threads = (unsigned long long)block_x * block_y * block_z;
    if (!grid_x || !grid_y || !grid_z || grid_x > 2147483647u || grid_y > 65535 || grid_z > 65535)
        return CUDA_ERROR_INVALID_VALUE;
    if (!threads || threads > MAX_BLOCK_THREADS || block_x > 1024 || block_y > 1024 || block_z > 64)
        return CUDA_ERROR_INVALID_VALUE;
    if (shared_bytes > (unsigned)kernel->max_dynamic_shared) return CUDA_ERROR_INVALID_VALUE;
    Launch launch = {
        .kernel = kernel,
        .parameters = parameters,
        .grid = {grid_x, grid_y, grid_z},
        .block_size = {block_x, block_y, block_z},
        .shared_bytes = shared_bytes,
        .blocks = (unsigned long long)grid_x * grid_y * grid_z,
    };
    run_launch(&launch);
    return CUDA_SUCCESS;
}

typedef struct LaunchConfig {
    unsigned grid[3], block[3], shared_bytes;
    void *stream, *attributes;
    unsigned attribute_count;
} LaunchConfig;

int cuLaunchKernelEx(const LaunchConfig *config, Kernel *kernel, void **parameters, void **extra) {
    if (config->attribute_count) return CUDA_ERROR_NOT_SUPPORTED;
    return cuLaunchKernel(kernel, config->grid[0], config->grid[1], config->grid[2], config->block[0],
                          config->block[1], config->block[2], config->shared_bytes, config->stream, parameters,
                          extra);
}
