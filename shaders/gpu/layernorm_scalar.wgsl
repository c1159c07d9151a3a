// Ends a row of a norm at widths that gpu/layernorm.wgsl does not take: its values are in `out`, from `base` on, and `own_sum` is the sum of
// those that this invocation wrote, which are all that it reads back. Sums are f32, lane by lane and then of the lanes; the variance is
// taken around the mean in a second pass.
fn normalize(base: u32, own_sum: f32, lane: u32) {
    let cols = params.cols;
    let mean = workgroup_sum(own_sum, lane) / f32(cols);

    var sum = 0.0;
    for (var c = lane; c < cols; c += workgroup_size) {
        let difference = out[base + c] - mean;
        sum += difference * difference;
    }
    let deviation = sqrt(workgroup_sum(sum, lane) / f32(cols) + params.eps);

    for (var c = lane; c < cols; c += workgroup_size) {
        var value = (out[base + c] - mean) / deviation * scale[c];
        if has_shift {
            value += shift[c];
        }
        out[base + c] = value;
    }
}
