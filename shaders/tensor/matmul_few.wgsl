// A tile of 2 SIDE rows and 8 SIDE columns, for batches of few rows: eight subgroups across, with two squares each, one below the other.
// There it is the way through k that takes the time, so a step is twice as long as those of the other tiles, in one stage.

const DOWN_SQUARES = 2u;
const ACROSS_SQUARES = 1u;
const ACROSS = 8u;
const DEPTH_SQUARES = 4u;
const stages = 1u;
const TILE_ROWS = 2u * SIDE;

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup_id: u32,
) {
    let at = place_of(group, groups, lane, subgroup_id);
    let x_from = source_row(at.row + at.x_row);

    // Names, not arrays: what is indexed by a variable leaves its registers.
    var xa = x_at(x_from, at.x_col);
    var xb = x_at(x_from, at.x_col + 4u);
    var wa0 = w_at(at.w_row, at.vec + at.w_vec);
    var wb0 = w_at(at.w_row, at.vec + at.w_vec + 1u);
    var wa1 = w_at(at.w_row + W_APART, at.vec + at.w_vec);
    var wb1 = w_at(at.w_row + W_APART, at.vec + at.w_vec + 1u);
    var wa2 = w_at(at.w_row + 2u * W_APART, at.vec + at.w_vec);
    var wb2 = w_at(at.w_row + 2u * W_APART, at.vec + at.w_vec + 1u);
    var wa3 = w_at(at.w_row + 3u * W_APART, at.vec + at.w_vec);
    var wb3 = w_at(at.w_row + 3u * W_APART, at.vec + at.w_vec + 1u);
    var c0 = MatrixC();
    var c1 = MatrixC();

    // Cooperative operations stand in no `if`: naga takes every variable to differ between invocations.
    for (var step = 0u; step < STEPS; step++) {
        if at.copies {
            put_x(at.x_to, xa);
            put_x(at.x_to + 1u, xb);
            put_w(at.w_to, wa0);
            put_w(at.w_to + 1u, wb0);
            put_w(at.w_to + W_APART * W_STRIDE, wa1);
            put_w(at.w_to + W_APART * W_STRIDE + 1u, wb1);
            put_w(at.w_to + 2u * W_APART * W_STRIDE, wa2);
            put_w(at.w_to + 2u * W_APART * W_STRIDE + 1u, wb2);
            put_w(at.w_to + 3u * W_APART * W_STRIDE, wa3);
            put_w(at.w_to + 3u * W_APART * W_STRIDE + 1u, wb3);
        }
        workgroupBarrier();
        // The next step is on its way while this one is multiplied; the last one loads itself again.
        let next = min(step + 1u, STEPS - 1u) * DEPTH;
        xa = x_at(x_from, next + at.x_col);
        xb = x_at(x_from, next + at.x_col + 4u);
        wa0 = w_at(next + at.w_row, at.vec + at.w_vec);
        wb0 = w_at(next + at.w_row, at.vec + at.w_vec + 1u);
        wa1 = w_at(next + at.w_row + W_APART, at.vec + at.w_vec);
        wb1 = w_at(next + at.w_row + W_APART, at.vec + at.w_vec + 1u);
        wa2 = w_at(next + at.w_row + 2u * W_APART, at.vec + at.w_vec);
        wb2 = w_at(next + at.w_row + 2u * W_APART, at.vec + at.w_vec + 1u);
        wa3 = w_at(next + at.w_row + 3u * W_APART, at.vec + at.w_vec);
        wb3 = w_at(next + at.w_row + 3u * W_APART, at.vec + at.w_vec + 1u);
        // In the order of k, as the other tiles.
        let b0 = coopLoadT<MatrixB>(&w_tile[GROUP * (at.w_first)], W_ROW);
        let a00 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first)], X_ROW);
        let a01 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + SIDE * X_STRIDE)], X_ROW);
        c0 = coopMultiplyAdd(a00, b0, c0);
        c1 = coopMultiplyAdd(a01, b0, c1);
        let b1 = coopLoadT<MatrixB>(&w_tile[GROUP * (at.w_first + SIDE * W_STRIDE)], W_ROW);
        let a10 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + SIDE / 4u)], X_ROW);
        let a11 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + SIDE / 4u + SIDE * X_STRIDE)], X_ROW);
        c0 = coopMultiplyAdd(a10, b1, c0);
        c1 = coopMultiplyAdd(a11, b1, c1);
        let b2 = coopLoadT<MatrixB>(&w_tile[GROUP * (at.w_first + 2u * SIDE * W_STRIDE)], W_ROW);
        let a20 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + 2u * SIDE / 4u)], X_ROW);
        let a21 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + 2u * SIDE / 4u + SIDE * X_STRIDE)], X_ROW);
        c0 = coopMultiplyAdd(a20, b2, c0);
        c1 = coopMultiplyAdd(a21, b2, c1);
        let b3 = coopLoadT<MatrixB>(&w_tile[GROUP * (at.w_first + 3u * SIDE * W_STRIDE)], W_ROW);
        let a30 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + 3u * SIDE / 4u)], X_ROW);
        let a31 = coopLoadT<MatrixA>(&x_tile[GROUP * (at.x_first + 3u * SIDE / 4u + SIDE * X_STRIDE)], X_ROW);
        c0 = coopMultiplyAdd(a30, b3, c0);
        c1 = coopMultiplyAdd(a31, b3, c1);
        workgroupBarrier();
    }

    coopStoreT(c0, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(0u, 0u, at.row, at.vec, lane);
    coopStoreT(c1, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(1u, 0u, at.row, at.vec, lane);
}
