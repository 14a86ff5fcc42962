// GEMM in all its forms: a batch of products with constant weights or with what the weight memory holds, to int8 or
// int16, with residual, row records, limits and row maxima.
#pragma once

#include "finish.h"
#include "memory.h"
#include "products.h"

struct Gemm {
  Matrix in, out, res;
  int64_t block, batch, h, m, k_blocks, n_blocks;
  const Tile* tile;          // of constant weights; null: weights are packed when it runs
  const int64_t* tile_span;  // first and behind last of each batch, [batch][2]
  int64_t weight_base, weight_batch_stride;
  const int32_t* offsets;  // of the steps of a packed tile: [k_blocks * block / 4]
  int64_t add_stride;      // entries of `finish.add` from batch to batch
  int64_t by_row, wide_out, res_kind, row_max, limit, limit_step, row_base, row_batch_stride;
  Finish finish;
};

namespace {

enum { kNoOperand, kTensorOperand, kRowOperand };  // what b and c of a ROW, or a residual, is
constexpr int32_t kLowest = -32768, kHighest = 32767;  // of int16; the lowest logit is a masked one
constexpr int32_t kLowest18 = -(1 << 17), kHighest18 = (1 << 17) - 1;

// Walks the pixels of one batch of some inputs.
struct GemmWalk {
  struct Place {
    const uint8_t* window;
    int8_t* out;
    const int8_t* res;
    RowScale scale;
    int64_t limit;
    int16_t* best;
  };
  const Gemm& g;
  const int32_t* add;
  const uint8_t* padded;
  int8_t* act;
  int64_t act_bytes, out, res, rows;
  int16_t* best;
  int64_t y = 0, x = 0;

  void next(Place& p) {
    const bool tensor = g.res_kind == kTensorOperand;
    p.window = padded + (y * g.k_blocks * g.m + x) * g.block;
    p.out = act + out + y * g.out.row_stride + x * g.block;
    p.res = act + res + (tensor ? y * g.res.row_stride + x * g.block : 0);
    if (g.by_row) {
      const RowRecord r = row_record(act + rows + (y * g.m + x) * kItemBytes);
      p.scale = {double(r.mult) * power(-r.shift), r.mult, r.shift};
    }
    p.limit = g.limit + g.limit_step * x;
    p.best = best;
    best += g.row_max;
    if (++x < g.m) return;
    x = 0;
    if (++y < g.h) return;
    y = 0;
    padded += g.h * g.k_blocks * g.m * g.block, act += act_bytes;
  }
  Int start(int64_t group) const { return loaded<Int>(add + group * kLanes); }
  void drain(Int acc, int64_t group, const Place& p) const {
    const RowScale* row = g.by_row ? &p.scale : nullptr;
    if (g.wide_out) drain_wide(acc, group, p, row);
    else store(finished(acc, g.finish, group * kLanes, nullptr, row), group, g.block, g.n_blocks, g.out.pitch, p.out);
  }
  void drain_wide(Int acc, int64_t group, const Place& p, const RowScale* row) const {
    const bool more = g.res_kind || g.row_max;
    Int q = scaled(acc, group * kLanes, row, more ? kLowest18 : kLowest, more ? kHighest18 : kHighest);
    if (more) {
      const Int r = g.res_kind ? residual(group, p.res) : Int{};
      q = bounded(q + r, g.row_max ? kLowest + 1 : kLowest, kHighest);
      if (g.row_max) q = masked(q, r, group, p);
    }
    const int64_t pitch = 2 * g.out.pitch;
    store(__builtin_convertvector(q, Byte), group, g.block, g.n_blocks, pitch, p.out);
    store(__builtin_convertvector(q >> 8, Byte), group, g.block, g.n_blocks, pitch, p.out + g.out.pitch);
  }
  Int scaled(Int acc, int64_t channel, const RowScale* row, int64_t lo, int64_t hi) const {
    const Finish& f = g.finish;
    if (f.rounding == kNearestEven) return requantized<kNearestEven>(acc, f, channel, row, 0, lo, hi);
    if (f.rounding == kHalfUp) return requantized<kHalfUp>(acc, f, channel, row, 0, lo, hi);
    return requantized<kFloor>(acc, f, channel, row, 0, lo, hi);
  }
  static Int bounded(Int q, int32_t lo, int32_t hi) {
    q = q < lo ? Int{} + lo : q;
    return q > hi ? Int{} + hi : q;
  }
  // The int16 of a group: one block of 16, or two of 8.
  Int residual(int64_t group, const int8_t* from) const {
    int8_t low[kLanes] = {}, high[kLanes] = {};
    for (int64_t i = 0, block = group * kLanes / g.block; i < kLanes && block < g.n_blocks; i += g.block, ++block) {
      std::memcpy(low + i, from + 2 * block * g.res.pitch, 8), std::memcpy(high + i, from + (2 * block + 1) * g.res.pitch, 8);
      if (g.block == 8) continue;
      std::memcpy(low + 8, from + 2 * block * g.res.pitch + 8, 8);
      std::memcpy(high + 8, from + (2 * block + 1) * g.res.pitch + 8, 8);
    }
    return widened(high) * 256 + widened((const uint8_t*)low);
  }
  // Logits: the lowest where a column is behind the limit, or its residual is the lowest; the pixel's maximum.
  Int masked(Int q, Int r, int64_t group, const Place& p) const {
    const Int column = Int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} + int32_t(group * kLanes);
    q = column >= int32_t(p.limit) ? Int{} + kLowest : q;
    q = r == kLowest ? Int{} + kLowest : q;
    const int64_t lanes = std::min<int64_t>(kLanes, g.n_blocks * g.block - group * kLanes);
    int32_t best = *p.best;
    for (int64_t l = 0; l < lanes; ++l) best = std::max(best, q[l]);
    *p.best = int16_t(best);
    return q;
  }
  static double power(int64_t exponent) {
    const uint64_t bits = uint64_t(1023 + exponent) << 52;
    return loaded<double>(&bits);
  }
};

