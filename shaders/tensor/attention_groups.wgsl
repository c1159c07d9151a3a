// A tensor attention's workgroup memory where its elements are groups of four values.

fn put_operand(at: u32, four: vec4<f16>) {
    operands[at] = four;
}

fn put_probability(at: u32, four: vec4<f16>) {
    probabilities[at] = four;
}

fn score_at(at: u32) -> vec4<f32> {
    return scores[at];
}
