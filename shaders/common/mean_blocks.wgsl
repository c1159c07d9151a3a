// out[:, i] = mean over b of x[:, b * cols + i], each weighted by weights[b] where there are weights
//
// One invocation an element, neighbours along the columns; one row a workgroup in y.

override workgroup_size: u32 = 64u;
override has_weights: bool = false;

struct Params {
    rows: u32,
    cols: u32,
    blocks: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, blocks * cols]
@group(0) @binding(2) var<storage, read> weights: array<f32>;   // [blocks]
@group(0) @binding(3) var<storage, read_write> out: array<f32>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < params.cols {
        var sum = 0.0;
        var weight = 0.0;
        for (var b = 0u; b < params.blocks; b++) {
            let value = x[(id.y * params.blocks + b) * params.cols + id.x];
            if has_weights {
                sum += weights[b] * value;
                weight += weights[b];
            } else {
                sum += value;
            }
        }
        if !has_weights {
            weight = f32(params.blocks);
        }
        out[id.y * params.cols + id.x] = sum / weight;
    }
}
