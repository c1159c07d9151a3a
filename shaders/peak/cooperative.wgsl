// peak/cooperative: multiply-adds of cooperative matrices and nothing else, to know what tensor cores can do at most.
//
// A workgroup of SUBGROUPS subgroups shares `params.rounds` times SUBGROUPS rounds; a round is eight independent multiply-adds
// of SIDE by SIDE, f16 in and f32 out, from registers. What they add up to is written so that no compiler drops the work.

struct Params {
    rounds: u32,
    /// Read at run time, so that the products are not known when the shader is compiled.
    factor: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// [workgroups]
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

override workgroup_size: u32 = 256;

const SUBGROUPS = 8u;
const SQUARE = SIDE * SIDE;

var<workgroup> operands: array<f16, SQUARE>;
var<workgroup> results: array<f32, SUBGROUPS * SQUARE>;

@compute @workgroup_size(workgroup_size)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup_id: u32,
    @builtin(num_subgroups) subgroups: u32,
) {
    for (var i = lane; i < SQUARE; i += workgroup_size) {
        operands[i] = f16(params.factor / f32(SIDE));
    }
    workgroupBarrier();
    let a = coopLoadT<MatrixA>(&operands[0], SIDE);
    let b = coopLoadT<MatrixB>(&operands[0], SIDE);
    var c0 = MatrixC();
    var c1 = MatrixC();
    var c2 = MatrixC();
    var c3 = MatrixC();
    var c4 = MatrixC();
    var c5 = MatrixC();
    var c6 = MatrixC();
    var c7 = MatrixC();
    for (var round = subgroup_id; round < params.rounds * SUBGROUPS; round += subgroups) {
        c0 = coopMultiplyAdd(a, b, c0);
        c1 = coopMultiplyAdd(a, b, c1);
        c2 = coopMultiplyAdd(a, b, c2);
        c3 = coopMultiplyAdd(a, b, c3);
        c4 = coopMultiplyAdd(a, b, c4);
        c5 = coopMultiplyAdd(a, b, c5);
        c6 = coopMultiplyAdd(a, b, c6);
        c7 = coopMultiplyAdd(a, b, c7);
    }
    // One after another through the same place: Metal's matrices cannot be added.
    let own = subgroup_id % SUBGROUPS * SQUARE;
    var sum = 0.0;
    coopStoreT(c0, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c1, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c2, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c3, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c4, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c5, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c6, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    coopStoreT(c7, &results[own], SIDE);
    workgroupBarrier();
    sum += results[0] + results[SQUARE];
    workgroupBarrier();
    if lane == 0u && group.x < arrayLength(&sums) {
        sums[group.x] = sum;
    }
}
