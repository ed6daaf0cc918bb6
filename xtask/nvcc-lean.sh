#!/bin/sh
# nvcc without candle's kernels for quantised weights and mixtures of experts: no model of ours has
# such weights, and they take three quarters of the build and most of the program's size. They come
# out as empty objects; postern-late-cuda defines the functions that candle would call in them.
# Written into the tool chain, beside nvcc, by xtask/src/cuda/toolchain.rs.
case " $* " in
*" -c "*/moe/* | *" -c "*/mmq_gguf/* | *" -c "*/mmvq_gguf.cu*)
    while [ "$1" != -o ]; do shift; done
    exec cc -x c -c /dev/null -o "$2"
    ;;
esac
exec "$(dirname "$0")/nvcc" "$@"
