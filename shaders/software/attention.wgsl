// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters that run on a CPU.
//
// One invocation a query row and head; a workgroup is one tile of rows of one text and one head, so that all its lanes
// read the same keys and values at the same time. The softmax is online: running maximum, sum and output, rescaled when
// a block of BLOCK keys raises the maximum. Blocks are counted from the text's start, so a row's bits depend on its text alone.
// No barriers. All sums are f32.

override workgroup_size: u32 = 8u;
override has_bias: bool = false;
override has_window: bool = false;

const BLOCK = 8u;

struct Params {
    tiles: u32,
    heads: u32,
    head_dim: u32,
    window: u32,       // keys at most so far away on each side
    max_distance: u32, // of the bias
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tiles: array<vec4<u32>>; // first row, text's first row, row after its last, sum of S² before
@group(0) @binding(2) var<storage, read> qkv: array<f32>;         // [tokens, 3 * heads * head_dim]
@group(0) @binding(3) var<storage, read> bias: array<f32>;        // [heads, 2 * max_distance + 1]
@group(0) @binding(4) var<storage, read_write> out: array<f32>;   // [tokens, heads * head_dim]

// A masked score: its exp is zero next to any real one, and unlike infinity it survives a subtraction.
const MASKED = -3.0e38;

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let head = group.y;
    let head_dim = params.head_dim;
    let inner = params.heads * head_dim;
    let begin = tile.y;
    let end = tile.z;
    // Rows past the text's end repeat its last one; nobody stores them.
    let query = min(tile.x + lane, end - 1u);
    let q = query * 3u * inner + head * head_dim;

    var first = begin;
    var last = end;
    if has_window {
        let reach = params.window;
        first = begin + (select(0u, tile.x - begin - reach, tile.x - begin > reach) / BLOCK) * BLOCK;
        last = min(end, tile.x + workgroup_size + reach);
    }

    // The output accumulates in place: registers cannot hold a head of any width.
    let o = query * inner + head * head_dim;
    if tile.x + lane < end {
        for (var d = 0u; d < head_dim; d++) {
            out[o + d] = 0.0;
        }
    }
    var largest = MASKED;
    var sum = 0.0;
    for (var start = first; start < last; start += BLOCK) {
        var scores: array<f32, BLOCK>;
        var block_largest = MASKED;
        for (var b = 0u; b < BLOCK; b++) {
            let key = start + b;
            let distance = i32(key) - i32(query);
            var value = MASKED;
            if key < end && !(has_window && u32(abs(distance)) > params.window) {
                let k = key * 3u * inner + inner + head * head_dim;
                var product = 0.0;
                for (var d = 0u; d < head_dim; d++) {
                    product = fma(qkv[q + d], qkv[k + d], product);
                }
                value = product * params.scale;
                if has_bias {
                    let most = i32(params.max_distance);
                    value += bias[i32(head) * (2 * most + 1) + clamp(distance, -most, most) + most];
                }
            }
            scores[b] = value;
            block_largest = max(block_largest, value);
        }
        let new_largest = max(largest, block_largest);
        let rescale = exp(max(largest - new_largest, -87.0));
        largest = new_largest;
        sum *= rescale;
        for (var b = 0u; b < BLOCK; b++) {
            scores[b] = select(0.0, exp(max(scores[b] - largest, -87.0)), scores[b] > MASKED);
            sum += scores[b];
        }
        if tile.x + lane < end {
            for (var d = 0u; d < head_dim; d++) {
                var value = out[o + d] * rescale;
                for (var b = 0u; b < BLOCK; b++) {
                    let v = min(start + b, end - 1u) * 3u * inner + 2u * inner + head * head_dim;
                    value = fma(scores[b], qkv[v + d], value);
                }
                out[o + d] = value;
            }
        }
    }
    if tile.x + lane < end {
        for (var d = 0u; d < head_dim; d++) {
            out[o + d] /= sum;
        }
    }
}
