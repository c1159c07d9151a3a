// The sum of one value of each invocation of a workgroup, in f32, as a tree: the same order every time.

override workgroup_size: u32 = 64u; // a power of two

var<workgroup> partial_sums: array<f32, workgroup_size>;

fn workgroup_sum(value: f32, lane: u32) -> f32 {
    workgroupBarrier(); // an earlier sum may still be read
    partial_sums[lane] = value;
    for (var half = workgroup_size / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial_sums[lane] += partial_sums[lane + half];
        }
    }
    workgroupBarrier();
    return partial_sums[0];
}
