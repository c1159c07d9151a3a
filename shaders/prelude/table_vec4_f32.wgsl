// A word table stored as f32, read by four.

@group(0) @binding(2) var<storage, read> words: array<vec4<f32>>; // [words, cols]

fn words_at(index: u32) -> vec4<f32> {
    return words[index];
}
