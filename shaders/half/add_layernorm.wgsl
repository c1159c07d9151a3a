// A norm's row, and the same as f16 for the products that read it next; for adapters whose shaders know f16.

@group(0) @binding(6) var<storage, read_write> halves: array<vec4<f16>>; // [rows, cols]

fn write_row(at: u32, value: vec4<f32>) {
    out[at] = value;
    halves[at] = vec4<f16>(value);
}
