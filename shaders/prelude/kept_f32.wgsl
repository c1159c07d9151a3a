// What kernels with tiles keep of operands in workgroup memory: f32.

alias Kept = vec4<f32>;
const KEPT_BYTES = 16u;
