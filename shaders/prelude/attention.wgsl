// What every attention kernel shares: its parameters, and how a score ends.

override has_bias: bool = false;
override has_window: bool = false;

struct Params {
    tiles: u32,
    heads: u32,
    head_dim: u32,
    window: u32,       // keys at most so far away on each side
    max_distance: u32, // of the bias
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> tiles: array<vec4<u32>>; // first row, text's first row, row after its last, sum of S² before
@group(0) @binding(3) var<storage, read> bias: array<f32>;        // [heads, 2 * max_distance + 1]

// A masked score: its exp is zero next to any real one, and unlike infinity it survives a subtraction.
const MASKED = -3.0e38;
// What a score that is NaN counts as: a maximum drops NaN, but keeps this.
const OVERFLOWED = 3.4e38;

// scale q k + bias, or MASKED where the key is out of the window. Rows of both count tokens of the batch.
fn finish_score(product: f32, query: u32, key: u32, head: u32) -> f32 {
    let distance = i32(key) - i32(query);
    var value = product * params.scale;
    if has_bias {
        let most = i32(params.max_distance);
        value += bias[i32(head) * (2 * most + 1) + clamp(distance, -most, most) + most];
    }
    // By bits: a compiler may take it that there is no NaN.
    value = select(value, OVERFLOWED, (bitcast<u32>(value) & 0x7fffffffu) > 0x7f800000u);
    if has_window && u32(abs(distance)) > params.window {
        value = MASKED;
    }
    return value;
}

// exp(score - largest), zero for a masked score. The guard keeps exp away from underflow, which some drivers flush to
// garbage, and e^-87 vanishes in a sum that holds e^0.
fn probability(score: f32, largest: f32) -> f32 {
    return select(0.0, exp(max(score - largest, -87.0)), score > MASKED);
}

// What a row's output is divided by: its sum, or NaN where a score was infinite or NaN, or none was above MASKED. Guarded
// exponentials lose that, and a value that is not finite must show in the output.
fn denominator(sum: f32, largest: f32) -> f32 {
    let finite = largest > MASKED && largest < OVERFLOWED;
    return bitcast<f32>(select(0x7fc00000u, bitcast<u32>(sum), finite));
}

// The keys that a tile of `rows` query rows sees: first, counted in whole blocks from the text's start, and the one after
// the last.
fn key_range(tile: vec4<u32>, rows: u32, block: u32) -> vec2<u32> {
    if !has_window {
        return tile.yz;
    }
    let offset = tile.x - tile.y;
    let first = tile.y + (offset - min(offset, params.window)) / block * block;
    return vec2(first, min(tile.z, tile.x + rows + params.window));
}
