// out = activation(x Wᵀ + bias) + residual, for adapters that run on a CPU.
//
// One invocation computes ROWS rows of four neighbouring columns; the invocations of a workgroup lie side by side along
// the columns and share their rows. Software Vulkan runs invocations as SIMD lanes and pays for each lane's load, so a
// value of Wᵀ that was loaded serves ROWS rows, and x is read at addresses that are the same for all lanes. No barriers:
// each would turn the lanes into coroutines.
//
// Accumulates in f32, over at most CHUNK inputs at a time: rounding errors grow with the length of a running sum.

override workgroup_size: u32 = 8u;
override has_bias: bool = false;
override has_residual: bool = false;

const ROWS = 8u;
const CHUNK = 128u;

struct Params {
    rows: u32,
    k: u32,      // width of x
    n: u32,      // width of out
    first: u32,  // first column of this slice of the weight
    columns: u32, // columns of this slice
    stride: u32, // vec4s per row of the slice
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> bias: array<f32>;     // [n]
@group(0) @binding(4) var<storage, read> residual: array<f32>; // [rows, n]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, n]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let column4 = group.x * workgroup_size + lane;
    let row = group.y * ROWS;
    let k = params.k;
    let stride = params.stride;

    var total: array<vec4<f32>, ROWS>;
    for (var start = 0u; start < k; start += CHUNK) {
        let end = min(start + CHUNK, k);
        var sum: array<vec4<f32>, ROWS>;
        var at = start * stride + column4;
        for (var i = start; i < end; i += 4u) {
            let w0 = weight4(at);
            let w1 = weight4(at + stride);
            let w2 = weight4(at + 2u * stride);
            let w3 = weight4(at + 3u * stride);
            at += 4u * stride;
            for (var r = 0u; r < ROWS; r++) {
                // Rows past the end repeat the last one; nobody stores them.
                let a = input4(min(row + r, params.rows - 1u), i, k);
                sum[r] = fma(vec4(a.x), w0, fma(vec4(a.y), w1, fma(vec4(a.z), w2, fma(vec4(a.w), w3, sum[r]))));
            }
        }
        for (var r = 0u; r < ROWS; r++) {
            total[r] += sum[r];
        }
    }

    for (var c = 0u; c < 4u; c++) {
        let local = column4 * 4u + c;
        if local < params.columns {
            let column = params.first + local;
            for (var r = 0u; r < ROWS; r++) {
                if row + r < params.rows {
                    let index = (row + r) * params.n + column;
                    var value = total[r];
                    if has_bias {
                        value += vec4(bias[column]);
                    }
                    value = activate(value);
                    var result = value[c];
                    if has_residual {
                        result += residual[index];
                    }
                    out[index] = result;
                }
            }
        }
    }
}
