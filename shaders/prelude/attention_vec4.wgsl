// Attention's large operands where a head's width is a multiple of four.

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>;       // [tokens, 3 * heads * head_dim]
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>; // [tokens, heads * head_dim]

// qkv[base + at .. base + at + 4] of a head that starts at `base` and is `width` wide; both are multiples of four.
fn load_qkv(base: u32, at: u32, width: u32) -> vec4<f32> {
    return qkv[(base + at) / 4u];
}

fn load_out(base: u32, at: u32, width: u32) -> vec4<f32> {
    return out[(base + at) / 4u];
}

fn store_out(base: u32, at: u32, width: u32, value: vec4<f32>) {
    out[(base + at) / 4u] = value;
}
