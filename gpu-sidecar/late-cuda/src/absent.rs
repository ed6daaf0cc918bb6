//! Stands for candle's kernels for quantised weights and mixtures of experts, which our build
//! leaves out (`xtask/nvcc-lean.sh`).
//!
//! Owns their names. No model of ours has such weights; a call is a fault of ours and panics.

macro_rules! absent {
    ($($name:ident)*) => {
        $(
            #[allow(non_snake_case, reason = "candle's own name")]
            #[unsafe(no_mangle)]
            extern "C" fn $name() -> ! {
                panic!("{} was left out of this build", stringify!($name))
            }
        )*
    };
}

absent!(
    candle_launch_moe_align moe_gemm_wmma moe_gemm_gguf moe_gemm_gguf_prefill
    launch_mmvq_gguf_q4_0_bf16_plain launch_mmvq_gguf_q4_1_bf16_plain
    launch_mmvq_gguf_q5_0_bf16_plain launch_mmvq_gguf_q5_1_bf16_plain
    launch_mmvq_gguf_q8_0_bf16_plain launch_mmvq_gguf_q2_k_bf16_plain
    launch_mmvq_gguf_q3_k_bf16_plain launch_mmvq_gguf_q4_k_bf16_plain
    launch_mmvq_gguf_q5_k_bf16_plain launch_mmvq_gguf_q6_k_bf16_plain
    launch_mmvq_gguf_q4_0_f32_plain launch_mmvq_gguf_q4_1_f32_plain
    launch_mmvq_gguf_q5_0_f32_plain launch_mmvq_gguf_q5_1_f32_plain
    launch_mmvq_gguf_q8_0_f32_plain launch_mmvq_gguf_q2_k_f32_plain
    launch_mmvq_gguf_q3_k_f32_plain launch_mmvq_gguf_q4_k_f32_plain
    launch_mmvq_gguf_q5_k_f32_plain launch_mmvq_gguf_q6_k_f32_plain
    launch_mmvq_gguf_q4_0_f16_plain launch_mmvq_gguf_q4_1_f16_plain
    launch_mmvq_gguf_q5_0_f16_plain launch_mmvq_gguf_q5_1_f16_plain
    launch_mmvq_gguf_q8_0_f16_plain launch_mmvq_gguf_q2_k_f16_plain
    launch_mmvq_gguf_q3_k_f16_plain launch_mmvq_gguf_q4_k_f16_plain
    launch_mmvq_gguf_q5_k_f16_plain launch_mmvq_gguf_q6_k_f16_plain
    launch_mmvq_gguf_quantize_q8_1_bf16 launch_mmvq_gguf_quantize_q8_1_f16
    launch_mmvq_gguf_quantize_q8_1_f32 launch_mmq_quantize_q8_1_D4 launch_mmq_quantize_q8_1_DS4
    launch_mmq_quantize_q8_1_D2S6 launch_mmq_gguf_q4_0 launch_mmq_gguf_q4_1 launch_mmq_gguf_q5_0
    launch_mmq_gguf_q5_1 launch_mmq_gguf_q8_0 launch_mmq_gguf_q2_k launch_mmq_gguf_q3_k
    launch_mmq_gguf_q4_k launch_mmq_gguf_q5_k launch_mmq_gguf_q6_k
);
