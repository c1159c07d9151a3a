// A matmul's x where its width is even.

@group(0) @binding(1) var<storage, read> x: array<vec2<f32>>; // [rows, k]

// Two values of x, from the even index `at` on.
fn input2(at: u32) -> vec2<f32> {
    return x[at / 2u];
}
