// x + residual: the rows of add_layernorm, for gpu/layernorm.wgsl.

override has_residual: bool = false;
override has_shift: bool = false;

struct Params {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;         // [rows, cols]
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;  // [rows, cols]
@group(0) @binding(3) var<storage, read> scale: array<vec4<f32>>;     // [cols]
@group(0) @binding(4) var<storage, read> shift: array<vec4<f32>>;     // [cols]
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>; // [rows, cols]

fn is_here(row: u32) -> bool {
    return true;
}

fn read_row(row: u32, vecs: u32, c: u32) -> vec4<f32> {
    let value = x[row * vecs + c];
    if has_residual {
        return value + residual[row * vecs + c];
    }
    return value;
}
