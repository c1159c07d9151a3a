// A matmul's input of any width: rows do not start at multiples of four, and the last group of four may be cut off.

@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, k]

// x[row, at .. at + 4], of rows that are k wide, with zeros after the row's end; `at` is a multiple of four.
fn input4(row: u32, at: u32, k: u32) -> vec4<f32> {
    let base = row * k + at;
    let last = k - 1u - at;
    // A min instead of a branch: the value that is read twice is multiplied by zero.
    return vec4(x[base], x[base + min(1u, last)], x[base + min(2u, last)], x[base + min(3u, last)])
        * select(vec4(0.0), vec4(1.0), vec4(0u, 1u, 2u, 3u) <= vec4(last));
}
