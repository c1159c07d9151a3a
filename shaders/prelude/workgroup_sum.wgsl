// The sum of one value of each invocation of a workgroup, in f32, in the same order every time: of every eighth value, then of those
// eight. Two barriers, where a tree by halves has one a level.

override workgroup_size: u32 = 64u; // a multiple of STRIPS

const STRIPS = 8u;

var<workgroup> partial_sums: array<f32, workgroup_size>;
var<workgroup> strip_sums: array<f32, STRIPS>;

// May be called again at once: whoever writes has passed a barrier that comes after the last read of what it overwrites.
fn workgroup_sum(value: f32, lane: u32) -> f32 {
    partial_sums[lane] = value;
    workgroupBarrier();
    if lane < STRIPS {
        var sum = 0.0;
        for (var i = lane; i < workgroup_size; i += STRIPS) {
            sum += partial_sums[i];
        }
        strip_sums[lane] = sum;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < STRIPS; i++) {
        sum += strip_sums[i];
    }
    return sum;
}
