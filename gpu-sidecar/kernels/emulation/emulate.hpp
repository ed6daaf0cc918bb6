// CUDA's words, so that g++ compiles a kernel file as it stands (see emulate.cpp).
//
// Included before each file. Knows the small part of CUDA that kernel.cuh allows, nothing more: a
// kernel that uses something else does not compile here and has to be made portable first.
#pragma once
#define EMULATION 1

#include <cfloat>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <utility>

#define __device__
#define __global__
// A block runs on one thread of the system, so a thread's own static is the block's memory.
#define __shared__ static thread_local

namespace emulation {

struct Dim {
    unsigned x = 1, y = 1, z = 1;
};

// The coordinates of what runs now.
extern thread_local Dim thread_index, block_index, block_size, grid_size;
extern thread_local void *dynamic_shared_memory;

void wait_for_block();
// Lets other threads of the block go first.
void pause();

// What a launch hands over for a parameter, as the Rust side counts them.
template <typename T>
constexpr char kind_of() {
    if (std::is_pointer<T>::value) return 'p';
    if (std::is_same<T, int>::value) return 'i';
    if (std::is_same<T, long long>::value) return 'l';
    if (std::is_same<T, float>::value) return 'f';
    if (std::is_same<T, double>::value) return 'd';
    return '?';
}

struct Kernel {
    const char *name;
    unsigned threads_max;
    std::string kinds;
    void (*call)(void (*)(), void **);
    void (*function)();
    Kernel *next;
};

void enter(Kernel *kernel);

template <typename... A, std::size_t... I>
void call_with(void (*function)(A...), void **arguments, std::index_sequence<I...>) {
    function(*static_cast<A *>(arguments[I])...);
}

// Enters a kernel into the list of its library when that is opened.
struct Entry {
    Kernel kernel;

    template <typename... A>
    Entry(const char *name, unsigned threads_max, void (*function)(A...)) {
        kernel.name = name;
        kernel.threads_max = threads_max;
        kernel.kinds = std::string{kind_of<A>()...};
        kernel.function = reinterpret_cast<void (*)()>(function);
        kernel.call = [](void (*erased)(), void **arguments) {
            call_with(reinterpret_cast<void (*)(A...)>(erased), arguments,
                      std::index_sequence_for<A...>());
        };
        enter(&kernel);
    }
};

}  // namespace emulation

#define threadIdx emulation::thread_index
#define blockIdx emulation::block_index
#define blockDim emulation::block_size
#define gridDim emulation::grid_size

#define KERNEL(NAME, THREADS, ...)                                    \
    static void NAME(__VA_ARGS__);                                    \
    static emulation::Entry NAME##_entry(#NAME, THREADS, &NAME);      \
    static void NAME(__VA_ARGS__)
#define DYNAMIC_SHARED(TYPE, NAME) \
    TYPE *NAME = static_cast<TYPE *>(emulation::dynamic_shared_memory)

static inline void __syncthreads() { emulation::wait_for_block(); }

// What a thread found out before an atomic may be untrue when it comes to it: others go first.
template <typename T>
static inline T atomicMin(T *at, T value) {
    emulation::pause();
    const T before = *at;
    if (value < before) *at = value;
    return before;
}

template <typename T>
static inline T atomicAdd(T *at, T value) {
    emulation::pause();
    const T before = *at;
    *at = before + value;
    return before;
}
