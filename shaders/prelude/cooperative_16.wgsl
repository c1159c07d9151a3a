enable f16;
enable wgpu_cooperative_matrix;

// Cooperative matrices of 16 by 16: NVIDIA, and others with subgroups of 32 or 64.

const SIDE = 16u;
// The fewest invocations that eight subgroups have.
const INVOCATIONS = 256u;

alias MatrixA = coop_mat16x16<f16, A>;
alias MatrixB = coop_mat16x16<f16, B>;
alias MatrixC = coop_mat16x16<f32, C>;

// What cooperative loads and stores point at in workgroup memory: groups of four values, which are also copied there at once.
alias Half = vec4<f16>;
alias Single = vec4<f32>;
// Elements of an array that hold four values.
const GROUP = 1u;
