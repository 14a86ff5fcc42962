// Words of B values in 64 bits each: what vla_isa.numerics computes of wide values.
#pragma once

#include "vectors.h"

namespace {

template <int B>
struct Lanes {
  typedef int64_t Long __attribute__((vector_size(8 * B)));
  typedef int8_t Byte __attribute__((vector_size(B)));
};

// B values: bytes, or int16 of two byte planes.
template <int B>
inline typename Lanes<B>::Long element(const int8_t* from, int64_t pitch, bool wide) {
  typedef typename Lanes<B>::Long Long;
  typedef typename Lanes<B>::Byte Bytes;
  const Long low = __builtin_convertvector(loaded<Bytes>(from), Long);
  return wide ? __builtin_convertvector(loaded<Bytes>(from + pitch), Long) * 256 + (low & 255) : low;
}

template <int B>
inline void put_element(typename Lanes<B>::Long q, int8_t* to, int64_t pitch, bool wide) {
  typedef typename Lanes<B>::Byte Bytes;
  const Bytes low = __builtin_convertvector(q, Bytes);
  std::memcpy(to, &low, B);
  if (!wide) return;
  const Bytes high = __builtin_convertvector(q >> 8, Bytes);
  std::memcpy(to + pitch, &high, B);
}

// min(max(x, lo), hi)
template <typename Long>
inline Long bounded(Long x, int64_t lo, int64_t hi) {
  x = x < lo ? Long{} + lo : x;
  return x > hi ? Long{} + hi : x;
}

template <typename Long>
inline Long rounded_shift(Long p, Long shift, int64_t rounding) {
  if (rounding == kFloor) return p >> shift;
  const Long some = shift > 0;  // -1 where it holds
  const Long half = ((Long{} + 1) << (shift + some)) & some;
  const Long r = (p + half) >> shift;
  if (rounding == kHalfUp) return r;
  const Long tie = ((p & ~(~Long{} << shift)) == half) & some;
  return r - (r & 1 & tie);
}

template <typename Long>
inline int64_t sum_of(Long x) {
  int64_t total = 0;
  for (unsigned l = 0; l < sizeof(Long) / 8; ++l) total += x[l];
  return total;
}

}  // namespace
