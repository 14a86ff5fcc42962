// The memories of some inputs, [N][bytes], and tensors in the activation memory; offsets are bytes.
#pragma once

#include <cstdint>

// A tensor in the activation memory: row y lies in slot (slot + y) % ring (ring 0: no ring), blocks `pitch` apart.
struct Region {
  int64_t base, row_stride, pitch, ring, slot;
};

struct Memory {
  int8_t *act, *data, *scratch;
  int64_t act_bytes, data_bytes, scratch_bytes, count;  // of one input; count: inputs
};

namespace {

inline int64_t row_of(const Region& r, int64_t y) {
  return r.base + (r.ring ? (r.slot + y) % r.ring : y) * r.row_stride;
}

}  // namespace
