// CONV, and GEMM of int8 by constant weights: a padded copy of the input, then products in tiles, or lane by lane
// (depthwise).
#pragma once

#include "finish.h"
#include "memory.h"
#include "products.h"

struct Conv {
  Region in, out, res;
  int64_t block, in_h, in_w, in_blocks, in_zero, pad_top, pad_left;
  int64_t rows, pixels;  // of the padded input
  int64_t out_h, out_w, out_blocks, stride_h, stride_w;
  int64_t tiles;
  const Tile* tile;
  int64_t taps;              // of a depthwise convolution, else 0
  const int32_t* tap;        // offsets of its taps
  const int32_t* depthwise;  // its weights [out block][tap][block]
  int64_t same_input;        // the padded input of the step before is this one's
  Finish finish;
};

namespace {

// Copy the input words that windows can touch, padding in place, sign bits flipped: [rows][blocks][pixels][block].
void pad_input(const Conv& c, const int8_t* act, uint8_t* to) {
  const int64_t B = c.block, line = c.pixels * B;
  const int fill = uint8_t(c.in_zero) ^ 0x80;
  const int64_t kept = std::max<int64_t>(0, std::min(c.in_w, c.pixels - c.pad_left)) * B, left = std::min(c.pad_left * B, line);
  for (int64_t y = 0; y < c.rows; ++y) {
    const int64_t in_y = y - c.pad_top;
    const bool inside = in_y >= 0 && in_y < c.in_h;
    for (int64_t b = 0; b < c.in_blocks; ++b, to += line) {
      if (!inside) {
        std::memset(to, fill, line);
        continue;
      }
      const int8_t* from = act + row_of(c.in, in_y) + b * c.in.pitch;
      std::memset(to, fill, left);
      for (int64_t i = 0; i < kept; ++i) to[left + i] = uint8_t(from[i]) ^ 0x80;
      if (left + kept < line) std::memset(to + left + kept, fill, line - left - kept);
    }
  }
}

// Walks the output pixels of some inputs: where the window begins, and where the pixel lies in each memory.
struct Walk {
  struct Place {
    const uint8_t* window;
    int8_t* out;
    const int8_t* res;
  };
  const Conv& c;
  const uint8_t* padded;
  int8_t* act;
  int64_t padded_bytes, act_bytes, y = 0, x = 0;
  int64_t out_row, res_row;
  const uint8_t* row;

  Walk(const Conv& conv, const uint8_t* p, int64_t p_bytes, int8_t* a, int64_t a_bytes)
      : c(conv), padded(p), act(a), padded_bytes(p_bytes), act_bytes(a_bytes) {
    start_row();
  }
  void start_row() {
    row = padded + y * c.stride_h * c.in_blocks * c.pixels * c.block;
    out_row = row_of(c.out, y), res_row = c.finish.residual ? row_of(c.res, y) : 0;
  }
  void next(Place& p) {
    p = {row + x * c.stride_w * c.block, act + out_row + x * c.block, act + res_row + x * c.block};
    if (++x < c.out_w) return;
    x = 0;
    if (++y == c.out_h) y = 0, padded += padded_bytes, act += act_bytes;
    start_row();
  }
  Int start(int64_t group) const { return loaded<Int>(c.finish.add + group * kLanes); }
  void drain(Int acc, int64_t group, const Place& p) const;
};

// The residual's bytes of a group: where they lie, or two blocks of 8 put together in `bytes`.
inline const int8_t* residual(const Conv& c, int64_t group, const int8_t* res, int8_t* bytes) {
  if (c.block == kLanes) return res + group * c.res.pitch;
  for (int64_t i = 0; i < 2; ++i)
    std::memcpy(bytes + 8 * i, res + std::min(2 * group + i, c.out_blocks - 1) * c.res.pitch, 8);
  return bytes;
}

void Walk::drain(Int acc, int64_t group, const Place& p) const {
  int8_t bytes[kLanes];
  const int8_t* other = c.finish.residual ? residual(c, group, p.res, bytes) : nullptr;
  store(finished(acc, c.finish, group * kLanes, other), group, c.block, c.out_blocks, c.out.pitch, p.out);
}

// One channel of input per channel of output: products lane by lane. A block of 8 reads on behind itself: lanes past it
// are not stored, and the scratch memory and the arrays are longer.
void multiply_depthwise(const Conv& c, Walk walk, int64_t count) {
  constexpr int P = 4;
  const int64_t line = c.pixels * c.block;
  Walk::Place place[P];
  for (int64_t first = 0; first < count; first += P) {
    const int valid = next_places(walk, count - first, place);
    for (int64_t b = 0; b < c.out_blocks; ++b) {
      Int acc[P];
      for (int p = 0; p < P; ++p) acc[p] = loaded<Int>(c.finish.add + b * c.block);
      const int32_t* w = c.depthwise + b * c.taps * kLanes;
      for (int64_t t = 0; t < c.taps; ++t, w += kLanes) {
        const int64_t offset = b * line + c.tap[t];
        const Int weights = loaded<Int>(w);
        for (int p = 0; p < P; ++p) acc[p] = times(acc[p], widened(place[p].window + offset), weights);
      }
      for (int p = 0; p < valid; ++p) {
        int8_t bytes[kLanes] = {};
        if (c.finish.residual) std::memcpy(bytes, place[p].res + b * c.res.pitch, c.block);
        const Byte q = finished(acc[p], c.finish, b * c.block, bytes);
        if (c.block == kLanes) std::memcpy(place[p].out + b * c.out.pitch, &q, kLanes);
        else std::memcpy(place[p].out + b * c.out.pitch, &q, 8);
      }
    }
  }
}

void run_conv(const Conv& c, const Memory& m) {
  const int64_t bytes = c.rows * c.in_blocks * c.pixels * c.block;
  const int64_t most = std::max<int64_t>(1, m.scratch_bytes / bytes);
  uint8_t* padded = (uint8_t*)m.scratch;
  for (int64_t first = 0; first < m.count; first += most) {
    const int64_t count = std::min(most, m.count - first);
    int8_t* act = m.act + first * m.act_bytes;
    if (!c.same_input || m.count > most)
      for (int64_t n = 0; n < count; ++n) pad_input(c, act + n * m.act_bytes, padded + n * bytes);
    const Walk walk(c, padded, bytes, act, m.act_bytes);
    const int64_t pixels = count * c.out_h * c.out_w;
    if (c.taps) multiply_depthwise(c, walk, pixels);
    for (int64_t i = 0; i < c.tiles; ++i) multiply(c.tile[i], walk, pixels);
  }
}

}  // namespace
