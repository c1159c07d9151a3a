// out[i] = x[i] / max(|x[i]|, 1e-12), over the first `cols` columns of x, for adapters that run on a CPU.
//
// One invocation a row, no barriers; four running sums in f32.

override workgroup_size: u32 = 8u;

struct Params {
    rows: u32,
    cols: u32,
    stride: u32, // width of x
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, stride]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= params.rows {
        return;
    }
    var sums = vec4<f32>();
    for (var c = 0u; c < params.cols; c++) {
        let value = x[row * params.stride + c];
        sums[c % 4u] += value * value;
    }
    let norm = max(sqrt(dot(sums, vec4(1.0))), 1e-12);
    for (var c = 0u; c < params.cols; c++) {
        out[row * params.cols + c] = x[row * params.stride + c] / norm;
    }
}
