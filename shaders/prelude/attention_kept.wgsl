// What attention kernels share that keep scores, and then probabilities, of a block of keys for four rows an invocation.

// Keys. LLVM takes seconds for code that chooses among many more kept values.
const BLOCK = 32u;

// By fours of keys, and of these by row.
var<private> scores: array<vec4<f32>, BLOCK>;

// Ends four scores of a row, keeps them, and returns the largest. `end` is the row after the text's last.
fn keep(at: u32, products: vec4<f32>, query: u32, keys: vec4<u32>, end: u32, head: u32) -> f32 {
    let values = vec4(
        finish_score(products.x, query, keys.x, head),
        finish_score(products.y, query, keys.y, head),
        finish_score(products.z, query, keys.z, head),
        finish_score(products.w, query, keys.w, head),
    );
    let kept = select(vec4(MASKED), values, keys < vec4(end));
    scores[at] = kept;
    return max(max(kept.x, kept.y), max(kept.z, kept.w));
}

// Turns four scores that are kept into probabilities but for their sum, which it returns.
fn exponentials(at: u32, largest: f32) -> f32 {
    let s = scores[at];
    let p = select(vec4(0.0), exp(max(s - largest, vec4(-87.0))), s > vec4(MASKED));
    scores[at] = p;
    return p.x + p.y + p.z + p.w;
}

fn denominators(sum: vec4<f32>, largest: vec4<f32>) -> vec4<f32> {
    return vec4(
        denominator(sum.x, largest.x),
        denominator(sum.y, largest.y),
        denominator(sum.z, largest.z),
        denominator(sum.w, largest.w),
    );
}

// sum + p0 v0 + p1 v1 + p2 v2 + p3 v3, by components: as vectors, all products would wait for all sums.
fn weighted(p: vec4<f32>, v0: vec4<f32>, v1: vec4<f32>, v2: vec4<f32>, v3: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
    return vec4(
        fma(p.w, v3.x, fma(p.z, v2.x, fma(p.y, v1.x, fma(p.x, v0.x, sum.x)))),
        fma(p.w, v3.y, fma(p.z, v2.y, fma(p.y, v1.y, fma(p.x, v0.y, sum.y)))),
        fma(p.w, v3.z, fma(p.z, v2.z, fma(p.y, v1.z, fma(p.x, v0.z, sum.z)))),
        fma(p.w, v3.w, fma(p.z, v2.w, fma(p.y, v1.w, fma(p.x, v0.w, sum.w)))),
    );
}
