// A word table stored as f16, read by four.

@group(0) @binding(2) var<storage, read> words: array<vec2<u32>>; // [words, cols]

fn words_at(index: u32) -> vec4<f32> {
    let packed = words[index];
    return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
