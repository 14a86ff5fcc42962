// COPY: rows of bytes from place to place, or filled.
#pragma once

#include <cstring>

#include "memory.h"

struct Side {
  int64_t in_data, base, outer_stride, row_stride, block_stride, ring, slot;
};

struct Copy {
  Side from, to;
  int64_t outer, rows, blocks, inner, fill, value;  // fill: no source
  int64_t overlap;                                  // source and destination may overlap: read all, then write
};

namespace {

inline int64_t offset_of(const Side& s, int64_t outer, int64_t row, int64_t block) {
  const int64_t slot = s.ring ? (s.slot + row) % s.ring : row;
  return s.base + outer * s.outer_stride + slot * s.row_stride + block * s.block_stride;
}

void run_copy(const Copy& c, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    int8_t* act = m.act + n * m.act_bytes;
    int8_t* data = m.data + n * m.data_bytes;
    const int8_t* from = c.from.in_data ? data : act;
    int8_t* to = c.to.in_data ? data : act;
    int8_t* kept = m.scratch;
    for (int pass = c.overlap ? 0 : 1; pass < 2; ++pass)
      for (int64_t o = 0; o < c.outer; ++o)
        for (int64_t y = 0; y < c.rows; ++y)
          for (int64_t b = 0; b < c.blocks; ++b) {
            int8_t* place = to + offset_of(c.to, o, y, b);
            if (c.fill) {
              std::memset(place, int(c.value), c.inner);
            } else if (c.overlap) {
              int8_t* held = kept + ((o * c.rows + y) * c.blocks + b) * c.inner;
              if (pass == 0) std::memcpy(held, from + offset_of(c.from, o, y, b), c.inner);
              else std::memcpy(place, held, c.inner);
            } else {
              std::memcpy(place, from + offset_of(c.from, o, y, b), c.inner);
            }
          }
  }
}

}  // namespace
