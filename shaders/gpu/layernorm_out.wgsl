// A norm's row as f32 alone.

fn write_row(at: u32, value: vec4<f32>) {
    out[at] = value;
}
