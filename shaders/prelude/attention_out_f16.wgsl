// Attention's output where it is stored as f16: only products read it, which would round it anyway.

@group(0) @binding(4) var<storage, read_write> out: array<vec4<f16>>; // [tokens, heads * head_dim]

fn store4(base: u32, at: u32, width: u32, value: vec4<f32>) {
    out[base / 4u + at] = vec4<f16>(value);
}
