// Linear layers: GELU, exact, and its slope.

// The share of a normal distribution below x.
DEVICE float normal_below(float x) { return 0.5f + 0.5f * erff(x * 0.70710678f); }

DEVICE float gelu(float x) { return x * normal_below(x); }

DEVICE float gelu_slope(float x) { return normal_below(x) + x * (0.39894228f * expf(-0.5f * x * x)); }
