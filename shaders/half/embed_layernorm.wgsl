// A word table stored as f16, and a norm's row as f32 and as f16 for the products that read it next; for adapters whose shaders know
// f16.

@group(0) @binding(2) var<storage, read> words: array<vec4<f16>>;        // [words, cols]
@group(0) @binding(8) var<storage, read_write> halves: array<vec4<f16>>; // [rows, cols]

fn words_at(index: u32) -> vec4<f32> {
    return vec4<f32>(words[index]);
}

fn write_row(at: u32, value: vec4<f32>) {
    out[at] = value;
    halves[at] = vec4<f16>(value);
}
