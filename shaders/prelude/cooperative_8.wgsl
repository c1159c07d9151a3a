enable f16;
enable wgpu_cooperative_matrix;

// Cooperative matrices of 8 by 8: lavapipe since Mesa 26, whose subgroups have 8 invocations. For tests.

const SIDE = 8u;
// The fewest invocations that eight subgroups have.
const INVOCATIONS = 64u;

alias MatrixA = coop_mat8x8<f16, A>;
alias MatrixB = coop_mat8x8<f16, B>;
alias MatrixC = coop_mat8x8<f32, C>;
