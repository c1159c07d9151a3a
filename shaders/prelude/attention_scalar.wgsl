// Attention's large operands where a head has any width: heads do not start at multiples of four, and their last group of
// four may be cut off.

@group(0) @binding(1) var<storage, read> qkv: array<f32>;       // [tokens, 3 * heads * head_dim]
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // [tokens, heads * head_dim]

const QUAD = vec4(0u, 1u, 2u, 3u);

// Group `at` of four values of a head of qkv that starts at `base` and is `width` wide; zeros after its end.
fn load4(base: u32, at: u32, width: u32) -> vec4<f32> {
    let left = vec4(width - 1u - at * 4u);
    // After the head's end its last value is read again, which is cheaper than a branch.
    let i = vec4(base + at * 4u) + min(QUAD, left);
    return select(vec4(0.0), vec4(qkv[i.x], qkv[i.y], qkv[i.z], qkv[i.w]), QUAD <= left);
}

fn load_out4(base: u32, at: u32, width: u32) -> vec4<f32> {
    let left = vec4(width - 1u - at * 4u);
    let i = vec4(base + at * 4u) + min(QUAD, left);
    return select(vec4(0.0), vec4(out[i.x], out[i.y], out[i.z], out[i.w]), QUAD <= left);
}

fn store4(base: u32, at: u32, width: u32, value: vec4<f32>) {
    // Written out: a component chosen by a variable would keep the values in local memory (gpu/matmul.wgsl).
    let first = base + at * 4u;
    let left = width - at * 4u;
    out[first] = value.x;
    if left > 1u {
        out[first + 1u] = value.y;
    }
    if left > 2u {
        out[first + 2u] = value.z;
    }
    if left > 3u {
        out[first + 3u] = value.w;
    }
}
