//! Which WGSL files make a kernel.

/// A shader module: WGSL files, joined in order.
#[derive(Debug)]
pub struct Kernel {
    /// Name of the step that it computes.
    pub name: &'static str,
    /// `any`, or the classes that it is made for.
    pub variant: &'static str,
    /// The texts of its files; the last one holds the entry point, `main`.
    pub pieces: &'static [&'static str],
}

impl Kernel {
    /// The whole module.
    pub fn source(&self) -> String {
        self.pieces.concat()
    }

    /// Whether it talks within subgroups, which a browser must be asked for by name.
    pub fn uses_subgroups(&self) -> bool {
        let starts = ["software-quad", "software-octet", "half-octets", "tensor"];
        starts.iter().any(|start| self.variant.starts_with(start))
    }

    /// Whether it needs f16 as a type of its own.
    pub fn uses_f16(&self) -> bool {
        ["half", "tensor"].iter().any(|start| self.variant.starts_with(start))
    }

    /// `NAME.VARIANT`: what debuggers, profiles and error messages show.
    pub fn label(&self) -> String {
        format!("{}.{}", self.name, self.variant)
    }
}

// Two kernels are one if their text is one.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

macro_rules! kernels {
    ($($ident:ident = $name:literal $variant:literal [$($file:literal),*];)*) => {
        $(pub(super) static $ident: Kernel = Kernel {
            name: $name,
            variant: $variant,
            pieces: &[$(include_str!(concat!("../../../shaders/", $file))),*],
        };)*
        /// Every kernel.
        pub static KERNELS: &[&Kernel] = &[$(&$ident),*];
    };
}

/// Multiply-adds in registers: not a step of any plan, but what a device is measured with.
pub static PEAK_FMA: Kernel =
    Kernel { name: "peak", variant: "fma", pieces: &[include_str!("../../../shaders/peak/fma.wgsl")] };
/// Multiply-adds of cooperative matrices of 16 by 16, and of 8 by 8, likewise.
pub static PEAK_COOPERATIVE: [Kernel; 2] = [
    Kernel {
        name: "peak",
        variant: "cooperative-16",
        pieces: &[
            include_str!("../../../shaders/prelude/cooperative_16.wgsl"),
            include_str!("../../../shaders/peak/cooperative.wgsl"),
        ],
    },
    Kernel {
        name: "peak",
        variant: "cooperative-8",
        pieces: &[
            include_str!("../../../shaders/prelude/cooperative_8.wgsl"),
            include_str!("../../../shaders/peak/cooperative.wgsl"),
        ],
    },
];
/// A copy through memory, likewise.
pub static PEAK_COPY: Kernel =
    Kernel { name: "peak", variant: "copy", pieces: &[include_str!("../../../shaders/peak/copy.wgsl")] };

