// What the SIDE invocations of a row of attention have to say to each other, through workgroup memory: `tell` before a barrier, the others
// after it, and a barrier before the next `tell`.

var<workgroup> by_lane: array<f32, TILE * SIDE>;

fn tell(row: u32, column: u32, value: f32) {
    by_lane[row * SIDE + column] = value;
}

// The largest of what a row's invocations have told; `value` is what this one did.
fn row_max(row: u32, value: f32) -> f32 {
    var largest = by_lane[row * SIDE];
    for (var c = 1u; c < SIDE; c++) {
        largest = max(largest, by_lane[row * SIDE + c]);
    }
    return largest;
}

// Likewise the sum.
fn row_sum(row: u32, value: f32) -> f32 {
    var sum = 0.0;
    for (var c = 0u; c < SIDE; c++) {
        sum += by_lane[row * SIDE + c];
    }
    return sum;
}
