// A matmul's operands of any width: rows do not start at multiples of four, and their last group of four may be cut off.
// There the last value is read again instead, which is cheaper than a branch.

@group(0) @binding(1) var<storage, read> x: array<f32>;         // [rows, k]
@group(0) @binding(3) var<storage, read> bias: array<f32>;      // [n]
@group(0) @binding(4) var<storage, read> residual: array<f32>;  // [rows, n]
@group(0) @binding(5) var<storage, read_write> out: array<f32>; // [rows, n]

const QUAD = vec4(0u, 1u, 2u, 3u);

// Four values of a row of x that starts at `base`, from `at` on, a multiple of four; zeros after the row's end.
fn input4(base: u32, at: u32, k: u32) -> vec4<f32> {
    let left = vec4(k - 1u - at);
    let i = vec4(base + at) + min(QUAD, left);
    return vec4(x[i.x], x[i.y], x[i.z], x[i.w]) * select(vec4(0.0), vec4(1.0), QUAD <= left);
}

fn bias4(column: u32, n: u32) -> vec4<f32> {
    let i = min(vec4(column) + QUAD, vec4(n - 1u));
    return vec4(bias[i.x], bias[i.y], bias[i.z], bias[i.w]);
}

fn residual4(base: u32, column: u32, n: u32) -> vec4<f32> {
    let i = vec4(base) + min(vec4(column) + QUAD, vec4(n - 1u));
    return vec4(residual[i.x], residual[i.y], residual[i.z], residual[i.w]);
}

fn store4(base: u32, column: u32, n: u32, value: vec4<f32>) {
    // Written out: a component chosen by a variable would keep the sums in local memory (gpu/matmul.wgsl).
    let at = base + column;
    let left = n - column;
    out[at] = value.x;
    if left > 1u {
        out[at + 1u] = value.y;
    }
    if left > 2u {
        out[at + 2u] = value.z;
    }
    if left > 3u {
        out[at + 3u] = value.w;
    }
}
