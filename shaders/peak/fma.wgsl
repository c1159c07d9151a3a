// peak/fma: multiply-adds in registers and nothing else, to know what the device can do at most.
//
// One invocation keeps eight vec4 accumulators, independent of one another, and runs `params.rounds` rounds over them:
// 64 floating-point operations a round. Accumulates in f32. The sum is written so that no compiler drops the work.

struct Params {
    rounds: u32,
    /// Read at run time, so that the products are not known when the shader is compiled.
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// [invocations]
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

override workgroup_size: u32 = 64;

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let x = vec4<f32>(params.factor);
    let y = vec4<f32>(f32(id.x) * 1e-6);
    var a = y;
    var b = y + 1.0;
    var c = y + 2.0;
    var d = y + 3.0;
    var e = y + 4.0;
    var f = y + 5.0;
    var g = y + 6.0;
    var h = y + 7.0;
    for (var round = 0u; round < params.rounds; round += 1u) {
        a = fma(a, x, y);
        b = fma(b, x, y);
        c = fma(c, x, y);
        d = fma(d, x, y);
        e = fma(e, x, y);
        f = fma(f, x, y);
        g = fma(g, x, y);
        h = fma(h, x, y);
    }
    let sum = a + b + c + d + e + f + g + h;
    if (id.x < arrayLength(&sums)) {
        sums[id.x] = sum.x + sum.y + sum.z + sum.w;
    }
}
