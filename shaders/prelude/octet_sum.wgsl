// The sum of what eight neighbouring invocations have, which share a subgroup: in the same order whatever its size.
fn octet_sum(value: f32) -> f32 {
    var sum = value + subgroupShuffleXor(value, 1u);
    sum += subgroupShuffleXor(sum, 2u);
    return sum + subgroupShuffleXor(sum, 4u);
}
