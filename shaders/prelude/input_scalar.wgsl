// A matmul's input of any width: rows do not start at multiples of four, and the last group of four may be cut off.

@group(0) @binding(1) var<storage, read> x: array<f32>; // [rows, k]

// x[base + at .. base + at + 4], of a row that starts at `base` and is k wide, with zeros after its end; `at` is a multiple
// of four.
fn input4(base: u32, at: u32, k: u32) -> vec4<f32> {
    let last = k - 1u - at;
    // Past the end the last value is read again, and multiplied by zero: cheaper than branches.
    return vec4(
        x[base + at],
        x[base + at + min(1u, last)],
        x[base + at + min(2u, last)],
        x[base + at + min(3u, last)],
    ) * select(vec4(0.0), vec4(1.0), vec4(0u, 1u, 2u, 3u) <= vec4(last));
}
