// out_i = sum over j of softmax(scale q_i k_j + bias[head, j - i]) v_j, within each text, for adapters that run on a CPU four
// invocations at a time (SwiftShader). Heads' widths are multiples of eight.
//
// A workgroup is one subgroup of four invocations and one tile of 16 rows of one text and one head. As in matmul_quad.wgsl
// loads are what costs: an invocation reads its own queries and keys, and meets those of the other three by swaps within the
// quad. It computes score (i, m) of query 4 i + (lane ^ m) and its own key, and a swap by m hands that to the query's owner.
//
// The softmax is online: BLOCK keys at a time, whose scores and then probabilities an invocation keeps for its four rows;
// running maximum, sum and output are rescaled when a block raises the maximum. Blocks are counted from the text's start, so
// a row's bits depend on its text alone. No barriers. All sums are f32.

const TILE = 16u; // rows, spelled out below

@compute @workgroup_size(4)
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
    let query1 = min(tile.x + 4u + lane, end - 1u);
    let query2 = min(tile.x + 8u + lane, end - 1u);
    let query3 = min(tile.x + 12u + lane, end - 1u);
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
            let k0 = min(j + lane, end - 1u) * 3u * inner + inner + head * head_dim;
            let k1 = min(j + 4u + lane, end - 1u) * 3u * inner + inner + head * head_dim;
            // Two keys each.
            var s00 = vec2(0.0); var s01 = vec2(0.0); var s02 = vec2(0.0); var s03 = vec2(0.0);
            var s10 = vec2(0.0); var s11 = vec2(0.0); var s12 = vec2(0.0); var s13 = vec2(0.0);
            var s20 = vec2(0.0); var s21 = vec2(0.0); var s22 = vec2(0.0); var s23 = vec2(0.0);
            var s30 = vec2(0.0); var s31 = vec2(0.0); var s32 = vec2(0.0); var s33 = vec2(0.0);
            for (var d = 0u; d * 4u < head_dim; d++) {
                let a = load4(k0, d, head_dim);
                let b = load4(k1, d, head_dim);
                let x0 = load4(q0, d, head_dim);
                s00 = products(x0, a, b, s00);
                s01 = products(quadSwapX(x0), a, b, s01);
                s02 = products(quadSwapY(x0), a, b, s02);
                s03 = products(quadSwapDiagonal(x0), a, b, s03);
                let x1 = load4(q1, d, head_dim);
                s10 = products(x1, a, b, s10);
                s11 = products(quadSwapX(x1), a, b, s11);
                s12 = products(quadSwapY(x1), a, b, s12);
                s13 = products(quadSwapDiagonal(x1), a, b, s13);
                let x2 = load4(q2, d, head_dim);
                s20 = products(x2, a, b, s20);
                s21 = products(quadSwapX(x2), a, b, s21);
                s22 = products(quadSwapY(x2), a, b, s22);
                s23 = products(quadSwapDiagonal(x2), a, b, s23);
                let x3 = load4(q3, d, head_dim);
                s30 = products(x3, a, b, s30);
                s31 = products(quadSwapX(x3), a, b, s31);
                s32 = products(quadSwapY(x3), a, b, s32);
                s33 = products(quadSwapDiagonal(x3), a, b, s33);
            }
            // Of each row, in the order lane ^ (0, 1, 2, 3), the products of four keys and of the next four.
            let at = j - start;
            let near = vec4(j) + (vec4(lane) ^ vec4(0u, 1u, 2u, 3u));
            let far = near + 4u;
            let p0 = owned(s00, s01, s02, s03);
            let near0 = keep(at, p0.near, query0, near, end, head);
            let far0 = keep(at + 4u, p0.far, query0, far, end, head);
            new_largest.x = max(new_largest.x, max(near0, far0));
            let p1 = owned(s10, s11, s12, s13);
            let near1 = keep(at + 1u, p1.near, query1, near, end, head);
            let far1 = keep(at + 5u, p1.far, query1, far, end, head);
            new_largest.y = max(new_largest.y, max(near1, far1));
            let p2 = owned(s20, s21, s22, s23);
            let near2 = keep(at + 2u, p2.near, query2, near, end, head);
            let far2 = keep(at + 6u, p2.far, query2, far, end, head);
            new_largest.z = max(new_largest.z, max(near2, far2));
            let p3 = owned(s30, s31, s32, s33);
            let near3 = keep(at + 3u, p3.near, query3, near, end, head);
            let far3 = keep(at + 7u, p3.far, query3, far, end, head);
            new_largest.w = max(new_largest.w, max(near3, far3));
        }

        let rescale = exp(max(largest - new_largest, vec4(-87.0)));
        largest = new_largest;
        sum *= rescale;
        for (var at = 0u; at < stop - start; at += 4u) {
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
            var a0 = vec4(0.0); var a1 = vec4(0.0); var a2 = vec4(0.0); var a3 = vec4(0.0);
            var b0 = vec4(0.0); var b1 = vec4(0.0); var b2 = vec4(0.0); var b3 = vec4(0.0);
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
            for (var at = 0u; at < stop - start; at += 4u) {
                let value = min(start + at + lane, end - 1u) * 3u * inner + 2u * inner + head * head_dim;
                let p0 = scores[at];
                let p1 = scores[at + 1u];
                let p2 = scores[at + 2u];
                let p3 = scores[at + 3u];
                let a = load4(value, d, head_dim);
                let ax = quadSwapX(a);
                let ay = quadSwapY(a);
                let ad = quadSwapDiagonal(a);
                a0 = weighted(p0, a, ax, ay, ad, a0);
                a1 = weighted(p1, a, ax, ay, ad, a1);
                a2 = weighted(p2, a, ax, ay, ad, a2);
                a3 = weighted(p3, a, ax, ay, ad, a3);
                let b = load4(value, d + 1u, head_dim);
                let bx = quadSwapX(b);
                let by = quadSwapY(b);
                let bd = quadSwapDiagonal(b);
                b0 = weighted(p0, b, bx, by, bd, b0);
                b1 = weighted(p1, b, bx, by, bd, b1);
                b2 = weighted(p2, b, bx, by, bd, b2);
                b3 = weighted(p3, b, bx, by, bd, b3);
            }
            if tile.x + lane < end {
                store4(out0, d, head_dim, a0 / divisor.x);
                store4(out0, d + 1u, head_dim, b0 / divisor.x);
            }
            if tile.x + 4u + lane < end {
                store4(out1, d, head_dim, a1 / divisor.y);
                store4(out1, d + 1u, head_dim, b1 / divisor.y);
            }
            if tile.x + 8u + lane < end {
                store4(out2, d, head_dim, a2 / divisor.z);
                store4(out2, d + 1u, head_dim, b2 / divisor.z);
            }
            if tile.x + 12u + lane < end {
                store4(out3, d, head_dim, a3 / divisor.w);
                store4(out3, d + 1u, head_dim, b3 / divisor.w);
            }
        }
    }
}

// sums + (x a, x b), by components as in matmul_quad.wgsl.
fn products(x: vec4<f32>, a: vec4<f32>, b: vec4<f32>, sums: vec2<f32>) -> vec2<f32> {
    return vec2(
        fma(x.w, a.w, fma(x.z, a.z, fma(x.y, a.y, fma(x.x, a.x, sums.x)))),
        fma(x.w, b.w, fma(x.z, b.z, fma(x.y, b.y, fma(x.x, b.x, sums.y)))),
    );
}

struct Owned {
    near: vec4<f32>,
    far: vec4<f32>,
}

// What the quad computed of this invocation's query.
fn owned(s0: vec2<f32>, s1: vec2<f32>, s2: vec2<f32>, s3: vec2<f32>) -> Owned {
    let x = quadSwapX(s1);
    let y = quadSwapY(s2);
    let d = quadSwapDiagonal(s3);
    return Owned(vec4(s0.x, x.x, y.x, d.x), vec4(s0.y, x.y, y.y, d.y));
}
