// VEC: two operands, element by element, by a table of every pair.
#pragma once

#include "memory.h"

struct Vec {
  Region a, b, out;
  int64_t block, rows, width, blocks;
  int64_t b_kind, b_scalar;
  const int8_t* pairs;  // result of every (a, b), the table applied
};

namespace {

enum { kTensor, kRow, kColumn, kScalar };  // what b of a VEC is

void run_vec(const Vec& v, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    int8_t* act = m.act + n * m.act_bytes;
    for (int64_t y = 0; y < v.rows; ++y)
      for (int64_t c = 0; c < v.blocks; ++c) {
        const int8_t* a = act + row_of(v.a, y) + c * v.a.pitch;
        int8_t* out = act + row_of(v.out, y) + c * v.out.pitch;
        const int64_t b_row = v.b_kind == kScalar ? 0 : row_of(v.b, v.b_kind == kRow ? 0 : y);
        const int8_t* b = act + b_row + (v.b_kind == kTensor || v.b_kind == kRow ? c * v.b.pitch : 0);
        for (int64_t i = 0; i < v.width * v.block; ++i) {
          const int8_t other = v.b_kind == kTensor ? b[i]
                               : v.b_kind == kRow  ? b[i % v.block]
                               : v.b_kind == kColumn ? b[i / v.block * v.block]
                                                     : int8_t(v.b_scalar);
          out[i] = v.pairs[uint8_t(a[i]) << 8 | uint8_t(other)];
        }
      }
  }
}

}  // namespace
