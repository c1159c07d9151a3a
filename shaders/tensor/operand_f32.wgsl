// A tensor matmul's x where it is stored as f32.

@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>; // [rows, k]

// Four values of a row of x that starts at `start`, from `depth` on; both are multiples of four.
fn operand4(start: u32, depth: u32) -> vec4<f16> {
    return vec4<f16>(x[(start + depth) / 4u]);
}
