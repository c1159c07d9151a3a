// out = activation(x Wᵀ + bias) + residual, for adapters that run on a CPU with subgroups of eight or more (lavapipe).
//
// A workgroup is eight invocations of one subgroup and computes 32 rows by 32 columns. Each invocation reads its own rows of x
// and its own four columns of Wᵀ, and broadcasts what it read of x: such an adapter loads for one invocation after another, whether
// they want the same or not, and that is what costs. An invocation has a sum for every row and its four columns.
// No barriers: each would turn the lanes into coroutines.
//
// Accumulates in f32, over at most CHUNK inputs at a time: rounding errors grow with the length of a running sum.

const LANES = 8u;
const TILE_ROWS = 32u; // spelled out below
const TILE_VECS = LANES;
const CHUNK = 128u;
const NONE = vec4<f32>();

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column4 = group.x * TILE_VECS + lane;
    let row = group.y * TILE_ROWS;
    let k = params.k;
    let stride = params.stride;

    // Rows past the end repeat the last one; nobody stores them.
    let last = params.rows - 1u;
    let base0 = min(row + lane, last) * k;
    let base1 = min(row + 8u + lane, last) * k;
    let base2 = min(row + 16u + lane, last) * k;
    let base3 = min(row + 24u + lane, last) * k;
    var total = array<vec4<f32>, TILE_ROWS>();
    var at = column4;
    for (var start = 0u; start < k; start += CHUNK) {
        let end = min(start + CHUNK, k);
        var s0 = NONE; var s1 = NONE; var s2 = NONE; var s3 = NONE;
        var s4 = NONE; var s5 = NONE; var s6 = NONE; var s7 = NONE;
        var s8 = NONE; var s9 = NONE; var s10 = NONE; var s11 = NONE;
        var s12 = NONE; var s13 = NONE; var s14 = NONE; var s15 = NONE;
        var s16 = NONE; var s17 = NONE; var s18 = NONE; var s19 = NONE;
        var s20 = NONE; var s21 = NONE; var s22 = NONE; var s23 = NONE;
        var s24 = NONE; var s25 = NONE; var s26 = NONE; var s27 = NONE;
        var s28 = NONE; var s29 = NONE; var s30 = NONE; var s31 = NONE;
        for (var i = start; i < end; i += 4u) {
            let w0 = weight4(at);
            let w1 = weight4(at + stride);
            let w2 = weight4(at + 2u * stride);
            let w3 = weight4(at + 3u * stride);
            at += 4u * stride;
            let x0 = input4(base0, i, k);
            s0 = fma4(subgroupBroadcast(x0, 0u), w0, w1, w2, w3, s0);
            s1 = fma4(subgroupBroadcast(x0, 1u), w0, w1, w2, w3, s1);
            s2 = fma4(subgroupBroadcast(x0, 2u), w0, w1, w2, w3, s2);
            s3 = fma4(subgroupBroadcast(x0, 3u), w0, w1, w2, w3, s3);
            s4 = fma4(subgroupBroadcast(x0, 4u), w0, w1, w2, w3, s4);
            s5 = fma4(subgroupBroadcast(x0, 5u), w0, w1, w2, w3, s5);
            s6 = fma4(subgroupBroadcast(x0, 6u), w0, w1, w2, w3, s6);
            s7 = fma4(subgroupBroadcast(x0, 7u), w0, w1, w2, w3, s7);
            let x1 = input4(base1, i, k);
            s8 = fma4(subgroupBroadcast(x1, 0u), w0, w1, w2, w3, s8);
            s9 = fma4(subgroupBroadcast(x1, 1u), w0, w1, w2, w3, s9);
            s10 = fma4(subgroupBroadcast(x1, 2u), w0, w1, w2, w3, s10);
            s11 = fma4(subgroupBroadcast(x1, 3u), w0, w1, w2, w3, s11);
            s12 = fma4(subgroupBroadcast(x1, 4u), w0, w1, w2, w3, s12);
            s13 = fma4(subgroupBroadcast(x1, 5u), w0, w1, w2, w3, s13);
            s14 = fma4(subgroupBroadcast(x1, 6u), w0, w1, w2, w3, s14);
            s15 = fma4(subgroupBroadcast(x1, 7u), w0, w1, w2, w3, s15);
            let x2 = input4(base2, i, k);
            s16 = fma4(subgroupBroadcast(x2, 0u), w0, w1, w2, w3, s16);
            s17 = fma4(subgroupBroadcast(x2, 1u), w0, w1, w2, w3, s17);
            s18 = fma4(subgroupBroadcast(x2, 2u), w0, w1, w2, w3, s18);
            s19 = fma4(subgroupBroadcast(x2, 3u), w0, w1, w2, w3, s19);
            s20 = fma4(subgroupBroadcast(x2, 4u), w0, w1, w2, w3, s20);
            s21 = fma4(subgroupBroadcast(x2, 5u), w0, w1, w2, w3, s21);
            s22 = fma4(subgroupBroadcast(x2, 6u), w0, w1, w2, w3, s22);
            s23 = fma4(subgroupBroadcast(x2, 7u), w0, w1, w2, w3, s23);
            let x3 = input4(base3, i, k);
            s24 = fma4(subgroupBroadcast(x3, 0u), w0, w1, w2, w3, s24);
            s25 = fma4(subgroupBroadcast(x3, 1u), w0, w1, w2, w3, s25);
            s26 = fma4(subgroupBroadcast(x3, 2u), w0, w1, w2, w3, s26);
            s27 = fma4(subgroupBroadcast(x3, 3u), w0, w1, w2, w3, s27);
            s28 = fma4(subgroupBroadcast(x3, 4u), w0, w1, w2, w3, s28);
            s29 = fma4(subgroupBroadcast(x3, 5u), w0, w1, w2, w3, s29);
            s30 = fma4(subgroupBroadcast(x3, 6u), w0, w1, w2, w3, s30);
            s31 = fma4(subgroupBroadcast(x3, 7u), w0, w1, w2, w3, s31);
        }
        total[0] += s0;
        total[1] += s1;
        total[2] += s2;
        total[3] += s3;
        total[4] += s4;
        total[5] += s5;
        total[6] += s6;
        total[7] += s7;
        total[8] += s8;
        total[9] += s9;
        total[10] += s10;
        total[11] += s11;
        total[12] += s12;
        total[13] += s13;
        total[14] += s14;
        total[15] += s15;
        total[16] += s16;
        total[17] += s17;
        total[18] += s18;
        total[19] += s19;
        total[20] += s20;
        total[21] += s21;
        total[22] += s22;
        total[23] += s23;
        total[24] += s24;
        total[25] += s25;
        total[26] += s26;
        total[27] += s27;
        total[28] += s28;
        total[29] += s29;
        total[30] += s30;
        total[31] += s31;
    }
    for (var r = 0u; r < TILE_ROWS; r++) {
        finish(row + r, column4 * 4u, total[r]);
    }
}

// sum + x W of four inputs.
fn fma4(x: vec4<f32>, w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return fma(vec4(x.x), w0, fma(vec4(x.y), w1, fma(vec4(x.z), w2, fma(vec4(x.w), w3, sum))));
}
