// out[t] = LayerNorm(words[id[t]] + positions[position[t]] + types[type[t]]), and the same as f16 for the products that read it next;
// for adapters with cooperative matrices, where the width is a multiple of four.
//
// One workgroup a row. A table larger than a binding may be comes in slices, one dispatch each: a row is computed by the
// dispatch that holds its word. Sums are f32 trees; the variance is taken around the mean in a second pass. An invocation
// reads back only what it wrote itself.

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
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>;       // [rows]: id, token type, position, text
@group(0) @binding(2) var<storage, read> words: array<vec4<f16>>;        // [words, cols]
@group(0) @binding(3) var<storage, read> positions: array<vec4<f32>>;    // [positions, cols]
@group(0) @binding(4) var<storage, read> types: array<vec4<f32>>;        // [types, cols]
@group(0) @binding(5) var<storage, read> scale: array<vec4<f32>>;        // [cols]
@group(0) @binding(6) var<storage, read> shift: array<vec4<f32>>;        // [cols]
@group(0) @binding(7) var<storage, read_write> out: array<vec4<f32>>;    // [rows, cols]
@group(0) @binding(8) var<storage, read_write> halves: array<vec4<f16>>; // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = tokens[group.x];
    let word = token.x - params.first; // wraps to a large number for words before the slice
    if word >= params.words {
        return;
    }
    let vecs = params.cols / 4u;
    let base = group.x * vecs;

    var sum = 0.0;
    for (var c = lane; c < vecs; c += workgroup_size) {
        var value = vec4<f32>(words[word * vecs + c]);
        if has_types {
            value += types[token.y * vecs + c];
        }
        if has_positions {
            value += positions[token.z * vecs + c];
        }
        out[base + c] = value;
        sum += dot(value, vec4(1.0));
    }
    normalise(sum, base, vecs, lane);
}
