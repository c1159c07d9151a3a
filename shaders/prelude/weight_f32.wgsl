// A matmul's weight stored as f32: Wᵀ, four outputs to an element.

@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>; // [k rounded up to four, columns / 4]

fn weight4(index: u32) -> vec4<f32> {
    return weight[index];
}
