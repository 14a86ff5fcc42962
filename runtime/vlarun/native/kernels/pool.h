// POOL: the largest of a window, or its average.
#pragma once

#include "memory.h"
#include "vectors.h"

struct Pool {
  Region in, out;
  int64_t block, blocks, channels, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int64_t average, in_zero, rounding, zero, lo, hi;
  const int64_t* record;  // mult, shift of each output pixel
};

namespace {

// Rows or pixels of a window that lie inside the input: from `first` to before `last`.
inline void inside(int64_t o, int64_t stride, int64_t pad, int64_t kernel, int64_t size, int64_t& first, int64_t& last) {
  first = std::max<int64_t>(0, o * stride - pad), last = std::min(size, o * stride - pad + kernel);
}

void run_pool(const Pool& p, const Memory& m) {
  const int64_t B = p.block;
  for (int64_t n = 0; n < m.count; ++n) {
    int8_t* act = m.act + n * m.act_bytes;
    for (int64_t oy = 0; oy < p.out_h; ++oy)
      for (int64_t b = 0; b < p.blocks; ++b)
        for (int64_t ox = 0; ox < p.out_w; ++ox) {
          int64_t y0, y1, x0, x1;
          inside(oy, p.stride_h, p.pad_top, p.kernel_h, p.in_h, y0, y1);
          inside(ox, p.stride_w, p.pad_left, p.kernel_w, p.in_w, x0, x1);
          Byte best = Byte{} + int8_t(-128);
          int32_t sum[kLanes] = {};
          for (int64_t y = y0; y < y1; ++y) {
            const int8_t* in = act + row_of(p.in, y) + b * p.in.pitch;
            for (int64_t x = x0; x < x1; ++x) {
              if (p.average) {
                for (int64_t l = 0; l < B; ++l) sum[l] += in[x * B + l] - int32_t(p.in_zero);
                continue;
              }
              Byte other = best;
              if (B == kLanes) other = loaded<Byte>(in + x * B);
              else std::memcpy(&other, in + x * B, 8);
              best = best > other ? best : other;
            }
          }
          int8_t* out = act + row_of(p.out, oy) + b * p.out.pitch + ox * B;
          const int64_t* r = p.record + 2 * (oy * p.out_w + ox);
          for (int64_t l = 0; l < B; ++l) {
            int64_t q = best[l];
            if (p.average) q = std::min(std::max(round_shift(sum[l] * r[0], r[1], p.rounding) + p.zero, p.lo), p.hi);
            out[l] = b * B + l < p.channels ? int8_t(q) : int8_t(p.zero);
          }
        }
  }
}

}  // namespace
