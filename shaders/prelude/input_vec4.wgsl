// A matmul's input whose width is a multiple of four.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [rows, k]

// x[base + at .. base + at + 4], of a row that starts at `base`; both are multiples of four.
fn input4(base: u32, at: u32, k: u32) -> vec4<f32> {
    return x[(base + at) / 4u];
}
