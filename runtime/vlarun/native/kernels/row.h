// ROW: elementwise over the pixels of matrices, in 64 bits.
#pragma once

#include "gemm.h"
#include "lanes.h"

struct Row {
  Matrix a, b, c, out;
  int64_t block, h, m, blocks, channels;
  int64_t a_wide, b_wide, c_wide, out_wide, a_zero, b_zero, b_kind, c_kind;
  int64_t function, row_mode, row_base, row_k, a_mult, c_mult, c_shift, shift, rounding, zero, lo, hi;
  int64_t table_mode, reduce, reduce_base;
  const int64_t *bias, *mult, *shifts;  // of each channel, of function channel
  const int8_t* table;
};

namespace {

enum { kLinear, kProduct, kChannel, kPairs };      // functions
enum { kNoRow, kLess, kRecord };                   // row modes
enum { kNoTable, kOverResults, kInput16, kDither };  // table modes

template <int B>
struct RowPixel {
  typedef typename Lanes<B>::Long Long;
  const Row& r;
  const int8_t* act;
  RowRecord record = {};  // of the pixel; its item is `bias`

  RowPixel(const Row& row, const int8_t* memory, int64_t number) : r(row), act(memory) {
    if (r.row_mode != kNoRow) record = row_record(act + r.row_base + number * kItemBytes);
  }
  // Operand a, after its table or what the pixel's item or record does to it.
  Long first(Long a) const {
    a -= r.a_zero;
    if (r.table_mode == kInput16) return interpolated(bounded(a, kLowest, kHighest));
    if (r.row_mode == kLess) return bounded(a - record.bias, kLowest18, kHighest18);
    if (r.row_mode == kNoRow) return a;
    const Long t = (a * r.row_k + record.bias) * record.mult;
    return bounded(rounded_shift(t, Long{} + record.shift, r.rounding), kLowest, kHighest);
  }
  Long interpolated(Long a) const {
    for (int l = 0; l < B; ++l) {
      const int8_t* entry = r.table + ((a[l] >> 8) + 128) * 4;
      a[l] = loaded<int16_t>(entry) + ((loaded<int16_t>(entry + 2) * (a[l] & 255) + 128) >> 8);
    }
    return a;
  }
  // The scaled result of block c of pixel (y, x).
  Long scaled(Long a, int64_t y, int64_t c, int64_t x) const {
    if (r.function == kChannel) {
      const int64_t at = c * B;
      const Long p = (a + loaded<Long>(r.bias + at)) * loaded<Long>(r.mult + at);
      return rounded_shift(p, loaded<Long>(r.shifts + at), r.rounding);
    }
    if (r.function == kPairs) a = of_pairs(a + r.a_zero, operand(r.b, r.b_kind, true, y, c, x));
    if (r.function == kProduct) a *= operand(r.b, r.b_kind, r.b_wide, y, c, x) - r.b_zero;
    Long p = a * r.a_mult;
    if (r.c_kind != kNoOperand) p += (operand(r.c, r.c_kind, r.c_wide, y, c, x) << r.c_shift) * r.c_mult;
    return rounded_shift(p, Long{} + r.shift, r.rounding);
  }
  // Low and high bytes as int8: products of either, added.
  static Long of_pairs(Long a, Long b) {
    return ((a & 255 ^ 128) - 128) * ((b & 255 ^ 128) - 128) + (a >> 8) * (b >> 8);
  }
  Long operand(const Matrix& at, int64_t kind, bool wide, int64_t y, int64_t c, int64_t x) const {
    const int64_t pixel = kind == kRowOperand ? 0 : y * at.row_stride + x * B;
    return element<B>(act + at.base + pixel + c * (1 + wide) * at.pitch, at.pitch, wide);
  }
  Long finished(Long p, Long masked, int64_t c) const {
    if (r.out_wide) return masked ? Long{} + kLowest : bounded(p, kLowest, kHighest);
    Long q = bounded(p + r.zero, r.lo, r.hi);
    q = masked ? Long{} - 128 : q;
    if (r.table_mode == kOverResults)
      for (int l = 0; l < B; ++l) q[l] = r.table[q[l] + 128];
    if (r.table_mode == kDither)
      for (int l = 0; l < B; ++l) {
        const int64_t entry = loaded<uint16_t>(r.table + 2 * (q[l] + 128));
        q[l] = std::min<int64_t>((entry + reversed(c * B + l)) >> 8, 127);
      }
    return q;
  }
  // The low byte of a column, its bits reversed.
  static int64_t reversed(int64_t column) {
    int64_t found = 0;
    for (int bit = 0; bit < 8; ++bit) found |= (column >> bit & 1) << (7 - bit);
    return found;
  }
};

template <int B>
void run_row(const Row& r, int8_t* act) {
  typedef typename Lanes<B>::Long Long;
  Long lane;
  for (int l = 0; l < B; ++l) lane[l] = l;
  for (int64_t y = 0; y < r.h; ++y)
    for (int64_t x = 0; x < r.m; ++x) {
      const int64_t number = y * r.m + x;
      const RowPixel<B> pixel(r, act, number);
      Long sum = {};
      for (int64_t c = 0; c < r.blocks; ++c) {
        const Long raw = pixel.operand(r.a, kTensorOperand, r.a_wide, y, c, x);
        const Long masked = r.row_mode == kLess ? Long(raw == kLowest) : Long{};
        Long q = pixel.finished(pixel.scaled(pixel.first(raw), y, c, x), masked, c);
        q &= lane < r.channels - c * B;
        int8_t* to = act + r.out.base + y * r.out.row_stride + x * B + c * (1 + r.out_wide) * r.out.pitch;
        put_element<B>(q, to, r.out.pitch, r.out_wide);
        sum += q;
      }
      if (r.reduce) put_item(act + r.reduce_base + number * kItemBytes, sum_of(sum));
    }
}

void run_row(const Row& r, const Memory& m) {
  for (int64_t n = 0; n < m.count; ++n) {
    if (r.block == kLanes) run_row<kLanes>(r, m.act + n * m.act_bytes);
    else run_row<8>(r, m.act + n * m.act_bytes);
  }
}

}  // namespace
