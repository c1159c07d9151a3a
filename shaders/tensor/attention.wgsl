// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters with cooperative
// matrices (tensor cores).
//
// A workgroup of `strips` subgroups is one tile of `strips` SIDE rows of one text and one head, a strip of SIDE rows to each subgroup,
// whose queries stay in its registers; it meets BLOCK keys at a time. Queries, keys, values and probabilities are rounded to f16;
// products accumulate in f32, and so do maxima and sums. No output can be rescaled in the registers where it accumulates, so keys
// are met twice: first for each row's maximum, then for its probabilities and output. Short texts have a tile of their own, of one
// strip, and all their keys in one block: their scores are computed once.
//
// Blocks are counted from the text's start, and which tile a text gets follows from its length, so a row's bits depend on its text
// alone.

override workgroup_size: u32 = 128u; // as many subgroups as there are strips, of the largest size there is
override strips: u32 = 4u;           // at most four
override key_strips: u32 = 4u;       // of SIDE keys in a block, at least as many as strips: queries pass through the place of keys
override one_block: bool = false;    // no text has more keys than a block

override TILE: u32 = strips * SIDE;
override BLOCK: u32 = key_strips * SIDE;
const HEAD4 = HEAD / 4u;
const OUT_TILES = HEAD / SIDE;
// Rows in workgroup memory are longer than they need: neighbouring rows then start in other banks.
const STRIDE = HEAD4 + 2u;
override P_STRIDE: u32 = BLOCK / 4u + 2u;
// Scores, and at the end outputs, in vec4s.
override S_STRIDE: u32 = max(BLOCK, HEAD) / 4u + 1u;

// From row to row, in elements of the arrays.
const ROW = GROUP * STRIDE;
override P_ROW: u32 = GROUP * P_STRIDE;
override S_ROW: u32 = GROUP * S_STRIDE;

override OPERAND_LEN: u32 = GROUP * BLOCK * STRIDE;
override PROBABILITIES_LEN: u32 = GROUP * TILE * P_STRIDE;
override SCORES_LEN: u32 = GROUP * TILE * S_STRIDE;
override LANES: u32 = 64u * strips; // a subgroup has at most 64

var<workgroup> operands: array<Half, OPERAND_LEN>; // queries, then keys, then values
var<workgroup> probabilities: array<Half, PROBABILITIES_LEN>;
var<workgroup> scores: array<Single, SCORES_LEN>;
var<workgroup> by_lane: array<f32, LANES>; // what each of a row's invocations has to say: maxima, at the end sums

// Scores are powers of two, which a GPU has an instruction for.
const LOG2_E = 1.4426950408889634;

// Group `at` of four values of a head in qkv, zeros where the head is narrower than HEAD.
fn load_padded(base: u32, at: u32) -> vec4<f16> {
    if at * 4u >= params.head_dim {
        return vec4<f16>();
    }
    return load4(base, at, params.head_dim);
}

// Some rows of the queries (part 0), keys (1) or values (2). Rows past the text's end repeat its last one: nobody stores what comes of
// such a query, and the probability of such a key is 0.
fn load_rows(rows: u32, start: u32, end: u32, part: u32, head: u32, lane: u32) {
    let inner = params.heads * params.head_dim;
    for (var i = lane; i < rows * HEAD4; i += workgroup_size) {
        let row = min(start + i / HEAD4, end - 1u);
        let four = load_padded((row * 3u + part) * inner + head * params.head_dim, i % HEAD4);
        put_operand(i / HEAD4 * STRIDE + i % HEAD4, four);
    }
}

fn bias_of(query: u32, key: u32, head: u32) -> f32 {
    let most = i32(params.max_distance);
    return bias[i32(head) * (2 * most + 1) + clamp(i32(key) - i32(query), -most, most) + most];
}

