// The sum of one value of each invocation of a workgroup, in f32, in the same order every time: of eight neighbours, which share a
// subgroup, then of those sums. One barrier, where prelude/workgroup_sum.wgsl has two.

override workgroup_size: u32 = 64u; // at most 256

const MOST_OCTETS = 32u;

var<workgroup> octet_sums: array<f32, 2u * MOST_OCTETS>;
// Every other call writes to the other half.
var<private> half_of_octets: u32 = 0u;

// May be called again at once: what the call after the next overwrites was read before the next one's barrier.
fn workgroup_sum(value: f32, lane: u32) -> f32 {
    let first = half_of_octets * MOST_OCTETS;
    half_of_octets = 1u - half_of_octets;
    let own = octet_sum(value);
    if lane % 8u == 0u {
        octet_sums[first + lane / 8u] = own;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < workgroup_size / 8u; i++) {
        sum += octet_sums[first + i];
    }
    return sum;
}
