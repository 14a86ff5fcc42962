// What packets compute, for `sim`: integer products, requantization and moves, for N inputs at once.
//
// Every function gives the bytes that vla_isa.numerics gives; tests hold them against it. Products are uint8 (the
// activation with its sign bit flipped) by int8 in groups of four, added in int32 modulo 2^32 as the machine does;
// what the flipped sign adds, 128 times the sum of the weights, is taken off beforehand in `add`.
// Memories are [N][bytes]; offsets in the structures are bytes. The structures are those of binding.py.
// Not here: which packets there are and what may be prepared once (steps.py).

#include <algorithm>
#include <cstdint>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kLanes = 16;  // output channels of a group
typedef int32_t Int __attribute__((vector_size(4 * kLanes)));
typedef int8_t Byte __attribute__((vector_size(kLanes)));
typedef uint8_t UByte __attribute__((vector_size(kLanes)));
// Half a group is what a register of doubles holds.
typedef int32_t IntHalf __attribute__((vector_size(2 * kLanes)));
typedef int64_t LongHalf __attribute__((vector_size(4 * kLanes)));
typedef double RealHalf __attribute__((vector_size(4 * kLanes)));

template <typename T>
inline T loaded(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

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

extern "C" {

// A tensor in the activation memory: row y lies in slot (slot + y) % ring (ring 0: no ring), blocks `pitch` apart.
struct Region {
  int64_t base, row_stride, pitch, ring, slot;
};

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

struct Side {
  int64_t in_data, base, outer_stride, row_stride, block_stride, ring, slot;
};

struct Copy {
  Side from, to;
  int64_t outer, rows, blocks, inner, fill, value;  // fill: no source
  int64_t overlap;                                  // source and destination may overlap: read all, then write
};

struct Vec {
  Region a, b, out;
  int64_t block, rows, width, blocks;
  int64_t b_kind, b_scalar;
  const int8_t* pairs;  // result of every (a, b), the table applied
};

struct Pool {
  Region in, out;
  int64_t block, blocks, channels, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride_h, stride_w, pad_top, pad_left;
  int64_t average, in_zero, rounding, zero, lo, hi;
  const int64_t* record;  // mult, shift of each output pixel
};

struct Tensor {
  int64_t h, w, blocks, block, row_bytes, row_stride, pixel_stride, channel_stride, padded;
  const int32_t* channel;
};

struct Memory {
  int8_t *act, *data, *scratch;
  int64_t act_bytes, data_bytes, scratch_bytes, count;  // of one input; count: inputs
};

// The most groups of a tile.
int64_t vla_groups() { return kGroups; }

}  // extern "C"

namespace {

inline int64_t row_of(const Region& r, int64_t y) {
  return r.base + (r.ring ? (r.slot + y) % r.ring : y) * r.row_stride;
}

inline RealHalf reals(Int q, int which) { return __builtin_convertvector(half<IntHalf>(q, which), RealHalf); }

// 16 accumulators (with `add` in them) of channels from `channel` to bytes; `res`: 16 bytes of the residual.
template <int rounding>
inline Byte finished(Int acc, const Finish& f, int64_t channel, const int8_t* res) {
  Int q;
  if (!f.wide) {
    const double lo = f.lo - f.zero, hi = f.hi - f.zero;
    IntHalf halves[2];
    for (int h = 0; h < 2; ++h)
      halves[h] = rounded<rounding>(reals(acc, h) * loaded<RealHalf>(f.scale + channel + 8 * h), lo, hi);
    q = joined(halves[0], halves[1]) + int32_t(f.zero);
  } else {
    for (int l = 0; l < kLanes; ++l) {
      const int64_t* r = f.record + 3 * (channel + l);
      q[l] = std::min(std::max(round_shift((acc[l] + r[0]) * r[1], r[2], rounding) + f.zero, f.lo), f.hi);
    }
  }
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

inline Byte finished(Int acc, const Finish& f, int64_t channel, const int8_t* res) {
  if (f.rounding == kNearestEven) return finished<kNearestEven>(acc, f, channel, res);
  if (f.rounding == kHalfUp) return finished<kHalfUp>(acc, f, channel, res);
  return finished<kFloor>(acc, f, channel, res);
}

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

template <int G>
void multiply_tile(const Conv& c, const Tile& t, Walk walk, int64_t count) {
  constexpr int P = pixels_of(G);
  const uint8_t* window[P];
  int8_t* out[P];
  const int8_t* res[P];
  for (int64_t first = 0; first < count; first += P) {
    const int valid = std::min<int64_t>(P, count - first);
    for (int p = 0; p < P; ++p) {
      if (p < valid) walk.next(window[p], out[p], res[p]);
      else window[p] = window[0];
    }
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
    const int valid = std::min<int64_t>(P, count - first);
    for (int p = 0; p < P; ++p) {
      if (p < valid) walk.next(window[p], out[p], res[p]);
      else window[p] = window[0];
    }
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

// Rows or pixels of a window that lie inside the input: from `first` to before `last`.
inline void inside(int64_t o, int64_t stride, int64_t pad, int64_t kernel, int64_t size, int64_t& first, int64_t& last) {
  first = std::max<int64_t>(0, o * stride - pad), last = std::min(size, o * stride - pad + kernel);
}

void run_pool(const Pool& p, const Memory& m) {
  const int64_t B = p.block;
  for (int64_t n = 0; n < m.count; ++n) {
    int8_t* act = m.act + n * m.act_bytes;
    for (int64_t oy = 0; oy < p.out_h; ++oy)
      for (int64_t b = 0; b < p.blocks; ++b)
        for (int64_t ox = 0; ox < p.out_w; ++ox) {
          int64_t y0, y1, x0, x1;
          inside(oy, p.stride_h, p.pad_top, p.kernel_h, p.in_h, y0, y1);
          inside(ox, p.stride_w, p.pad_left, p.kernel_w, p.in_w, x0, x1);
          Byte best = Byte{} + int8_t(-128);
          int32_t sum[kLanes] = {};
          for (int64_t y = y0; y < y1; ++y) {
            const int8_t* in = act + row_of(p.in, y) + b * p.in.pitch;
            for (int64_t x = x0; x < x1; ++x) {
              if (p.average) {
                for (int64_t l = 0; l < B; ++l) sum[l] += in[x * B + l] - int32_t(p.in_zero);
                continue;
              }
              Byte other = best;
              if (B == kLanes) other = loaded<Byte>(in + x * B);
              else std::memcpy(&other, in + x * B, 8);
              best = best > other ? best : other;
            }
          }
          int8_t* out = act + row_of(p.out, oy) + b * p.out.pitch + ox * B;
          const int64_t* r = p.record + 2 * (oy * p.out_w + ox);
          for (int64_t l = 0; l < B; ++l) {
            int64_t q = best[l];
            if (p.average) q = std::min(std::max(round_shift(sum[l] * r[0], r[1], p.rounding) + p.zero, p.lo), p.hi);
            out[l] = b * B + l < p.channels ? int8_t(q) : int8_t(p.zero);
          }
        }
  }
}

}  // namespace

extern "C" {

// Real numbers to int8, vla_isa.numerics.quantize rounding to nearest even, and back.
void vla_quantize(const float* x, int64_t count, float scale, float zero, int8_t* q) {
  for (int64_t i = 0; i < count; ++i) q[i] = int8_t(std::min(std::max(__builtin_rintf(x[i] / scale) + zero, -128.0f), 127.0f));
}
void vla_dequantize(const int8_t* q, int64_t count, float scale, float zero, float* x) {
  for (int64_t i = 0; i < count; ++i) x[i] = (float(q[i]) - zero) * scale;
}

// A tensor, element (y, x, c) at y, x, c strides, to data-space rows [h][blocks][row_bytes] and back; `channel`: which
// logical channel each stored one is, or less than 0: padding.
void vla_pack(const Tensor* t, const int8_t* from, int8_t* rows, int fill) {
  for (int64_t y = 0; y < t->h; ++y)
    for (int64_t b = 0; b < t->blocks; ++b, rows += t->row_bytes) {
      const int32_t* channel = t->channel + b * t->block;
      if (t->padded) std::memset(rows, fill, t->row_bytes);
      for (int64_t l = 0; l < t->block; ++l) {
        if (channel[l] < 0) continue;
        const int8_t* source = from + y * t->row_stride + channel[l] * t->channel_stride;
        for (int64_t x = 0; x < t->w; ++x) rows[x * t->block + l] = source[x * t->pixel_stride];
      }
    }
}
void vla_unpack(const Tensor* t, const int8_t* rows, int8_t* to) {
  for (int64_t y = 0; y < t->h; ++y)
    for (int64_t b = 0; b < t->blocks; ++b, rows += t->row_bytes) {
      const int32_t* channel = t->channel + b * t->block;
      for (int64_t l = 0; l < t->block; ++l) {
        if (channel[l] < 0) continue;
        int8_t* place = to + y * t->row_stride + channel[l] * t->channel_stride;
        for (int64_t x = 0; x < t->w; ++x) place[x * t->pixel_stride] = rows[x * t->block + l];
      }
    }
}

// Accumulators [rows][16] to bytes, for tests.
void vla_finish(const Finish* f, int64_t rows, const int32_t* acc, const int8_t* residual, int8_t* out) {
  for (int64_t i = 0; i < rows; ++i) {
    Int a;
    std::memcpy(&a, acc + i * kLanes, sizeof a);
    const Byte q = finished(a, *f, 0, residual + i * kLanes);
    std::memcpy(out + i * kLanes, &q, kLanes);
  }
}

struct Step {
  int64_t kind;
  const void* what;
};

void vla_run(const Step* steps, int64_t count, const Memory* m) {
  for (int64_t i = 0; i < count; ++i) switch (steps[i].kind) {
      case 0: run_conv(*(const Conv*)steps[i].what, *m); break;
      case 1: run_copy(*(const Copy*)steps[i].what, *m); break;
      case 2: run_vec(*(const Vec*)steps[i].what, *m); break;
      case 3: run_pool(*(const Pool*)steps[i].what, *m); break;
    }
}

}  // extern "C"
