// out[t] = words[id[t]]
//
// One invocation an element, neighbours along the columns; one row a workgroup in y. A table larger than a binding may be
// comes in slices, one dispatch each: a row is written by the dispatch that holds its word.

override workgroup_size: u32 = 64u;

struct Params {
    rows: u32,
    cols: u32,
    first: u32, // first row of this slice of the word table
    words: u32, // rows of this slice
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>; // [rows]: id, token type, position, text
// Binding 2 is the word table: prelude/table_f32.wgsl or table_f16.wgsl.
@group(0) @binding(3) var<storage, read_write> out: array<f32>;    // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let word = tokens[id.y].x - params.first; // wraps to a large number for words before the slice
    if id.x < params.cols && word < params.words {
        out[id.y * params.cols + id.x] = word_at(word * params.cols + id.x);
    }
}
