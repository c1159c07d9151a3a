// out[text, head, i, j] = softmax over j of (scale q_i k_j + bias[head, j - i])
//
// Only for callers who ask to see the probabilities: one invocation a query row and head computes its row of scores into
// out, then normalises it there. No barriers.

const TILE = 8u;

@group(0) @binding(1) var<storage, read> qkv: array<f32>;       // [tokens, 3 * heads * head_dim]
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // text after text, [heads, S, S]

fn score(query: u32, key: u32, head: u32) -> f32 {
    let inner = params.heads * params.head_dim;
    let q = query * 3u * inner + head * params.head_dim;
    let k = key * 3u * inner + inner + head * params.head_dim;
    var product = 0.0;
    for (var d = 0u; d < params.head_dim; d++) {
        product = fma(qkv[q + d], qkv[k + d], product);
    }
    return finish_score(product, query, key, head);
}

@compute @workgroup_size(TILE)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let query = tile.x + lane;
    if query >= tile.z {
        return;
    }
    let len = tile.z - tile.y;
    let base = params.heads * tile.w + (group.y * len + query - tile.y) * len;
    var largest = MASKED;
    for (var j = 0u; j < len; j++) {
        let value = score(query, tile.y + j, group.y);
        out[base + j] = value;
        largest = max(largest, value);
    }
    var sum = 0.0;
    for (var j = 0u; j < len; j++) {
        let value = probability(out[base + j], largest);
        out[base + j] = value;
        sum += value;
    }
    sum = denominator(sum, largest);
    for (var j = 0u; j < len; j++) {
        out[base + j] /= sum;
    }
}
