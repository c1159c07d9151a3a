// A matmul's x where it is stored as f32 and multiplied as f16.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [rows, k]

// Four values of a row of x that starts at `base`, from `at` on; both are multiples of four.
fn input4(base: u32, at: u32, k: u32) -> vec4<f16> {
    return vec4<f16>(x[(base + at) / 4u]);
}
