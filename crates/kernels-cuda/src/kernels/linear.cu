// Linear layers: GELU, x times the share of a normal distribution below x, and its slope: exact, not the approximation by tanh
// (Hendrycks & Gimpel 2016, arXiv:1606.08415).
//
// Far from 0 both are at their limits, as on the host: x and 1 above, up to infinity itself, -0 and 0 below. PyTorch has NaN at
// infinities, where they meet a factor of 0. What is not a number stays so, and has no slope.

// Beyond it, the share and the density times x are at their limits, and infinity times 0 is no number.
#define FAR 1e9f

// Comparisons with what is not a number are false, so that it stays.
DEVICE float from_below(float x) { return x < -FAR ? -FAR : x; }
DEVICE float within_reach(float x) { return x > FAR ? FAR : from_below(x); }

// The share below x. Half and a half of erff would have lost its digits where they cancel: by 4 % at -5. Here the rounding of the
// argument makes 2e-5 of the value at -13; below, single precision runs out of digits, and from -14.2 on it is 0.
DEVICE float normal_below(float x) { return 0.5f * erfcf(within_reach(x) * -0.70710678f); }

DEVICE float gelu(float x) { return from_below(x) * normal_below(x); }

DEVICE float gelu_slope(float x) {
    x = within_reach(x);
    return normal_below(x) + x * (0.39894228f * expf(-0.5f * x * x));
}
