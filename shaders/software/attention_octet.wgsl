// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters that run on a CPU with
// subgroups of eight or more (lavapipe). Heads' widths are multiples of eight.
//
// A workgroup is eight invocations of one subgroup and one tile of 32 rows of one text and one head; an invocation has four of
// the rows. As in matmul_octet.wgsl loads are what costs: an invocation reads one key or value of eight and broadcasts it.
//
// The softmax is online: BLOCK keys at a time, whose scores and then probabilities an invocation keeps for its rows; running
// maximum, sum and output are rescaled when a block raises the maximum. Blocks are counted from the text's start, so a row's
// bits depend on its text alone. No barriers. All sums are f32.

const LANES = 8u;
const TILE = 32u; // rows, spelled out below

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let tile = tiles[group.x];
    let head = group.y;
    let head_dim = params.head_dim;
    let inner = params.heads * head_dim;
    let end = tile.z;
    let keys = key_range(tile, TILE, BLOCK);
    let first = keys.x;
    let last = keys.y;

    // Rows past the text's end repeat its last one; nobody stores them.
    let query0 = min(tile.x + lane, end - 1u);
    let query1 = min(tile.x + 8u + lane, end - 1u);
    let query2 = min(tile.x + 16u + lane, end - 1u);
    let query3 = min(tile.x + 24u + lane, end - 1u);
    let q0 = query0 * 3u * inner + head * head_dim;
    let q1 = query1 * 3u * inner + head * head_dim;
    let q2 = query2 * 3u * inner + head * head_dim;
    let q3 = query3 * 3u * inner + head * head_dim;
    var largest = vec4(MASKED);
    var sum = vec4(0.0);

    for (var start = first; start < last; start += BLOCK) {
        let stop = min(start + BLOCK, last);
        var new_largest = largest;
        for (var j = start; j < stop; j += 8u) {
            let own = min(j + lane, end - 1u) * 3u * inner + inner + head * head_dim;
            var near0 = vec4(0.0); var far0 = vec4(0.0);
            var near1 = vec4(0.0); var far1 = vec4(0.0);
            var near2 = vec4(0.0); var far2 = vec4(0.0);
            var near3 = vec4(0.0); var far3 = vec4(0.0);
            for (var d = 0u; d * 4u < head_dim; d++) {
                let k = load4(own, d, head_dim);
                let k0 = subgroupBroadcast(k, 0u);
                let k1 = subgroupBroadcast(k, 1u);
                let k2 = subgroupBroadcast(k, 2u);
                let k3 = subgroupBroadcast(k, 3u);
                let k4 = subgroupBroadcast(k, 4u);
                let k5 = subgroupBroadcast(k, 5u);
                let k6 = subgroupBroadcast(k, 6u);
                let k7 = subgroupBroadcast(k, 7u);
                let x0 = load4(q0, d, head_dim);
                near0 += vec4(dot(x0, k0), dot(x0, k1), dot(x0, k2), dot(x0, k3));
                far0 += vec4(dot(x0, k4), dot(x0, k5), dot(x0, k6), dot(x0, k7));
                let x1 = load4(q1, d, head_dim);
                near1 += vec4(dot(x1, k0), dot(x1, k1), dot(x1, k2), dot(x1, k3));
                far1 += vec4(dot(x1, k4), dot(x1, k5), dot(x1, k6), dot(x1, k7));
                let x2 = load4(q2, d, head_dim);
                near2 += vec4(dot(x2, k0), dot(x2, k1), dot(x2, k2), dot(x2, k3));
                far2 += vec4(dot(x2, k4), dot(x2, k5), dot(x2, k6), dot(x2, k7));
                let x3 = load4(q3, d, head_dim);
                near3 += vec4(dot(x3, k0), dot(x3, k1), dot(x3, k2), dot(x3, k3));
                far3 += vec4(dot(x3, k4), dot(x3, k5), dot(x3, k6), dot(x3, k7));
            }
            let at = j - start;
            let near = vec4(j) + vec4(0u, 1u, 2u, 3u);
            let far = near + 4u;
            let n0 = keep(at, near0, query0, near, end, head);
            let f0 = keep(at + 4u, far0, query0, far, end, head);
            new_largest.x = max(new_largest.x, max(n0, f0));
            let n1 = keep(at + 1u, near1, query1, near, end, head);
            let f1 = keep(at + 5u, far1, query1, far, end, head);
            new_largest.y = max(new_largest.y, max(n1, f1));
            let n2 = keep(at + 2u, near2, query2, near, end, head);
            let f2 = keep(at + 6u, far2, query2, far, end, head);
            new_largest.z = max(new_largest.z, max(n2, f2));
            let n3 = keep(at + 3u, near3, query3, near, end, head);
            let f3 = keep(at + 7u, far3, query3, far, end, head);
            new_largest.w = max(new_largest.w, max(n3, f3));
        }

        let rescale = exp(max(largest - new_largest, vec4(-87.0)));
        largest = new_largest;
        sum *= rescale;
        // Whole eights, as they were kept.
        for (var at = 0u; at < (stop - start + 7u) / 8u * 8u; at += 4u) {
            sum += vec4(
                exponentials(at, largest.x),
                exponentials(at + 1u, largest.y),
                exponentials(at + 2u, largest.z),
                exponentials(at + 3u, largest.w),
            );
        }

        let is_last = start + BLOCK >= last;
        let divisor = select(vec4(1.0), denominators(sum, largest), is_last);
        let out0 = query0 * inner + head * head_dim;
        let out1 = query1 * inner + head * head_dim;
        let out2 = query2 * inner + head * head_dim;
        let out3 = query3 * inner + head * head_dim;
        for (var d = 0u; d * 4u < head_dim; d += 2u) {
            // Eight columns of the output of each row.
            var a0 = vec4(0.0); var b0 = vec4(0.0);
            var a1 = vec4(0.0); var b1 = vec4(0.0);
            var a2 = vec4(0.0); var b2 = vec4(0.0);
            var a3 = vec4(0.0); var b3 = vec4(0.0);
            if start > first {
                a0 = rescale.x * load_out4(out0, d, head_dim);
                b0 = rescale.x * load_out4(out0, d + 1u, head_dim);
                a1 = rescale.y * load_out4(out1, d, head_dim);
                b1 = rescale.y * load_out4(out1, d + 1u, head_dim);
                a2 = rescale.z * load_out4(out2, d, head_dim);
                b2 = rescale.z * load_out4(out2, d + 1u, head_dim);
                a3 = rescale.w * load_out4(out3, d, head_dim);
                b3 = rescale.w * load_out4(out3, d + 1u, head_dim);
            }
            for (var at = 0u; at < stop - start; at += 8u) {
                let own = min(start + at + lane, end - 1u) * 3u * inner + 2u * inner + head * head_dim;
                let near0 = scores[at]; let far0 = scores[at + 4u];
                let near1 = scores[at + 1u]; let far1 = scores[at + 5u];
                let near2 = scores[at + 2u]; let far2 = scores[at + 6u];
                let near3 = scores[at + 3u]; let far3 = scores[at + 7u];
                let va = load4(own, d, head_dim);
                let av0 = subgroupBroadcast(va, 0u);
                let av1 = subgroupBroadcast(va, 1u);
                let av2 = subgroupBroadcast(va, 2u);
                let av3 = subgroupBroadcast(va, 3u);
                let av4 = subgroupBroadcast(va, 4u);
                let av5 = subgroupBroadcast(va, 5u);
                let av6 = subgroupBroadcast(va, 6u);
                let av7 = subgroupBroadcast(va, 7u);
                a0 = weighted(near0, av0, av1, av2, av3, a0);
                a0 = weighted(far0, av4, av5, av6, av7, a0);
                a1 = weighted(near1, av0, av1, av2, av3, a1);
                a1 = weighted(far1, av4, av5, av6, av7, a1);
                a2 = weighted(near2, av0, av1, av2, av3, a2);
                a2 = weighted(far2, av4, av5, av6, av7, a2);
                a3 = weighted(near3, av0, av1, av2, av3, a3);
                a3 = weighted(far3, av4, av5, av6, av7, a3);
                let vb = load4(own, d + 1u, head_dim);
                let bv0 = subgroupBroadcast(vb, 0u);
                let bv1 = subgroupBroadcast(vb, 1u);
                let bv2 = subgroupBroadcast(vb, 2u);
                let bv3 = subgroupBroadcast(vb, 3u);
                let bv4 = subgroupBroadcast(vb, 4u);
                let bv5 = subgroupBroadcast(vb, 5u);
                let bv6 = subgroupBroadcast(vb, 6u);
                let bv7 = subgroupBroadcast(vb, 7u);
                b0 = weighted(near0, bv0, bv1, bv2, bv3, b0);
                b0 = weighted(far0, bv4, bv5, bv6, bv7, b0);
                b1 = weighted(near1, bv0, bv1, bv2, bv3, b1);
                b1 = weighted(far1, bv4, bv5, bv6, bv7, b1);
                b2 = weighted(near2, bv0, bv1, bv2, bv3, b2);
                b2 = weighted(far2, bv4, bv5, bv6, bv7, b2);
                b3 = weighted(near3, bv0, bv1, bv2, bv3, b3);
                b3 = weighted(far3, bv4, bv5, bv6, bv7, b3);
            }
            if tile.x + lane < end {
                store4(out0, d, head_dim, a0 / divisor.x);
                store4(out0, d + 1u, head_dim, b0 / divisor.x);
            }
            if tile.x + 8u + lane < end {
                store4(out1, d, head_dim, a1 / divisor.y);
                store4(out1, d + 1u, head_dim, b1 / divisor.y);
            }
            if tile.x + 16u + lane < end {
                store4(out2, d, head_dim, a2 / divisor.z);
                store4(out2, d + 1u, head_dim, b2 / divisor.z);
            }
            if tile.x + 24u + lane < end {
                store4(out3, d, head_dim, a3 / divisor.w);
                store4(out3, d + 1u, head_dim, b3 / divisor.w);
            }
        }
    }
}
