// The memory behind all masters, and the images of a program in it as a driver lays them out.
// Does: one address space of a few buffers, far apart; cut the data space into its channels and the weight space
// into what each weight master reads (docs/reference/registers.md), and put the data space together again.
// Does not: know who reads what: every master reaches every buffer. Addresses outside of all have no bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "vla_isa.h"

namespace vla {

constexpr uint32_t kBeat = vla_isa::kBeatBytes;
constexpr uint64_t kPage = 4096;

class Hbm {
 public:
  // Buffer n starts at base(n). Low bits are all ones down to a page, so that a wrong sum of a base and an offset
  // changes high bits; the data space of 2^38 bytes fits between two.
  static uint64_t base(uint32_t n) { return (static_cast<uint64_t>(n) + 1) << 40 | 0xFFFF'F000; }

  void clear() { buffers_.clear(); }

  // Room for `bytes` in the next buffer; returns its first byte.
  uint8_t* add(uint64_t bytes) {
    buffers_.emplace_back(bytes);
    return buffers_.back().data();
  }

  // The `bytes` bytes at an address, or nullptr.
  uint8_t* find(uint64_t addr, uint64_t bytes) {
    const uint64_t n = ((addr - 0xFFFF'F000) >> 40) - 1;
    if (n >= buffers_.size()) return nullptr;
    const uint64_t at = addr - base(n), size = buffers_[n].size();
    return bytes <= size && at <= size - bytes ? &buffers_[n][at] : nullptr;
  }

 private:
  std::vector<std::vector<uint8_t>> buffers_;
};

// A program's two spaces: buffers 0 to kDataChannels - 1 are the data space, the next ones the weight masters'.
class Images {
 public:
  Hbm& memory() { return hbm_; }

  // Lays the images out; `word_bytes` are those of a weight word.
  void put(uint8_t* data, uint64_t data_bytes, const uint8_t* weights, uint64_t weight_bytes, uint64_t word_bytes,
           uint32_t weight_masters) {
    hbm_.clear();
    for (uint32_t c = 0; c < vla_isa::kDataChannels; ++c) hbm_.add(channel_bytes(data_bytes, c));
    pages(data, data_bytes, [](uint8_t* host, uint8_t* at, uint64_t n) { std::memcpy(at, host, n); });
    const uint64_t beats = word_bytes / kBeat, words = weight_bytes / word_bytes;
    for (uint32_t m = 0; m < weight_masters; ++m) {
      uint8_t* to = hbm_.add(words * word_bytes / weight_masters);
      for (uint64_t beat = m; beat < words * beats; beat += weight_masters, to += kBeat)
        std::memcpy(to, weights + beat * kBeat, kBeat);
    }
  }

  // Copies the data space back.
  void get(uint8_t* data, uint64_t data_bytes) {
    pages(data, data_bytes, [](uint8_t* host, uint8_t* at, uint64_t n) { std::memcpy(host, at, n); });
  }

  static uint64_t data_base(uint32_t channel) { return Hbm::base(channel); }
  static uint64_t weight_base(uint32_t master) { return Hbm::base(vla_isa::kDataChannels + master); }

 private:
  // Bytes of the data space on a channel.
  static uint64_t channel_bytes(uint64_t bytes, uint32_t channel) {
    const uint64_t turn = kPage * vla_isa::kDataChannels, rest = bytes % turn, before = channel * kPage;
    return bytes / turn * kPage + std::clamp<uint64_t>(rest, before, before + kPage) - before;
  }

  // Calls move(host, memory, bytes) for each page of the data space.
  template <class Move>
  void pages(uint8_t* data, uint64_t bytes, Move move) {
    for (uint64_t p = 0; p * kPage < bytes; ++p) {
      const uint64_t n = std::min(kPage, bytes - p * kPage);
      const uint64_t at = data_base(p % vla_isa::kDataChannels) + p / vla_isa::kDataChannels * kPage;
      move(data + p * kPage, hbm_.find(at, n), n);
    }
  }

  Hbm hbm_;
};

}  // namespace vla
