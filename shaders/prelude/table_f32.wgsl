// A word table stored as f32.

@group(0) @binding(2) var<storage, read> words: array<f32>; // [words, cols]

fn word_at(index: u32) -> f32 {
    return words[index];
}
