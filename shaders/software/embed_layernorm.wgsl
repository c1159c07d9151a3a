// out[t] = LayerNorm(words[id[t]] + positions[position[t]] + types[type[t]]), for adapters that run on a CPU.
//
// One invocation a row, no barriers. A table larger than a binding may be comes in slices, one dispatch each: a row is
// computed by the dispatch that holds its word. Sums are f32, four running sums each; the variance is taken around the
// mean in a second pass.

override workgroup_size: u32 = 8u;
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
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x;
    if row >= params.rows {
        return;
    }
    let token = tokens[row];
    let word = token.x - params.first; // wraps to a large number for words before the slice
    if word >= params.words {
        return;
    }
    let cols = params.cols;
    let base = row * cols;

    var sums = vec4<f32>();
    for (var c = 0u; c < cols; c++) {
        var value = word_at(word * cols + c);
        if has_types {
            value += types[token.y * cols + c];
        }
        if has_positions {
            value += positions[token.z * cols + c];
        }
        out[base + c] = value;
        sums[c % 4u] += value;
    }
    let mean = dot(sums, vec4(1.0)) / f32(cols);

    sums = vec4<f32>();
    for (var c = 0u; c < cols; c++) {
        let difference = out[base + c] - mean;
        sums[c % 4u] += difference * difference;
    }
    let deviation = sqrt(dot(sums, vec4(1.0)) / f32(cols) + params.eps);

    for (var c = 0u; c < cols; c++) {
        var value = (out[base + c] - mean) / deviation * scale[c];
        if has_shift {
            value += shift[c];
        }
        out[base + c] = value;
    }
}
