// REDUCE: an item per pixel over the channels of a matrix, or a mask of the largest. RECIP: reciprocals of items.
#pragma once

#include "lanes.h"

struct Reduce {
  Matrix in, out;  // out: of a mask; items lie from its base on
  int64_t block, h, m, blocks, channels, function, wide, zero, k;
};

struct Recip {
  int64_t in_base, out_base, n, root, mult, shift, add, minus_second;
  const int64_t* rom;  // 256 entries of the function
};

namespace {

enum { kSum, kMax, kSquares, kMoments, kArgmax, kTopkMask };  // functions

// 1 for the k largest of `count` values, among equals for those of lower index; `values` are overwritten.
void put_mask(const Reduce& r, int64_t* values, int64_t count, int8_t* to) {
  for (int64_t i = 0; i < count; ++i) values[i] = -values[i] * (1 << 16) + i;
  const int64_t k = std::min(r.k, count);
  for (int64_t c = 0; c < r.blocks; ++c) std::memset(to + c * r.out.pitch, 0, r.block);
  std::nth_element(values, values + k, values + count);
  for (int64_t i = 0; i < k; ++i) {
    const int64_t channel = values[i] & 0xFFFF;
    to[channel / r.block * r.out.pitch + channel % r.block] = 1;
  }
}

// The item of `count` values, at least one.
void put_reduced(const Reduce& r, const int64_t* q, int64_t count, int8_t* to) {
  if (r.function == kMax || r.function == kArgmax) {
    const int64_t* best = std::max_element(q, q + count);
    return put_item(to, r.function == kMax ? *best : best - q);
  }
  int64_t sum = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) sum += q[i], squares += q[i] * q[i];
  if (r.function == kMoments) return put_item(to, r.channels * squares - sum * sum, int32_t(sum));
  put_item(to, r.function == kSum ? sum : squares);
}

template <int B>
void run_reduce(const Reduce& r, int8_t* act, int64_t* values) {
  const int64_t count = std::min(r.channels, r.blocks * B);
  for (int64_t y = 0; y < r.h; ++y)
    for (int64_t x = 0; x < r.m; ++x) {
      const int8_t* in = act + r.in.base + y * r.in.row_stride + x * B;
      for (int64_t c = 0; c * B < count; ++c, in += (1 + r.wide) * r.in.pitch) {
        const auto q = element<B>(in, r.in.pitch, r.wide) - r.zero;
        std::memcpy(values + c * B, &q, sizeof q);
      }
      if (r.function == kTopkMask) put_mask(r, values, count, act + r.out.base + y * r.out.row_stride + x * B);
      else put_reduced(r, values, count, act + r.out.base + (y * r.m + x) * kItemBytes);
    }
}

void run_reduce(const Reduce& r, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    if (r.block == kLanes) run_reduce<kLanes>(r, m.act + n * m.act_bytes, (int64_t*)m.scratch);
    else run_reduce<8>(r, m.act + n * m.act_bytes, (int64_t*)m.scratch);
  }
}

// K / x or K / sqrt(x), K = mult * 2^-shift, as the eight bytes of a record; see vla_isa.numerics.reciprocal.
inline uint64_t inverse(const Recip& r, int64_t x) {
  if (x <= 0) return 0;
  const int64_t top = 63 - __builtin_clzll(uint64_t(x)), odd = top & 1;
  const int64_t m = top >= 23 ? x >> (top - 23) : x << (23 - top);
  const int64_t y = r.rom[r.root ? odd << 7 | (m >> 16 & 127) : m >> 15 & 255];
  int64_t g;
  if (r.root) {
    const int64_t f = ((int64_t(1) << 43) - ((m * (y * y)) << odd)) >> 17;
    g = (f >> 1) + ((3 * ((f * f) >> 26)) >> 3);
  } else {
    const int64_t f = ((int64_t(1) << 33) - m * y) >> 7;
    g = f + ((f * f) >> 26);
  }
  const int64_t refined = std::min<int64_t>((y * 65536 + ((y * g) >> 10) + 2) >> 2, (1 << 24) - 1);
  const int64_t product = refined * r.mult, high = product >> 47;
  const int64_t shift = (r.root ? top >> 1 : top) + r.shift + 1 - high;
  return shift > 63 ? 0 : uint64_t(product >> (23 + high) & 0xFFFFFF) << 32 | uint64_t(shift & 63) << 56;
}

void run_recip(const Recip& r, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    int8_t* act = m.act + n * m.act_bytes;
    for (int64_t i = 0; i < r.n; ++i) {
      const int8_t* from = act + r.in_base + i * kItemBytes;
      const uint64_t x = loaded<uint64_t>(from) + uint64_t(r.add);  // wraps
      const uint32_t bias = r.minus_second ? -loaded<uint32_t>(from + 8) : 0;
      put_item(act + r.out_base + i * kItemBytes, int64_t(inverse(r, int64_t(x)) | bias));
    }
  }
}

}  // namespace
