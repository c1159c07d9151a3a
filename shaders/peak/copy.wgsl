// peak/copy: reads a buffer and writes it to another, to know what the device's memory can do at most.
//
// One invocation copies the vec4s at its number, and at every `params.stride` after it.

struct Params {
    stride: u32,
    len: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// [len]
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// [len]
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;

override workgroup_size: u32 = 64;

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var at = id.x; at < params.len; at += params.stride) {
        out[at] = x[at];
    }
}
