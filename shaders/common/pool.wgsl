// Pools the tokens of each text into columns `column ..` of out.
//
// One invocation a text and column, neighbours along the columns; one text a workgroup in y. Sums over the tokens in
// order, in f32, in chunks of CHUNK tokens: rounding errors grow with the length of a running sum. Tokens before the
// second number of a span (a prompt's) are left out of sums and maxima, but count as places for weightedmean, and cls
// is the text's first token all the same, as in sentence-transformers. Where x has a row a text (`per_text`, the
// pooler's output) that row is copied.

override workgroup_size: u32 = 64u;
override pooling: u32 = 0u; // index into `Pooling`: 0 cls, 1 mean, 2 max, 3 mean_sqrt_len_tokens, 4 weightedmean, 5 lasttoken
override per_text: bool = false;

const CHUNK = 32u;

struct Params {
    rows: u32,   // texts
    cols: u32,   // width of x
    stride: u32, // width of out
    column: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> spans: array<vec4<u32>>; // [rows]: first row, first row pooled, end
@group(0) @binding(2) var<storage, read> x: array<f32>;          // [tokens or rows, cols]
@group(0) @binding(3) var<storage, read_write> out: array<f32>;  // [rows, stride]

@compute @workgroup_size(workgroup_size)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= params.cols {
        return;
    }
    let text = id.y;
    let span = select(spans[text], vec4<u32>(text, text, text + 1u, 0u), per_text);
    let begin = span.x;
    let first = span.y;
    let end = span.z;
    var result = 0.0;
    switch pooling {
        case 2u: {
            result = x[first * params.cols + id.x];
            // max drops NaN, which must show; by bits, since a compiler may take it that there is none.
            var largest_bits = 0u;
            for (var row = first; row < end; row++) {
                let value = x[row * params.cols + id.x];
                result = max(result, value);
                largest_bits = max(largest_bits, bitcast<u32>(value) & 0x7fffffffu);
            }
            result = bitcast<f32>(select(bitcast<u32>(result), largest_bits, largest_bits > 0x7f800000u));
        }
        case 1u, 3u, 4u: {
            let count = f32(end - first);
            for (var start = first; start < end; start += CHUNK) {
                var sum = 0.0;
                for (var row = start; row < min(start + CHUNK, end); row++) {
                    let weight = select(1.0, f32(row - begin + 1u), pooling == 4u);
                    sum = fma(weight, x[row * params.cols + id.x], sum);
                }
                result += sum;
            }
            if pooling == 1u {
                result /= count;
            } else if pooling == 3u {
                result /= sqrt(count);
            } else {
                // The sum of the places first + 1, ..., end, counted from the text's start.
                result /= count * f32(first - begin + 1u + end - begin) * 0.5;
            }
        }
        case 5u: {
            result = x[(end - 1u) * params.cols + id.x];
        }
        default: {
            result = x[begin * params.cols + id.x];
        }
    }
    out[text * params.stride + params.column + id.x] = result;
}
