// CONV and GEMM: a padded copy of the input, then products in tiles of channels and pixels, or lane by lane (depthwise).
// What the flipped sign adds, 128 times the sum of the weights, is taken off beforehand in `Finish::add`.
#pragma once

#include "finish.h"
#include "memory.h"

// Output channels in tiles of up to four groups: steps of four input channels, with 64 weight bytes per group.
struct Tile {
  int64_t first_group, groups, steps;
  const int32_t* offsets;  // of each step's four bytes from the pixel's window, in the padded input
  const int8_t* weights;   // [steps][groups][16][4]
};

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
  void next(const uint8_t*& window, int8_t*& out, const int8_t*& res) {
    window = row + x * c.stride_w * c.block;
    out = act + out_row + x * c.block;
    res = act + res_row + x * c.block;
    if (++x < c.out_w) return;
    x = 0;
    if (++y == c.out_h) y = 0, padded += padded_bytes, act += act_bytes;
    start_row();
  }
};

// Store the bytes of a group: one channel block of 16, or two of 8.
inline void store(const Conv& c, Byte q, int64_t group, int8_t* out) {
  if (c.block == kLanes) {
    std::memcpy(out + group * c.out.pitch, &q, kLanes);
    return;
  }
  int8_t bytes[kLanes];
  std::memcpy(bytes, &q, kLanes);
  for (int64_t i = 0; i < 2 && 2 * group + i < c.out_blocks; ++i)
    std::memcpy(out + (2 * group + i) * c.out.pitch, bytes + 8 * i, 8);
}

// The residual's bytes of a group: where they lie, or two blocks of 8 put together in `bytes`.
inline const int8_t* residual(const Conv& c, int64_t group, const int8_t* res, int8_t* bytes) {
  if (c.block == kLanes) return res + group * c.res.pitch;
  for (int64_t i = 0; i < 2; ++i)
    std::memcpy(bytes + 8 * i, res + std::min(2 * group + i, c.out_blocks - 1) * c.res.pitch, 8);
  return bytes;
}

// The next P windows, or as many as are left; returns how many. Places behind the last one read the first again.
template <int P>
int next_windows(
    Walk& walk, int64_t left, const uint8_t* (&window)[P], int8_t* (&out)[P], const int8_t* (&res)[P]) {
  const int valid = std::min<int64_t>(P, left);
  for (int p = 0; p < P; ++p) {
    if (p < valid) walk.next(window[p], out[p], res[p]);
    else window[p] = window[0];
  }
  return valid;
}

template <int G>
void multiply_tile(const Conv& c, const Tile& t, Walk walk, int64_t count) {
  constexpr int P = pixels_of(G);
  const uint8_t* window[P];
  int8_t* out[P];
  const int8_t* res[P];
  for (int64_t first = 0; first < count; first += P) {
    const int valid = next_windows(walk, count - first, window, out, res);
    Int acc[G][P];
    for (int g = 0; g < G; ++g) {
      const Int add = loaded<Int>(c.finish.add + (t.first_group + g) * kLanes);
      for (int p = 0; p < P; ++p) acc[g][p] = add;
    }
    const int8_t* w = t.weights;
    for (int64_t k = 0; k < t.steps; ++k, w += 64 * G) {
      const int64_t offset = t.offsets[k];
      Weights weights[G];
      for (int g = 0; g < G; ++g) weights[g] = load(w + 64 * g);
      for (int p = 0; p < P; ++p) {
        uint32_t x;
        std::memcpy(&x, window[p] + offset, 4);
        for (int g = 0; g < G; ++g) acc[g][p] = dot(acc[g][p], x, weights[g]);
      }
    }
    for (int g = 0; g < G; ++g)
      for (int p = 0; p < valid; ++p) {
        int8_t bytes[kLanes];
        const int64_t group = t.first_group + g;
        const int8_t* other = c.finish.residual ? residual(c, group, res[p], bytes) : nullptr;
        store(c, finished(acc[g][p], c.finish, group * kLanes, other), group, out[p]);
      }
  }
}

void multiply(const Conv& c, const Tile& t, const Walk& walk, int64_t count) {
  if (t.groups == 1) return multiply_tile<1>(c, t, walk, count);
  if constexpr (kGroups >= 2)
    if (t.groups == 2) return multiply_tile<2>(c, t, walk, count);
  if constexpr (kGroups >= 4) {
    if (t.groups == 3) return multiply_tile<3>(c, t, walk, count);
    if (t.groups == 4) return multiply_tile<4>(c, t, walk, count);
  }
}

// One channel of input per channel of output: products lane by lane. A block of 8 reads on behind itself: lanes past it
// are not stored, and the scratch memory and the arrays are longer.
void multiply_depthwise(const Conv& c, Walk walk, int64_t count) {
  constexpr int P = 4;
  const int64_t line = c.pixels * c.block;
  const uint8_t* window[P];
  int8_t* out[P];
  const int8_t* res[P];
  for (int64_t first = 0; first < count; first += P) {
    const int valid = next_windows(walk, count - first, window, out, res);
    for (int64_t b = 0; b < c.out_blocks; ++b) {
      Int acc[P];
      for (int p = 0; p < P; ++p) acc[p] = loaded<Int>(c.finish.add + b * c.block);
      const int32_t* w = c.depthwise + b * c.taps * kLanes;
      for (int64_t t = 0; t < c.taps; ++t, w += kLanes) {
        const int64_t offset = b * line + c.tap[t];
        const Int weights = loaded<Int>(w);
        for (int p = 0; p < P; ++p) acc[p] = times(acc[p], widened(window[p] + offset), weights);
      }
      for (int p = 0; p < valid; ++p) {
        int8_t bytes[kLanes] = {};
        if (c.finish.residual) std::memcpy(bytes, res[p] + b * c.res.pitch, c.block);
        const Byte q = finished(acc[p], c.finish, b * c.block, bytes);
        if (c.block == kLanes) std::memcpy(out[p] + b * c.out.pitch, &q, kLanes);
        else std::memcpy(out[p] + b * c.out.pitch, &q, 8);
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
    for (int64_t i = 0; i < c.tiles; ++i) multiply(c, c.tile[i], walk, pixels);
  }
}

}  // namespace
