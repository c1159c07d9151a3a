// Attention's large operands where a head's width is a multiple of four.

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;       // [tokens, 3 * heads * head_dim]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // [tokens, heads * head_dim]

// Group `at` of four values of a head of qkv that starts at `base` and is `width` wide.
fn load4(base: u32, at: u32, width: u32) -> vec4<f32> {
    return qkv[base / 4u + at];
}

fn load_out4(base: u32, at: u32, width: u32) -> vec4<f32> {
    return out[base / 4u + at];
}

fn store4(base: u32, at: u32, width: u32, value: vec4<f32>) {
    out[base / 4u + at] = value;
}
