// A tile of 8 SIDE rows and 8 SIDE columns: two subgroups down and four across, with four by two squares each. With two stages one half
// of workgroup memory is filled while the other may still be read; with one there is a barrier more, for devices that have no room.

override stages: u32 = 2u;

const DOWN_SQUARES = 4u;
const ACROSS_SQUARES = 2u;
const ACROSS = 4u;
const DEPTH_SQUARES = 2u;
const TILE_ROWS = 8u * SIDE;

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup_id: u32,
) {
    let at = place_of(group, groups, lane, subgroup_id);
    let x_from0 = source_row(at.row + at.x_row);
    let x_from1 = source_row(at.row + at.x_row + 1u * X_APART);

    // Names, not arrays: what is indexed by a variable leaves its registers.
    var xa0 = x_at(x_from0, at.x_col);
    var xb0 = x_at(x_from0, at.x_col + 4u);
    var xa1 = x_at(x_from1, at.x_col);
    var xb1 = x_at(x_from1, at.x_col + 4u);
    var wa0 = w_at(at.w_row, at.vec + at.w_vec);
    var wb0 = w_at(at.w_row, at.vec + at.w_vec + 1u);
    var wa1 = w_at(at.w_row + W_APART, at.vec + at.w_vec);
    var wb1 = w_at(at.w_row + W_APART, at.vec + at.w_vec + 1u);
    var c00 = MatrixC();
    var c01 = MatrixC();
    var c10 = MatrixC();
    var c11 = MatrixC();
    var c20 = MatrixC();
    var c21 = MatrixC();
    var c30 = MatrixC();
    var c31 = MatrixC();

    // Cooperative operations stand in no `if`: naga takes every variable to differ between invocations.
    for (var step = 0u; step < STEPS; step++) {
        // The half that is filled was last read two steps ago, before the barrier of the step before.
        let x_half = step % stages * X_HALF;
        let w_half = step % stages * W_HALF;
        if at.copies {
            put_x(x_half + at.x_to, xa0);
            put_x(x_half + at.x_to + 1u, xb0);
            put_x(x_half + at.x_to + X_APART * X_STRIDE, xa1);
            put_x(x_half + at.x_to + X_APART * X_STRIDE + 1u, xb1);
            put_w(w_half + at.w_to, wa0);
            put_w(w_half + at.w_to + 1u, wb0);
            put_w(w_half + at.w_to + W_APART * W_STRIDE, wa1);
            put_w(w_half + at.w_to + W_APART * W_STRIDE + 1u, wb1);
        }
        workgroupBarrier();
        // The next step is on its way while this one is multiplied; the last one loads itself again.
        let next = min(step + 1u, STEPS - 1u) * DEPTH;
        xa0 = x_at(x_from0, next + at.x_col);
        xb0 = x_at(x_from0, next + at.x_col + 4u);
        xa1 = x_at(x_from1, next + at.x_col);
        xb1 = x_at(x_from1, next + at.x_col + 4u);
        wa0 = w_at(next + at.w_row, at.vec + at.w_vec);
        wb0 = w_at(next + at.w_row, at.vec + at.w_vec + 1u);
        wa1 = w_at(next + at.w_row + W_APART, at.vec + at.w_vec);
        wb1 = w_at(next + at.w_row + W_APART, at.vec + at.w_vec + 1u);
        let x0 = x_half + at.x_first;
        let w0 = w_half + at.w_first;
        let b00 = coopLoadT<MatrixB>(&w_tile[GROUP * w0], W_ROW);
        let b01 = coopLoadT<MatrixB>(&w_tile[GROUP * (w0 + SIDE / 4u)], W_ROW);
        let a00 = coopLoadT<MatrixA>(&x_tile[GROUP * x0], X_ROW);
        c00 = coopMultiplyAdd(a00, b00, c00);
        c01 = coopMultiplyAdd(a00, b01, c01);
        let a01 = coopLoadT<MatrixA>(&x_tile[GROUP * (x0 + SIDE * X_STRIDE)], X_ROW);
        c10 = coopMultiplyAdd(a01, b00, c10);
        c11 = coopMultiplyAdd(a01, b01, c11);
        let a02 = coopLoadT<MatrixA>(&x_tile[GROUP * (x0 + 2u * SIDE * X_STRIDE)], X_ROW);
        c20 = coopMultiplyAdd(a02, b00, c20);
        c21 = coopMultiplyAdd(a02, b01, c21);
        let a03 = coopLoadT<MatrixA>(&x_tile[GROUP * (x0 + 3u * SIDE * X_STRIDE)], X_ROW);
        c30 = coopMultiplyAdd(a03, b00, c30);
        c31 = coopMultiplyAdd(a03, b01, c31);
        let x1 = x_half + at.x_first + SIDE / 4u;
        let w1 = w_half + at.w_first + SIDE * W_STRIDE;
        let b10 = coopLoadT<MatrixB>(&w_tile[GROUP * w1], W_ROW);
        let b11 = coopLoadT<MatrixB>(&w_tile[GROUP * (w1 + SIDE / 4u)], W_ROW);
        let a10 = coopLoadT<MatrixA>(&x_tile[GROUP * x1], X_ROW);
        c00 = coopMultiplyAdd(a10, b10, c00);
        c01 = coopMultiplyAdd(a10, b11, c01);
        let a11 = coopLoadT<MatrixA>(&x_tile[GROUP * (x1 + SIDE * X_STRIDE)], X_ROW);
        c10 = coopMultiplyAdd(a11, b10, c10);
        c11 = coopMultiplyAdd(a11, b11, c11);
        let a12 = coopLoadT<MatrixA>(&x_tile[GROUP * (x1 + 2u * SIDE * X_STRIDE)], X_ROW);
        c20 = coopMultiplyAdd(a12, b10, c20);
        c21 = coopMultiplyAdd(a12, b11, c21);
        let a13 = coopLoadT<MatrixA>(&x_tile[GROUP * (x1 + 3u * SIDE * X_STRIDE)], X_ROW);
        c30 = coopMultiplyAdd(a13, b10, c30);
        c31 = coopMultiplyAdd(a13, b11, c31);
        if stages == 1u {
            workgroupBarrier();
        }
    }

    coopStoreT(c00, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(0u, 0u, at.row, at.vec, lane);
    coopStoreT(c01, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(0u, 1u, at.row, at.vec, lane);
    coopStoreT(c10, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(1u, 0u, at.row, at.vec, lane);
    coopStoreT(c11, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(1u, 1u, at.row, at.vec, lane);
    coopStoreT(c20, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(2u, 0u, at.row, at.vec, lane);
    coopStoreT(c21, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(2u, 1u, at.row, at.vec, lane);
    coopStoreT(c30, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(3u, 0u, at.row, at.vec, lane);
    coopStoreT(c31, &sums[GROUP * at.own_sums], SUM_ROW);
    finish_all(3u, 1u, at.row, at.vec, lane);
}
