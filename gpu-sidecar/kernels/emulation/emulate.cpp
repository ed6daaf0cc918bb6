// Runs kernels on the CPU, block by block, so that their numbers can be tested without a GPU.
//
// A block's threads are fibres: one runs until it ends or reaches __syncthreads or an atomic, then
// the next.
// Made to find mistakes, not to be fast: blocks and threads alternate their order; device memory
// and shared memory start as NaN; behind every piece of device memory lies a page that cannot be
// touched; a block whose threads do not all meet at each __syncthreads is refused. What it cannot
// show: races between threads that run at the same instant, and speed.
// `postern_emulation_*` is what `vision/cuda/emulation.rs` calls.
#include "emulate.hpp"

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

namespace emulation {

thread_local Dim thread_index, block_index, block_size, grid_size;
thread_local void *dynamic_shared_memory;

static Kernel *kernels = nullptr;

void enter(Kernel *kernel) {
    kernel->next = kernels;
    kernels = kernel;
}

namespace {

const std::size_t STACK_BYTES = 256 * 1024;
const std::size_t SHARED_BYTES_MAX = 48 * 1024;

struct Block;

// Runs one thread after another for as long as they end without waiting.
struct Fibre {
    std::unique_ptr<char[]> stack;
    jmp_buf here;
    bool started = false;
    // At a barrier; or before an atomic.
    bool waiting = false;
    bool paused = false;
    unsigned thread = 0;
};

struct Block {
    const Kernel *kernel;
    void **arguments;
    unsigned threads;
    bool backwards;
    unsigned next = 0;
    unsigned ended = 0;
    // How often each thread has waited.
    std::vector<unsigned> waits;
    std::vector<std::unique_ptr<Fibre>> fibres;
    Fibre *running = nullptr;
    jmp_buf scheduler;
};

thread_local Block *current;

void place(unsigned thread) {
    thread_index.x = thread % block_size.x;
    thread_index.y = thread / block_size.x % block_size.y;
    thread_index.z = thread / (block_size.x * block_size.y);
}

void work() {
    Block &block = *current;
    Fibre &self = *block.running;
    for (;;) {
        while (block.next < block.threads) {
            const unsigned turn = block.next++;
            self.thread = block.backwards ? block.threads - 1 - turn : turn;
            place(self.thread);
            block.kernel->call(block.kernel->function, block.arguments);
            block.ended++;
        }
        self.waiting = false;
        if (_setjmp(self.here) == 0) _longjmp(block.scheduler, 1);
    }
}

void resume(Block &block, Fibre &fibre) {
    block.running = &fibre;
    if (_setjmp(block.scheduler) != 0) return;
    if (fibre.started) {
        place(fibre.thread);
        _longjmp(fibre.here, 1);
    }
    fibre.started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fibre.stack.get();
    context.uc_stack.ss_size = STACK_BYTES;
    context.uc_link = nullptr;
    makecontext(&context, work, 0);
    setcontext(&context);
}

// Lets those that paused go on, until nobody is paused.
void settle(Block &block, std::size_t used, bool forwards) {
    for (bool any = true; any;) {
        any = false;
        for (std::size_t i = 0; i < used; i++) {
            Fibre &fibre = *block.fibres[forwards ? i : used - 1 - i];
            if (fibre.paused) {
                fibre.paused = false;
                resume(block, fibre);
                any = true;
            }
        }
        forwards = !forwards;
    }
}

// Whether all threads met at every barrier.
bool run_block(Block &block) {
    block.next = 0;
    block.ended = 0;
    block.waits.assign(block.threads, 0);
    // Fibres that the block before has left idle take this block's threads.
    std::size_t used = 0;
    while (block.next < block.threads) {
        if (used == block.fibres.size()) {
            auto fibre = std::make_unique<Fibre>();
            fibre->stack.reset(new char[STACK_BYTES]);
            block.fibres.push_back(std::move(fibre));
        }
        resume(block, *block.fibres[used++]);
    }
    settle(block, used, block.backwards);
    for (unsigned round = 1; block.ended < block.threads; round++) {
        // Someone waits; then nobody may have ended, and all have waited equally often.
        if (block.ended > 0) return false;
        for (unsigned count : block.waits) {
            if (count != round) return false;
        }
        const bool forwards = (round % 2 == 0) != block.backwards;
        for (std::size_t i = 0; i < used; i++) {
            Fibre &fibre = *block.fibres[forwards ? i : used - 1 - i];
            if (fibre.waiting) {
                fibre.waiting = false;
                resume(block, fibre);
            }
        }
        settle(block, used, !forwards);
    }
    return true;
}

}  // namespace

void wait_for_block() {
    Block &block = *current;
    Fibre &self = *block.running;
    block.waits[self.thread]++;
    self.waiting = true;
    if (_setjmp(self.here) == 0) _longjmp(block.scheduler, 1);
}

void pause() {
    Fibre &self = *current->running;
    self.paused = true;
    if (_setjmp(self.here) == 0) _longjmp(current->scheduler, 1);
}

}  // namespace emulation

