//! Splits interleaved pixels into three planes, block by block, so that a formula over a pixel's channels is a plain
//! loop.

/// Pixels per block: enough that the compiler vectorizes a loop over them instead of unrolling it.
pub(crate) const LANES: usize = 128;

const BLOCK: usize = 3 * LANES;

/// The channels of `LANES` pixels.
pub(crate) struct Planes {
    pub(crate) r: [u8; LANES],
    pub(crate) g: [u8; LANES],
    pub(crate) b: [u8; LANES],
}

impl Planes {
    #[inline(always)]
    fn split(block: &[u8; BLOCK]) -> Self {
        let mut planes = Self { r: [0; LANES], g: [0; LANES], b: [0; LANES] };
        for i in 0..LANES {
            planes.r[i] = block[3 * i];
            planes.g[i] = block[3 * i + 1];
            planes.b[i] = block[3 * i + 2];
        }
        planes
    }

    #[inline(always)]
    fn join(&self, block: &mut [u8; BLOCK]) {
        for i in 0..LANES {
            block[3 * i] = self.r[i];
            block[3 * i + 1] = self.g[i];
            block[3 * i + 2] = self.b[i];
        }
    }
}

/// Applies `change` to every pixel of `rgb`, block by block; the last block is padded with black.
#[inline(always)]
pub(crate) fn change_pixels(rgb: &mut [u8], change: impl Fn(&mut Planes)) {
    let (blocks, rest) = rgb.as_chunks_mut::<BLOCK>();
    for block in blocks {
        let mut planes = Planes::split(block);
        change(&mut planes);
        planes.join(block);
    }
    if !rest.is_empty() {
        let mut block = [0; BLOCK];
        block[..rest.len()].copy_from_slice(rest);
        let mut planes = Planes::split(&block);
        change(&mut planes);
        planes.join(&mut block);
        rest.copy_from_slice(&block[..rest.len()]);
    }
}

/// The sum of `measure` over the pixels of `rgb`. `measure` must return 0 for black.
#[inline(always)]
pub(crate) fn sum_pixels(rgb: &[u8], measure: impl Fn(u8, u8, u8) -> u32) -> u64 {
    let (blocks, rest) = rgb.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    last[..rest.len()].copy_from_slice(rest);
    let mut total = 0;
    for block in blocks {
        total += sum_block(block, &measure);
    }
    total + sum_block(&last, &measure)
}

#[inline(always)]
fn sum_block(block: &[u8; BLOCK], measure: &impl Fn(u8, u8, u8) -> u32) -> u64 {
    let planes = Planes::split(block);
    let mut sum = 0;
    for i in 0..LANES {
        sum += measure(planes.r[i], planes.g[i], planes.b[i]);
    }
    u64::from(sum)
}
