// A word table stored as f16, two to a u32.

@group(0) @binding(2) var<storage, read> words: array<u32>; // [words * cols / 2 rounded up]

fn word_at(index: u32) -> f32 {
    let packed = unpack2x16float(words[index / 2u]);
    return select(packed.x, packed.y, index % 2u == 1u);
}
