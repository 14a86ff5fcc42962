// The memories of some inputs, [N][bytes], and tensors and matrices in the activation memory; offsets are bytes.
#pragma once

#include <cstdint>
#include <cstring>

// A tensor in the activation memory: row y lies in slot (slot + y) % ring (ring 0: no ring), blocks `pitch` apart.
struct Region {
  int64_t base, row_stride, pitch, ring, slot;
};

// A matrix operand [batch][h][planes][m][block]: byte planes `pitch` apart, an int16 in two, the low byte's first.
struct Matrix {
  int64_t base, batch_stride, row_stride, pitch;
};

struct Memory {
  int8_t *act, *data, *weight, *scratch;
  int64_t *failed;  // of each input: not 0 where items were outside their table
  int64_t act_bytes, data_bytes, weight_bytes, scratch_bytes, count;  // of one input; count: inputs
};

namespace {

constexpr int64_t kItemBytes = 16;  // of a row vector: a value of 64 bits, a second one of 32

inline int64_t row_of(const Region& r, int64_t y) {
  return r.base + (r.ring ? (r.slot + y) % r.ring : y) * r.row_stride;
}

template <typename T>
inline T loaded(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

inline void put_item(int8_t* to, int64_t value, int32_t second = 0) {
  const int32_t rest[2] = {second, 0};
  std::memcpy(to, &value, 8);
  std::memcpy(to + 8, rest, 8);
}

// A record of a pixel: bias of 32 bits, multiplier of 24, shift of 6.
struct RowRecord {
  int64_t bias, mult, shift;
};

inline RowRecord row_record(const int8_t* from) {
  const uint64_t word = loaded<uint64_t>(from);
  return {int32_t(word), int64_t(word >> 32 & 0xFFFFFF), int64_t(word >> 56 & 63)};
}

}  // namespace
