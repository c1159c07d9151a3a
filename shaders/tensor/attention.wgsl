// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters with cooperative
// matrices (tensor cores).
//
// A workgroup of four subgroups is one tile of 4 SIDE rows of one text and one head, a strip of SIDE rows to each subgroup; it
// meets 4 SIDE keys at a time. Queries, keys, values and probabilities are rounded to f16; products accumulate in f32, and
// so do maxima and sums. No output can be rescaled in the registers where it accumulates, so keys are met twice: first for
// each row's maximum, then for its probabilities and output.
//
// Blocks are counted from the text's start, so a row's bits depend on its text alone.

override workgroup_size: u32 = 128u; // four subgroups of the largest size there is

const SUBGROUPS = 4u;
const TILE = SUBGROUPS * SIDE;
const BLOCK = 4u * SIDE;
const HEAD4 = HEAD / 4u;
const OUT_TILES = HEAD / SIDE;
// Rows in workgroup memory are longer than they need: neighbouring rows then start in other banks.
const STRIDE = HEAD4 + 2u;
const P_STRIDE = BLOCK / 4u + 2u;
// Scores, and at the end outputs, in vec4s.
const S_STRIDE = max(BLOCK, HEAD) / 4u + 1u;

var<workgroup> queries: array<vec4<f16>, TILE * STRIDE>;
var<workgroup> keys_or_values: array<vec4<f16>, BLOCK * STRIDE>;
var<workgroup> probabilities: array<vec4<f16>, TILE * P_STRIDE>;
var<workgroup> scores: array<vec4<f32>, TILE * S_STRIDE>;
var<workgroup> by_lane: array<f32, 256>; // what each of a row's invocations has to say: maxima, at the end sums

// Group `at` of four values of a head in qkv, zeros where the head is narrower than HEAD.
fn load_padded(base: u32, at: u32) -> vec4<f16> {
    if at * 4u >= params.head_dim {
        return vec4<f16>();
    }
    return operand4(base, at);
}

// BLOCK rows of the keys (part 1) or values (part 2). Rows past the text's end repeat its last one: their probability is 0.
fn load_block(start: u32, end: u32, part: u32, head: u32, lane: u32) {
    let inner = params.heads * params.head_dim;
    for (var i = lane; i < BLOCK * HEAD4; i += workgroup_size) {
        let row = min(start + i / HEAD4, end - 1u);
        keys_or_values[i / HEAD4 * STRIDE + i % HEAD4] =
            load_padded((row * 3u + part) * inner + head * params.head_dim, i % HEAD4);
    }
}

// Products of a subgroup's queries with the keys that lie in `keys_or_values`, into its strip of `scores`.
fn multiply_keys(strip: u32) {
    for (var j = 0u; j < BLOCK; j += SIDE) {
        var sum = MatrixC();
        for (var d = 0u; d < HEAD4; d += SIDE / 4u) {
            let q = coopLoadT<MatrixA>(&queries[strip * STRIDE + d], STRIDE);
            // A row of keys is a column of the product's right side.
            let k = coopLoad<MatrixB>(&keys_or_values[j * STRIDE + d], STRIDE);
            sum = coopMultiplyAdd(q, k, sum);
        }
        coopStoreT(sum, &scores[strip * S_STRIDE + j / 4u], S_STRIDE);
    }
}

