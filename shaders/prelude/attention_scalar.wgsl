// Attention's large operands where a head has any width: heads do not start at multiples of four, and their last group of
// four may be cut off.

@group(0) @binding(1) var<storage, read> qkv: array<f32>;       // [tokens, 3 * heads * head_dim]
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // [tokens, heads * head_dim]

// qkv[base + at .. base + at + 4] of a head that starts at `base` and is `width` wide, zeros after its end.
fn load_qkv(base: u32, at: u32, width: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var i = 0u; i < min(width - at, 4u); i++) {
        value[i] = qkv[base + at + i];
    }
    return value;
}

fn load_out(base: u32, at: u32, width: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var i = 0u; i < min(width - at, 4u); i++) {
        value[i] = out[base + at + i];
    }
    return value;
}

fn store_out(base: u32, at: u32, width: u32, value: vec4<f32>) {
    for (var i = 0u; i < min(width - at, 4u); i++) {
        out[base + at + i] = value[i];
    }
}
