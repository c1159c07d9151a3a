// A matmul's weight stored as f16, for adapters whose shaders know that type: Wᵀ, four outputs to an element.

@group(0) @binding(2) var<storage, read> weight: array<vec4<f16>>; // [k, columns / 4]

fn weight4(index: u32) -> vec4<f16> {
    return weight[index];
}
