// Attention's large operands where a head has any width: heads do not start at multiples of four, and their last group of
// four may be cut off.

@group(0) @binding(1) var<storage, read> qkv: array<f32>;       // [tokens, 3 * heads * head_dim]
@group(0) @binding(4) var<storage, read_write> out: array<f32>; // [tokens, heads * head_dim]

// Group `at` of four values of a head of qkv that starts at `base` and is `width` wide; zeros after its end.
fn load4(base: u32, at: u32, width: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var i = 0u; i < min(width - at * 4u, 4u); i++) {
        value[i] = qkv[base + at * 4u + i];
    }
    return value;
}

fn load_out4(base: u32, at: u32, width: u32) -> vec4<f32> {
    var value = vec4<f32>();
    for (var i = 0u; i < min(width - at * 4u, 4u); i++) {
        value[i] = out[base + at * 4u + i];
    }
    return value;
}

fn store4(base: u32, at: u32, width: u32, value: vec4<f32>) {
    for (var i = 0u; i < min(width - at * 4u, 4u); i++) {
        out[base + at * 4u + i] = value[i];
    }
}
