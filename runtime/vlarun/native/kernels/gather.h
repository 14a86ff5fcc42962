// GATHER: rows of a table by items or a range, in either direction.
#pragma once

#include "memory.h"

struct Gather {
  int64_t in_data, scatter, table_base, table_stride, table_rows, by_items, index_base, first, n, words, word_bytes;
  int64_t act_base, act_pitch;
  int64_t overlap;  // rows and table may overlap: read all, then write
};

namespace {

// The number of row i of the packet.
inline int64_t row_number(const Gather& g, const int8_t* act, int64_t i) {
  return g.by_items ? loaded<int32_t>(act + g.index_base + i * kItemBytes) : g.first + i;
}

void run_gather(const Gather& g, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    int8_t* act = m.act + n * m.act_bytes;
    int8_t* table = g.in_data ? m.data + n * m.data_bytes : act;
    bool inside = true;
    for (int64_t i = 0; i < g.n; ++i) {
      const int64_t row = row_number(g, act, i);
      inside = inside && row >= 0 && row < g.table_rows;
    }
    if (!inside) {
      m.failed[n] = 1;
      continue;
    }
    int64_t* rows = (int64_t*)m.scratch;  // a row that is written may hold items
    int8_t* kept = m.scratch + 8 * g.n;
    for (int64_t i = 0; i < g.n; ++i) rows[i] = row_number(g, act, i);
    for (int pass = g.overlap ? 0 : 1; pass < 2; ++pass)
      for (int64_t i = 0; i < g.n; ++i)
        for (int64_t w = 0; w < g.words; ++w) {
          int8_t* entry = table + g.table_base + rows[i] * g.table_stride + w * g.word_bytes;
          int8_t* place = act + g.act_base + w * g.act_pitch + i * g.word_bytes;
          int8_t* held = kept + (i * g.words + w) * g.word_bytes;
          int8_t* from = g.scatter ? place : entry;
          int8_t* to = g.scatter ? entry : place;
          if (g.overlap) std::memcpy(pass == 0 ? held : to, pass == 0 ? from : held, g.word_bytes);
          else std::memcpy(to, from, g.word_bytes);
        }
  }
}

}  // namespace
