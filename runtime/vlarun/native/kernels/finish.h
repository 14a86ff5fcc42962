// From accumulators to bytes: requantize, table, residual.
#pragma once

#include "vectors.h"

// How accumulators become bytes; see vla_isa.numerics. Arrays have an entry per output channel, groups filled up.
struct Finish {
  const int32_t* add;     // to the accumulator: less 128 times the sum of the weights, and the bias where not `wide`
  const double* scale;    // mult * 2^-shift
  const int64_t* record;  // bias, mult, shift of each channel
  const int8_t* table;    // or null
  int64_t wide;           // the sum may have more than 29 bits, which double does not multiply exactly
  int64_t rounding, zero, lo, hi;
  int64_t residual, a_zero, b_zero, out_zero, residual_lo, residual_hi;
  double a_scale, b_scale;  // multipliers * 2^-shift
};

namespace {

inline RealHalf reals(Int q, int which) { return __builtin_convertvector(half<IntHalf>(q, which), RealHalf); }

// A record of a pixel, for all its channels.
struct RowScale {
  double scale;  // mult * 2^-shift
  int64_t mult, shift;
};

// clamp(round_shift((acc + bias) * mult, shift) + zero, lo, hi) of 16 accumulators (with `add` in them) of channels from
// `channel`, by the records of the channels, or a pixel's (its bias counts as 0).
template <int rounding>
inline Int requantized(
    Int acc, const Finish& f, int64_t channel, const RowScale* row, int64_t zero, int64_t lo, int64_t hi) {
  Int q;
  if (!f.wide) {
    IntHalf halves[2];
    for (int h = 0; h < 2; ++h) {
      const RealHalf scale = row ? RealHalf{} + row->scale : loaded<RealHalf>(f.scale + channel + 8 * h);
      halves[h] = rounded<rounding>(reals(acc, h) * scale, lo - zero, hi - zero);
    }
    return joined(halves[0], halves[1]) + int32_t(zero);
  }
  for (int l = 0; l < kLanes; ++l) {
    const int64_t* r = f.record + 3 * (channel + l);
    const int64_t x = row ? round_shift(acc[l] * row->mult, row->shift, rounding)
                          : round_shift((acc[l] + r[0]) * r[1], r[2], rounding);
    q[l] = std::min(std::max(x + zero, lo), hi);
  }
  return q;
}

// 16 accumulators to bytes; `res`: 16 bytes of the residual.
template <int rounding>
inline Byte finished(Int acc, const Finish& f, int64_t channel, const int8_t* res, const RowScale* row = nullptr) {
  Int q = requantized<rounding>(acc, f, channel, row, f.zero, f.lo, f.hi);
  if (f.table)
    for (int l = 0; l < kLanes; ++l) q[l] = f.table[q[l] + 128];
  if (f.residual) {
    const Int a = q - int32_t(f.a_zero), b = widened(res) - int32_t(f.b_zero);
    const double lo = f.residual_lo - f.out_zero, hi = f.residual_hi - f.out_zero;
    IntHalf halves[2];
    for (int h = 0; h < 2; ++h) halves[h] = rounded<rounding>(reals(a, h) * f.a_scale + reals(b, h) * f.b_scale, lo, hi);
    q = joined(halves[0], halves[1]) + int32_t(f.out_zero);
  }
  return __builtin_convertvector(q, Byte);
}

inline Byte finished(Int acc, const Finish& f, int64_t channel, const int8_t* res, const RowScale* row = nullptr) {
  if (f.rounding == kNearestEven) return finished<kNearestEven>(acc, f, channel, res, row);
  if (f.rounding == kHalfUp) return finished<kHalfUp>(acc, f, channel, res, row);
  return finished<kFloor>(acc, f, channel, res, row);
}

}  // namespace
