// A tensor matmul's workgroup memory where its elements are groups of four values.

fn put_x(at: u32, four: vec4<f16>) {
    x_tile[at] = four;
}

fn put_w(at: u32, four: vec4<f16>) {
    w_tile[at] = four;
}

fn sum_at(at: u32) -> vec4<f32> {
    return sums[at];
}
