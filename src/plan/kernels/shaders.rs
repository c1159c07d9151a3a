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

kernels! {
    EMBED_LAYERNORM_SOFTWARE = "embed_layernorm" "software" ["software/embed_layernorm.wgsl"];
    ADD_LAYERNORM_SOFTWARE = "add_layernorm" "software" ["software/add_layernorm.wgsl"];
    NORMALIZE_ROWS_SOFTWARE = "normalize_rows" "software" ["software/normalize_rows.wgsl"];
    MATMUL_SOFTWARE = "matmul" "software"
        ["prelude/activation.wgsl", "prelude/input_vec4.wgsl", "prelude/weight_f32.wgsl", "software/matmul.wgsl"];
    MATMUL_SOFTWARE_SCALAR = "matmul" "software-scalar"
        ["prelude/activation.wgsl", "prelude/input_scalar.wgsl", "prelude/weight_f32.wgsl", "software/matmul.wgsl"];
    ATTENTION_SOFTWARE = "attention" "software" ["prelude/attention_vec4.wgsl", "software/attention.wgsl"];
    ATTENTION_SOFTWARE_SCALAR = "attention" "software-scalar"
        ["prelude/attention_scalar.wgsl", "software/attention.wgsl"];
    ATTENTION_PROBABILITIES = "attention_probabilities" "any" ["common/attention_probabilities.wgsl"];
    ROTARY = "rotary" "any" ["common/rotary.wgsl"];
    GATED_ACTIVATION = "gated_activation" "any" ["prelude/activation.wgsl", "common/gated_activation.wgsl"];
    GATHER_ROWS = "gather_rows" "any" ["common/gather_rows.wgsl"];
    POOL = "pool" "any" ["common/pool.wgsl"];
    MEAN_BLOCKS = "mean_blocks" "any" ["common/mean_blocks.wgsl"];
}
