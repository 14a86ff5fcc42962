// Groups of 16 channels in the processor's registers: products of bytes, and rounding.
// Products are uint8 (the activation with its sign bit flipped) by int8 in groups of four, added in int32 modulo 2^32 as
// the machine does. Not here: which channels are multiplied (conv.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "memory.h"

namespace {

constexpr int kLanes = 16;  // output channels of a group
typedef int32_t Int __attribute__((vector_size(4 * kLanes)));
typedef int8_t Byte __attribute__((vector_size(kLanes)));
typedef uint8_t UByte __attribute__((vector_size(kLanes)));
// Half a group is what a register of doubles holds.
typedef int32_t IntHalf __attribute__((vector_size(2 * kLanes)));
typedef int64_t LongHalf __attribute__((vector_size(4 * kLanes)));
typedef double RealHalf __attribute__((vector_size(4 * kLanes)));

// --- acc[l] += x[0] w[4l] + ... + x[3] w[4l + 3], x unsigned -----------------------------------------------------

#if defined(__AVX512VNNI__)
constexpr int kGroups = 4;  // groups of a tile, and pixels of a tile: what fits the registers
constexpr int pixels_of(int groups) { return groups == 4 ? 6 : 8; }
typedef __m512i Weights;
inline Weights load(const int8_t* w) { return _mm512_loadu_si512(w); }
inline Int dot(Int acc, uint32_t x, Weights w) { return (Int)_mm512_dpbusd_epi32((__m512i)acc, _mm512_set1_epi32(x), w); }
#elif defined(__AVX2__)
constexpr int kGroups = 2;
constexpr int pixels_of(int) { return 2; }
struct Weights {
  __m256i even[2], odd[2];  // bytes 0 and 2, 1 and 3 of every four, as int16: products of pairs cannot saturate
};
inline Weights load(const int8_t* w) {
  Weights r;
  for (int h = 0; h < 2; ++h) {
    const __m256i b = _mm256_loadu_si256((const __m256i*)(w + 32 * h));
    r.even[h] = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8);
    r.odd[h] = _mm256_srai_epi16(b, 8);
  }
  return r;
}
inline Int dot(Int acc, uint32_t x, const Weights& w) {
  const __m256i even = _mm256_set1_epi32(x & 0x00FF00FF), odd = _mm256_set1_epi32(x >> 8 & 0x00FF00FF);
  __m256i half[2];
  std::memcpy(half, &acc, sizeof half);
  for (int h = 0; h < 2; ++h) {
    const __m256i sum = _mm256_add_epi32(_mm256_madd_epi16(w.even[h], even), _mm256_madd_epi16(w.odd[h], odd));
    half[h] = _mm256_add_epi32(half[h], sum);
  }
  std::memcpy(&acc, half, sizeof half);
  return acc;
}
#else
constexpr int kGroups = 1;
constexpr int pixels_of(int) { return 2; }
struct Weights {
  Int byte[4];
};
inline Weights load(const int8_t* w) {
  Weights r;
  for (int l = 0; l < kLanes; ++l)
    for (int j = 0; j < 4; ++j) r.byte[j][l] = w[4 * l + j];
  return r;
}
inline Int dot(Int acc, uint32_t x, const Weights& w) {
  for (int j = 0; j < 4; ++j) acc += w.byte[j] * (int32_t)(x >> 8 * j & 0xFF);
  return acc;
}
#endif

// Bytes to integers, and acc[l] += x[l] w[l] of weights that fit 16 bits.
#if defined(__AVX512VNNI__)
inline Int widened(const uint8_t* x) { return (Int)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)x)); }
inline Int widened(const int8_t* x) { return (Int)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i*)x)); }
inline Int times(Int acc, Int x, Int w) { return (Int)_mm512_dpwssd_epi32((__m512i)acc, (__m512i)x, (__m512i)w); }
#else
inline Int widened(const uint8_t* x) { return __builtin_convertvector(loaded<UByte>(x), Int); }
inline Int widened(const int8_t* x) { return __builtin_convertvector(loaded<Byte>(x), Int); }
inline Int times(Int acc, Int x, Int w) { return acc + x * w; }
#endif

// --- rounding ----------------------------------------------------------------------------------------------------

enum Rounding { kNearestEven, kHalfUp, kFloor };
constexpr double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer, held in the low bits

#if defined(__AVX512F__)
inline RealHalf clamped(RealHalf x, double lo, double hi) {
  return (RealHalf)_mm512_min_pd(_mm512_max_pd((__m512d)x, _mm512_set1_pd(lo)), _mm512_set1_pd(hi));
}
#else
inline RealHalf clamped(RealHalf x, double lo, double hi) {
  x = x < lo ? RealHalf{} + lo : x;
  return x > hi ? RealHalf{} + hi : x;
}
#endif

// clamp(round(x) + zero, lo, hi) - zero of |x| < 2^53, bounds less zero. They are integers, so clamping may come first.
template <int rounding>
inline IntHalf rounded(RealHalf x, double lo, double hi) {
  x = clamped(x, lo, hi);
  const RealHalf shifted = x + kMagic;
  IntHalf q = __builtin_convertvector((LongHalf)shifted, IntHalf);
  if (rounding == kNearestEven) return q;
  q += __builtin_convertvector(shifted - kMagic > x, IntHalf);  // a comparison is -1 where it holds: now the floor
  if (rounding == kFloor) return q;
  // x - floor is exact for |x| >= 1/2 and monotone elsewhere, so the test against 1/2 is exact
  return q - __builtin_convertvector(x - __builtin_convertvector(q, RealHalf) >= 0.5, IntHalf);
}

// A group of 16 from its halves.
inline Int joined(IntHalf low, IntHalf high) {
  return __builtin_shufflevector(low, high, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
template <typename Half, typename Group>
inline Half half(Group group, int which) {
  Half found[2];
  std::memcpy(found, &group, sizeof group);
  return found[which];
}

inline int64_t round_shift(int64_t p, int64_t shift, int64_t rounding) {
  if (shift == 0 || rounding == kFloor) return p >> shift;
  const int64_t half = int64_t(1) << (shift - 1);
  int64_t r = (p + half) >> shift;
  if (rounding == kNearestEven && (p & ((int64_t(1) << shift) - 1)) == half) r -= r & 1;
  return r;
}

}  // namespace
