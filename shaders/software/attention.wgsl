// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters that run on a CPU.
//
// A workgroup is one tile of ROWS * workgroup_size rows of one text and one head; an invocation has ROWS of the rows and
// meets BLOCK keys at a time, so that a loaded key or value serves ROWS rows and a loaded query BLOCK keys. The softmax is
// online: running maximum, sum and output, rescaled when a block raises the maximum. Blocks are counted from the text's
// start, so a row's bits depend on its text alone. No barriers. All sums are f32.

override workgroup_size: u32 = 8u;
override has_bias: bool = false;
override has_window: bool = false;

const ROWS = 4u;
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
@group(0) @binding(2) var<storage, read> tiles: array<vec4<u32>>; // first row, text's first row, row after its last, sum of S² before
@group(0) @binding(3) var<storage, read> bias: array<f32>;        // [heads, 2 * max_distance + 1]

// A masked score: its exp is zero next to any real one, and unlike infinity it survives a subtraction.
const MASKED = -3.0e38;

fn finish_score(product: f32, query: u32, key: u32, head: u32) -> f32 {
    let distance = i32(key) - i32(query);
    var value = product * params.scale;
    if has_bias {
        let most = i32(params.max_distance);
        value += bias[i32(head) * (2 * most + 1) + clamp(distance, -most, most) + most];
    }
    if has_window && u32(abs(distance)) > params.window {
        value = MASKED;
    }
    return value;
}

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let head = group.y;
    let head_dim = params.head_dim;
    let inner = params.heads * head_dim;
    let begin = tile.y;
    let end = tile.z;

    var first = begin;
    var last = end;
    if has_window {
        let offset = tile.x - begin;
        first = begin + (offset - min(offset, params.window)) / BLOCK * BLOCK;
        last = min(end, tile.x + ROWS * workgroup_size + params.window);
    }

    var query: array<u32, ROWS>;
    var q: array<u32, ROWS>;
    var largest: array<f32, ROWS>;
    var sum: array<f32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        // Rows past the text's end repeat its last one; nobody stores them.
        query[r] = min(tile.x + r * workgroup_size + lane, end - 1u);
        q[r] = query[r] * 3u * inner + head * head_dim;
        largest[r] = MASKED;
        sum[r] = 0.0;
    }

    for (var start = first; start < last; start += BLOCK) {
        var key: array<u32, BLOCK>;
        for (var b = 0u; b < BLOCK; b++) {
            key[b] = min(start + b, end - 1u) * 3u * inner + head * head_dim;
        }
        var scores: array<f32, ROWS * BLOCK>;
        for (var d = 0u; d < head_dim; d += 4u) {
            let q0 = load_qkv(q[0], d, head_dim);
            let q1 = load_qkv(q[1], d, head_dim);
            let q2 = load_qkv(q[2], d, head_dim);
            let q3 = load_qkv(q[3], d, head_dim);
            for (var b = 0u; b < BLOCK; b++) {
                let k = load_qkv(key[b] + inner, d, head_dim);
                scores[ROWS * b] += dot(q0, k);
                scores[ROWS * b + 1u] += dot(q1, k);
                scores[ROWS * b + 2u] += dot(q2, k);
                scores[ROWS * b + 3u] += dot(q3, k);
            }
        }

        var rescale: array<f32, ROWS>;
        for (var r = 0u; r < ROWS; r++) {
            var new_largest = largest[r];
            for (var b = 0u; b < BLOCK; b++) {
                var value = MASKED;
                if start + b < end {
                    value = finish_score(scores[ROWS * b + r], query[r], start + b, head);
                }
                scores[ROWS * b + r] = value;
                new_largest = max(new_largest, value);
            }
            rescale[r] = exp(max(largest[r] - new_largest, -87.0));
            largest[r] = new_largest;
            sum[r] *= rescale[r];
            for (var b = 0u; b < BLOCK; b++) {
                let value = scores[ROWS * b + r];
                let p = select(0.0, exp(max(value - new_largest, -87.0)), value > MASKED);
                scores[ROWS * b + r] = p;
                sum[r] += p;
            }
        }

        // The output accumulates in place: registers cannot hold a head of any width.
        for (var d = 0u; d < head_dim; d += 4u) {
            var o: array<vec4<f32>, ROWS>;
            if start > first {
                for (var r = 0u; r < ROWS; r++) {
                    o[r] = rescale[r] * load_out(query[r] * inner + head * head_dim, d, head_dim);
                }
            }
            for (var b = 0u; b < BLOCK; b++) {
                let v = load_qkv(key[b] + 2u * inner, d, head_dim);
                o[0] = fma(vec4(scores[ROWS * b]), v, o[0]);
                o[1] = fma(vec4(scores[ROWS * b + 1u]), v, o[1]);
                o[2] = fma(vec4(scores[ROWS * b + 2u]), v, o[2]);
                o[3] = fma(vec4(scores[ROWS * b + 3u]), v, o[3]);
            }
            let is_last = start + BLOCK >= last;
            for (var r = 0u; r < ROWS; r++) {
                if tile.x + r * workgroup_size + lane < end {
                    let value = select(o[r], o[r] / sum[r], is_last);
                    store_out(query[r] * inner + head * head_dim, d, head_dim, value);
                }
            }
        }
    }
}