using namespace emulation;

// The kernel of this name, or null.
extern "C" const void *postern_emulation_find(const char *name) {
    for (Kernel *kernel = kernels; kernel != nullptr; kernel = kernel->next) {
        if (std::strcmp(kernel->name, name) == 0) return kernel;
    }
    return nullptr;
}

// The kinds of a kernel's parameters, a letter each.
extern "C" const char *postern_emulation_kinds(const void *kernel) {
    return static_cast<const Kernel *>(kernel)->kinds.c_str();
}

// Runs all blocks; sizes are (x, y, z). 0, or 1 for sizes that a GPU refuses, or 2 when threads of
// a block did not meet at a barrier.
extern "C" int postern_emulation_launch(const void *kernel, const unsigned *grid,
                                        const unsigned *size, unsigned shared_bytes,
                                        void **arguments) {
    Block block;
    block.kernel = static_cast<const Kernel *>(kernel);
    block.arguments = arguments;
    block.threads = size[0] * size[1] * size[2];
    const std::uint64_t blocks = (std::uint64_t)grid[0] * grid[1] * grid[2];
    if (block.threads == 0 || block.threads > block.kernel->threads_max || blocks == 0 ||
        grid[1] > 65535 || grid[2] > 65535 || shared_bytes > SHARED_BYTES_MAX) {
        return 1;
    }
    block_size = Dim{size[0], size[1], size[2]};
    grid_size = Dim{grid[0], grid[1], grid[2]};
    std::vector<std::uint64_t> shared(shared_bytes / 8 + 2);
    current = &block;
    for (std::uint64_t turn = 0; turn < blocks; turn++) {
        // From both ends towards the middle: neighbours do not run one after another.
        const std::uint64_t at = turn % 2 == 0 ? turn / 2 : blocks - 1 - turn / 2;
        block_index.x = at % grid[0];
        block_index.y = at / grid[0] % grid[1];
        block_index.z = at / ((std::uint64_t)grid[0] * grid[1]);
        block.backwards = turn % 2 == 1;
        std::memset(shared.data(), 0xff, shared.size() * 8);
        dynamic_shared_memory = shared.data();
        if (!run_block(block)) return 2;
    }
    return 0;
}

// Memory that ends, but for its alignment of 16, where a page begins that cannot be touched.
extern "C" void *postern_emulation_allocate(std::size_t bytes) {
    const std::size_t page = sysconf(_SC_PAGESIZE);
    const std::size_t rounded = (bytes + 15) / 16 * 16;
    const std::size_t pages = (rounded + page - 1) / page * page;
    void *base = mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                      -1, 0);
    if (base == MAP_FAILED) return nullptr;
    char *end = static_cast<char *>(base) + pages;
    mprotect(end, page, PROT_NONE);
    std::memset(end - rounded, 0xff, rounded);
    return end - rounded;
}

extern "C" void postern_emulation_free(void *memory, std::size_t bytes) {
    const std::size_t page = sysconf(_SC_PAGESIZE);
    const std::size_t rounded = (bytes + 15) / 16 * 16;
    const std::size_t pages = (rounded + page - 1) / page * page;
    char *end = static_cast<char *>(memory) + rounded;
    munmap(end - pages, pages + page);
}