kernels! {
    EMBED_LAYERNORM = "embed_layernorm" "gpu" [
        "prelude/workgroup_sum.wgsl", "prelude/table_vec4_f32.wgsl", "gpu/embed_layernorm.wgsl", "gpu/layernorm_out.wgsl", "gpu/layernorm.wgsl"
    ];
    EMBED_LAYERNORM_SCALAR = "embed_layernorm" "gpu-scalar" [
        "prelude/workgroup_sum.wgsl", "prelude/table_f32.wgsl", "gpu/layernorm_scalar.wgsl", "gpu/embed_layernorm_scalar.wgsl"
    ];
    EMBED_LAYERNORM_SOFTWARE = "embed_layernorm" "software" ["prelude/table_f32.wgsl", "software/embed_layernorm.wgsl"];
    ADD_LAYERNORM = "add_layernorm" "gpu" [
        "prelude/workgroup_sum.wgsl", "gpu/add_layernorm.wgsl", "gpu/layernorm_out.wgsl", "gpu/layernorm.wgsl"
    ];
    ADD_LAYERNORM_SCALAR = "add_layernorm" "gpu-scalar" ["prelude/workgroup_sum.wgsl", "gpu/layernorm_scalar.wgsl", "gpu/add_layernorm_scalar.wgsl"];
    ADD_LAYERNORM_SOFTWARE = "add_layernorm" "software" ["software/add_layernorm.wgsl"];
    NORMALIZE_ROWS = "normalize_rows" "gpu" ["prelude/workgroup_sum.wgsl", "gpu/normalize_rows.wgsl"];
    NORMALIZE_ROWS_SOFTWARE = "normalize_rows" "software" ["software/normalize_rows.wgsl"];
    MATMUL_LARGE = "matmul" "gpu-large" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_MEDIUM = "matmul" "gpu-medium" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_LARGE_SCALAR = "matmul" "gpu-large-scalar" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_MEDIUM_SCALAR = "matmul" "gpu-medium-scalar" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_SMALL = "matmul" "gpu-small" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_FEW = "matmul" "gpu-few" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_few.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_SMALL_SCALAR = "matmul" "gpu-small-scalar" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_SOFTWARE = "matmul" "software" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "software/matmul.wgsl"
    ];
    MATMUL_SOFTWARE_SCALAR = "matmul" "software-scalar" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f32.wgsl",
        "software/matmul.wgsl"
    ];
    MATMUL_OCTET = "matmul" "software-octet" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "prelude/weight_f32.wgsl", "software/matmul_octet.wgsl"
    ];
    MATMUL_QUAD = "matmul" "software-quad" [
        "prelude/activation.wgsl", "prelude/input_vec2.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "prelude/weight_f32.wgsl", "software/matmul_quad.wgsl"
    ];
    ATTENTION_HEAD_32 = "attention" "gpu-head-32" [
        "prelude/attention_vec4.wgsl", "prelude/attention.wgsl", "prelude/kept_f32.wgsl", "gpu/attention_head_32.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HEAD_32_SCALAR = "attention" "gpu-head-32-scalar" [
        "prelude/attention_scalar.wgsl", "prelude/attention.wgsl", "prelude/kept_f32.wgsl", "gpu/attention_head_32.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HEAD_64 = "attention" "gpu-head-64" [
        "prelude/attention_vec4.wgsl", "prelude/attention.wgsl", "prelude/kept_f32.wgsl", "gpu/attention_head_64.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HEAD_64_SCALAR = "attention" "gpu-head-64-scalar" [
        "prelude/attention_scalar.wgsl", "prelude/attention.wgsl", "prelude/kept_f32.wgsl", "gpu/attention_head_64.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_SOFTWARE = "attention" "software" [
        "prelude/attention_vec4.wgsl", "prelude/attention.wgsl", "software/attention.wgsl"
    ];
    ATTENTION_SOFTWARE_SCALAR = "attention" "software-scalar" [
        "prelude/attention_scalar.wgsl", "prelude/attention.wgsl", "software/attention.wgsl"
    ];
    ATTENTION_QUAD = "attention" "software-quad" [
        "prelude/attention_vec4.wgsl", "prelude/attention.wgsl", "prelude/attention_kept.wgsl",
        "software/attention_quad.wgsl"
    ];
    ATTENTION_OCTET = "attention" "software-octet" [
        "prelude/attention_vec4.wgsl", "prelude/attention.wgsl", "prelude/attention_kept.wgsl",
        "software/attention_octet.wgsl"
    ];
    ATTENTION_PROBABILITIES = "attention_probabilities" "any" [
        "prelude/attention.wgsl", "common/attention_probabilities.wgsl"
    ];
    ROTARY = "rotary" "any" ["common/rotary.wgsl"];
    GATED_ACTIVATION = "gated_activation" "any" ["prelude/activation.wgsl", "common/gated_activation.wgsl"];
    EMBED_TOKENS = "embed_tokens" "any" ["prelude/table_f32.wgsl", "common/embed_tokens.wgsl"];
    EMBED_TOKENS_F16 = "embed_tokens" "any-f16" ["prelude/table_f16.wgsl", "common/embed_tokens.wgsl"];
    GATHER_ROWS = "gather_rows" "any" ["common/gather_rows.wgsl"];
    POOL = "pool" "any" ["common/pool.wgsl"];
    MEAN_BLOCKS = "mean_blocks" "any" ["common/mean_blocks.wgsl"];
    EMBED_LAYERNORM_F16 = "embed_layernorm" "gpu-f16" [
        "prelude/workgroup_sum.wgsl", "prelude/table_vec4_f16.wgsl", "gpu/embed_layernorm.wgsl", "gpu/layernorm_out.wgsl", "gpu/layernorm.wgsl"
    ];
    EMBED_LAYERNORM_SCALAR_F16 = "embed_layernorm" "gpu-scalar-f16" [
        "prelude/workgroup_sum.wgsl", "prelude/table_f16.wgsl", "gpu/layernorm_scalar.wgsl", "gpu/embed_layernorm_scalar.wgsl"
    ];
    EMBED_LAYERNORM_SOFTWARE_F16 = "embed_layernorm" "software-f16" ["prelude/table_f16.wgsl", "software/embed_layernorm.wgsl"];
    MATMUL_LARGE_F16 = "matmul" "gpu-large-f16" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_MEDIUM_F16 = "matmul" "gpu-medium-f16" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_LARGE_SCALAR_F16 = "matmul" "gpu-large-scalar-f16" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_MEDIUM_SCALAR_F16 = "matmul" "gpu-medium-scalar-f16" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_SMALL_F16 = "matmul" "gpu-small-f16" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_FEW_F16 = "matmul" "gpu-few-f16" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_few.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_SMALL_SCALAR_F16 = "matmul" "gpu-small-scalar-f16" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "prelude/kept_f32.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_SOFTWARE_F16 = "matmul" "software-f16" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "software/matmul.wgsl"
    ];
    MATMUL_OCTET_F16 = "matmul" "software-octet-f16" [
        "prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "prelude/weight_f16.wgsl", "software/matmul_octet.wgsl"
    ];
    MATMUL_QUAD_F16 = "matmul" "software-quad-f16" [
        "prelude/activation.wgsl", "prelude/input_vec2.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "prelude/weight_f16.wgsl", "software/matmul_quad.wgsl"
    ];
    MATMUL_SOFTWARE_SCALAR_F16 = "matmul" "software-scalar-f16" [
        "prelude/activation.wgsl", "prelude/matmul_scalar.wgsl", "prelude/matmul.wgsl", "prelude/weight_f16.wgsl",
        "software/matmul.wgsl"
    ];
    ADD_LAYERNORM_HALF = "add_layernorm" "half" [
        "prelude/half.wgsl", "prelude/workgroup_sum.wgsl", "gpu/add_layernorm.wgsl", "half/add_layernorm.wgsl", "gpu/layernorm.wgsl"
    ];
    EMBED_LAYERNORM_HALF = "embed_layernorm" "half" [
        "prelude/half.wgsl", "prelude/workgroup_sum.wgsl", "gpu/embed_layernorm.wgsl", "half/embed_layernorm.wgsl", "gpu/layernorm.wgsl"
    ];
    ADD_LAYERNORM_HALF_OCTETS = "add_layernorm" "half-octets" [
        "prelude/half.wgsl", "prelude/octet_sum.wgsl", "prelude/workgroup_sum_octets.wgsl", "gpu/add_layernorm.wgsl",
        "half/add_layernorm.wgsl", "gpu/layernorm.wgsl"
    ];
    EMBED_LAYERNORM_HALF_OCTETS = "embed_layernorm" "half-octets" [
        "prelude/half.wgsl", "prelude/octet_sum.wgsl", "prelude/workgroup_sum_octets.wgsl", "gpu/embed_layernorm.wgsl",
        "half/embed_layernorm.wgsl", "gpu/layernorm.wgsl"
    ];
    MATMUL_HALF_SMALL = "matmul" "half-small" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_FEW = "matmul" "half-few" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_few.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_SMALL_OUT16 = "matmul" "half-small-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_FEW_OUT16 = "matmul" "half-few-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_few.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_SMALL_X16 = "matmul" "half-small-x16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl",
        "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_FEW_X16 = "matmul" "half-few-x16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl",
        "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_few.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_SMALL_X16_OUT16 = "matmul" "half-small-x16-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_small.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_FEW_X16_OUT16 = "matmul" "half-few-x16-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_few.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_MEDIUM = "matmul" "half-medium" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_MEDIUM_OUT16 = "matmul" "half-medium-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_MEDIUM_X16 = "matmul" "half-medium-x16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl",
        "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_MEDIUM_X16_OUT16 = "matmul" "half-medium-x16-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_medium.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_LARGE = "matmul" "half-large" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_LARGE_OUT16 = "matmul" "half-large-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_LARGE_X16 = "matmul" "half-large-x16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl",
        "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    MATMUL_HALF_LARGE_X16_OUT16 = "matmul" "half-large-x16-out16" [
        "prelude/half.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl",
        "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl", "prelude/kept_f16.wgsl", "gpu/matmul_large.wgsl", "gpu/matmul.wgsl"
    ];
    ATTENTION_HALF_HEAD_32 = "attention" "half-head-32" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_32_OUT16 = "attention" "half-head-32-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_32_X16 = "attention" "half-head-32-x16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_32_X16_OUT16 = "attention" "half-head-32-x16-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_64 = "attention" "half-head-64" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_64_OUT16 = "attention" "half-head-64-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_64_X16 = "attention" "half-head-64-x16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_HEAD_64_X16_OUT16 = "attention" "half-head-64-x16-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "gpu/attention_rows.wgsl", "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_32 = "attention" "half-octets-head-32" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_32_OUT16 = "attention" "half-octets-head-32-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_32_X16 = "attention" "half-octets-head-32-x16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_32_X16_OUT16 = "attention" "half-octets-head-32-x16-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "gpu/attention_head_32.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_64 = "attention" "half-octets-head-64" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_64_OUT16 = "attention" "half-octets-head-64-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_64_X16 = "attention" "half-octets-head-64-x16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    ATTENTION_HALF_OCTETS_HEAD_64_X16_OUT16 = "attention" "half-octets-head-64-x16-out16" [
        "prelude/half.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "prelude/kept_f16.wgsl", "half/attention_head_64.wgsl", "prelude/octet_sum.wgsl", "half/attention_rows_octets.wgsl",
        "gpu/attention.wgsl"
    ];
    MATMUL_TENSOR_16_MEDIUM = "matmul" "tensor-16-medium" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_16_FEW = "matmul" "tensor-16-few" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_16_MEDIUM_OUT16 = "matmul" "tensor-16-medium-out16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_16_FEW_OUT16 = "matmul" "tensor-16-few-out16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_16_MEDIUM_X16 = "matmul" "tensor-16-medium-x16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_16_FEW_X16 = "matmul" "tensor-16-few-x16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_16_MEDIUM_X16_OUT16 = "matmul" "tensor-16-medium-x16-out16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_16_FEW_X16_OUT16 = "matmul" "tensor-16-few-x16-out16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_16_LARGE = "matmul" "tensor-16-large" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_16_LARGE_OUT16 = "matmul" "tensor-16-large-out16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_16_LARGE_X16 = "matmul" "tensor-16-large-x16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_16_LARGE_X16_OUT16 = "matmul" "tensor-16-large-x16-out16" [
        "prelude/cooperative_16.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_groups.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_8_MEDIUM = "matmul" "tensor-8-medium" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_8_FEW = "matmul" "tensor-8-few" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_8_MEDIUM_OUT16 = "matmul" "tensor-8-medium-out16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_8_FEW_OUT16 = "matmul" "tensor-8-few-out16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_8_MEDIUM_X16 = "matmul" "tensor-8-medium-x16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_8_FEW_X16 = "matmul" "tensor-8-few-x16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_8_MEDIUM_X16_OUT16 = "matmul" "tensor-8-medium-x16-out16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_medium.wgsl"
    ];
    MATMUL_TENSOR_8_FEW_X16_OUT16 = "matmul" "tensor-8-few-x16-out16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_few.wgsl"
    ];
    MATMUL_TENSOR_8_LARGE = "matmul" "tensor-8-large" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_8_LARGE_OUT16 = "matmul" "tensor-8-large-out16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_rounded.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_8_LARGE_X16 = "matmul" "tensor-8-large-x16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_vec4.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    MATMUL_TENSOR_8_LARGE_X16_OUT16 = "matmul" "tensor-8-large-x16-out16" [
        "prelude/cooperative_8.wgsl", "prelude/activation.wgsl", "prelude/input_f16.wgsl", "prelude/weight_vec4_f16.wgsl", "prelude/matmul_out_f16.wgsl", "prelude/matmul.wgsl",
        "tensor/matmul_singles.wgsl", "tensor/matmul.wgsl", "tensor/matmul_large.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_32 = "attention" "tensor-16-head-32" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_32_OUT16 = "attention" "tensor-16-head-32-out16" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_32_X16 = "attention" "tensor-16-head-32-x16" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_32_X16_OUT16 = "attention" "tensor-16-head-32-x16-out16" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_64 = "attention" "tensor-16-head-64" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_64_OUT16 = "attention" "tensor-16-head-64-out16" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_64_X16 = "attention" "tensor-16-head-64-x16" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_16_HEAD_64_X16_OUT16 = "attention" "tensor-16-head-64-x16-out16" [
        "prelude/cooperative_16.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_groups.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_32 = "attention" "tensor-8-head-32" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_32_OUT16 = "attention" "tensor-8-head-32-out16" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_32_X16 = "attention" "tensor-8-head-32-x16" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_32_X16_OUT16 = "attention" "tensor-8-head-32-x16-out16" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_32.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_64 = "attention" "tensor-8-head-64" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_64_OUT16 = "attention" "tensor-8-head-64-out16" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_rounded.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_64_X16 = "attention" "tensor-8-head-64-x16" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f32.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
    ATTENTION_TENSOR_8_HEAD_64_X16_OUT16 = "attention" "tensor-8-head-64-x16-out16" [
        "prelude/cooperative_8.wgsl", "prelude/attention_qkv_f16.wgsl", "prelude/attention_out_f16.wgsl", "prelude/attention.wgsl",
        "tensor/attention_head_64.wgsl", "tensor/attention_singles.wgsl", "tensor/attention.wgsl"
    ];
}

