// out = activation(x Wᵀ + bias) + residual, for adapters with cooperative matrices (tensor cores).
//
// A workgroup of eight subgroups, two by four, computes a tile of 8 SIDE rows and 8 SIDE columns; each subgroup has four by two
// accumulators of SIDE by SIDE, in registers. It steps through k in steps of DEPTH: that part of x, rounded to f16, and of
// Wᵀ is copied to workgroup memory, where one half is filled while the other may still be read, and the next step is on its
// way in registers. Accumulators go to workgroup memory one at a time at the end, for bias, activation and residual.
//
// Products of f16 are exact in f32, and accumulate there. A row's bits do not depend on its place in a tile.

override workgroup_size: u32 = 256u; // eight subgroups of the largest size there is

@group(0) @binding(2) var<storage, read> weight: array<vec4<f16>>; // Wᵀ, [k rounded up to four, columns / 4]

const DEPTH = 32u;
const DEPTH4 = DEPTH / 4u;
const TILE_ROWS = 8u * SIDE;
const TILE_VECS = 2u * SIDE;
// Rows in workgroup memory have four values more than they need: neighbouring rows then start in other banks.
const X_STRIDE = DEPTH4 + 2u;
const W_STRIDE = TILE_VECS + 2u;
const X_HALF = TILE_ROWS * X_STRIDE;
const W_HALF = DEPTH * W_STRIDE;
const X_VECS = TILE_ROWS * DEPTH4;
const W_VECS = DEPTH * TILE_VECS;
// vec4s that an invocation copies in one step; where subgroups are larger, some copy fewer.
const X_COPIES = X_VECS / INVOCATIONS;
const W_COPIES = W_VECS / INVOCATIONS;
const SUBGROUPS = 8u;
const SQUARE = SIDE * SIDE;

var<workgroup> x_tile: array<vec4<f16>, 2u * X_HALF>; // [2, TILE_ROWS, X_STRIDE]
var<workgroup> w_tile: array<vec4<f16>, 2u * W_HALF>; // [2, DEPTH, W_STRIDE]
var<workgroup> sums: array<vec4<f32>, SUBGROUPS * SQUARE / 4u>; // one accumulator of each subgroup

// An invocation's share of the step that begins at column `start` of x; zeros past its end.
fn load_step(
    row: u32,
    vec: u32,
    start: u32,
    lane: u32,
    x_next: ptr<function, array<vec4<f16>, X_COPIES>>,
    w_next: ptr<function, array<vec4<f16>, W_COPIES>>,
) {
    let k = params.k;
    for (var c = 0u; c < X_COPIES; c++) {
        let at = lane + c * workgroup_size;
        // Rows past the end repeat the last one; nobody stores them.
        let source = min(row + at / DEPTH4, params.rows - 1u);
        let depth = start + at % DEPTH4 * 4u;
        var value = vec4<f16>();
        if at < X_VECS && depth < k {
            value = vec4<f16>(input4(source * k, depth, k));
        }
        (*x_next)[c] = value;
    }
    for (var c = 0u; c < W_COPIES; c++) {
        let at = lane + c * workgroup_size;
        let depth = start + at / TILE_VECS;
        var value = vec4<f16>();
        if at < W_VECS && depth < k {
            value = weight[depth * params.stride + vec + at % TILE_VECS];
        }
        (*w_next)[c] = value;
    }
}

