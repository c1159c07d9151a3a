// out = LayerNorm(x + residual), for adapters that run on a CPU.
//
// One invocation a row, no barriers. Sums are f32, four running sums each; the variance is taken around the mean in a
// second pass.

override workgroup_size: u32 = 8u;
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
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= params.rows {
        return;
    }
    let cols = params.cols;
    let base = row * cols;

    var sums = vec4<f32>();
    for (var c = 0u; c < cols; c++) {
        var value = x[base + c];
        if has_residual {
            value += residual[base + c];
        }
        out[base + c] = value;
        sums[c % 4u] += value;
    }
    let mean = dot(sums, vec4(1.0)) / f32(cols);

    sums = vec4<f32>();
    for (var c = 0u; c < cols; c++) {
        let difference = out[base + c] - mean;
        sums[c % 4u] += difference * difference;
    }
    let deviation = sqrt(dot(sums, vec4(1.0)) / f32(cols) + params.eps);

    for (var c = 0u; c < cols; c++) {
        var value = (out[base + c] - mean) / deviation * scale[c];
        if has_shift {
            value += shift[c];
        }
        out[base + c] = value;
    }
}