/// Without and with subgroups of eight: the norms that write f16 as well.
pub(super) static ADD_LAYERNORM_HALVES: [&Kernel; 2] = [&ADD_LAYERNORM_HALF, &ADD_LAYERNORM_HALF_OCTETS];
/// Likewise.
pub(super) static EMBED_LAYERNORM_HALVES: [&Kernel; 2] =
    [&EMBED_LAYERNORM_HALF, &EMBED_LAYERNORM_HALF_OCTETS];

/// By tile (few, small, medium, large), and whether x and out are f16.
pub(super) static MATMUL_HALF: [[[&Kernel; 2]; 2]; 4] = [
    [[&MATMUL_HALF_FEW, &MATMUL_HALF_FEW_OUT16], [&MATMUL_HALF_FEW_X16, &MATMUL_HALF_FEW_X16_OUT16]],
    [[&MATMUL_HALF_SMALL, &MATMUL_HALF_SMALL_OUT16], [&MATMUL_HALF_SMALL_X16, &MATMUL_HALF_SMALL_X16_OUT16]],
    [
        [&MATMUL_HALF_MEDIUM, &MATMUL_HALF_MEDIUM_OUT16],
        [&MATMUL_HALF_MEDIUM_X16, &MATMUL_HALF_MEDIUM_X16_OUT16],
    ],
    [[&MATMUL_HALF_LARGE, &MATMUL_HALF_LARGE_OUT16], [&MATMUL_HALF_LARGE_X16, &MATMUL_HALF_LARGE_X16_OUT16]],
];