// Weight words [n][k][block out][block in] to a tile's [step][group][16 out][4 in], and what its sums start from.
void pack_tile(const Gemm& g, const int8_t* words, int64_t first, int64_t groups, int8_t* to, int32_t* add) {
  const int64_t B = g.block, steps = B / 4, share = kLanes / B;
  for (int64_t i = 0; i < groups * kLanes; ++i) add[i] = g.finish.add[first * kLanes + i];
  for (int64_t group = 0; group < groups; ++group)
    for (int64_t s = 0; s < share; ++s) {
      const int64_t n = (first + group) * share + s;
      for (int64_t k = 0; k < g.k_blocks; ++k)
        for (int64_t step = 0; step < steps; ++step) {
          int8_t* place = to + ((k * steps + step) * groups + group) * 64 + s * B * 4;
          if (n >= g.n_blocks) {
            std::memset(place, 0, B * 4);
            continue;
          }
          const int8_t* word = words + (n * g.k_blocks + k) * B * B + 4 * step;
          for (int64_t o = 0; o < B; ++o, place += 4) {
            std::memcpy(place, word + o * B, 4);
            add[group * kLanes + s * B + o] -= 128 * (place[0] + place[1] + place[2] + place[3]);
          }
        }
    }
}

// The products of one batch of some inputs, their padded input in place; `best`: [count][h * m], where there are maxima.
void multiply_batch(const Gemm& g, int64_t b, GemmWalk walk, int64_t pixels, const int8_t* weight, int8_t* scratch) {
  if (g.tile) {
    for (int64_t i = g.tile_span[2 * b]; i < g.tile_span[2 * b + 1]; ++i) multiply(g.tile[i], walk, pixels);
    return;
  }
  const int64_t steps = g.k_blocks * g.block / 4, all = (g.n_blocks * g.block + kLanes - 1) / kLanes;
  alignas(64) int32_t add[kGroups * kLanes];
  for (int64_t first = 0; first < all; first += kGroups) {
    const int64_t groups = std::min<int64_t>(kGroups, all - first);
    pack_tile(g, weight + g.weight_base + b * g.weight_batch_stride, first, groups, scratch, add);
    walk.add = add - first * kLanes;
    multiply({first, groups, steps, g.offsets, scratch}, walk, pixels);
  }
}

void run_gemm(const Gemm& g, const Memory& m) {
  const int64_t row = g.m * g.block, bytes = g.h * g.k_blocks * row, size = g.h * g.m;
  const int64_t packed = g.tile ? 0 : kGroups * g.k_blocks * g.block * kLanes;
  const int64_t maxima = g.row_max ? (2 * size + 63) / 64 * 64 : 0;
  const int64_t most = g.tile ? std::max<int64_t>(1, (m.scratch_bytes - packed) / (bytes + maxima)) : 1;
  int8_t* pack = m.scratch;
  int16_t* best = (int16_t*)(m.scratch + packed);
  for (int64_t n = 0; n < m.count; n += most) {
    const int64_t count = std::min(most, m.count - n);
    uint8_t* padded = (uint8_t*)m.scratch + packed + maxima * count;
    int8_t* act = m.act + n * m.act_bytes;
    for (int64_t b = 0; b < g.batch; ++b) {
      for (int64_t i = 0; i < count; ++i)
        for (int64_t y = 0; y < g.h; ++y)
          for (int64_t k = 0; k < g.k_blocks; ++k) {
            const int8_t* from =
                act + i * m.act_bytes + g.in.base + b * g.in.batch_stride + y * g.in.row_stride + k * g.in.pitch;
            uint8_t* to = padded + i * bytes + (y * g.k_blocks + k) * row;
            for (int64_t j = 0; j < row; ++j) to[j] = uint8_t(from[j]) ^ 0x80;
          }
      if (g.row_max) std::fill(best, best + count * size, int16_t(kLowest));
      const int64_t rows = g.row_base + b * g.row_batch_stride;
      const GemmWalk walk{g,
                          g.finish.add + b * g.add_stride,
                          padded,
                          act,
                          m.act_bytes,
                          g.out.base + b * g.out.batch_stride,
                          g.res.base + b * g.res.batch_stride,
                          rows,
                          best};
      multiply_batch(g, b, walk, count * size, m.weight + n * m.weight_bytes, pack);
      for (int64_t i = 0; g.row_max && i < count * size; ++i)
        put_item(act + i / size * m.act_bytes + rows + i % size * kItemBytes, best[i]);
    }
  }
}

}  // namespace
