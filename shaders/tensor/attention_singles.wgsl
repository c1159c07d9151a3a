// A tensor attention's workgroup memory where its elements are single values.

fn put_operand(at: u32, four: vec4<f16>) {
    operands[4u * at] = four.x;
    operands[4u * at + 1u] = four.y;
    operands[4u * at + 2u] = four.z;
    operands[4u * at + 3u] = four.w;
}

fn put_probability(at: u32, four: vec4<f16>) {
    probabilities[4u * at] = four.x;
    probabilities[4u * at + 1u] = four.y;
    probabilities[4u * at + 2u] = four.z;
    probabilities[4u * at + 3u] = four.w;
}

fn score_at(at: u32) -> vec4<f32> {
    return vec4(scores[4u * at], scores[4u * at + 1u], scores[4u * at + 2u], scores[4u * at + 3u]);
}
