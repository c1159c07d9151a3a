// A tensor matmul's workgroup memory where its elements are single values.

fn put_x(at: u32, four: vec4<f16>) {
    x_tile[4u * at] = four.x;
    x_tile[4u * at + 1u] = four.y;
    x_tile[4u * at + 2u] = four.z;
    x_tile[4u * at + 3u] = four.w;
}

fn put_w(at: u32, four: vec4<f16>) {
    w_tile[4u * at] = four.x;
    w_tile[4u * at + 1u] = four.y;
    w_tile[4u * at + 2u] = four.z;
    w_tile[4u * at + 3u] = four.w;
}

fn sum_at(at: u32) -> vec4<f32> {
    return vec4(sums[4u * at], sums[4u * at + 1u], sums[4u * at + 2u], sums[4u * at + 3u]);
}
