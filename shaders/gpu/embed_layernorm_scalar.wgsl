// out[t] = LayerNorm(words[id[t]] + positions[position[t]] + types[type[t]]), for GPUs, at widths that
// gpu/layernorm.wgsl does not take.
//
// One workgroup a row. A table larger than a binding may be comes in slices, one dispatch each: a row is computed by the
// dispatch that holds its word. gpu/layernorm_scalar.wgsl ends it.

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
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>; // [rows]: id, token type, position, text
// Binding 2 is the word table: prelude/table_f32.wgsl or table_f16.wgsl.
@group(0) @binding(3) var<storage, read> positions: array<f32>;    // [positions, cols]
@group(0) @binding(4) var<storage, read> types: array<f32>;        // [types, cols]
@group(0) @binding(5) var<storage, read> scale: array<f32>;        // [cols]
@group(0) @binding(6) var<storage, read> shift: array<f32>;        // [cols]
@group(0) @binding(7) var<storage, read_write> out: array<f32>;    // [rows, cols]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let token = tokens[group.x];
    let word = token.x - params.first; // wraps to a large number for words before the slice
    if word >= params.words {
        return;
    }
    let cols = params.cols;
    let base = group.x * cols;

    var sum = 0.0;
    for (var c = lane; c < cols; c += workgroup_size) {
        var value = word_at(word * cols + c);
        if has_types {
            value += types[token.y * cols + c];
        }
        if has_positions {
            value += positions[token.z * cols + c];
        }
        out[base + c] = value;
        sum += value;
    }
    normalize(base, sum, lane);
}
