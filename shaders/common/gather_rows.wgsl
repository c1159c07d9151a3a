// out[i] = x[index[i]]
//
// One invocation an element, neighbours along the columns; one row a workgroup in y.

override workgroup_size: u32 = 64u;

struct Params {
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> index: array<u32>;     // [rows]
@group(0) @binding(2) var<storage, read> x: array<f32>;         // [.., cols]
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.cols {
        out[id.y * params.cols + id.x] = x[index[id.y] * params.cols + id.x];
    }
}