// Four scores of a row, from key `key` on, times log2(e).
fn scores_of(product: vec4<f32>, query: u32, key: u32, end: u32, head: u32) -> vec4<f32> {
    let keys = vec4(key, key + 1u, key + 2u, key + 3u);
    var value = product * (params.scale * LOG2_E);
    if has_bias {
        value += LOG2_E * vec4(
            bias_of(query, keys.x, head),
            bias_of(query, keys.y, head),
            bias_of(query, keys.z, head),
            bias_of(query, keys.w, head),
        );
    }
    var masked = keys >= vec4(end);
    if has_window {
        masked = masked | (vec4<u32>(abs(vec4<i32>(keys) - vec4(i32(query)))) > vec4(params.window));
    }
    return select(value, vec4(MASKED), masked);
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
    // Where subgroups are smaller than the workgroup was made for there are more than strips: the others do the same again.
    let strip = subgroup_id % strips * SIDE;
    let own_scores = strip * S_STRIDE;
    // A row's softmax is shared by neighbouring invocations, each with every so manieth group of four keys.
    let sharers = workgroup_size / TILE;
    let row = lane / sharers;
    let share = lane % sharers;
    let query = tile.x + row;

    load_rows(TILE, tile.x, end, 0u, head, lane);
    workgroupBarrier();
    // Names, not an array: what is indexed by a variable would leave its registers.
    var q0 = MatrixA();
    var q1 = MatrixA();
    var q2 = MatrixA();
    var q3 = MatrixA();
    var q4 = MatrixA();
    var q5 = MatrixA();
    var q6 = MatrixA();
    var q7 = MatrixA();
    let own_queries = strip * STRIDE;
    q0 = coopLoadT<MatrixA>(&operands[GROUP * own_queries], ROW);
    q1 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + SIDE / 4u)], ROW);
    if OUT_TILES > 2u {
        q2 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + 2u * SIDE / 4u)], ROW);
        q3 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + 3u * SIDE / 4u)], ROW);
    }
    if OUT_TILES > 4u {
        q4 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + 4u * SIDE / 4u)], ROW);
        q5 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + 5u * SIDE / 4u)], ROW);
        q6 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + 6u * SIDE / 4u)], ROW);
        q7 = coopLoadT<MatrixA>(&operands[GROUP * (own_queries + 7u * SIDE / 4u)], ROW);
    }

    var largest = MASKED;
    // Infinite or NaN as soon as a product is: a maximum would drop that.
    var seen = 0.0;
    for (var start = range.x; start < range.y; start += BLOCK) {
        workgroupBarrier(); // what lies in `operands` is in registers, or no longer read
        load_rows(BLOCK, start, end, 1u, head, lane);
        workgroupBarrier();
        for (var j = 0u; j < key_strips; j++) {
            // A row of keys is a column of the product's right side.
            let k = j * SIDE * STRIDE;
            var sum = MatrixC();
            sum = coopMultiplyAdd(q0, coopLoad<MatrixB>(&operands[GROUP * k], ROW), sum);
            sum = coopMultiplyAdd(q1, coopLoad<MatrixB>(&operands[GROUP * (k + SIDE / 4u)], ROW), sum);
            if OUT_TILES > 2u {
                sum = coopMultiplyAdd(q2, coopLoad<MatrixB>(&operands[GROUP * (k + 2u * SIDE / 4u)], ROW), sum);
                sum = coopMultiplyAdd(q3, coopLoad<MatrixB>(&operands[GROUP * (k + 3u * SIDE / 4u)], ROW), sum);
            }
            if OUT_TILES > 4u {
                sum = coopMultiplyAdd(q4, coopLoad<MatrixB>(&operands[GROUP * (k + 4u * SIDE / 4u)], ROW), sum);
                sum = coopMultiplyAdd(q5, coopLoad<MatrixB>(&operands[GROUP * (k + 5u * SIDE / 4u)], ROW), sum);
                sum = coopMultiplyAdd(q6, coopLoad<MatrixB>(&operands[GROUP * (k + 6u * SIDE / 4u)], ROW), sum);
                sum = coopMultiplyAdd(q7, coopLoad<MatrixB>(&operands[GROUP * (k + 7u * SIDE / 4u)], ROW), sum);
            }
            coopStoreT(sum, &scores[GROUP * (own_scores + j * (SIDE / 4u))], S_ROW);
        }
        workgroupBarrier(); // scores are there, and keys are no longer read
        for (var g = share; g < BLOCK / 4u; g += sharers) {
            let product = score_at(row * S_STRIDE + g);
            let four = scores_of(product, query, start + g * 4u, end, head);
            largest = max(largest, max(max(four.x, four.y), max(four.z, four.w)));
            seen += dot(product, vec4(1.0));
        }
    }
    // By bits: a compiler may take it that there is no NaN.
    largest = select(largest, OVERFLOWED, (bitcast<u32>(seen) & 0x7fffffffu) >= 0x7f800000u);
    by_lane[lane] = largest;
    workgroupBarrier();
    for (var s = 0u; s < sharers; s++) {
        largest = max(largest, by_lane[row * sharers + s]);
    }

    var total = 0.0;
    var o0 = MatrixC();
    var o1 = MatrixC();
    var o2 = MatrixC();
    var o3 = MatrixC();
    var o4 = MatrixC();
    var o5 = MatrixC();
    var o6 = MatrixC();
    var o7 = MatrixC();
    for (var start = range.x; start < range.y; start += BLOCK) {
        if !one_block {
            workgroupBarrier(); // the last block's values are no longer read
            load_rows(BLOCK, start, end, 1u, head, lane);
            workgroupBarrier();
            for (var j = 0u; j < key_strips; j++) {
                // A row of keys is a column of the product's right side.
                let k = j * SIDE * STRIDE;
                var sum = MatrixC();
                sum = coopMultiplyAdd(q0, coopLoad<MatrixB>(&operands[GROUP * k], ROW), sum);
                sum = coopMultiplyAdd(q1, coopLoad<MatrixB>(&operands[GROUP * (k + SIDE / 4u)], ROW), sum);
                if OUT_TILES > 2u {
                    sum = coopMultiplyAdd(q2, coopLoad<MatrixB>(&operands[GROUP * (k + 2u * SIDE / 4u)], ROW), sum);
                    sum = coopMultiplyAdd(q3, coopLoad<MatrixB>(&operands[GROUP * (k + 3u * SIDE / 4u)], ROW), sum);
                }
                if OUT_TILES > 4u {
                    sum = coopMultiplyAdd(q4, coopLoad<MatrixB>(&operands[GROUP * (k + 4u * SIDE / 4u)], ROW), sum);
                    sum = coopMultiplyAdd(q5, coopLoad<MatrixB>(&operands[GROUP * (k + 5u * SIDE / 4u)], ROW), sum);
                    sum = coopMultiplyAdd(q6, coopLoad<MatrixB>(&operands[GROUP * (k + 6u * SIDE / 4u)], ROW), sum);
                    sum = coopMultiplyAdd(q7, coopLoad<MatrixB>(&operands[GROUP * (k + 7u * SIDE / 4u)], ROW), sum);
                }
                coopStoreT(sum, &scores[GROUP * (own_scores + j * (SIDE / 4u))], S_ROW);
            }
            workgroupBarrier(); // scores are there, and keys are no longer read
        }
        load_rows(BLOCK, start, end, 2u, head, lane);
        for (var g = share; g < BLOCK / 4u; g += sharers) {
            let four = scores_of(score_at(row * S_STRIDE + g), query, start + g * 4u, end, head);
            // Guarded against underflow, which some drivers flush to garbage; f16 has no number so small.
            let p = vec4<f16>(exp2(max(four - vec4(largest), vec4(-126.0))));
            total += dot(vec4<f32>(p), vec4(1.0));
            put_probability(row * P_STRIDE + g, p);
        }
        workgroupBarrier(); // probabilities and values are there
        for (var j = 0u; j < key_strips; j++) {
            let p = coopLoadT<MatrixA>(&probabilities[GROUP * (strip * P_STRIDE + j * (SIDE / 4u))], P_ROW);
            let v = j * SIDE * STRIDE;
            o0 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * v], ROW), o0);
            o1 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + SIDE / 4u)], ROW), o1);
            if OUT_TILES > 2u {
                o2 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + 2u * SIDE / 4u)], ROW), o2);
                o3 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + 3u * SIDE / 4u)], ROW), o3);
            }
            if OUT_TILES > 4u {
                o4 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + 4u * SIDE / 4u)], ROW), o4);
                o5 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + 5u * SIDE / 4u)], ROW), o5);
                o6 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + 6u * SIDE / 4u)], ROW), o6);
                o7 = coopMultiplyAdd(p, coopLoadT<MatrixB>(&operands[GROUP * (v + 7u * SIDE / 4u)], ROW), o7);
            }
        }
    }

    // Scores were last read before the barrier that everybody has passed since.
    coopStoreT(o0, &scores[GROUP * own_scores], S_ROW);
    coopStoreT(o1, &scores[GROUP * (own_scores + SIDE / 4u)], S_ROW);
    if OUT_TILES > 2u {
        coopStoreT(o2, &scores[GROUP * (own_scores + 2u * SIDE / 4u)], S_ROW);
        coopStoreT(o3, &scores[GROUP * (own_scores + 3u * SIDE / 4u)], S_ROW);
    }
    if OUT_TILES > 4u {
        coopStoreT(o4, &scores[GROUP * (own_scores + 4u * SIDE / 4u)], S_ROW);
        coopStoreT(o5, &scores[GROUP * (own_scores + 5u * SIDE / 4u)], S_ROW);
        coopStoreT(o6, &scores[GROUP * (own_scores + 6u * SIDE / 4u)], S_ROW);
        coopStoreT(o7, &scores[GROUP * (own_scores + 7u * SIDE / 4u)], S_ROW);
    }
    by_lane[lane] = total;
    workgroupBarrier();
    total = 0.0;
    for (var s = 0u; s < sharers; s++) {
        total += by_lane[row * sharers + s];
    }
    let share_of_one = 1.0 / denominator(total, largest);
    if query < end {
        for (var g = share; g * 4u < head_dim; g += sharers) {
            store4(query * inner + head * head_dim, g, head_dim, score_at(row * S_STRIDE + g) * share_of_one);
        }
    }
}
