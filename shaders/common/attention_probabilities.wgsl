// out[text, head, i, j] = softmax over j of (scale q_i k_j + bias[head, j - i])
//
// Only for callers who ask to see the probabilities: one invocation a query row and head computes its row of scores into
// out, then normalises it there. No barriers.

override workgroup_size: u32 = 8u;
override has_bias: bool = false;
override has_window: bool = false;

struct Params {
    tiles: u32,
    heads: u32,
    head_dim: u32,
    window: u32,       // keys at most so far away on each side
    max_distance: u32, // of the bias
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> qkv: array<f32>;         // [tokens, 3 * heads * head_dim]
@group(0) @binding(2) var<storage, read> tiles: array<vec4<u32>>; // first row, text's first row, row after its last, sum of S² before
@group(0) @binding(3) var<storage, read> bias: array<f32>;        // [heads, 2 * max_distance + 1]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;   // text after text, [heads, S, S]

fn score(query: u32, key: u32, head: u32) -> f32 {
    let distance = i32(key) - i32(query);
    if has_window && u32(abs(distance)) > params.window {
        return -3.0e38;
    }
    let inner = params.heads * params.head_dim;
    let q = query * 3u * inner + head * params.head_dim;
    let k = key * 3u * inner + inner + head * params.head_dim;
    var product = 0.0;
    for (var d = 0u; d < params.head_dim; d++) {
        product = fma(qkv[q + d], qkv[k + d], product);
    }
    product *= params.scale;
    if has_bias {
        let most = i32(params.max_distance);
        product += bias[i32(head) * (2 * most + 1) + clamp(distance, -most, most) + most];
    }
    return product;
}

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let query = tile.x + lane;
    if query >= tile.z {
        return;
    }
    let len = tile.z - tile.y;
    let base = params.heads * tile.w + (group.y * len + query - tile.y) * len;
    var largest = -3.0e38;
    for (var j = 0u; j < len; j++) {
        let value = score(query, tile.y + j, group.y);
        out[base + j] = value;
        largest = max(largest, value);
    }
    var sum = 0.0;
    for (var j = 0u; j < len; j++) {
        let value = exp(max(out[base + j] - largest, -87.0)) * select(1.0, 0.0, out[base + j] < -2.9e38);
        out[base + j] = value;
        sum += value;
    }
    for (var j = 0u; j < len; j++) {
        out[base + j] /= sum;
    }
}
