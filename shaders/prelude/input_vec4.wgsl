// A matmul's input whose width is a multiple of four.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [rows, k]

// x[row, at .. at + 4], of rows that are k wide; `at` is a multiple of four.
fn input4(row: u32, at: u32, k: u32) -> vec4<f32> {
    return x[(row * k + at) / 4u];
}
