// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters that run on a CPU.
//
// A workgroup is one tile of ROWS LANES rows of one text and one head; an invocation has ROWS of the rows and
// meets BLOCK keys at a time, so that a loaded key or value serves ROWS rows and a loaded query BLOCK keys. The softmax is
// online: running maximum, sum and output, rescaled when a block raises the maximum. Blocks are counted from the text's
// start, so a row's bits depend on its text alone. No barriers. All sums are f32.

const LANES = 8u;
const ROWS = 4u;
const TILE = LANES * ROWS;
const BLOCK = 8u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let head = group.y;
    let head_dim = params.head_dim;
    let inner = params.heads * head_dim;
    let end = tile.z;

    let keys = key_range(tile, TILE, BLOCK);
    let first = keys.x;
    let last = keys.y;

    var query = array<u32, ROWS>();
    var q = array<u32, ROWS>();
    var largest = array<f32, ROWS>();
    var sum = array<f32, ROWS>();
    for (var r = 0u; r < ROWS; r++) {
        // Rows past the text's end repeat its last one; nobody stores them.
        query[r] = min(tile.x + r * LANES + lane, end - 1u);
        q[r] = query[r] * 3u * inner + head * head_dim;
        largest[r] = MASKED;
        sum[r] = 0.0;
    }

    for (var start = first; start < last; start += BLOCK) {
        var key = array<u32, BLOCK>();
        for (var b = 0u; b < BLOCK; b++) {
            key[b] = min(start + b, end - 1u) * 3u * inner + head * head_dim;
        }
        var scores = array<f32, ROWS * BLOCK>();
        for (var d = 0u; d * 4u < head_dim; d++) {
            let q0 = load4(q[0], d, head_dim);
            let q1 = load4(q[1], d, head_dim);
            let q2 = load4(q[2], d, head_dim);
            let q3 = load4(q[3], d, head_dim);
            for (var b = 0u; b < BLOCK; b++) {
                let k = load4(key[b] + inner, d, head_dim);
                scores[ROWS * b] += dot(q0, k);
                scores[ROWS * b + 1u] += dot(q1, k);
                scores[ROWS * b + 2u] += dot(q2, k);
                scores[ROWS * b + 3u] += dot(q3, k);
            }
        }

        var rescale = array<f32, ROWS>();
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
                let p = probability(scores[ROWS * b + r], new_largest);
                scores[ROWS * b + r] = p;
                sum[r] += p;
            }
            if start + BLOCK >= last {
                sum[r] = denominator(sum[r], largest[r]);
            }
        }

        // The output accumulates in place: registers cannot hold a head of any width.
        for (var d = 0u; d * 4u < head_dim; d++) {
            var o = array<vec4<f32>, ROWS>();
            if start > first {
                for (var r = 0u; r < ROWS; r++) {
                    o[r] = rescale[r] * load_out4(query[r] * inner + head * head_dim, d, head_dim);
                }
            }
            for (var b = 0u; b < BLOCK; b++) {
                let v = load4(key[b] + 2u * inner, d, head_dim);
                o[0] = fma(vec4(scores[ROWS * b]), v, o[0]);
                o[1] = fma(vec4(scores[ROWS * b + 1u]), v, o[1]);
                o[2] = fma(vec4(scores[ROWS * b + 2u]), v, o[2]);
                o[3] = fma(vec4(scores[ROWS * b + 3u]), v, o[3]);
            }
            let is_last = start + BLOCK >= last;
            for (var r = 0u; r < ROWS; r++) {
                if tile.x + r * LANES + lane < end {
                    let value = select(o[r], o[r] / sum[r], is_last);
                    store4(query[r] * inner + head * head_dim, d, head_dim, value);
                }
            }
        }
    }
}
