// Rotary position embedding, in place on the q and k parts of qkv, in the rotate-half form:
// (a, b) -> (a cos - b sin, b cos + a sin) with a = x[i], b = x[i + head_dim / 2] and angle = position * frequency[i].
//
// One invocation a pair, neighbours within a head; one row a workgroup in y; q, then k, in z.

override workgroup_size: u32 = 64u;

struct Params {
    rows: u32,
    heads: u32,
    head_dim: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> tokens: array<vec4<u32>>;  // [rows]: id, token type, position, text
@group(0) @binding(2) var<storage, read> frequencies: array<f32>;   // [head_dim / 2]: theta^(-2i / head_dim)
@group(0) @binding(3) var<storage, read_write> qkv: array<f32>;     // [rows, 3 * heads * head_dim]

// (cos, sin) to f32's precision for angles up to about 8192. Builtins are only promised to be good near zero, and long
// texts turn many times. Reduction to the nearest multiple of pi/2 with a constant in three parts, each short enough
// that its product is exact (Cephes sinf).
fn cos_sin(angle: f32) -> vec2<f32> {
    let turns = round(angle * 0.63661977236758134);
    let r = ((angle - turns * 1.5703125) - turns * 4.837512969970703125e-4) - turns * 7.54978995489188216e-8;
    let z = r * r;
    let s = fma(fma(fma(-1.9515295891e-4, z, 8.3321608736e-3), z, -1.6666654611e-1) * z, r, r);
    let c = fma(fma(fma(2.443315711809948e-5, z, -1.388731625493765e-3), z, 4.166664568298827e-2) * z, z, fma(-0.5, z, 1.0));
    switch u32(turns) & 3u {
        case 0u: {
            return vec2(c, s);
        }
        case 1u: {
            return vec2(-s, c);
        }
        case 2u: {
            return vec2(-c, -s);
        }
        default: {
            return vec2(s, -c);
        }
    }
}

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let half = params.head_dim / 2u;
    let inner = params.heads * params.head_dim;
    if id.x >= params.heads * half {
        return;
    }
    let i = id.x % half;
    let at = id.y * 3u * inner + id.z * inner + (id.x / half) * params.head_dim + i;
    let turn = cos_sin(f32(tokens[id.y].z) * frequencies[i]);
    let a = qkv[at];
    let b = qkv[at + half];
    qkv[at] = a * turn.x - b * turn.y;
    qkv[at + half] = b * turn.x + a * turn.y;
}
