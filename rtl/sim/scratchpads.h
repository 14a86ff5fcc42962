// The on-chip memories of the Verilated machine as plain bytes.
// Does: find the arrays of vla_ram_1r1w by their place in the hierarchy; clear, fill and copy them in address order.
// Does not: know what is in them. The names follow vla_core_datapath: u_act_memory.g_bank[n], u_weight_memory.g_column[n],
// u_param_memory.g_line[n]; a renamed instance is a compile error here.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "Vvla_core___024root.h"

#define VLA_NAME(root, memory, block, n) \
  root.vla_core__DOT__u_datapath__DOT__##memory##__DOT__##block##__BRA__##n##__KET____DOT__u_ram__DOT__mem
#define VLA_RAM(memory, block, n) bytes_of(VLA_NAME(root, memory, block, n))
#define VLA_RAMS_2(memory, block) VLA_RAM(memory, block, 0), VLA_RAM(memory, block, 1)
#define VLA_RAMS_8(memory, block)                                                                            \
  VLA_RAMS_2(memory, block), VLA_RAM(memory, block, 2), VLA_RAM(memory, block, 3), VLA_RAM(memory, block, 4), \
      VLA_RAM(memory, block, 5), VLA_RAM(memory, block, 6), VLA_RAM(memory, block, 7)

namespace vla {

// One array: `words` elements of `word` bytes.
struct Ram {
  uint8_t* bytes;
  uint64_t words;
  uint64_t word;
};

template <class Array>
Ram bytes_of(Array& array) {
  return {reinterpret_cast<uint8_t*>(&array[0]), sizeof(array) / sizeof(array[0]), sizeof(array[0])};
}

// B, bytes of an activation word; a constant of the build.
template <class Root>
constexpr int block() {
  Root* root = nullptr;
  return sizeof(VLA_NAME((*root), u_act_memory, g_bank, 0)[0]);
}

// Words of the memories; constants of the build too.
#define VLA_WORDS(memory, block) \
  static_cast<uint32_t>(sizeof(VLA_NAME((*root), memory, block, 0)) / sizeof(VLA_NAME((*root), memory, block, 0)[0]))
template <class Root>
constexpr uint32_t act_words() {
  Root* root = nullptr;
  return 16 * VLA_WORDS(u_act_memory, g_bank);
}
template <class Root>
constexpr uint32_t weight_words() {
  Root* root = nullptr;
  return VLA_WORDS(u_weight_memory, g_column);
}
template <class Root>
constexpr uint32_t param_words() {
  Root* root = nullptr;
  return VLA_WORDS(u_param_memory, g_line);
}

// Activation words: word a is row a / 16 of bank a mod 16.
template <class Root>
std::vector<Ram> act_rams(Root& root) {
  return {VLA_RAMS_8(u_act_memory, g_bank), VLA_RAM(u_act_memory, g_bank, 8), VLA_RAM(u_act_memory, g_bank, 9),
          VLA_RAM(u_act_memory, g_bank, 10), VLA_RAM(u_act_memory, g_bank, 11), VLA_RAM(u_act_memory, g_bank, 12),
          VLA_RAM(u_act_memory, g_bank, 13), VLA_RAM(u_act_memory, g_bank, 14), VLA_RAM(u_act_memory, g_bank, 15)};
}

// Weight words: 32-byte column c of every word in array c; Block is 8 or 16.
template <int Block, class Root>
std::vector<Ram> weight_rams(Root& root) {
  if constexpr (Block == 16) return {VLA_RAMS_8(u_weight_memory, g_column)};
  else return {VLA_RAMS_2(u_weight_memory, g_column)};
}

// Parameter words: 64-byte line l of every word in array l.
template <int Block, class Root>
std::vector<Ram> param_rams(Root& root) {
  if constexpr (Block == 16) return {VLA_RAMS_2(u_param_memory, g_line)};
  else return {VLA_RAM(u_param_memory, g_line, 0)};
}

// Bytes of a random sequence, others for each seed.
inline void fill(const std::vector<Ram>& rams, uint64_t seed) {
  uint64_t state = seed * 0x9E3779B97F4A7C15ull + 1;
  for (const Ram& ram : rams)
    for (uint64_t i = 0; i < ram.words * ram.word; ++i) {
      state ^= state << 13;
      state ^= state >> 7;
      state ^= state << 17;
      ram.bytes[i] = static_cast<uint8_t>(state >> 32);
    }
}

inline void clear(const std::vector<Ram>& rams) {
  for (const Ram& ram : rams) std::memset(ram.bytes, 0, ram.words * ram.word);
}

// Copies element i of every array, then element i + 1; false if `bytes` is not their size.
inline bool copy(const std::vector<Ram>& rams, uint8_t* out, uint64_t bytes) {
  const uint64_t words = rams[0].words, word = rams[0].word, stride = word * rams.size();
  if (bytes != words * stride) return false;
  for (size_t r = 0; r < rams.size(); ++r)
    for (uint64_t i = 0; i < words; ++i)
      std::memcpy(out + i * stride + r * word, rams[r].bytes + i * word, word);
  return true;
}

}  // namespace vla
