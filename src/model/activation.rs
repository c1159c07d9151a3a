//! Elementwise functions.

/// An elementwise function. Source: `ACT2FN` of transformers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Activation {
    /// `x/2 * (1 + erf(x / sqrt 2))`: `gelu`.
    Gelu,
    /// `x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x³)))`: `gelu_new`, `gelu_pytorch_tanh`, `gelu_fast`.
    GeluTanh,
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`: `silu`, `swish`.
    Silu,
    /// `x * sigmoid(1.702 x)`.
    QuickGelu,
    /// `tanh(x)`.
    Tanh,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x * tanh(ln(1 + exp(x)))`.
    Mish,
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `x`, and `0.01 x` below zero.
    LeakyRelu,
    /// `1/2 * (1 + erf((x - 0.707107) / (0.282095 sqrt 2)))`.
    Laplace,
    /// `max(x, 0)²`.
    Relu2,
}

impl Activation {
    /// One of the names that configs have for it.
    pub fn name(self) -> &'static str {
        match self {
            Activation::Gelu => "gelu",
            Activation::GeluTanh => "gelu_new",
            Activation::Relu => "relu",
            Activation::Silu => "silu",
            Activation::QuickGelu => "quick_gelu",
            Activation::Tanh => "tanh",
            Activation::Sigmoid => "sigmoid",
            Activation::Mish => "mish",
            Activation::Relu6 => "relu6",
            Activation::LeakyRelu => "leaky_relu",
            Activation::Laplace => "laplace",
            Activation::Relu2 => "relu2",
        }
    }

    /// The function that a config calls by this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "gelu" | "gelu_python" => Activation::Gelu,
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_accurate" | "gelu_python_tanh" => {
                Activation::GeluTanh
            }
            "relu" => Activation::Relu,
            "silu" | "swish" => Activation::Silu,
            "quick_gelu" => Activation::QuickGelu,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            "mish" => Activation::Mish,
            "relu6" => Activation::Relu6,
            "leaky_relu" => Activation::LeakyRelu,
            "laplace" => Activation::Laplace,
            "relu2" => Activation::Relu2,
            _ => return None,
        })
    }
}
