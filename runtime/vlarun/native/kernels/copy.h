// COPY: rows of bytes from place to place, squares of them transposed, or filled.
#pragma once

#include "memory.h"

struct Side {
  int64_t memory, base, outer_stride, row_stride, block_stride, ring, slot;
};

struct Copy {
  Side from, to;
  int64_t outer, rows, blocks, inner, fill, value;  // fill: no source
  int64_t square;                                   // bytes of a word where squares of words are transposed, else 0
  int64_t overlap;                                  // source and destination may overlap: read all, then write
};

namespace {

enum { kAct, kData, kWeight };  // memories

inline int8_t* memory_of(const Side& s, const Memory& m, int64_t n) {
  if (s.memory == kData) return m.data + n * m.data_bytes;
  return s.memory == kWeight ? m.weight + n * m.weight_bytes : m.act + n * m.act_bytes;
}

// Move `bytes`; byte i of word j of a square becomes byte j of its word i.
inline void move(int8_t* to, const int8_t* from, int64_t bytes, int64_t square) {
  if (square == 0) {
    std::memcpy(to, from, bytes);
    return;
  }
  for (int64_t first = 0; first < bytes; first += square * square)
    for (int64_t i = 0; i < square; ++i)
      for (int64_t j = 0; j < square; ++j) to[first + i * square + j] = from[first + j * square + i];
}

inline int64_t offset_of(const Side& s, int64_t outer, int64_t row, int64_t block) {
  const int64_t slot = s.ring ? (s.slot + row) % s.ring : row;
  return s.base + outer * s.outer_stride + slot * s.row_stride + block * s.block_stride;
}

void run_copy(const Copy& c, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    const int8_t* from = memory_of(c.from, m, n);
    int8_t* to = memory_of(c.to, m, n);
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
              else move(place, held, c.inner, c.square);
            } else {
              move(place, from + offset_of(c.from, o, y, b), c.inner, c.square);
            }
          }
  }
}

}  // namespace
