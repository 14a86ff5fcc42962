// Products of windows of bytes with weights, in tiles of channels and pixels.
// What the flipped sign adds, 128 times the sum of the weights, is taken off beforehand in what sums start from.
// Not here: where windows lie and what becomes of the sums: a walk says both (conv.h, gemm.h).
#pragma once

#include "vectors.h"

// Output channels in tiles of up to four groups: steps of four input channels, with 64 weight bytes per group.
struct Tile {
  int64_t first_group, groups, steps;
  const int32_t* offsets;  // of each step's four bytes from the pixel's window, in the padded input
  const int8_t* weights;   // [steps][groups][16][4]
};

namespace {

// The next P places of a walk, or as many as are left; returns how many. Those behind the last one read the first again.
template <typename Walk, int P>
int next_places(Walk& walk, int64_t left, typename Walk::Place (&place)[P]) {
  const int valid = std::min<int64_t>(P, left);
  for (int p = 0; p < P; ++p) {
    if (p < valid) walk.next(place[p]);
    else place[p].window = place[0].window;
  }
  return valid;
}

template <int G, typename Walk>
void multiply_tile(const Tile& t, Walk walk, int64_t count) {
  constexpr int P = pixels_of(G);
  typename Walk::Place place[P];
  for (int64_t first = 0; first < count; first += P) {
    const int valid = next_places(walk, count - first, place);
    Int acc[G][P];
    for (int g = 0; g < G; ++g) {
      const Int start = walk.start(t.first_group + g);
      for (int p = 0; p < P; ++p) acc[g][p] = start;
    }
    const int8_t* w = t.weights;
    for (int64_t k = 0; k < t.steps; ++k, w += 64 * G) {
      const int64_t offset = t.offsets[k];
      Weights weights[G];
      for (int g = 0; g < G; ++g) weights[g] = load(w + 64 * g);
      for (int p = 0; p < P; ++p) {
        uint32_t x;
        std::memcpy(&x, place[p].window + offset, 4);
        for (int g = 0; g < G; ++g) acc[g][p] = dot(acc[g][p], x, weights[g]);
      }
    }
    for (int g = 0; g < G; ++g)
      for (int p = 0; p < valid; ++p) walk.drain(acc[g][p], t.first_group + g, place[p]);
  }
}

// All tiles' products of the first `count` places of a walk.
template <typename Walk>
void multiply(const Tile& t, const Walk& walk, int64_t count) {
  if (t.groups == 1) return multiply_tile<1>(t, walk, count);
  if constexpr (kGroups >= 2)
    if (t.groups == 2) return multiply_tile<2>(t, walk, count);
  if constexpr (kGroups >= 4) {
    if (t.groups == 3) return multiply_tile<3>(t, walk, count);
    if (t.groups == 4) return multiply_tile<4>(t, walk, count);
  }
}

// Store the bytes of a group, its blocks `pitch` apart: one channel block of 16, or two of 8.
inline void store(Byte q, int64_t group, int64_t block, int64_t blocks, int64_t pitch, int8_t* out) {
  if (block == kLanes) {
    std::memcpy(out + group * pitch, &q, kLanes);
    return;
  }
  int8_t bytes[kLanes];
  std::memcpy(bytes, &q, kLanes);
  for (int64_t i = 0; i < 2 && 2 * group + i < blocks; ++i) std::memcpy(out + (2 * group + i) * pitch, bytes + 8 * i, 8);
}

}  // namespace
