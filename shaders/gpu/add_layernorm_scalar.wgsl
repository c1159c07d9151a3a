// out = LayerNorm(x + residual), for GPUs, at widths that gpu/layernorm.wgsl does not take.
//
// One workgroup a row, which gpu/layernorm_scalar.wgsl ends.

override has_residual: bool = false;
override has_shift: bool = false;

struct Params {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, cols]
@group(0) @binding(2) var<storage, read> residual: array<f32>;  // [rows, cols]
@group(0) @binding(3) var<storage, read> scale: array<f32>;     // [cols]
@group(0) @binding(4) var<storage, read> shift: array<f32>;     // [cols]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let cols = params.cols;
    let base = group.x * cols;

    var sum = 0.0;
    for (var c = lane; c < cols; c += workgroup_size) {
        var value = x[base + c];
        if has_residual {
            value += residual[base + c];
        }
        out[base + c] = value;
        sum += value;
    }
    normalize(base, sum, lane);
}
