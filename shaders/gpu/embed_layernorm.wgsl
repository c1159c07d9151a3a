// words[id] + types[type] + positions[position]: the rows of embed_layernorm, for gpu/layernorm.wgsl.
//
// A table larger than a binding may be comes in slices, one dispatch each: a row is computed by the dispatch that holds its word.

override has_positions: bool = false;
override has_types: bool = false;
override has_shift: bool = false;

struct Params {
    rows: u32,
    cols: u32,
    first: u32, // first row of this slice of the word table
    words: u32, // rows of this slice
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>;    // [rows]: id, token type, position, text
// Binding 2 is the word table: prelude/table_vec4_f32.wgsl or table_vec4_f16.wgsl.
@group(0) @binding(3) var<storage, read> positions: array<vec4<f32>>; // [positions, cols]
@group(0) @binding(4) var<storage, read> types: array<vec4<f32>>;     // [types, cols]
@group(0) @binding(5) var<storage, read> scale: array<vec4<f32>>;     // [cols]
@group(0) @binding(6) var<storage, read> shift: array<vec4<f32>>;     // [cols]
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>; // [rows, cols]

// A word's row in this slice; a large number for words before it.
fn row_in_slice(token: vec4<u32>) -> u32 {
    return token.x - params.first;
}

fn is_here(row: u32) -> bool {
    return row_in_slice(tokens[row]) < params.words;
}

fn read_row(row: u32, vecs: u32, c: u32) -> vec4<f32> {
    let token = tokens[row];
    var value = words_at(row_in_slice(token) * vecs + c);
    if has_types {
        value += types[token.y * vecs + c];
    }
    if has_positions {
        value += positions[token.z * vecs + c];
    }
    return value;
}