// Four scores of a row, from key `key` on.
fn scores_of(product: vec4<f32>, query: u32, key: u32, end: u32, head: u32) -> vec4<f32> {
    var value = vec4(
        finish_score(product.x, query, key, head),
        finish_score(product.y, query, key + 1u, head),
        finish_score(product.z, query, key + 2u, head),
        finish_score(product.w, query, key + 3u, head),
    );
    return select(value, vec4(MASKED), vec4(key, key + 1u, key + 2u, key + 3u) >= vec4(end));
}

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup_id: u32,
) {
    let tile = tiles[group.x];
    let head = group.y;
    let head_dim = params.head_dim;
    let inner = params.heads * head_dim;
    let end = tile.z;
    let range = key_range(tile, TILE, BLOCK);
    // Where subgroups are smaller than the workgroup was made for there are more than four: the others do the same again.
    let strip = subgroup_id % SUBGROUPS * SIDE;
    // A row's softmax is shared by neighbouring invocations, each with every so manieth group of four keys.
    let sharers = workgroup_size / TILE;
    let row = lane / sharers;
    let share = lane % sharers;
    let query = tile.x + row;

    for (var i = lane; i < TILE * HEAD4; i += workgroup_size) {
        // Rows past the text's end repeat its last one; nobody stores them.
        let source = min(tile.x + i / HEAD4, end - 1u);
        queries[i / HEAD4 * STRIDE + i % HEAD4] = load_padded(source * 3u * inner + head * head_dim, i % HEAD4);
    }

    var largest = MASKED;
    for (var start = range.x; start < range.y; start += BLOCK) {
        load_block(start, end, 1u, head, lane);
        workgroupBarrier();
        multiply_keys(strip);
        workgroupBarrier();
        for (var g = share; g < BLOCK / 4u; g += sharers) {
            let four = scores_of(scores[row * S_STRIDE + g], query, start + g * 4u, end, head);
            largest = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
        }
    }
    by_lane[lane] = largest;
    workgroupBarrier();
    for (var s = 0u; s < sharers; s++) {
        largest = max(largest, by_lane[row * sharers + s]);
    }

    var total = 0.0;
    // Names, not an array: an accumulator that is indexed by a variable would leave its registers.
    var o0 = MatrixC();
    var o1 = MatrixC();
    var o2 = MatrixC();
    var o3 = MatrixC();
    var o4 = MatrixC();
    var o5 = MatrixC();
    var o6 = MatrixC();
    var o7 = MatrixC();
    for (var start = range.x; start < range.y; start += BLOCK) {
        workgroupBarrier(); // the last block's values are no longer read
        load_block(start, end, 1u, head, lane);
        workgroupBarrier();
        multiply_keys(strip);
        workgroupBarrier(); // scores are there, and keys are no longer read
        load_block(start, end, 2u, head, lane);
        for (var g = share; g < BLOCK / 4u; g += sharers) {
            let four = scores_of(scores[row * S_STRIDE + g], query, start + g * 4u, end, head);
            let p = vec4<f16>(vec4(
                probability(four.x, largest),
                probability(four.y, largest),
                probability(four.z, largest),
                probability(four.w, largest),
            ));
            total += dot(vec4<f32>(p), vec4(1.0));
            probabilities[row * P_STRIDE + g] = p;
        }
        workgroupBarrier(); // probabilities and values are there
        for (var j = 0u; j < BLOCK; j += SIDE) {
            let p = coopLoadT<MatrixA>(&probabilities[strip * P_STRIDE + j / 4u], P_STRIDE);
            let v = j * STRIDE;
            o0 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v], STRIDE), o0);
            o1 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + SIDE / 4u], STRIDE), o1);
            if OUT_TILES > 2u {
                o2 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + 2u * SIDE / 4u], STRIDE), o2);
                o3 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + 3u * SIDE / 4u], STRIDE), o3);
            }
            if OUT_TILES > 4u {
                o4 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + 4u * SIDE / 4u], STRIDE), o4);
                o5 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + 5u * SIDE / 4u], STRIDE), o5);
                o6 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + 6u * SIDE / 4u], STRIDE), o6);
                o7 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&keys_or_values[v + 7u * SIDE / 4u], STRIDE), o7);
            }
        }
    }

    // Scores were last read before the barrier that everybody has passed since.
    let at = strip * S_STRIDE;
    coopStoreT(o0, &scores[at], S_STRIDE);
    coopStoreT(o1, &scores[at + SIDE / 4u], S_STRIDE);
    if OUT_TILES > 2u {
        coopStoreT(o2, &scores[at + 2u * SIDE / 4u], S_STRIDE);
        coopStoreT(o3, &scores[at + 3u * SIDE / 4u], S_STRIDE);
    }
    if OUT_TILES > 4u {
        coopStoreT(o4, &scores[at + 4u * SIDE / 4u], S_STRIDE);
        coopStoreT(o5, &scores[at + 5u * SIDE / 4u], S_STRIDE);
        coopStoreT(o6, &scores[at + 6u * SIDE / 4u], S_STRIDE);
        coopStoreT(o7, &scores[at + 7u * SIDE / 4u], S_STRIDE);
    }
    by_lane[lane] = total;
    workgroupBarrier();
    total = 0.0;
    for (var s = 0u; s < sharers; s++) {
        total += by_lane[row * sharers + s];
    }
    total = denominator(total, largest);
    if query < end {
        for (var g = share; g * 4u < head_dim; g += sharers) {
            store4(query * inner + head * head_dim, g, scores[row * S_STRIDE + g] / total);
        }
    }
}
