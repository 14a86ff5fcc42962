// Run POOL and VEC packets on vla_vector_engine with behavioural memories that follow rtl/README.md.
//
//   bench JOB LOG
//
// JOB: 8 x u32 (packets, act words, block, parameter words, percent of refused grants, seed, percent of
// cycles without a packet on offer, 0), then the activation words, the parameter words, the packets.
// LOG: 24 bytes a packet (u64 cycle accepted, u64 cycle done, u64 words written), then all writes in order:
// u32 address and the word. Exit code 1 and a message when a handshake is broken or the engine hangs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "Vvla_vector_engine.h"
#include "verilated.h"

namespace {

constexpr int kReads = 4, kWrites = 2, kBanks = 16;
constexpr int kReadCycles = 3;      // from a granted read to its word
constexpr uint64_t kHang = 200000;  // cycles without a write or a done

uint64_t g_random;
uint32_t draw() {  // xorshift64*
  g_random ^= g_random >> 12;
  g_random ^= g_random << 25;
  g_random ^= g_random >> 27;
  return static_cast<uint32_t>((g_random * 0x2545F4914F6CDD1DULL) >> 32);
}
bool percent(uint32_t p) { return p && draw() % 100 < p; }

[[noreturn]] void fail(const char* what, uint64_t cycle) {
  std::fprintf(stderr, "bench: %s in cycle %llu\n", what, static_cast<unsigned long long>(cycle));
  std::exit(1);
}

uint32_t bits(const void* port, int lsb, int width) {  // of a port of any width
  uint64_t out = 0;
  const uint8_t* bytes = static_cast<const uint8_t*>(port);
  for (int i = 0; i < width; ++i)
    out |= static_cast<uint64_t>((bytes[(lsb + i) / 8] >> ((lsb + i) % 8)) & 1) << i;
  return static_cast<uint32_t>(out);
}

int log2_of(uint32_t n) {
  int k = 0;
  while ((1u << k) < n) ++k;
  return k;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  FILE* job = std::fopen(argv[1], "rb");
  uint32_t head[8];
  if (!job || std::fread(head, 4, 8, job) != 8) return 2;
  const uint32_t packets = head[0], act_words = head[1], block = head[2], param_words = head[3];
  std::vector<uint8_t> act(size_t(act_words) * block), param(size_t(param_words) * 8 * block), program(size_t(packets) * 64);
  if (std::fread(act.data(), 1, act.size(), job) != act.size() ||
      std::fread(param.data(), 1, param.size(), job) != param.size() ||
      std::fread(program.data(), 1, program.size(), job) != program.size())
    return 2;
  std::fclose(job);
  g_random = head[5] * 2654435761u + 88172645463325252ULL;

  VerilatedContext context;
  Vvla_vector_engine top(&context);
  const int aw = log2_of(act_words);
  std::vector<uint64_t> accepted, done;
  std::vector<uint64_t> written(packets, 0);
  std::vector<uint8_t> writes;
  uint32_t held_read[kReads], held_write[kWrites];
  bool holding_read[kReads] = {}, holding_write[kWrites] = {};
  bool offering = false;
  uint64_t quiet = 0;

  auto tick = [&] {
    top.clk_i = 0;
    top.eval();
    top.clk_i = 1;
    top.eval();
  };
  top.rst_i = 1;
  for (int i = 0; i < 4; ++i) tick();
  top.rst_i = 0;

  std::vector<uint8_t> coming[kReadCycles];  // the words of a cycle's grants, then which lanes they are of
  for (uint64_t cycle = 0; done.size() < packets; ++cycle) {
    if (!offering) offering = accepted.size() < packets && !percent(head[6]);
    top.packet_valid_i = offering;
    if (offering) std::memcpy(&top.packet_i, &program[accepted.size() * 64], 64);
    top.clk_i = 0;
    top.eval();

    // grants: lower lanes first, one address per bank, some refused
    uint32_t bank_addr[kBanks];
    bool bank_used[kBanks] = {}, write_used[kBanks] = {};
    uint8_t read_grant = 0, write_grant = 0;
    for (int i = 0; i < kReads; ++i) {
      const bool valid = (top.rd_valid_o >> i) & 1;
      const uint32_t addr = bits(&top.rd_addr_o, i * aw, aw);
      if (holding_read[i] && (!valid || addr != held_read[i])) fail("a read request changed before its grant", cycle);
      const bool free = valid && (!bank_used[addr % kBanks] || bank_addr[addr % kBanks] == addr);
      const bool grant = free && !percent(head[4]);
      if (grant) {
        bank_used[addr % kBanks] = true;
        bank_addr[addr % kBanks] = addr;
        read_grant |= 1 << i;
      }
      holding_read[i] = valid && !grant;
      held_read[i] = addr;
    }
    for (int i = 0; i < kWrites; ++i) {
      const bool valid = (top.wr_valid_o >> i) & 1;
      const uint32_t addr = bits(&top.wr_addr_o, i * aw, aw);
      if (holding_write[i] && (!valid || addr != held_write[i])) fail("a write request changed before its grant", cycle);
      const bool grant = valid && !write_used[addr % kBanks] && !percent(head[4]);
      if (grant) {
        write_used[addr % kBanks] = true;
        write_grant |= 1 << i;
      }
      holding_write[i] = valid && !grant;
      held_write[i] = addr;
    }
    const bool param_grant = top.param_rd_valid_o && !percent(head[4]);
    const uint32_t param_addr = bits(&top.param_rd_addr_o, 0, log2_of(param_words));
    top.rd_grant_i = read_grant;
    top.wr_grant_i = write_grant;
    top.param_rd_grant_i = param_grant;
    top.eval();
    if ((read_grant & ~top.rd_valid_o) || (write_grant & ~top.wr_valid_o)) fail("valid depends on grant", cycle);

    if (top.done_o) {
      if (done.size() >= accepted.size()) fail("done without a packet", cycle);
      done.push_back(cycle);
      quiet = 0;
    }
    if (accepted.size() > done.size() && !top.active_o) fail("a packet is held but active_o is low", cycle);
    if (write_grant) quiet = 0;
    for (int i = 0; i < kWrites; ++i) {
      if (!((write_grant >> i) & 1)) continue;
      if (done.size() >= accepted.size()) fail("a write after done", cycle);
      ++written[done.size()];
      const uint8_t* word = reinterpret_cast<const uint8_t*>(&top.wr_data_o) + i * block;
      const uint8_t* addr = reinterpret_cast<const uint8_t*>(&held_write[i]);
      writes.insert(writes.end(), addr, addr + 4);
      writes.insert(writes.end(), word, word + block);
    }
    // the words of this cycle's grants are on the data ports kReadCycles later, and only then
    std::vector<uint8_t>& now = coming[cycle % kReadCycles];
    now.assign(size_t(kReads) * block, 0xA5);
    now.push_back(read_grant);
    for (int i = 0; i < kReads; ++i)
      if ((read_grant >> i) & 1) std::memcpy(&now[i * block], &act[size_t(held_read[i]) * block], block);
    const std::vector<uint8_t>& next = coming[(cycle + 1) % kReadCycles];
    for (int i = 0; i < kWrites; ++i)
      if ((write_grant >> i) & 1)
        std::memcpy(&act[size_t(held_write[i]) * block], reinterpret_cast<const uint8_t*>(&top.wr_data_o) + i * block, block);
    if (offering && top.packet_ready_o) {
      accepted.push_back(cycle);
      offering = false;
    }
    top.clk_i = 1;
    top.eval();
    top.rd_word_i = next.empty() ? 0 : next.back();
    if (!next.empty()) std::memcpy(&top.rd_data_i, next.data(), next.size() - 1);
    if (param_grant) std::memcpy(&top.param_rd_data_i, &param[size_t(param_addr) * 8 * block], 8 * block);
    else std::memset(&top.param_rd_data_i, 0x5A, 8 * block);
    if (++quiet > kHang) fail("nothing happens any more", cycle);
  }
  for (int i = 0; i < 50; ++i) {
    top.packet_valid_i = 0;
    tick();
    if (top.done_o || top.active_o || top.rd_valid_o || top.wr_valid_o || top.param_rd_valid_o)
      fail("activity after the last packet", i);
  }

  FILE* log = std::fopen(argv[2], "wb");
  if (!log) return 2;
  for (uint32_t i = 0; i < packets; ++i) {
    const uint64_t record[3] = {accepted[i], done[i], written[i]};
    std::fwrite(record, 8, 3, log);
  }
  std::fwrite(writes.data(), 1, writes.size(), log);
  return std::fclose(log) ? 2 : 0;
}
