// Attention's q, k and v where they are stored as f32 and multiplied as f16.

@group(0) @binding(1) var<storage, read> qkv: array<vec4<f32>>; // [tokens, 3 * heads * head_dim]

// Group `at` of four values of a head of qkv that starts at `base` and is `width` wide.
fn load4(base: u32, at: u32, width: u32) -> vec4<f16> {
    return vec4<f16>(qkv[base / 4u + at]);
}
