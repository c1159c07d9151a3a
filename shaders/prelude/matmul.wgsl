// What every matmul kernel shares: its parameters, and what happens to a finished sum.

override has_bias: bool = false;
override has_residual: bool = false;

struct Params {
    rows: u32,
    k: u32,       // width of x
    n: u32,       // width of out
    first: u32,   // first column of this slice of the weight
    columns: u32, // columns of this slice
    stride: u32,  // vec4s per row of the slice
}

@group(0) @binding(0) var<uniform> params: Params;

// Ends four columns of the slice, from `local` on, a multiple of four. Rows and columns past the end are dropped.
fn finish(row: u32, local: u32, sums: vec4<f32>) {
    if row >= params.rows || local >= params.columns {
        return;
    }
    let column = params.first + local;
    let base = row * params.n;
    var value = sums;
    if has_bias {
        value += bias4(column, params.n);
    }
    value = activate(value);
    if has_residual {
        value += residual4(base, column, params.n);
    }
    store4(base, column, params.n, value);
}
