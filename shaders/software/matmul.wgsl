// out = activation(x Wᵀ + bias) + residual, for adapters that run on a CPU.
//
// One invocation computes ROWS rows of VECS groups of four neighbouring columns; the invocations of a workgroup lie side
// by side along the columns and share their rows. Software Vulkan runs invocations as SIMD lanes and pays for each lane's
// load, so the block is as large as compilers bear: a loaded value of x serves 4 VECS outputs and one of Wᵀ serves ROWS.
// No barriers: each would turn the lanes into coroutines.
//
// Accumulates in f32, over at most CHUNK inputs at a time: rounding errors grow with the length of a running sum.

const LANES = 8u;
const ROWS = 16u;
const VECS = 2u; // spelled out below
const TILE_ROWS = ROWS;
const TILE_VECS = LANES * VECS;
const CHUNK = 128u;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column4 = group.x * TILE_VECS + lane;
    let row = group.y * TILE_ROWS;
    let k = params.k;
    let stride = params.stride;

    // Rows past the end repeat the last one; nobody stores them.
    var base = array<u32, ROWS>();
    for (var r = 0u; r < ROWS; r++) {
        base[r] = min(row + r, params.rows - 1u) * k;
    }
    var total = array<vec4<f32>, VECS * ROWS>();
    var at = column4;
    for (var start = 0u; start < k; start += CHUNK) {
        let end = min(start + CHUNK, k);
        var sum = array<vec4<f32>, VECS * ROWS>();
        for (var i = start; i < end; i += 4u) {
            // Spelled out, because drivers unroll no more than some 800 operations, and arrays that are indexed in a
            // loop live in memory.
            let v0 = weight4(at);
            let w0 = weight4(at + LANES);
            let v1 = weight4(at + stride);
            let w1 = weight4(at + stride + LANES);
            let v2 = weight4(at + 2u * stride);
            let w2 = weight4(at + 2u * stride + LANES);
            let v3 = weight4(at + 3u * stride);
            let w3 = weight4(at + 3u * stride + LANES);
            at += 4u * stride;
            for (var r = 0u; r < ROWS; r++) {
                let a = input4(base[r], i, k);
                let v = fma(vec4(a.x), v0, fma(vec4(a.y), v1, fma(vec4(a.z), v2, fma(vec4(a.w), v3, sum[2u * r]))));
                let w = fma(vec4(a.x), w0, fma(vec4(a.y), w1, fma(vec4(a.z), w2, fma(vec4(a.w), w3, sum[2u * r + 1u]))));
                sum[2u * r] = v;
                sum[2u * r + 1u] = w;
            }
        }
        for (var r = 0u; r < VECS * ROWS; r++) {
            total[r] += sum[r];
        }
    }

    // One loop, which is too long for drivers to unroll with the activation in it: that would take seconds.
    for (var r = 0u; r < VECS * ROWS; r++) {
        finish(row + r / VECS, (column4 + r % VECS * LANES) * 4u, total[r]);
    }
}
