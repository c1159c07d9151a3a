// LayerNorm of rows that are sums of others, for GPUs, where the width is a multiple of four and at most 16 numbers an invocation: memory
// is read once and written once.
//
// One workgroup a row, which stays in registers: four vectors an invocation, written out, since what a loop walks through may lie in
// memory. Sums are f32, a lane's first; the variance is taken around the mean in a second pass. What goes before says what a row is
// (`is_here`, `read_row`), with its parameters, `scale`, `shift` and `has_shift`, and where it goes (`write_row`).

fn norm(difference: vec4<f32>, deviation: f32, c: u32) -> vec4<f32> {
    let value = difference / deviation * scale[c];
    if has_shift {
        return value + shift[c];
    }
    return value;
}

@compute @workgroup_size(workgroup_size)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.x;
    if !is_here(row) {
        return;
    }
    let vecs = params.cols / 4u;
    let c0 = lane;
    let c1 = c0 + workgroup_size;
    let c2 = c1 + workgroup_size;
    let c3 = c2 + workgroup_size;
    var v0 = vec4<f32>();
    var v1 = vec4<f32>();
    var v2 = vec4<f32>();
    var v3 = vec4<f32>();
    if c0 < vecs {
        v0 = read_row(row, vecs, c0);
    }
    if c1 < vecs {
        v1 = read_row(row, vecs, c1);
    }
    if c2 < vecs {
        v2 = read_row(row, vecs, c2);
    }
    if c3 < vecs {
        v3 = read_row(row, vecs, c3);
    }
    let mean = workgroup_sum(dot(v0 + v1 + v2 + v3, vec4(1.0)), lane) / f32(params.cols);

    var squares = 0.0;
    if c0 < vecs {
        v0 -= vec4(mean);
        squares += dot(v0, v0);
    }
    if c1 < vecs {
        v1 -= vec4(mean);
        squares += dot(v1, v1);
    }
    if c2 < vecs {
        v2 -= vec4(mean);
        squares += dot(v2, v2);
    }
    if c3 < vecs {
        v3 -= vec4(mean);
        squares += dot(v3, v3);
    }
    let deviation = sqrt(workgroup_sum(squares, lane) / f32(params.cols) + params.eps);

    let base = row * vecs;
    if c0 < vecs {
        write_row(base + c0, norm(v0, deviation, c0));
    }
    if c1 < vecs {
        write_row(base + c1, norm(v1, deviation, c1));
    }
    if c2 < vecs {
        write_row(base + c2, norm(v2, deviation, c2));
    }
    if c3 < vecs {
        write_row(base + c3, norm(v3, deviation, c3));
    }
}