/// By subgroups of eight, head (up to 32, up to 64), and whether qkv and out are f16.
pub(super) static ATTENTION_HALF: [[[[&Kernel; 2]; 2]; 2]; 2] = [
    [
        [
            [&ATTENTION_HALF_HEAD_32, &ATTENTION_HALF_HEAD_32_OUT16],
            [&ATTENTION_HALF_HEAD_32_X16, &ATTENTION_HALF_HEAD_32_X16_OUT16],
        ],
        [
            [&ATTENTION_HALF_HEAD_64, &ATTENTION_HALF_HEAD_64_OUT16],
            [&ATTENTION_HALF_HEAD_64_X16, &ATTENTION_HALF_HEAD_64_X16_OUT16],
        ],
    ],
    [
        [
            [&ATTENTION_HALF_OCTETS_HEAD_32, &ATTENTION_HALF_OCTETS_HEAD_32_OUT16],
            [&ATTENTION_HALF_OCTETS_HEAD_32_X16, &ATTENTION_HALF_OCTETS_HEAD_32_X16_OUT16],
        ],
        [
            [&ATTENTION_HALF_OCTETS_HEAD_64, &ATTENTION_HALF_OCTETS_HEAD_64_OUT16],
            [&ATTENTION_HALF_OCTETS_HEAD_64_X16, &ATTENTION_HALF_OCTETS_HEAD_64_X16_OUT16],
        ],
    ],
];