// Ends the accumulators that lie in `sums`: number `a` of each subgroup.
fn finish_all(a: u32, row: u32, vec: u32, lane: u32) {
    workgroupBarrier();
    for (var i = lane; i < SUBGROUPS * SQUARE / 4u; i += workgroup_size) {
        let subgroup = i / (SQUARE / 4u);
        let at = i % (SQUARE / 4u);
        let down = (subgroup / 4u * 4u + a / 2u) * SIDE + at / (SIDE / 4u);
        let across = (subgroup % 4u * 2u + a % 2u) * (SIDE / 4u) + at % (SIDE / 4u);
        finish(row + down, (vec + across) * 4u, sums[i]);
    }
    workgroupBarrier();
}

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup_id: u32,
) {
    let row = group.y * TILE_ROWS;
    let vec = group.x * TILE_VECS;
    let k = params.k;
    // Where subgroups are smaller than the workgroup was made for there are more than eight: the others do the same again.
    let subgroup = subgroup_id % SUBGROUPS;
    let x_first = subgroup / 4u * 4u * SIDE * X_STRIDE;
    let w_first = subgroup % 4u * 2u * (SIDE / 4u);
    let own_sums = subgroup * SQUARE / 4u;

    var x_next = array<vec4<f16>, X_COPIES>();
    var w_next = array<vec4<f16>, W_COPIES>();
    // Names, not an array: an accumulator that is indexed by a variable would leave its registers.
    var c00 = MatrixC();
    var c01 = MatrixC();
    var c10 = MatrixC();
    var c11 = MatrixC();
    var c20 = MatrixC();
    var c21 = MatrixC();
    var c30 = MatrixC();
    var c31 = MatrixC();

    // Turn -1 only loads. Cooperative operations stand in no `if`: naga takes every variable to differ between invocations.
    load_step(row, vec, 0u, lane, &x_next, &w_next);
    let steps = (k + DEPTH - 1u) / DEPTH;
    for (var step = 0u; step < steps; step++) {
        // The half that is filled was last read two steps ago, before the barrier of the step before.
        let half = step % 2u;
        for (var c = 0u; c < X_COPIES; c++) {
            let at = lane + c * workgroup_size;
            if at < X_VECS {
                x_tile[half * X_HALF + at / DEPTH4 * X_STRIDE + at % DEPTH4] = x_next[c];
            }
        }
        for (var c = 0u; c < W_COPIES; c++) {
            let at = lane + c * workgroup_size;
            if at < W_VECS {
                w_tile[half * W_HALF + at / TILE_VECS * W_STRIDE + at % TILE_VECS] = w_next[c];
            }
        }
        workgroupBarrier();
        load_step(row, vec, (step + 1u) * DEPTH, lane, &x_next, &w_next);
        for (var d = 0u; d < DEPTH; d += SIDE) {
            let x_at = half * X_HALF + x_first + d / 4u;
            let w_at = half * W_HALF + w_first + d * W_STRIDE;
            let b0 = coopLoadT<MatrixB>(&w_tile[w_at], W_STRIDE);
            let b1 = coopLoadT<MatrixB>(&w_tile[w_at + SIDE / 4u], W_STRIDE);
            let a0 = coopLoadT<MatrixA>(&x_tile[x_at], X_STRIDE);
            c00 = coopMultiplyAdd(a0, b0, c00);
            c01 = coopMultiplyAdd(a0, b1, c01);
            let a1 = coopLoadT<MatrixA>(&x_tile[x_at + SIDE * X_STRIDE], X_STRIDE);
            c10 = coopMultiplyAdd(a1, b0, c10);
            c11 = coopMultiplyAdd(a1, b1, c11);
            let a2 = coopLoadT<MatrixA>(&x_tile[x_at + 2u * SIDE * X_STRIDE], X_STRIDE);
            c20 = coopMultiplyAdd(a2, b0, c20);
            c21 = coopMultiplyAdd(a2, b1, c21);
            let a3 = coopLoadT<MatrixA>(&x_tile[x_at + 3u * SIDE * X_STRIDE], X_STRIDE);
            c30 = coopMultiplyAdd(a3, b0, c30);
            c31 = coopMultiplyAdd(a3, b1, c31);
        }
    }

    coopStoreT(c00, &sums[own_sums], SIDE / 4u);
    finish_all(0u, row, vec, lane);
    coopStoreT(c01, &sums[own_sums], SIDE / 4u);
    finish_all(1u, row, vec, lane);
    coopStoreT(c10, &sums[own_sums], SIDE / 4u);
    finish_all(2u, row, vec, lane);
    coopStoreT(c11, &sums[own_sums], SIDE / 4u);
    finish_all(3u, row, vec, lane);
    coopStoreT(c20, &sums[own_sums], SIDE / 4u);
    finish_all(4u, row, vec, lane);
    coopStoreT(c21, &sums[own_sums], SIDE / 4u);
    finish_all(5u, row, vec, lane);
    coopStoreT(c30, &sums[own_sums], SIDE / 4u);
    finish_all(6u, row, vec, lane);
    coopStoreT(c31, &sums[own_sums], SIDE / 4u);
    finish_all(7u, row, vec, lane);
}
