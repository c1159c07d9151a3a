// out = LayerNorm(x + residual), and the same as f16 for the products that read it next; for adapters with cooperative matrices, where
// the width is a multiple of four.
//
// One workgroup a row. Sums are f32 trees; the variance is taken around the mean in a second pass. An invocation reads
// back only what it wrote itself.

override has_residual: bool = false;
override has_shift: bool = false;

struct Params {
    rows: u32,
    cols: u32,
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;           // [rows, cols]
@group(0) @binding(2) var<storage, read> residual: array<vec4<f32>>;    // [rows, cols]
@group(0) @binding(3) var<storage, read> scale: array<vec4<f32>>;       // [cols]
@group(0) @binding(4) var<storage, read> shift: array<vec4<f32>>;       // [cols]
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;   // [rows, cols]
@group(0) @binding(6) var<storage, read_write> halves: array<vec4<f16>>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let vecs = params.cols / 4u;
    let base = group.x * vecs;

    var sum = 0.0;
    for (var c = lane; c < vecs; c += workgroup_size) {
        var value = x[base + c];
        if has_residual {
            value += residual[base + c];
        }
        out[base + c] = value;
        sum += dot(value, vec4(1.0));
    }
    normalise(sum, base, vecs, lane);
}