/// By side (8, 16), tile (few, medium, large), and whether x and out are f16.
pub(super) static MATMUL_TENSOR: [[[[&Kernel; 2]; 2]; 3]; 2] = [
    [
        [
            [&MATMUL_TENSOR_8_FEW, &MATMUL_TENSOR_8_FEW_OUT16],
            [&MATMUL_TENSOR_8_FEW_X16, &MATMUL_TENSOR_8_FEW_X16_OUT16],
        ],
        [
            [&MATMUL_TENSOR_8_MEDIUM, &MATMUL_TENSOR_8_MEDIUM_OUT16],
            [&MATMUL_TENSOR_8_MEDIUM_X16, &MATMUL_TENSOR_8_MEDIUM_X16_OUT16],
        ],
        [
            [&MATMUL_TENSOR_8_LARGE, &MATMUL_TENSOR_8_LARGE_OUT16],
            [&MATMUL_TENSOR_8_LARGE_X16, &MATMUL_TENSOR_8_LARGE_X16_OUT16],
        ],
    ],
    [
        [
            [&MATMUL_TENSOR_16_FEW, &MATMUL_TENSOR_16_FEW_OUT16],
            [&MATMUL_TENSOR_16_FEW_X16, &MATMUL_TENSOR_16_FEW_X16_OUT16],
        ],
        [
            [&MATMUL_TENSOR_16_MEDIUM, &MATMUL_TENSOR_16_MEDIUM_OUT16],
            [&MATMUL_TENSOR_16_MEDIUM_X16, &MATMUL_TENSOR_16_MEDIUM_X16_OUT16],
        ],
        [
            [&MATMUL_TENSOR_16_LARGE, &MATMUL_TENSOR_16_LARGE_OUT16],
            [&MATMUL_TENSOR_16_LARGE_X16, &MATMUL_TENSOR_16_LARGE_X16_OUT16],
        ],
    ],
];

