// out[i] = x[i] / max(|x[i]|, 1e-12), over the first `cols` columns of x, for GPUs.
//
// One workgroup a row; the sum of squares is f32, lane by lane and then of the lanes.

struct Params {
    rows: u32,
    cols: u32,
    stride: u32, // width of x
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, stride]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    var sum = 0.0;
    for (var c = lane; c < params.cols; c += workgroup_size) {
        let value = x[group.x * params.stride + c];
        sum += value * value;
    }
    let norm = max(sqrt(workgroup_sum(sum, lane)), 1e-12);
    for (var c = lane; c < params.cols; c += workgroup_size) {
        out[group.x * params.cols + c] = x[group.x * params.stride + c] / norm;
    }
}
