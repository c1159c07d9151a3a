// What LayerNorms of adapters with cooperative matrices share: the norm of a row whose values lie in `out`, there and as f16 in `halves`.
// The kernel declares these, its parameters, `scale`, `shift` and `has_shift`.

// `sum` is that of the values that this invocation wrote; the row starts at group of four `base` and has `vecs` of them.
fn normalise(sum: f32, base: u32, vecs: u32, lane: u32) {
    let mean = workgroup_sum(sum, lane) / f32(params.cols);

    var squares = 0.0;
    for (var c = lane; c < vecs; c += workgroup_size) {
        let difference = out[base + c] - vec4(mean);
        squares += dot(difference, difference);
    }
    let deviation = sqrt(workgroup_sum(squares, lane) / f32(params.cols) + params.eps);

    for (var c = lane; c < vecs; c += workgroup_size) {
        var value = (out[base + c] - vec4(mean)) / deviation * scale[c];
        if has_shift {
            value += shift[c];
        }
        out[base + c] = value;
        halves[base + c] = vec4<f16>(value);
    }
}
