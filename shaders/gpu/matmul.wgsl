// out = activation(x Wᵀ + bias) + residual, for GPUs.
//
// A workgroup of 16 by 16 invocations computes a tile of 16 ROWS rows and 64 VECS columns, stepping through k in steps of
// DEPTH: it copies that part of x and of Wᵀ to workgroup memory, 16 KiB at most, and each invocation multiplies ROWS rows
// with VECS groups of four columns out of there. While it multiplies, the next step's values are on their way in
// registers. Rows and columns of an invocation lie 16 apart, so that neighbours read neighbouring memory.
//
// Accumulates in f32, in the order of k: a row's bits do not depend on its place in a tile. Operands are f32 or f16 (`Kept`), of which
// twice as many fit.

const SIDE = 16u;
const INVOCATIONS = SIDE * SIDE;
const DEPTH = STRETCH * 256u / KEPT_BYTES;
const DEPTH4 = DEPTH / 4u;
const TILE_ROWS = SIDE * ROWS;
const TILE_VECS = SIDE * VECS;
// vec4s that each invocation copies in one step.
const X_COPIES = TILE_ROWS * DEPTH4 / INVOCATIONS;
const W_COPIES = TILE_VECS * DEPTH / INVOCATIONS;

var<workgroup> x_tile: array<Kept, TILE_ROWS * DEPTH4>; // [TILE_ROWS, DEPTH4]
var<workgroup> w_tile: array<Kept, DEPTH * TILE_VECS>;  // [DEPTH, TILE_VECS]

// Ends an invocation's groups of four columns in one row: one or two of them.
fn finish_row(row: u32, vec: u32, sums: array<vec4<f32>, VECS>) {
    finish(row, vec * 4u, sums[0]);
    if VECS > 1u {
        finish(row, (vec + SIDE) * 4u, sums[1u % VECS]);
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * TILE_ROWS;
    let vec = group.x * TILE_VECS;
    let k = params.k;

    var x_next = array<Kept, X_COPIES>();
    var w_next = array<Kept, W_COPIES>();
    var sum = array<array<vec4<f32>, VECS>, ROWS>();

    for (var start = 0u; start < k + DEPTH; start += DEPTH) {
        // The last turn only multiplies, the first only loads.
        if start > 0u {
            workgroupBarrier();
            for (var c = 0u; c < X_COPIES; c++) {
                x_tile[lane + c * INVOCATIONS] = x_next[c];
            }
            for (var c = 0u; c < W_COPIES; c++) {
                w_tile[lane + c * INVOCATIONS] = w_next[c];
            }
            workgroupBarrier();
        }
        if start < k {
            for (var c = 0u; c < X_COPIES; c++) {
                let at = lane + c * INVOCATIONS;
                // Rows past the end repeat the last one; nobody stores them.
                let source = min(row + at / DEPTH4, params.rows - 1u);
                let depth = start + at % DEPTH4 * 4u;
                x_next[c] = Kept();
                if depth < k {
                    x_next[c] = input4(source * k, depth, k);
                }
            }
            for (var c = 0u; c < W_COPIES; c++) {
                let at = lane + c * INVOCATIONS;
                let depth = start + at / TILE_VECS;
                w_next[c] = Kept();
                if depth < k {
                    w_next[c] = weight4(depth * params.stride + vec + at % TILE_VECS);
                }
            }
        }
        if start > 0u {
            for (var d = 0u; d < DEPTH4; d++) {
                var w = array<array<vec4<f32>, VECS>, 4>();
                for (var j = 0u; j < 4u; j++) {
                    for (var v = 0u; v < VECS; v++) {
                        w[j][v] = vec4<f32>(w_tile[(d * 4u + j) * TILE_VECS + v * SIDE + lane % SIDE]);
                    }
                }
                for (var r = 0u; r < ROWS; r++) {
                    let a = vec4<f32>(x_tile[(lane / SIDE + r * SIDE) * DEPTH4 + d]);
                    for (var v = 0u; v < VECS; v++) {
                        var s = sum[r][v];
                        s = fma(vec4(a.x), w[0][v], s);
                        s = fma(vec4(a.y), w[1][v], s);
                        s = fma(vec4(a.z), w[2][v], s);
                        s = fma(vec4(a.w), w[3][v], s);
                        sum[r][v] = s;
                    }
                }
            }
        }
    }

    // Written out, with constants for indices: a loop with an activation in it is too long for a driver to unroll, and an array
    // that is indexed by a variable lives in slow local memory from the first sum on (7.5 instead of 38 TFLOP/s on an H100).
    let top = row + lane / SIDE;
    let left = vec + lane % SIDE;
    finish_row(top, left, sum[0]);
    finish_row(top + SIDE, left, sum[1]);
    if ROWS > 2u {
        finish_row(top + 2u * SIDE, left, sum[2u % ROWS]);
        finish_row(top + 3u * SIDE, left, sum[3u % ROWS]);
    }
    if ROWS > 4u {
        finish_row(top + 4u * SIDE, left, sum[4u % ROWS]);
        finish_row(top + 5u * SIDE, left, sum[5u % ROWS]);
        finish_row(top + 6u * SIDE, left, sum[6u % ROWS]);
        finish_row(top + 7u * SIDE, left, sum[7u % ROWS]);
    }
}
