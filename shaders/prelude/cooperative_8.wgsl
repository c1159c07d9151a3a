enable f16;
enable wgpu_cooperative_matrix;

// Cooperative matrices of 8 by 8: Metal's, whose subgroups have 32 invocations, and those of lavapipe since Mesa 26, whose subgroups
// have 8.

const SIDE = 8u;
// The fewest invocations that eight subgroups have.
const INVOCATIONS = 64u;

alias MatrixA = coop_mat8x8<f16, A>;
alias MatrixB = coop_mat8x8<f16, B>;
alias MatrixC = coop_mat8x8<f32, C>;

// What cooperative loads and stores point at in workgroup memory: single values. Metal's `simdgroup_load` takes no pointer to vectors, and
// naga translates one to it all the same.
alias Half = f16;
alias Single = f32;
// Elements of an array that hold four values.
const GROUP = 4u;
