// out[:, i] = activation(x[:, i]) * x[:, cols + i]
//
// One invocation an element, neighbours along the columns; one row a workgroup in y.

override workgroup_size: u32 = 64u;

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, 2 * cols]
@group(0) @binding(2) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.cols {
        let base = id.y * 2u * params.cols + id.x;
        out[id.y * params.cols + id.x] = activate(vec4(x[base])).x * x[base + params.cols];
    }
}
