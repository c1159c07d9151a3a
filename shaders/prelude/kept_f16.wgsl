// What kernels with tiles keep of operands in workgroup memory: f16, half the bytes.

alias Kept = vec4<f16>;
const KEPT_BYTES = 8u;