/// By side (8, 16), head (up to 32, up to 64), and whether qkv and out are f16.
pub(super) static ATTENTION_TENSOR: [[[[&Kernel; 2]; 2]; 2]; 2] = [
    [
        [
            [&ATTENTION_TENSOR_8_HEAD_32, &ATTENTION_TENSOR_8_HEAD_32_OUT16],
            [&ATTENTION_TENSOR_8_HEAD_32_X16, &ATTENTION_TENSOR_8_HEAD_32_X16_OUT16],
        ],
        [
            [&ATTENTION_TENSOR_8_HEAD_64, &ATTENTION_TENSOR_8_HEAD_64_OUT16],
            [&ATTENTION_TENSOR_8_HEAD_64_X16, &ATTENTION_TENSOR_8_HEAD_64_X16_OUT16],
        ],
    ],
    [
        [
            [&ATTENTION_TENSOR_16_HEAD_32, &ATTENTION_TENSOR_16_HEAD_32_OUT16],
            [&ATTENTION_TENSOR_16_HEAD_32_X16, &ATTENTION_TENSOR_16_HEAD_32_X16_OUT16],
        ],
        [
            [&ATTENTION_TENSOR_16_HEAD_64, &ATTENTION_TENSOR_16_HEAD_64_OUT16],
            [&ATTENTION_TENSOR_16_HEAD_64_X16, &ATTENTION_TENSOR_16_HEAD_64_X16_OUT16],
        ],
    ],
];
