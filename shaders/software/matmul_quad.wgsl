// out = activation(x Wᵀ + bias) + residual, for adapters that run on a CPU four invocations at a time (SwiftShader).
//
// A workgroup is one subgroup of four invocations and computes 24 rows by 16 columns. Each invocation reads its own rows
// of x and its own four columns of Wᵀ, and lends its values of x to the other three: invocation l meets row 4 i + (l ^ m)
// in its accumulator (i, m), so that a swap within the quad does instead of three more loads. Such an adapter takes some
// hundred instructions for a load and has no vector registers to speak of: what counts is few loads, and a loop that fits
// the processor's instruction cache. Two inputs at a time do, four do not.
//
// Accumulates in f32, over at most CHUNK inputs at a time: rounding errors grow with the length of a running sum.

const TILE_ROWS = 24u; // spelled out below
const TILE_VECS = 4u;
const CHUNK = 128u;
const NONE = vec4<f32>();

@compute @workgroup_size(4)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column4 = group.x * TILE_VECS + lane;
    let row = group.y * TILE_ROWS;
    let k = params.k;
    let stride = params.stride;

    // Rows past the end repeat the last one; nobody stores them.
    let last = params.rows - 1u;
    let base0 = min(row + lane, last) * k;
    let base1 = min(row + 4u + lane, last) * k;
    let base2 = min(row + 8u + lane, last) * k;
    let base3 = min(row + 12u + lane, last) * k;
    let base4 = min(row + 16u + lane, last) * k;
    let base5 = min(row + 20u + lane, last) * k;
    var total = array<vec4<f32>, TILE_ROWS>();
    var at = column4;
    for (var start = 0u; start < k; start += CHUNK) {
        let end = min(start + CHUNK, k);
        var s00 = NONE; var s01 = NONE; var s02 = NONE; var s03 = NONE;
        var s10 = NONE; var s11 = NONE; var s12 = NONE; var s13 = NONE;
        var s20 = NONE; var s21 = NONE; var s22 = NONE; var s23 = NONE;
        var s30 = NONE; var s31 = NONE; var s32 = NONE; var s33 = NONE;
        var s40 = NONE; var s41 = NONE; var s42 = NONE; var s43 = NONE;
        var s50 = NONE; var s51 = NONE; var s52 = NONE; var s53 = NONE;
        for (var i = start; i < end; i += 2u) {
            let w0 = weight4(at);
            let w1 = weight4(at + stride);
            at += 2u * stride;

            let x0 = input2(base0 + i);
            s00 = fma2(x0, w0, w1, s00);
            s01 = fma2(quadSwapX(x0), w0, w1, s01);
            s02 = fma2(quadSwapY(x0), w0, w1, s02);
            s03 = fma2(quadSwapDiagonal(x0), w0, w1, s03);
            let x1 = input2(base1 + i);
            s10 = fma2(x1, w0, w1, s10);
            s11 = fma2(quadSwapX(x1), w0, w1, s11);
            s12 = fma2(quadSwapY(x1), w0, w1, s12);
            s13 = fma2(quadSwapDiagonal(x1), w0, w1, s13);
            let x2 = input2(base2 + i);
            s20 = fma2(x2, w0, w1, s20);
            s21 = fma2(quadSwapX(x2), w0, w1, s21);
            s22 = fma2(quadSwapY(x2), w0, w1, s22);
            s23 = fma2(quadSwapDiagonal(x2), w0, w1, s23);
            let x3 = input2(base3 + i);
            s30 = fma2(x3, w0, w1, s30);
            s31 = fma2(quadSwapX(x3), w0, w1, s31);
            s32 = fma2(quadSwapY(x3), w0, w1, s32);
            s33 = fma2(quadSwapDiagonal(x3), w0, w1, s33);
            let x4 = input2(base4 + i);
            s40 = fma2(x4, w0, w1, s40);
            s41 = fma2(quadSwapX(x4), w0, w1, s41);
            s42 = fma2(quadSwapY(x4), w0, w1, s42);
            s43 = fma2(quadSwapDiagonal(x4), w0, w1, s43);
            let x5 = input2(base5 + i);
            s50 = fma2(x5, w0, w1, s50);
            s51 = fma2(quadSwapX(x5), w0, w1, s51);
            s52 = fma2(quadSwapY(x5), w0, w1, s52);
            s53 = fma2(quadSwapDiagonal(x5), w0, w1, s53);
        }
        total[0] += s00; total[1] += s01; total[2] += s02; total[3] += s03;
        total[4] += s10; total[5] += s11; total[6] += s12; total[7] += s13;
        total[8] += s20; total[9] += s21; total[10] += s22; total[11] += s23;
        total[12] += s30; total[13] += s31; total[14] += s32; total[15] += s33;
        total[16] += s40; total[17] += s41; total[18] += s42; total[19] += s43;
        total[20] += s50; total[21] += s51; total[22] += s52; total[23] += s53;
    }

    let column = column4 * 4u;
    for (var r = 0u; r < TILE_ROWS; r++) {
        // Accumulator (i, m) holds row 4 i + (lane ^ m).
        finish(row + (r ^ (lane % 4u)), column, total[r]);
    }
}

// sum + x w, by components: as vectors, all products would wait for all sums, where there are no registers for them.
fn fma2(x: vec2<f32>, w0: vec4<f32>, w1: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return vec4(
        fma(x.y, w1.x, fma(x.x, w0.x, sum.x)),
        fma(x.y, w1.y, fma(x.x, w0.y, sum.y)),
        fma(x.y, w1.z, fma(x.x, w0.z, sum.z)),
        fma(x.y, w1.w, fma(x.x, w0.w, sum.w)),
    );
}
