// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for GPUs.
//
// A workgroup of 8 by 8 invocations is one tile of 8 ROWS rows of one text and one head; it meets 32 keys at a time.
// Queries, then keys, then values lie in workgroup memory, as f32 or f16 (`Kept`); an invocation computes ROWS by four scores, and ROWS rows of
// HEAD4 / 8 groups of four columns of the output, which it keeps in registers. The softmax is online: running maximum, sum
// and output, rescaled when a block of keys raises the maximum. Blocks are counted from the text's start, and each
// invocation sums its own columns to the end, so a row's bits depend on its text alone. All sums are f32.

const SIDE = 8u;
const INVOCATIONS = SIDE * SIDE;
const TILE = SIDE * ROWS;
const BLOCK = SIDE * 4u;
// vec4s of an output row that one invocation has.
const VECS = HEAD4 / SIDE;
// One more than rows are long: rows of a power of two would all start in the same memory bank.
const STRIDE = HEAD4 + 1u;
const P_STRIDE = SIDE + 1u;

var<workgroup> queries: array<Kept, TILE * STRIDE>;
var<workgroup> keys_or_values: array<Kept, BLOCK * STRIDE>;
var<workgroup> probabilities: array<vec4<f32>, TILE * P_STRIDE>; // by four keys

// Group `at` of four values of a head in qkv, zeros where the head is narrower than HEAD4.
fn load_padded(base: u32, at: u32) -> Kept {
    if at * 4u >= params.head_dim {
        return Kept();
    }
    return load4(base, at, params.head_dim);
}

fn score_of(product: f32, query: u32, key: u32, end: u32, head: u32) -> f32 {
    if key >= end {
        return MASKED;
    }
    return finish_score(product, query, key, head);
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let head = group.y;
    let head_dim = params.head_dim;
    let inner = params.heads * head_dim;
    let end = tile.z;
    let keys = key_range(tile, TILE, BLOCK);
    let own_row = lane / SIDE;
    let own_column = lane % SIDE;

    for (var i = lane; i < TILE * HEAD4; i += INVOCATIONS) {
        // Rows past the text's end repeat its last one; nobody stores them.
        let row = min(tile.x + i / HEAD4, end - 1u);
        queries[i / HEAD4 * STRIDE + i % HEAD4] = load_padded(row * 3u * inner + head * head_dim, i % HEAD4);
    }

    var sum = array<f32, ROWS>();
    var largest = array<f32, ROWS>();
    var output = array<array<vec4<f32>, VECS>, ROWS>();
    for (var r = 0u; r < ROWS; r++) {
        largest[r] = MASKED;
    }

    for (var start = keys.x; start < keys.y; start += BLOCK) {
        workgroupBarrier(); // the last block's values are no longer read
        for (var i = lane; i < BLOCK * HEAD4; i += INVOCATIONS) {
            // An invocation's four keys are neighbours, but lie SIDE rows apart here: its own neighbours then read
            // neighbouring banks.
            let slot = i / HEAD4;
            let row = min(start + slot % SIDE * 4u + slot / SIDE, end - 1u);
            keys_or_values[slot * STRIDE + i % HEAD4] =
                load_padded(row * 3u * inner + inner + head * head_dim, i % HEAD4);
        }
        workgroupBarrier();

        var scores = array<vec4<f32>, ROWS>();
        for (var d = 0u; d < HEAD4; d++) {
            let k0 = vec4<f32>(keys_or_values[own_column * STRIDE + d]);
            let k1 = vec4<f32>(keys_or_values[(own_column + SIDE) * STRIDE + d]);
            let k2 = vec4<f32>(keys_or_values[(own_column + 2u * SIDE) * STRIDE + d]);
            let k3 = vec4<f32>(keys_or_values[(own_column + 3u * SIDE) * STRIDE + d]);
            for (var r = 0u; r < ROWS; r++) {
                let q = vec4<f32>(queries[(own_row + r * SIDE) * STRIDE + d]);
                scores[r] += vec4(dot(q, k0), dot(q, k1), dot(q, k2), dot(q, k3));
            }
        }
        let key = start + own_column * 4u;
        var own_largest = array<f32, ROWS>();
        for (var r = 0u; r < ROWS; r++) {
            let query = tile.x + own_row + r * SIDE;
            scores[r] = vec4(
                score_of(scores[r].x, query, key, end, head),
                score_of(scores[r].y, query, key + 1u, end, head),
                score_of(scores[r].z, query, key + 2u, end, head),
                score_of(scores[r].w, query, key + 3u, end, head),
            );
            let pair = max(scores[r].xy, scores[r].zw);
            own_largest[r] = max(pair.x, pair.y);
            tell(own_row + r * SIDE, own_column, own_largest[r]);
        }
        workgroupBarrier(); // maxima are there, and keys are no longer read

        for (var i = lane; i < BLOCK * HEAD4; i += INVOCATIONS) {
            let row = min(start + i / HEAD4, end - 1u);
            keys_or_values[i / HEAD4 * STRIDE + i % HEAD4] =
                load_padded(row * 3u * inner + 2u * inner + head * head_dim, i % HEAD4);
        }
        for (var r = 0u; r < ROWS; r++) {
            let row = own_row + r * SIDE;
            let new_largest = max(largest[r], row_max(row, own_largest[r]));
            let rescale = exp(max(largest[r] - new_largest, -87.0));
            largest[r] = new_largest;
            sum[r] *= rescale;
            for (var v = 0u; v < VECS; v++) {
                output[r][v] *= rescale;
            }
            let p = vec4(
                probability(scores[r].x, new_largest),
                probability(scores[r].y, new_largest),
                probability(scores[r].z, new_largest),
                probability(scores[r].w, new_largest),
            );
            sum[r] += dot(p, vec4(1.0));
            probabilities[row * P_STRIDE + own_column] = p;
        }
        workgroupBarrier(); // probabilities and values are there

        for (var b = 0u; b < SIDE; b++) {
            var p = array<vec4<f32>, ROWS>();
            for (var r = 0u; r < ROWS; r++) {
                p[r] = probabilities[(own_row + r * SIDE) * P_STRIDE + b];
            }
            for (var v = 0u; v < VECS; v++) {
                let at = b * 4u * STRIDE + own_column + v * SIDE;
                let v0 = vec4<f32>(keys_or_values[at]);
                let v1 = vec4<f32>(keys_or_values[at + STRIDE]);
                let v2 = vec4<f32>(keys_or_values[at + 2u * STRIDE]);
                let v3 = vec4<f32>(keys_or_values[at + 3u * STRIDE]);
                for (var r = 0u; r < ROWS; r++) {
                    var o = output[r][v];
                    o = fma(vec4(p[r].x), v0, o);
                    o = fma(vec4(p[r].y), v1, o);
                    o = fma(vec4(p[r].z), v2, o);
                    o = fma(vec4(p[r].w), v3, o);
                    output[r][v] = o;
                }
            }
        }
    }

    workgroupBarrier(); // maxima are no longer read
    for (var r = 0u; r < ROWS; r++) {
        tell(own_row + r * SIDE, own_column, sum[r]);
    }
    workgroupBarrier();
    for (var r = 0u; r < ROWS; r++) {
        let row = own_row + r * SIDE;
        let total = denominator(row_sum(row, sum[r]), largest[r]);
        if tile.x + row < end {
            for (var v = 0u; v < VECS; v++) {
                let at = own_column + v * SIDE;
                if at * 4u < head_dim {
                    store4((tile.x + row) * inner + head * head_dim, at, head_dim, output[r][v] / total);
                }
            }
        }
    }
}
