// Tensors of the model to data-space rows and back.
#pragma once

#include <cstdint>
#include <cstring>

struct Tensor {
  int64_t h, w, blocks, block, row_bytes, row_stride, pixel_stride, channel_stride, padded;
  const int32_t* channel;
};

namespace {

// A tensor, element (y, x, c) at y, x, c strides, to data-space rows [h][blocks][row_bytes] and back; `channel`: which
// logical channel each stored one is, or less than 0: padding.
void pack(const Tensor* t, const int8_t* from, int8_t* rows, int fill) {
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

void unpack(const Tensor* t, const int8_t* rows, int8_t* to) {
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

}  // namespace
