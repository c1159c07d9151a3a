// out = activation(x Wᵀ + bias) + residual, for adapters that run on a CPU.
//
// One invocation computes ROWS rows of VECS groups of four neighbouring columns; the invocations of a workgroup lie side
// by side along the columns and share their rows. Software Vulkan runs invocations as SIMD lanes and pays for each lane's
// load, so the block is as large as compilers bear: a loaded value of x serves 4 VECS outputs and one of Wᵀ serves ROWS.
// No barriers: each would turn the lanes into coroutines.
//
// Accumulates in f32, over at most CHUNK inputs at a time: rounding errors grow with the length of a running sum.

override workgroup_size: u32 = 8u;
override has_bias: bool = false;
override has_residual: bool = false;

const ROWS = 16u;
const VECS = 2u;
const CHUNK = 128u;

struct Params {
    rows: u32,
    k: u32,       // width of x
    n: u32,       // width of out
    first: u32,   // first column of this slice of the weight
    columns: u32, // columns of this slice
    stride: u32,  // vec4s per row of the slice
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // [n]
@group(0) @binding(4) var<storage, read> residual: array<f32>;  // [rows, n]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, n]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column4 = group.x * workgroup_size * VECS + lane;
    let row = group.y * ROWS;
    let k = params.k;
    let stride = params.stride;

    // Rows past the end repeat the last one; nobody stores them.
    var base: array<u32, ROWS>;
    for (var r = 0u; r < ROWS; r++) {
        base[r] = min(row + r, params.rows - 1u) * k;
    }
    var total: array<vec4<f32>, VECS * ROWS>;
    var at = column4;
    for (var start = 0u; start < k; start += CHUNK) {
        let end = min(start + CHUNK, k);
        var sum: array<vec4<f32>, VECS * ROWS>;
        for (var i = start; i < end; i += 4u) {
            // Spelled out, because drivers unroll no more than some 800 operations, and arrays that are indexed in a
            // loop live in memory.
            let v0 = weight4(at);
            let w0 = weight4(at + workgroup_size);
            let v1 = weight4(at + stride);
            let w1 = weight4(at + stride + workgroup_size);
            let v2 = weight4(at + 2u * stride);
            let w2 = weight4(at + 2u * stride + workgroup_size);
            let v3 = weight4(at + 3u * stride);
            let w3 = weight4(at + 3u * stride + workgroup_size);
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

    for (var r = 0u; r < ROWS; r++) {
        if row + r < params.rows {
            store(row + r, column4 * 4u, total[2u * r]);
            store(row + r, (column4 + workgroup_size) * 4u, total[2u * r + 1u]);
        }
    }
}

// Columns local .. local + 4 of the slice, as far as it goes.
fn store(row: u32, local: u32, sums: vec4<f32>) {
    let column = params.first + local;
    let count = min(params.columns - min(local, params.columns), 4u);
    var values = sums;
    if has_bias {
        let last = params.n - 1u;
        values += vec4(
            bias[min(column, last)],
            bias[min(column + 1u, last)],
            bias[min(column + 2u, last)],
            bias[min(column + 3u, last)],
        );
    }
    values = activate(values);
    let index = row * params.n + column;
    for (var c = 0u; c < count; c++) {
        var value = values[c];
        if has_residual {
            value += residual[index + c];
        }
        out[index + c] = value;
    }
}
