// Elementwise functions, four lanes at a time. `activation` is an index into `Activation`, 0 for none.

override activation: u32 = 0u;

// exp of a value that is never positive cannot overflow: every function below only ever needs that one.
fn exp_negative(x: vec4<f32>) -> vec4<f32> {
    return exp(max(x, vec4(-87.0)));
}

// erf within one unit in the last place of f32. Two polynomials that meet at 0.927734375, by N. Juffa
// (https://stackoverflow.com/a/35148199, BSD-2-Clause); WGSL has no erf, and the well-known 7.1.26 of Abramowitz and
// Stegun is off by 1.5e-7.
fn erf(x: vec4<f32>) -> vec4<f32> {
    let t = min(abs(x), vec4(4.0));
    let s = t * t;

    var tail = fma(vec4(-1.72853470e-5), t, vec4(3.83197126e-4));
    let u = fma(vec4(-3.88396438e-3), t, vec4(2.42546219e-2));
    tail = fma(tail, s, u);
    tail = fma(tail, t, vec4(-1.06777877e-1));
    tail = fma(tail, t, vec4(-6.34846687e-1));
    tail = fma(tail, t, vec4(-1.28717512e-1));
    tail = fma(tail, t, -t);
    tail = 1.0 - exp_negative(tail);

    var near = fma(vec4(-5.96761703e-4), s, vec4(4.99119423e-3));
    near = fma(near, s, vec4(-2.67681349e-2));
    near = fma(near, s, vec4(1.12819925e-1));
    near = fma(near, s, vec4(-3.76125336e-1));
    near = fma(near, s, vec4(1.28379166e-1));
    near = fma(near, t, t);

    return sign(x) * select(near, tail, t > vec4(0.927734375));
}

// The builtin tanh is NaN for large values on some drivers. Near zero 1 - e loses digits, so a polynomial takes over
// (Cephes tanhf).
fn tanh_guarded(x: vec4<f32>) -> vec4<f32> {
    let e = exp_negative(-2.0 * abs(x));
    let far = sign(x) * (1.0 - e) / (1.0 + e);
    let z = x * x;
    var near = fma(vec4(-5.70498872745e-3), z, vec4(2.06390887954e-2));
    near = fma(near, z, vec4(-5.37397155531e-2));
    near = fma(near, z, vec4(1.33314422036e-1));
    near = fma(near, z, vec4(-3.33332819422e-1));
    near = fma(near * z, x, x);
    return select(far, near, abs(x) < vec4(0.625));
}

fn sigmoid(x: vec4<f32>) -> vec4<f32> {
    let e = exp_negative(-abs(x));
    return select(e, vec4(1.0), x >= vec4(0.0)) / (1.0 + e);
}

// The result for x, NaN where x is NaN, which maxima, comparisons and sign() lose. By bits: a compiler may take it that
// there is no NaN.
fn keep_nan(x: vec4<f32>, result: vec4<f32>) -> vec4<f32> {
    return select(result, x, (bitcast<vec4<u32>>(x) & vec4(0x7fffffffu)) > vec4(0x7f800000u));
}

fn activate(x: vec4<f32>) -> vec4<f32> {
    switch activation {
        case 1u: { // Gelu
            return 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
        }
        case 2u: { // GeluTanh
            return 0.5 * x * (1.0 + tanh_guarded(0.79788456080286536 * fma(0.044715 * x * x, x, x)));
        }
        case 3u: { // Relu
            return keep_nan(x, max(x, vec4(0.0)));
        }
        case 4u: { // Silu
            return x * sigmoid(x);
        }
        case 5u: { // QuickGelu
            return x * sigmoid(1.702 * x);
        }
        case 6u: { // Tanh
            return keep_nan(x, tanh_guarded(x));
        }
        case 7u: { // Sigmoid
            return keep_nan(x, sigmoid(x));
        }
        case 8u: { // Mish: from 20 on it is x, and e^x would overflow
            let e = exp(min(x, vec4(20.0)));
            let n = e * (e + 2.0);
            return select(x * (n / (n + 2.0)), x, x > vec4(20.0));
        }
        case 9u: { // Relu6
            return clamp(x, vec4(0.0), vec4(6.0));
        }
        case 10u: { // LeakyRelu
            return select(x, 0.01 * x, x < vec4(0.0));
        }
        case 11u: { // Laplace
            return 0.5 * (1.0 + erf((x - 0.707107) / (0.282095 * 1.41421356237309505)));
        }
        case 12u: { // Relu2
            let positive = max(x, vec4(0.0));
            return positive * positive;
        }
        default: {
            return x;
        }
    }
}
