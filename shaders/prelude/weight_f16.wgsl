// A matmul's weight stored as f16, two to a u32: Wᵀ, four outputs to an element. Unpacking is part of WGSL itself: no
// adapter needs a feature for it. Products and sums are f32.

@group(0) @binding(2) var<storage, read> weight: array<vec2<u32>>; // [k rounded up to four, columns / 4]

fn weight4(index: u32) -> vec4<f32> {
    let packed = weight[index];
    return vec4(unpack2x16float(packed.x), unpack2x16float(packed.y));
}
