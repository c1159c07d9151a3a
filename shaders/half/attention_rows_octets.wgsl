// What the SIDE invocations of a row of attention have to say to each other, where they are neighbours in a subgroup: no memory is needed.
// The functions are those of gpu/attention_rows.wgsl.

fn tell(row: u32, column: u32, value: f32) {}

fn row_max(row: u32, value: f32) -> f32 {
    var largest = max(value, subgroupShuffleXor(value, 1u));
    largest = max(largest, subgroupShuffleXor(largest, 2u));
    return max(largest, subgroupShuffleXor(largest, 4u));
}

fn row_sum(row: u32, value: f32) -> f32 {
    return octet_sum(value);
}
