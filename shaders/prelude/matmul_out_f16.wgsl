// A matmul's operands but x and the weight, where out is stored as f16: only products read it, which would round it anyway.

@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;      // [n]
@group(0) @binding(4) var<storage, read> residual: array<vec4<f32>>;  // [rows, n]
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f16>>; // [rows, n]

fn bias4(column: u32, n: u32) -> vec4<f32> {
    return bias[column / 4u];
}

fn residual4(base: u32, column: u32, n: u32) -> vec4<f32> {
    return residual[(base + column) / 4u];
}

fn store4(base: u32, column: u32, n: u32, value: vec4<f32>) {
    out[(base + column) / 4u] = vec4<f16>(value);
}
